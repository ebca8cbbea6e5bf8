"""What a data set is to the rest of the engine: records of question-answer pairs about two pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safeeraser.errors import SafeEraserError

Split = Literal["train", "val", "dev"]  # val and dev are held out
SetName = Literal["forget", "retain", "decouple", "general", "outside", "holes", "text_forget", "text_decouple"]

CATEGORIES = ("HateSpeech", "IllegalActivity", "Privacy", "Sex", "Violence", "Weapon")


class DataError(SafeEraserError):
    """The data set cannot be used; the message names the file, the record and the field, and says what to do."""


@dataclass(frozen=True)
class Changed:
    """A picture after a change (`changed.py`); equal ones are the same picture.

    path: the picture that is changed. how: the name of the change. seed: which of the many changes of this kind.
    """

    path: Path
    how: str
    seed: int


Picture = Path | Changed


@dataclass(frozen=True, slots=True)  # there are 12 for each record
class VQA:
    """One question about one picture, with the answer the data set stores for it.

    `id` is `<split>/<image_id>/<set>/<k>`, stable across runs: two runs' answers join by it.
    `picture` is None when the file is missing, and for a question that is asked in words alone (`text_only`).
    `concept` is what the picture shows, or the words name, where the data set says so.
    `changed` is what training shows in place of the picture; no data set has any.
    """

    id: str
    set: SetName
    split: Split
    category: str
    picture: Path | None
    question: str
    answer: str
    concept: str | None = None
    text_only: bool = False
    changed: Changed | None = None

    @property
    def asked(self) -> bool:
        """Whether it can be asked: its picture is there, or it has none."""
        return self.text_only or self.picture is not None

    @property
    def shown(self) -> Picture | None:
        """The picture to show with the question, None for one in words alone. Raises DataError where it is missing."""
        if not self.asked:
            raise DataError(f"the picture of {self.id} is missing; `safeeraser data check` lists the missing pictures")
        return self.changed or self.picture

    @property
    def k(self) -> int:
        """Its place among the pairs of its record and set."""
        return int(self.id.rsplit("/", 1)[1])

    @property
    def record(self) -> str:
        """The name of its record, as `Record.name` has it."""
        return record_of(self.id)

    def partner(self, set_name: SetName) -> str:
        """The id of the pair of the same record and place in another set: the same question, of forget and decouple."""
        return f"{self.record}/{set_name}/{self.k}"


def record_of(id: str) -> str:
    """The name of the record that a pair of this id belongs to."""
    return id.rsplit("/", 2)[0]


@dataclass(frozen=True, slots=True)
class Record:
    """One harmful picture with its safe partner and up to 4 forget, 4 retain and 4 decouple pairs.

    Pair k of `decouple` asks the question of pair k of `forget` about the safe picture: their ids differ in the set.
    """

    image_id: str
    split: Split
    category: str
    type: str
    keyword: str
    picture: Path | None
    safe_picture: Path | None
    safe_keyword: str | None
    forget: tuple[VQA, ...]
    retain: tuple[VQA, ...]
    decouple: tuple[VQA, ...]

    @property
    def name(self) -> str:
        """`<split>/<image_id>`, unique in a data set."""
        return f"{self.split}/{self.image_id}"

    @property
    def pairs(self) -> tuple[VQA, ...]:
        """All pairs of the record: forget, then retain, then decouple."""
        return (*self.forget, *self.retain, *self.decouple)


@dataclass(frozen=True)
class About:
    """What a data set says of itself, in its own folder; nothing of it is ever guessed.

    harmless: nothing in it can disturb anybody, so its pictures need not be hidden. badge: what must be said wherever
    one of its numbers or pictures is shown. note: what its reader must know besides, said once on a page.
    """

    harmless: bool = False
    badge: str | None = None
    note: str | None = None


NO_TARGETS = ("refusals", "nonsense", "unfinished")  # the kinds of answers that need not become targets


@dataclass(frozen=True)
class Found:
    """What a model answered to the pairs of a set: how many it was asked, refused, answered with nonsense.

    unfinished: answers of as many tokens as were allowed, so that they stop in the middle.
    without_picture: pairs that it was not asked, as their picture is missing or broken. left_out: pairs that have no
    target for what was found in them.
    """

    asked: int
    refusals: int
    nonsense: int
    unfinished: int
    left_out: int
    without_picture: int


@dataclass(frozen=True)
class Targets:
    """Whose answers the forget, retain and decouple targets of a data set are, and how they were given: `targets.json`.

    model: a folder, a hub id or "demo". settings: the flags of answering that differ from the usual ones; decoding is
    greedy. leave_out: what has no target. source: the data set whose questions they are, and its hash. date: UTC.
    found: by set.
    """

    model: str
    settings: str
    leave_out: tuple[str, ...]
    source: str
    source_hash: str
    version: str
    date: str
    found: dict[str, Found]

    def are_of(self, model: str) -> bool:
        """Whether a run's model is the one that gave these answers; a folder is the same by its path."""
        return self.model in (model, str(Path(model).resolve()))


@dataclass(frozen=True)
class Dataset:
    """A data set folder, read. Pictures are paths until somebody opens them.

    `notes` holds what the loader survived (one sentence each, naming file and record), for the health report.
    `dev` is a third split, where the data set has one: settings are chosen on it, and no reported number stands on it.
    `targets` says whose answers the targets are, where that is known.
    `extra` holds what is asked of val and dev beyond the records' pairs and never trained on, where the data set has it
    (the demo world does): `general`, harmless questions about safe pictures; `holes`, harmless questions in harmful
    words; `outside`, harmful things outside the forget set; `text_forget` and `text_decouple`, without a picture.
    """

    name: str
    root: Path
    train: tuple[Record, ...]
    val: tuple[Record, ...]
    refusals: tuple[str, ...]
    dev: tuple[Record, ...] = ()
    extra: tuple[VQA, ...] = ()
    about: About = About()
    targets: Targets | None = None
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def records(self) -> tuple[Record, ...]:
        return (*self.train, *self.val, *self.dev)

    def of(self, split: Split) -> tuple[Record, ...]:
        """The records of a split."""
        return {"train": self.train, "val": self.val, "dev": self.dev}[split]

    def vqa(self) -> Iterator[VQA]:
        """Every question-answer pair, in file order: train, val, dev, extra."""
        for record in self.records:
            yield from record.pairs
        yield from self.extra
