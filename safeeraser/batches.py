"""VQA -> tensors: the only place that knows prompts, labels and padding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from safeeraser.data.records import VQA, DataError

IGNORED = -100
SETS = ("forget", "refusal", "retain", "decouple")


@dataclass(frozen=True)
class Batch:
    """A padded batch and, for each token, the pair it belongs to.

    inputs: what the model's forward takes (input_ids [rows, length], attention_mask, pixel_values ...).
    labels: [rows, length], the answer tokens and the end token; IGNORED elsewhere.
    example: [rows, length], index of the example within the batch.
    member: [rows, length], index into SETS. Both are per token so that a row may hold several pairs.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    example: Tensor
    member: Tensor

    def to(self, device: torch.device) -> "Batch":
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return replace(
            self,
            inputs=inputs,
            labels=self.labels.to(device),
            example=self.example.to(device),
            member=self.member.to(device),
        )

    def rows(self, keep: Tensor) -> "Batch":
        """The batch with only some of its rows; keep: [rows], bool."""
        inputs = {name: tensor[keep] for name, tensor in self.inputs.items()}
        return Batch(inputs, self.labels[keep], self.example[keep], self.member[keep])


class Encoder:
    """Turns pairs into tensors with one model's processor."""

    def __init__(self, processor: Any, *, max_length: int = 512) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.max_length = max_length
        self.pixels = lru_cache(maxsize=1024)(self._pixels)
        self.tokens = lru_cache(maxsize=50_000)(self._tokens)

    def prompt(self, question: str) -> str:
        """The question with one picture in the model's own chat format, up to where the answer begins."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def training_batch(self, pairs: Sequence[tuple[int, str, VQA]]) -> Batch:
        """Pairs as (example, set, VQA) -> a batch, padded on the right."""
        rows = [self.tokens(vqa.question, vqa.answer, vqa.picture) for _, _, vqa in pairs]
        length = max(len(ids) for ids, _ in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in rows])
        labels = torch.tensor(
            [[IGNORED] * prompt + ids[prompt:] + [IGNORED] * (length - len(ids)) for ids, prompt in rows]
        )
        lengths = torch.tensor([len(ids) for ids, _ in rows])
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(length) < lengths[:, None]).long()}
        inputs |= self._pictures([vqa.picture for _, _, vqa in pairs])
        examples = torch.tensor([example for example, _, _ in pairs])
        members = torch.tensor([SETS.index(name) for _, name, _ in pairs])
        return Batch(inputs, labels, examples[:, None].expand_as(ids), members[:, None].expand_as(ids))

    def prompt_batch(self, items: Sequence[VQA]) -> dict[str, Tensor]:
        """Questions without answers, padded on the left, as `generate` takes them."""
        rows = [self.tokens(vqa.question, None, vqa.picture)[0] for vqa in items]
        length = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(length) >= length - lengths[:, None]
        return {"input_ids": ids, "attention_mask": mask.long()} | self._pictures([vqa.picture for vqa in items])

    def _tokens(self, question: str, answer: str | None, picture: Path | None) -> tuple[list[int], int]:
        """Token ids of prompt, answer and end token (cut at max_length text tokens), and the prompt's length."""
        prompt = self.prompt(question)
        spans = self._picture_tokens(picture)
        prompt_ids = self._ids(prompt, spans)
        if answer is None:
            return prompt_ids, len(prompt_ids)
        joint = "" if prompt[-1].isspace() else " "
        ids = [*self._ids(prompt + joint + answer, spans), self.tokenizer.eos_token_id]
        if ids[: len(prompt_ids)] != prompt_ids:
            raise DataError(
                f"the tokenizer merges the prompt's end into the answer: {prompt[-20:]!r} + {answer[:20]!r}"
            )
        if len(prompt_ids) >= self.max_length + spans:
            raise DataError(f"--max-length {self.max_length} leaves no room for the answer to {question[:60]!r}...")
        return ids[: self.max_length + spans], len(prompt_ids)

    def _ids(self, text: str, spans: int) -> list[int]:
        image = self.processor.image_token
        return self.tokenizer(text.replace(image, image * spans))["input_ids"]

    def _picture_tokens(self, picture: Path | None) -> int:
        """How many tokens the model spends on the picture; the processor decides."""
        return self.processor.replace_image_token(self.pixels(picture), 0).count(self.processor.image_token)

    def _pixels(self, picture: Path | None) -> dict[str, Tensor]:
        return self.processor.image_processor(open_picture(picture), return_tensors="pt")

    def _pictures(self, pictures: Sequence[Path | None]) -> dict[str, Tensor]:
        encoded = [self.pixels(picture) for picture in pictures]
        return {name: torch.cat([one[name] for one in encoded]) for name in encoded[0]}


def open_picture(path: Path | None) -> Image.Image:
    """The picture, RGB; raises DataError naming the file when it is missing or cannot be read."""
    if path is None:
        raise DataError("a question without a picture was asked; `safeeraser data check` lists the missing pictures")
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: the picture is missing") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the picture cannot be read: {error}") from error
