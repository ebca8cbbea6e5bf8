"""How many tokens a run computes, counted before any model is loaded: in a pass over the training pairs, in answering.

Pairs come in the order and the micro-batches of training (`unlearn/examples.py`), and share the prefix that
`models/packing.py` finds. Exact with the model's own processor; `Estimate` stands in for it where that cannot be read.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from safeeraser import losses
from safeeraser.config import RunConfig
from safeeraser.data import images
from safeeraser.data.records import CATEGORIES, VQA, Dataset, Record, SetName, Split
from safeeraser.generate.questions import questions
from safeeraser.models import packing
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder, Pair
from safeeraser.plan import model_sizes
from safeeraser.plan.sizes import Architecture
from safeeraser.unlearn.examples import Examples

# What the prompt's template adds to a question; LLaVA-1.5's is "<s>USER: <image>\n{question} ASSISTANT:".
TEMPLATE = 10
# English characters that LLaMA's tokenizer puts into a token, roughly.
CHARACTERS = 4


class Encodes(Protocol):
    """What counting needs of `encoder.Encoder`."""

    @property
    def packs(self) -> bool:
        """Whether pairs and questions can share a picture's tokens."""
        ...

    def tokens(self, question: str, answer: str | None, picture: Path | None) -> tuple[list[int], int]:
        """Ids of prompt, answer and end token, and the prompt's length."""
        ...

    def prefix(self, encoded: Sequence[tuple[list[int], int]]) -> int:
        """How many tokens such pairs share when they are packed."""
        ...


class Estimate:
    """Token ids of about the right number, for a model whose tokenizer cannot be read.

    picture_tokens: that the model spends on a picture. packs: whether pairs can share them. max_length, system_prompt,
    end_token: as `encoder.Encoder` takes them.
    """

    def __init__(
        self,
        *,
        picture_tokens: int,
        max_length: int,
        system_prompt: str | None = None,
        end_token: bool = True,
        packs: bool = True,
    ) -> None:
        self.picture_tokens = picture_tokens
        # What every prompt on a picture begins with, of which max_length counts the template alone.
        self.uncounted = picture_tokens + len(_text(system_prompt or ""))
        self.max_length = max_length
        self.end_token = end_token
        self.packs = packs

    def tokens(self, question: str, answer: str | None, picture: Path | None) -> tuple[list[int], int]:
        """Ids that tell one text from another, so that only the template's start and the picture are shared."""
        uncounted = self.uncounted - (0 if picture else self.picture_tokens)
        prompt = [0] * (uncounted + TEMPLATE) + _text(question)
        if answer is None:
            return prompt, len(prompt)
        ids = [*prompt, *_text(answer)] + [1] * self.end_token
        return ids[: self.max_length + uncounted], len(prompt)

    def prefix(self, encoded: Sequence[tuple[list[int], int]]) -> int:
        """The template's start, with the system prompt, and the picture."""
        return self.uncounted + TEMPLATE


class BySize:
    """The model's own encoder, which opens one picture of each size: the size decides how many tokens it takes."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.packs = encoder.family.packs
        self.first: dict[tuple[int, int], Path] = {}
        self.like = lru_cache(maxsize=None)(self._like)

    def tokens(self, question: str, answer: str | None, picture: Path | None) -> tuple[list[int], int]:
        """As `encoder.Encoder` makes them."""
        return self.encoder.tokens(question, answer, picture and self.like(picture))

    def prefix(self, encoded: Sequence[tuple[list[int], int]]) -> int:
        """As `encoder.Encoder` packs them."""
        return self.encoder.prefix(encoded)

    def _like(self, picture: Path) -> Path:
        return self.first.setdefault(images.size(picture), picture)


def _text(text: str) -> list[int]:
    return [zlib.crc32(text.encode())] * -(-len(text) // CHARACTERS)


def official_size() -> Dataset:
    """Records in the numbers of the published data set, with texts of the lengths that the paper's model sees.

    Per category 300 train and 100 val records, a safe picture for every four; about 40 tokens a question with its
    template, 150 an answer. The pictures are not there: only `Estimate` can count this.
    """
    train = tuple(_record(category, "train", number) for category, number in product(CATEGORIES, range(300)))
    val = tuple(_record(category, "val", number) for category, number in product(CATEGORIES, range(100)))
    return Dataset("official size", Path(), train, val, refusals=("a refusal sentence".ljust(60),))


def _record(category: str, split: Split, number: int) -> Record:
    picture, safe = Path(category, split, str(number)), Path("safe", category, split, str(number // 4))

    def pairs(name: SetName, shown: Path) -> tuple[VQA, ...]:
        ids = [f"{split}/{category}/{number}/{name}/{k}" for k in range(4)]
        return tuple(VQA(i, name, split, category, shown, i.ljust(120), i.ljust(600)) for i in ids)

    return Record(
        image_id=str(picture),
        split=split,
        category=category,
        type="",
        keyword="",
        picture=picture,
        safe_picture=safe,
        safe_keyword=None,
        forget=pairs("forget", picture),
        retain=pairs("retain", picture),
        decouple=pairs("decouple", safe),
    )


@dataclass(frozen=True)
class Pass:
    """One pass over the forget pairs of train.

    examples: forget pairs with what rides along. pairs: how many of each set. separate: tokens with a row for each
    pair. packed: with a row for the pairs of a micro-batch on one picture. answers: tokens that have a loss; base,
    base_answers: tokens that the base model computes for such losses, and of these the answers'. pictures: how many
    rows have a picture to encode. largest, largest_answers, largest_base_answers: of one micro-batch, the most. Unless
    it says otherwise a number is for rows as the config has them, packed or not.
    """

    examples: int
    pairs: dict[str, int]
    separate: int
    packed: int
    computed: int
    answers: int
    base: int
    base_answers: int
    pictures: int
    largest: int
    largest_answers: int
    largest_base_answers: int


@dataclass(frozen=True)
class Evaluation:
    """All questions of a run: how many by set, and the tokens of their prompts.

    separate: a row for each question. shared: a row for each picture with its different prompts. computed: the one of
    these that the config's engine takes; pictures: how often it encodes one. longest: tokens of the longest prompt.
    answers: the most tokens that the answers can have.
    """

    questions: dict[str, int]
    separate: int
    shared: int
    computed: int
    pictures: int
    longest: int
    answers: int

    @property
    def count(self) -> int:
        return sum(self.questions.values())


def training(data: Dataset, config: RunConfig, encoder: Encodes) -> Pass:
    """Counts the first pass; a later one has other refusals and another order, and differs by a little."""
    terms = config.terms
    base_sets = losses.base_sets(terms)
    examples = Examples.of(data, config)
    counted: list[Counter[str]] = []
    pairs: Counter[str] = Counter()
    for micro in _micro_batches(examples, config.batch_size):
        pairs.update(name for _, name, _ in micro)
        compared = [pair for pair in micro if pair[1] in base_sets]
        separate, packed = (_rows(micro, encoder, pack=pack) for pack in (False, True))
        pack = config.pack and encoder.packs
        own, base = packed if pack else separate, _rows(compared, encoder, pack=pack)
        counted.append(
            Counter(
                separate=separate["tokens"],
                packed=packed["tokens"],
                computed=own["tokens"],
                answers=own["answers"],
                base=base["tokens"],
                base_answers=base["answers"],
                pictures=own["rows"] + base["rows"],
            )
        )
    total = sum(counted, Counter())
    summed = ("separate", "packed", "computed", "answers", "base", "base_answers", "pictures")
    largest = {
        "largest": max(micro["computed"] for micro in counted),
        "largest_answers": max(micro["answers"] for micro in counted),
        "largest_base_answers": max(micro["base_answers"] for micro in counted),
    }
    return Pass(len(examples.pairs), dict(pairs), **{name: total[name] for name in summed}, **largest)


def evaluation(data: Dataset, config: RunConfig, encoder: Encodes) -> Evaluation:
    """Counts the prompts of everything that an evaluation asks."""
    asked = questions(data, config)
    prompts: dict[Any, list[tuple[int, ...]]] = {}
    for question in asked:
        ids, _ = encoder.tokens(question.item.question, None, question.item.picture)
        prompts.setdefault(question.item.shown or question.item.id, []).append(tuple(ids))
    lengths = [len(ids) for each in prompts.values() for ids in each]
    different = [list(dict.fromkeys(each)) for each in prompts.values()]
    shared = sum(_shared(each, min(map(len, each)) - 1) for each in different)
    plain = config.engine == "plain" or not encoder.packs
    return Evaluation(
        questions=dict(Counter(question.item.set for question in asked)),
        separate=sum(lengths),
        shared=shared,
        computed=sum(lengths) if plain else shared,
        pictures=sum(len(each) if plain else 1 for shown, each in prompts.items() if isinstance(shown, Path)),
        longest=max(lengths, default=0),
        answers=len(asked) * config.max_new_tokens,
    )


def _micro_batches(examples: Examples, size: int) -> Iterator[list[Pair]]:
    """The pairs of each micro-batch of the first pass."""
    count = len(examples.pairs)
    for start in range(0, count, size):
        places = range(start, min(start + size, count))
        yield [(place - start, name, vqa) for place in places for name, vqa in examples[place]]


def _rows(pairs: Iterable[Pair], encoder: Encodes, *, pack: bool) -> Counter[str]:
    """Rows, tokens and answer tokens of some pairs, as `encoder.Encoder.training_batches` makes them."""
    together: dict[Any, list[tuple[list[int], int]]] = {}
    for place, (_, _, vqa) in enumerate(pairs):
        key = vqa.shown if pack else place
        together.setdefault(key, []).append(encoder.tokens(vqa.question, vqa.answer, vqa.picture))
    counted: Counter[str] = Counter(rows=len(together), tokens=0, answers=0)
    for row in together.values():
        saved = (len(row) - 1) * encoder.prefix(row) if pack else 0
        counted["tokens"] += sum(len(ids) for ids, _ in row) - saved
        counted["answers"] += sum(len(ids) - prompt for ids, prompt in row)
    return counted


def _shared(sequences: Sequence[Sequence[int]], limit: int) -> int:
    """Tokens of sequences whose common start, at most `limit` long, is counted once."""
    if len(sequences) == 1:
        return len(sequences[0])
    return sum(map(len, sequences)) - (len(sequences) - 1) * packing.shared(sequences, limit)


def encoder(config: RunConfig, model: Architecture, *, official_size: bool) -> tuple[Encodes, str]:
    """What counts the tokens of a run, and in words how: the model's own processor where it can be read.

    official_size: for the data set of that name, which only an estimate can count.
    """
    estimate = Estimate(
        picture_tokens=model.picture_tokens,
        packs=model.alone is None,
        max_length=config.max_length,
        system_prompt=config.system_prompt,
        end_token=config.end_token,
    )
    how = f"estimated: {model.picture_tokens} tokens a picture, {CHARACTERS} characters a token"
    if official_size:
        return estimate, f"{how}, for data of the official size and the paper's lengths"
    try:
        processor = model_sizes.processor(config.model)
    except ModelError:
        return estimate, f"{how}, as the model's own processor cannot be read"
    return BySize(Encoder.of(processor, config)), "counted with the model's own processor"
