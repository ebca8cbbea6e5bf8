"""What a check of a data set folder found, as plain data, and how it is printed for people.

Covered: the fields of the report, and tables and lists that no text of a data set can disturb. Not covered: finding any
of it out (`health.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from safeeraser.data.records import NO_TARGETS, Targets

# What is shown to people; --json has all.
_LINES = 10  # of a list
_ROWS = 50  # of a table
_IN_A_GROUP = 5  # pictures


@dataclass(frozen=True)
class Count:
    """How many records and pairs a category has in a split; extra pairs belong to none."""

    category: str
    split: str
    records: int
    forget: int
    retain: int
    decouple: int
    extra: int


@dataclass(frozen=True)
class BrokenPicture:
    picture: str
    bytes: int
    why: str


@dataclass(frozen=True)
class RepeatedTarget:
    """The most repeated forget target of a category in a split, and the share of forget pairs there that have it.

    `pairs` and `share` count what is verbatim the same. `alike` and `alike_share` count the largest group that is the
    same but for case, spacing and punctuation, which need not be about the same target. `first` is the id of a pair
    that has the former: a report does not quote harmful text.
    """

    category: str
    split: str
    pairs: int
    share: float
    words: int
    first: str
    alike: int
    alike_share: float


@dataclass(frozen=True)
class Keywords:
    """How many distinct keywords (`kind`: or safe keywords) each split has, how many records have none.

    `both` counts those that train and val have in common. They are compared but for case and spacing.
    """

    kind: str
    train: int
    train_without: int
    val: int
    val_without: int
    both: int


@dataclass(frozen=True)
class Overlap:
    """What val shares with train, in records of val unless said otherwise.

    Pictures that are missing are not counted: `harmful_pictures` and `clean_records` are numbers of the `val_pictures`
    records whose harmful picture is there, `safe_pictures` of the `val_safe_pictures` distinct ones that are there,
    all against the pictures of train but the `train_missing` that are not. They are None where that leaves nothing to
    compare. `val_safe_missing` counts records. `undecided_records` ask the forget questions of a record of train, but
    a picture is missing that says whether they are that record. `questions` counts the records with a forget question
    of train.
    """

    records: tuple[str, ...]
    undecided_records: int
    harmful_pictures: int | None
    questions: int
    safe_pictures: int | None
    val_records: int
    val_pictures: int
    val_safe_pictures: int
    val_safe_missing: int
    train_missing: int
    clean_records: int | None
    clean_decouple_pairs: int | None


@dataclass(frozen=True)
class HealthReport:
    """The state of a data set folder. `why` says why it is not usable; where it cannot be loaded the rest is empty.

    `pictures` are those that are there; `broken`, `duplicates` and `distinct_pictures` are about them alone.
    """

    folder: str
    usable: bool
    why: str | None = None
    counts: tuple[Count, ...] = ()
    pictures: int = 0
    distinct_pictures: int | None = None
    missing: tuple[str, ...] = ()
    broken: tuple[BrokenPicture, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    overlap: Overlap | None = None
    keywords: tuple[Keywords, ...] = ()
    repeated_targets: tuple[RepeatedTarget, ...] = ()
    without_decouple: tuple[str, ...] = ()
    empty_categories: tuple[str, ...] = ()
    targets: Targets | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON."""
        return asdict(self)

    def numbers(self) -> list[tuple[str, int | None, int | None]]:
        """What is counted, how many (None where missing pictures hide it), and of how many, where it is of some."""
        some = bool(self.pictures or not self.missing)
        found: list[tuple[str, int | None, int | None]] = [
            ("pictures", self.pictures, None),
            ("distinct pictures", self.distinct_pictures, None),
            ("missing", len(self.missing), None),
            ("broken", len(self.broken) if some else None, self.pictures),
            ("groups of duplicates", len(self.duplicates) if some else None, None),
            ("records without Prompt Decouple pairs", len(self.without_decouple), None),
        ]
        if (val := self.overlap) is not None:
            found += [
                ("val records whose harmful picture is in train", val.harmful_pictures, val.val_pictures),
                ("val records that ask a forget question of train", val.questions, val.val_records),
                ("val safe pictures that are in train", val.safe_pictures, val.val_safe_pictures),
                ("clean val records", val.clean_records, val.val_pictures),
            ]
        return found

    def render(self, console: Console) -> None:
        """Print the report for people: tables and the first lines of each list."""
        _say(console, f"{self.folder}: {'usable' if self.usable else 'NOT USABLE'}")
        if self.why:
            _say(console, f"  {self.why}")
        if self.overlap is None:
            return
        _table(console, [field.name for field in fields(Count)], [astuple(count) for count in self.counts])
        if any(count.records for count in self.counts):
            _say(console, whose(self.targets))
        _list(console, "Empty categories", self.empty_categories)
        _say(console, f"\nPictures: {self.pictures:,}, of which {number(self.distinct_pictures)} distinct")
        _list(console, "Missing pictures", self.missing)
        _list(console, "Broken pictures", [f"{b.picture} ({b.bytes:,} bytes) {b.why}" for b in self.broken])
        _list(console, "Groups of byte-identical pictures", list(map(_group, self.duplicates)))
        _say(console, _against_train(self.overlap))
        _list(console, "Records in both splits", self.overlap.records)
        _say(console, "\n".join(["\nKeywords", *map(_keywords, self.keywords)]))
        _list(console, "Most repeated forget targets", list(map(_target, self.repeated_targets)))
        _list(console, "Records without Prompt Decouple pairs", self.without_decouple)
        _list(console, "Survived while reading", self.notes, all_lines=True)


def number(count: int | None) -> str:
    """A count in words; what is not known is no number."""
    return "unknown" if count is None else f"{count:,}"


def _against_train(overlap: Overlap) -> str:
    records, there = f"of {overlap.val_records:,} val records", f"of {overlap.val_pictures:,} val records"
    safe = overlap.val_safe_pictures
    lines = [
        "",
        "Val against train",
        f"  {number(overlap.harmful_pictures)} {there} show a picture of train",
        f"  {overlap.questions:,} {records} ask a forget question of train",
        f"  {number(overlap.safe_pictures)} of {safe:,} val safe pictures are a picture of train",
        f"  {number(overlap.clean_records)} {there} are clean, with {number(overlap.clean_decouple_pairs)} clean "
        "decouple pairs for SARR",
    ]
    hidden = [overlap.val_records - overlap.val_pictures, overlap.val_safe_missing, overlap.train_missing]
    if any(hidden):
        lines.append(
            "  Counted over the pictures that are there: of val {:,} harmful and {:,} safe ones are missing, of train "
            "{:,}".format(*hidden)
        )
    if overlap.undecided_records:
        lines.append(
            f"  {overlap.undecided_records:,} {records} ask what a record of train asks; whether they show the same is "
            "unknown, as a picture is missing"
        )
    return "\n".join(lines)


def whose(targets: Targets | None) -> str:
    """Whose answers the targets of a data set are, for people."""
    if targets is None:
        return "Targets: nothing says whose answers they are (the official ones are those of LLaVA-1.5)"
    how = " ".join(filter(None, ("greedy", targets.settings)))
    lines = [f"Targets: answers of {targets.model} ({how}; {targets.date}, version {targets.version})"]
    for name, found in targets.found.items():
        told = ", ".join(f"{getattr(found, kind):,} {kind}" for kind in NO_TARGETS)
        missing = f"{found.left_out:,} left out, {found.without_picture:,} without a picture"
        lines.append(f"  {name}: {found.asked:,} answered ({told}); {missing}")
    return "\n".join(lines)


def _keywords(found: Keywords) -> str:
    train = f"{found.train:,} distinct {found.kind}s in train ({found.train_without:,} records without)"
    return f"  {train}, {found.val:,} in val ({found.val_without:,} without), {found.both:,} in both"


def _target(target: RepeatedTarget) -> str:
    same = f"{target.pairs:,} pairs ({target.share:.0%}) share {target.words:,} words verbatim"
    if target.pairs == 1:
        same = "no two targets are verbatim the same"
    alike = f"{target.alike:,} ({target.alike_share:.0%}) are the same but for case, spacing and punctuation"
    return f"{target.category} {target.split}: {same}, {alike}: {target.first}"


def _group(pictures: Sequence[str]) -> str:
    others = len(pictures) - _IN_A_GROUP
    return " = ".join(pictures[:_IN_A_GROUP]) + (f" and {others:,} more" if others > 0 else "")


def _table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None)
    for name in columns:
        table.add_column(name, justify="left" if name in ("category", "split") else "right")
    for row in rows[:_ROWS]:
        table.add_row(*(Text(_printable(f"{cell:,}" if isinstance(cell, int) else cell)) for cell in row))
    console.print(table)
    if len(rows) > _ROWS:
        _say(console, f"  ... and {len(rows) - _ROWS:,} more; --json lists all")


def _list(console: Console, title: str, lines: Sequence[str], *, all_lines: bool = False) -> None:
    if not lines:
        return
    shown = lines if all_lines else lines[:_LINES]
    _say(console, f"\n{title}: {len(lines):,}")
    for line in shown:
        _say(console, f"  {line}")
    if len(shown) < len(lines):
        _say(console, f"  ... and {len(lines) - len(shown):,} more; --json lists all")


def _say(console: Console, line: str) -> None:
    # Not wrapped: a line that is piped stays one line. No markup: paths may hold square brackets.
    console.print(Text("\n".join(map(_printable, line.split("\n")))), highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    """The text without control characters, with which a data set could drive the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
