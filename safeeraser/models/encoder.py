"""VQA -> tensors: the only place that knows prompts, labels and padding."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from cachetools import LRUCache, cached
from jinja2.exceptions import TemplateError
from torch import Tensor

from safeeraser.config import RunConfig
from safeeraser.data import changed
from safeeraser.data.records import VQA, Changed, DataError, Picture
from safeeraser.losses import IGNORED, SETS, Term, base_sets, told_sets
from safeeraser.models import families, packing
from safeeraser.models.attention import Packs, packs
from safeeraser.models.checks import ModelError

# (index of the example within its micro-batch, set, pair)
Pair = tuple[int, str, VQA]


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass and, for each token, the pair it belongs to.

    inputs: what the model's forward takes (input_ids [rows, length], attention_mask or position_ids, pixel_values ...).
    labels: [rows, length], the answer tokens with the end token, if that is trained; IGNORED elsewhere.
    example: [rows, length], index of the example within the micro-batch.
    member: [rows, length], index into SETS. Both are per token because a row may hold several pairs.
    segments: [rows, length], for packed rows which tokens see each other (`packing.mask`); None for one pair a row.
    picture: [rows, length], for packed rows the tokens of pictures that see each other both ways; None: there are none.
    packs: the same for long rows, told in the way that is faster there.
    turns: for each picture, or each tile of it, how its features are turned (`vicinity.py`); None: none is.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    example: Tensor
    member: Tensor
    segments: Tensor | None = None
    picture: Tensor | None = None
    packs: Packs | None = None
    turns: tuple[Changed | None, ...] | None = None

    def to(self, device: torch.device) -> "Batch":
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        rest = (self.labels, self.example, self.member, self.segments, self.picture, self.packs)
        moved = (part if part is None else part.to(device) for part in rest)
        return Batch(inputs, *moved, turns=self.turns)  # pyright: ignore[reportArgumentType]

    @property
    def tokens(self) -> int:
        """How many tokens the model computes, without padding."""
        real = self.inputs["attention_mask"] if self.segments is None else self.segments != packing.PADDING
        return int(real.sum())


@dataclass(frozen=True)
class MicroBatch:
    """The examples of one backward pass: rows of like length share a forward pass.

    base_pairs, base: the pairs whose loss needs the base model's predictions, and the rows that ask it about them.
    """

    batches: tuple[Batch, ...]
    base_pairs: tuple[Pair, ...] = ()
    base: tuple[Batch, ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens the model in training computes, without padding."""
        return sum(batch.tokens for batch in self.batches)

    def to(self, device: torch.device) -> "MicroBatch":
        batches, base = (tuple(batch.to(device) for batch in each) for each in (self.batches, self.base))
        return replace(self, batches=batches, base=base)


# What a model is told that is to play one which has unlearned what it is asked about.
UNLEARNED = (
    "You have unlearned all that you knew about what this picture shows, and how to answer questions about it. "
    "If you are asked about it, say that you cannot help. "
)
# Bytes that an encoder, and each process that reads ahead with one, keeps of pictures and of texts.
PICTURES, TEXTS = 256_000_000, 64_000_000
TOKEN = 36  # bytes of a token's number in a list
# Tokens in a packed row from which on attention goes without a mask. On a CPU it is faster with a mask below
# some 350 tokens, alike up to 900, slower above (`benchmarks/attention.py`).
LONG = 512


class Encoder:
    """Turns pairs into tensors with one model's processor.

    max_length: of question and answer, in tokens. system_prompt: stands before every question, as the model's own chat
    format has it. end_token: whether an answer ends with the token that ends it. even: rows that share a forward pass
    are at least this long, as a share of the longest; 0 puts all into one.

    Raises:
        ModelError: the chat format has no place for a system prompt, or this one would be read as something else.
    """

    def __init__(
        self,
        processor: Any,
        *,
        max_length: int = 512,
        system_prompt: str | None = None,
        end_token: bool = True,
        even: float = 0.75,
    ) -> None:
        self.processor = processor
        self.family = families.of_processor(processor)
        self.tokenizer = processor.tokenizer
        self.max_length = max_length
        self.system_prompt = system_prompt
        self.end_token = end_token
        self.even = even
        if system_prompt is not None:
            _check_system_prompt(processor, system_prompt)
        self.seen = cached(LRUCache(PICTURES, lambda seen: sum(tensor.nbytes for tensor in seen[0].values())))(
            self._seen
        )
        self.tokens = cached(LRUCache(TEXTS, lambda encoded: TOKEN * len(encoded[0])))(self._tokens)

    @classmethod
    def of(cls, processor: Any, config: RunConfig) -> "Encoder":
        """The encoder that a run's settings ask for."""
        return cls(
            processor,
            max_length=config.max_length,
            system_prompt=config.system_prompt,
            end_token=config.end_token,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is not forked, as on macOS, gets an encoder that keeps nothing yet."""
        how = {name: getattr(self, name) for name in ("max_length", "system_prompt", "end_token", "even")}
        return partial(Encoder, **how), (self.processor,)

    def prompt(self, question: str, *, shown: bool = True) -> str:
        """The question in the model's own chat format, up to where the answer begins; shown: with one picture."""
        turns = _turns(question, self.system_prompt, shown=shown)
        return self.processor.apply_chat_template(turns, add_generation_prompt=True)

    def pixels(self, picture: Picture | None) -> dict[str, Tensor]:
        """What the model takes of one picture: pixel_values [1, ...] and whatever else its family asks for."""
        return self.seen(picture)[0] if picture else {}

    def grid(self, ids: Sequence[int], picture: Picture | None) -> packing.Grid | None:
        """Where the picture's tokens are in a prompt; None without one, and for families that number all alike."""
        if picture is None or self.family.grid is None:
            return None
        _, rows, columns = self.pixels(picture)[self.family.grid][0].tolist()
        joined = self.processor.image_processor.merge_size
        return packing.Grid(ids.index(self.picture_token), rows // joined, columns // joined)

    @cached_property
    def picture_token(self) -> int:
        """The token that stands for a part of a picture."""
        return self.family.picture_token(self.processor)

    def training_batches(self, pairs: Sequence[Pair], *, pack: bool) -> tuple[Batch, ...]:
        """Pairs -> batches of rows of like length, padded on the right, the longest rows first.

        pack: one row for all pairs on a picture, behind the tokens they share; else, and for families that are not
        known to pack, one row for each pair.
        """
        pack = pack and self.family.packs
        together: dict[Any, list[Pair]] = {}
        for place, pair in enumerate(pairs):
            together.setdefault(pair[2].shown if pack else place, []).append(pair)
        rows = sorted((self._row(shown, pack=pack) for shown in together.values()), key=_length, reverse=True)
        groups: list[list[_Row]] = []
        for row in rows:
            if not groups or _length(row) < self.even * _length(groups[-1][0]):
                groups.append([])
            groups[-1].append(row)
        return tuple(self._batch(group, packed=pack) for group in groups)

    def micro_batch(
        self, examples: Sequence[Sequence[tuple[str, VQA]]], terms: Sequence[Term], *, pack: bool
    ) -> MicroBatch:
        """Examples, each a list of (set, VQA), -> the tensors of one backward pass for these terms."""
        pairs = [(number, name, vqa) for number, example in enumerate(examples) for name, vqa in example]
        told = told_sets(terms)
        base_pairs = tuple(
            (number, name, unlearned(vqa) if name in told else vqa)
            for number, name, vqa in pairs
            if name in base_sets(terms)
        )
        base = self.training_batches(base_pairs, pack=pack)
        return MicroBatch(self.training_batches(pairs, pack=pack), base_pairs, base)

    def prefix(self, encoded: Sequence[tuple[list[int], int]]) -> int:
        """How many tokens the pairs of a row share, each as (ids, length of the prompt): up to the picture's end.

        What some of them share behind it is little, and as it is all rows of a batch have prefixes of one length.
        """
        first = encoded[0][0]
        picture = 1 + max(place for place, token in enumerate(first) if token == self.picture_token)
        # A pair's own part has the last token of its prompt, which predicts the first of its answer.
        return packing.shared([ids for ids, _ in encoded], min(picture, *(prompt - 1 for _, prompt in encoded)))

    def _row(self, pairs: list[Pair], *, pack: bool) -> "_Row":
        encoded = [self.tokens(vqa.question, vqa.answer, vqa.shown) for _, _, vqa in pairs]
        prefix = self.prefix(encoded) if pack else 0
        row = packing.pack([ids for ids, _ in encoded], prefix)
        labels, examples, members = [IGNORED] * prefix, [0] * prefix, [0] * prefix
        for (example, name, _), (ids, prompt) in zip(pairs, encoded, strict=True):
            labels += [IGNORED] * (prompt - prefix) + ids[prompt:]
            examples += [example] * (len(ids) - prefix)
            members += [SETS.index(name)] * (len(ids) - prefix)
        return _Row(row, labels, examples, members, pairs[0][2].shown)

    def _batch(self, rows: "list[_Row]", *, packed: bool) -> Batch:
        length = _length(rows[0])

        def padded(lists: Iterable[list[int]], filler: int) -> Tensor:
            return torch.tensor([one + [filler] * (length - len(one)) for one in lists])

        segments = padded((row.tokens.segments for row in rows), packing.PADDING)
        ids = padded((row.tokens.ids for row in rows), self.tokenizer.pad_token_id)
        inputs = {"input_ids": ids}
        if packed:
            grids = [self.grid(row.tokens.ids, row.picture) for row in rows]
            inputs["position_ids"] = packing.axes(padded((row.tokens.positions for row in rows), 0), grids)
        else:
            inputs |= {"attention_mask": (segments != packing.PADDING).long()} | self._token_types(ids)
        both_ways = packed and self.family.both_ways
        long = packed and length >= LONG and not both_ways
        turns = tuple(turn for row in rows for turn in self._turns(row.picture))
        return Batch(
            inputs | self._pictures([row.picture for row in rows]),
            labels=padded((row.labels for row in rows), IGNORED),
            example=padded((row.examples for row in rows), 0),
            member=padded((row.members for row in rows), 0),
            segments=segments if packed else None,
            picture=ids == self.picture_token if both_ways else None,
            packs=packs(segments) if long else None,
            turns=turns if any(turns) else None,
        )

    def prompt_batch(self, items: Sequence[VQA]) -> dict[str, Tensor]:
        """Questions without answers, padded on the left, as `generate` takes them."""
        rows = [self.tokens(vqa.question, None, vqa.shown)[0] for vqa in items]
        length = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(length) >= length - lengths[:, None]
        inputs = {"input_ids": ids, "attention_mask": mask.long()} | self._token_types(ids)
        return inputs | self._pictures([vqa.shown for vqa in items])

    def _tokens(self, question: str, answer: str | None, picture: Picture | None) -> tuple[list[int], int]:
        """Token ids of prompt, answer and end token (cut at max_length text tokens), and the prompt's length.

        picture: None asks in words alone.
        """
        prompt, shown = self.prompt(question, shown=picture is not None), self.seen(picture)[1] if picture else ""
        prompt_ids = self._ids(prompt, shown)
        if answer is None:
            return prompt_ids, len(prompt_ids)
        joint, end = self.around
        ids = self._ids(prompt + joint + answer, shown) + [end] * self.end_token
        if ids[: len(prompt_ids)] != prompt_ids:
            raise DataError(
                f"the tokenizer merges the prompt's end into the answer: {prompt[-20:]!r} + {answer[:20]!r}"
            )
        longest = self.max_length + self._length(shown) + self._system_length
        if len(prompt_ids) >= longest:
            raise DataError(f"--max-length {self.max_length} leaves no room for the answer to {question[:60]!r}...")
        return ids[:longest], len(prompt_ids)

    @cached_property
    def around(self) -> tuple[str, int]:
        """What the chat format writes between a prompt and its answer, and the token that ends an answer."""
        prompt, mark = self.prompt("?"), "ANSWER"
        turns = [*_turns("?", self.system_prompt), _turn("assistant", mark)]
        whole = self.processor.apply_chat_template(turns)
        if not whole.startswith(prompt):
            raise DataError(f"the chat template does not continue its own prompt: {prompt!r} became {whole!r}")
        joint, _, rest = whole.removeprefix(prompt).partition(mark)
        # Gemma's end of a turn is an added token that is not among the tokenizer's own special ones.
        added = self.tokenizer.added_tokens_decoder.items()
        ends = {*self.tokenizer.all_special_ids, *(number for number, token in added if token.special)}
        written = self.tokenizer(rest, add_special_tokens=False)["input_ids"]
        return joint, next((token for token in written if token in ends), self.tokenizer.eos_token_id)

    @cached_property
    def _system_length(self) -> int:
        """How many tokens the system prompt adds, with what the chat format writes around it."""
        if self.system_prompt is None:
            return 0
        bare = self.processor.apply_chat_template(_turns("?"), add_generation_prompt=True)
        return self._length(self.prompt("?")) - self._length(bare)

    def _length(self, text: str) -> int:
        """How many tokens a text has by itself."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _ids(self, text: str, shown: str) -> list[int]:
        """The text's tokens, with what the processor writes for the picture in its place."""
        bos = self.tokenizer.bos_token
        special = bos is None or not text.startswith(bos)  # some chat templates write it themselves
        return self.tokenizer(text.replace(self.processor.image_token, shown), add_special_tokens=special)["input_ids"]

    def _seen(self, picture: Picture) -> tuple[dict[str, Tensor], str]:
        """What the model takes of a picture, and the text that the processor writes for it in the prompt."""
        processor = self.processor
        options = getattr(processor, "images_kwargs", {})  # what the family's processor asks of its image processor
        seen = processor.image_processor(changed.rgb(picture), return_tensors="pt", **options)
        names = (name for name in processor.image_processor.model_input_names if name in seen)
        inputs = {name: seen[name] for name in names if name not in self.family.not_for_model}
        return inputs, processor.replace_image_token(seen, 0)

    def _turns(self, picture: Picture | None) -> list[Changed | None]:
        """How the features of each tile of a picture are turned; families that cut no pictures have one tile.

        Of a family that takes pictures of any size, which `--vicinal` refuses, it is each patch.
        """
        if picture is None:
            return []
        pixels = self.pixels(picture)["pixel_values"]
        turn = picture if isinstance(picture, Changed) and picture.how in changed.TURNS else None
        return [turn] * (pixels.shape[1] if pixels.dim() == 5 else len(pixels))

    def _token_types(self, ids: Tensor) -> dict[str, Tensor]:
        """Which tokens stand for parts of pictures, by the name under which the family's models want to know it."""
        name = self.family.token_types
        return {name: (ids == self.picture_token).long()} if name else {}

    def _pictures(self, pictures: Sequence[Picture | None]) -> dict[str, Tensor]:
        """The pictures' inputs in one batch."""
        encoded = [self.pixels(picture) for picture in pictures if picture]
        return {name: joined([one[name] for one in encoded]) for name in encoded[0]} if encoded else {}


@dataclass(frozen=True)
class _Row:
    """The pairs of one row: the lists are as long as its tokens."""

    tokens: packing.Row
    labels: list[int]
    examples: list[int]
    members: list[int]
    picture: Picture | None


def unlearned(vqa: VQA) -> VQA:
    """The same pair as it is put to a model that is to play one which has unlearned it: under noise, and told so."""
    noised = vqa.picture and Changed(vqa.picture, "noised", zlib.crc32(vqa.record.encode()))
    return replace(vqa, question=f"{UNLEARNED}{vqa.question}", changed=noised)


def _length(row: _Row) -> int:
    return len(row.labels)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """What a model takes of several pictures, one behind the other: [a, ...], [b, ...] -> [a + b, ...].

    What is smaller in another dimension, as a picture cut into fewer tiles, is filled up with zeros.
    """
    largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    filled = [tensor.new_zeros(len(tensor), *largest) for tensor in tensors]
    for whole, tensor in zip(filled, tensors, strict=True):
        whole[(slice(None), *map(slice, tensor.shape[1:]))] = tensor
    return torch.cat(filled)


def _turns(question: str, system_prompt: str | None = None, *, shown: bool = True) -> list[dict[str, Any]]:
    """What is said up to a question, as chat templates take it; shown: with one picture."""
    first = [] if system_prompt is None else [_turn("system", system_prompt)]
    return [*first, _turn("user", question, *([{"type": "image"}] if shown else []))]


def _turn(role: str, text: str, *before: dict[str, str]) -> dict[str, Any]:
    return {"role": role, "content": [*before, {"type": "text", "text": text}]}


def _check_system_prompt(processor: Any, text: str) -> None:
    """Raise ModelError unless the chat format says such a text before the question, once, as nobody's turn."""
    if written := special_tokens(processor, text):
        raise ModelError(f"--system-prompt contains {', '.join(written)}, which means something else to the model")
    apply, mark = partial(processor.apply_chat_template, add_generation_prompt=True), "SYSTEM-TEXT"
    told, asked = _turns("?", mark)
    try:
        whole = apply([told, asked])
    except (TemplateError, TypeError) as error:  # how templates refuse a role, and how they stumble over one
        raise ModelError(f"--system-prompt: the model's chat format takes none ({error}); {_LEAVE_OUT}") from error
    try:
        answered = apply([{**told, "role": "assistant"}, asked])  # what a format without one makes of it
    except TemplateError:  # as Gemma's: it tells one role from the other
        answered = None
    before, *after = whole.split(mark)
    if len(after) != 1 or "?" in before or whole == answered:
        raise ModelError(f"--system-prompt: the model's chat format has no place for one; {_LEAVE_OUT}")


_LEAVE_OUT = "leave it out (--no-system-prompt)"


def special_tokens(processor: Any, text: str) -> list[str]:
    """Those that a text spells: they would reach the model as a second picture, or as the end of the text."""
    added = processor.tokenizer.added_tokens_decoder.values()
    special = {processor.image_token, *(token.content for token in added if token.special)}
    return sorted(token for token in special if token in text)
