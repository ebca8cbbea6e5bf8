"""What a check of a data set folder found, as plain data, and how it is printed for people.

Covered: the fields of the report, and tables and lists that no text of a data set can disturb. Not covered: finding any
of it out (`health.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LINES = 10  # of a list that are shown to people; --json has all


@dataclass(frozen=True)
class Count:
    """How many records and pairs a category has in a split; general pairs belong to no record."""

    category: str
    split: str
    records: int
    forget: int
    retain: int
    decouple: int
    general: int


@dataclass(frozen=True)
class BrokenPicture:
    picture: str
    bytes: int
    why: str


@dataclass(frozen=True)
class RepeatedTarget:
    """The most repeated forget target of a category in a split, and the share of forget pairs there that have it.

    `first` is the id of a pair that has it: a report does not quote harmful text.
    """

    category: str
    split: str
    pairs: int
    share: float
    words: int
    first: str


@dataclass(frozen=True)
class Overlap:
    """What val shares with train, in records of val unless said otherwise.

    `questions` counts the records with a forget question of train, `safe_pictures` distinct pictures.
    """

    records: tuple[str, ...]
    harmful_pictures: int
    questions: int
    safe_pictures: int
    val_records: int
    val_safe_pictures: int
    clean_records: int
    clean_decouple_pairs: int


@dataclass(frozen=True)
class HealthReport:
    """The state of a data set folder. `why` says why it is not usable; where it cannot be loaded the rest is empty."""

    folder: str
    usable: bool
    why: str | None = None
    counts: tuple[Count, ...] = ()
    pictures: int = 0
    distinct_pictures: int = 0
    missing: tuple[str, ...] = ()
    broken: tuple[BrokenPicture, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    overlap: Overlap | None = None
    repeated_targets: tuple[RepeatedTarget, ...] = ()
    without_decouple: tuple[str, ...] = ()
    empty_categories: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The whole report, ready for JSON."""
        return asdict(self)

    def render(self, console: Console) -> None:
        """Print the report for people: tables and the first lines of each list."""
        _say(console, f"{self.folder}: {'usable' if self.usable else 'NOT USABLE'}")
        if self.why:
            _say(console, f"  {self.why}")
        if self.overlap is None:
            return
        _table(console, [field.name for field in fields(Count)], [astuple(count) for count in self.counts])
        _list(console, "Empty categories", self.empty_categories)
        _say(console, f"\nPictures: {self.pictures:,}, of which {self.distinct_pictures:,} distinct")
        _list(console, "Missing pictures", self.missing)
        _list(console, "Broken pictures", [f"{b.picture} ({b.bytes:,} bytes) {b.why}" for b in self.broken])
        _list(console, "Groups of byte-identical pictures", [" = ".join(group) for group in self.duplicates])
        _say(console, _against_train(self.overlap))
        _list(console, "Records in both splits", self.overlap.records)
        targets = [
            f"{t.category} {t.split}: {t.pairs:,} pairs ({t.share:.0%}) share {t.words:,} words: {t.first}"
            for t in self.repeated_targets
        ]
        _list(console, "Most repeated forget targets", targets)
        _list(console, "Records without Prompt Decouple pairs", self.without_decouple)
        _list(console, "Survived while reading", self.notes, all_lines=True)


def _against_train(overlap: Overlap) -> str:
    records = f"of {overlap.val_records:,} val records"
    return (
        "\nVal against train\n"
        f"  {overlap.harmful_pictures:,} {records} show a picture of train\n"
        f"  {overlap.questions:,} {records} ask a forget question of train\n"
        f"  {overlap.safe_pictures:,} of {overlap.val_safe_pictures:,} val safe pictures are a picture of train\n"
        f"  {overlap.clean_records:,} {records} are clean, with {overlap.clean_decouple_pairs:,} clean decouple pairs "
        "for SARR"
    )


def _table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None)
    for name in columns:
        table.add_column(name, justify="left" if name in ("category", "split") else "right")
    for row in rows:
        table.add_row(*(Text(_printable(f"{cell:,}" if isinstance(cell, int) else cell)) for cell in row))
    console.print(table)


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
