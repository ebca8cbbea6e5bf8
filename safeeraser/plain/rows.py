"""Questions and answers in the plain world's tokens: a row holds several about one picture, which stands there once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlavaProcessor

from safeeraser.losses import IGNORED

PREFIX, PADDING = 0, -1


@dataclass(frozen=True)
class Row:
    """The questions about one picture, with their answers, behind its tokens; lists as long as the row.

    positions: of each token in its own sequence. segments: PREFIX, or the number of the question. picture: its number
    in the pool; None: none is shown.
    """

    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    picture: int | None


class Texts:
    """Questions and answers in the model's tokens."""

    def __init__(self, processor: LlavaProcessor) -> None:
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.image = processor.image_token_id
        size = processor.image_processor.crop_size["height"]
        self.count = (size // processor.patch_size) ** 2

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt(self, question: str, *, shown: bool = True) -> str:
        """The question in the model's chat format, with a token for each part of the picture."""
        turn: list[dict[str, str]] = [{"type": "image"}] if shown else []
        turns = [{"role": "user", "content": [*turn, {"type": "text", "text": question}]}]
        made = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        return made.replace(self.processor.image_token, self.processor.image_token * self.count)

    def pair(self, question: str, answer: str, *, shown: bool, longest: int | None) -> tuple[list[int], int]:
        """Ids of prompt and answer, with its end unless it is cut at `longest` tokens; and the prompt's length."""
        prompt = self.ids(self.prompt(question, shown=shown))
        said = [*self.ids(answer), self.tokenizer.eos_token_id]
        return prompt + (said if longest is None else said[:longest]), len(prompt)

    def row(self, pairs: Sequence[tuple[list[int], int]], picture: int | None) -> Row:
        """One row of such pairs, behind what is shown, which stands there once."""
        first = pairs[0][0]
        prefix = 0 if picture is None else len(first) - first[::-1].index(self.image)
        row = Row(first[:prefix], list(range(prefix)), [PREFIX] * prefix, [IGNORED] * prefix, picture)
        for number, (ids, prompt) in enumerate(pairs, start=1):
            row.ids.extend(ids[prefix:])
            row.positions.extend(range(prefix, len(ids)))
            row.segments.extend([number] * (len(ids) - prefix))
            row.labels.extend([IGNORED] * (prompt - prefix) + ids[prompt:])
        return row


def seeing(segments: Tensor) -> Tensor:
    """[rows, length] -> [rows, 1, length, length]: a token sees the prefix and its own segment up to itself."""
    length = segments.shape[1]
    seen, sees = segments[:, None, :], segments[:, :, None]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    return (earlier & ((seen == PREFIX) | (seen == sees)))[:, None]
