"""What a data set of pairs is, whatever its files look like: the same question of a harmful and of a safe picture.

Covered: what a reader of a layout gives (`plain.py`) and the writer takes (`converting.py`). Not covered: files.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """One question with its two pictures; an answer that the source does not have is "".

    where: the file and row that it comes from, which every message about it names. retain: a harmless question about
    the harmful picture and its answer, where the row has one. group: pairs of the same are in one split, "" for none.
    """

    where: str
    question: str
    harmful: Path
    safe: Path
    harmful_answer: str = ""
    safe_answer: str = ""
    category: str = ""
    harmful_thing: str = ""
    safe_thing: str = ""
    retain: tuple[str, str] | None = None
    group: str = ""


@dataclass(frozen=True)
class Harmless:
    """A harmless question about a safe picture that has no harmful partner: nothing is trained on it."""

    question: str
    picture: Path
    category: str = ""


@dataclass(frozen=True)
class Pairs:
    """A source, read: its pairs in order, the folder that all pictures lie in (a real path), and what it says beyond.

    refusals: sentences that refuse, none where the source has none. notes: what was survived, one sentence each.
    """

    root: Path
    pairs: tuple[Pair, ...]
    harmless: tuple[Harmless, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), repr=False)
