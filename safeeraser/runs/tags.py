"""Short texts that people give to runs, in one file beside the runs, so that an example can have them too.

A tag belongs to a name: an example and the user's own run of that name share it. Deleting a run takes its tags.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, StringConstraints
from typing_extensions import TypedDict

from safeeraser.errors import SafeEraserError
from safeeraser.runs import journal
from safeeraser.runs.folder import root

LONGEST = 30  # characters


class TagError(SafeEraserError):
    """A text that cannot be a tag; the message says why."""


class Row(TypedDict):
    """A line of the file. time: seconds since the epoch; given: whether the tag was given, or taken away again."""

    __pydantic_config__ = ConfigDict(strict=True)  # pyright: ignore[reportGeneralTypeIssues]
    time: float
    run: str
    tag: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    given: bool


@dataclass(frozen=True)
class Tags:
    """The tags of each run that has any, in the order they were first given. damage: what is wrong with the file."""

    by_run: dict[str, list[str]]
    damage: str | None

    def of(self, run: str) -> list[str]:
        return self.by_run.get(run, [])


def file() -> Path:
    """Where the tags of all runs are; it is made when the first one is given."""
    return root() / "tags.jsonl"


def every() -> Tags:
    """All tags as they are now, as far as the file can be read."""
    found = journal.read(file(), Row)
    given = {(row["run"], row["tag"]): row["given"] for row in found.rows}
    by_run: dict[str, list[str]] = {}
    for run, tag in (key for key, there in given.items() if there):
        by_run.setdefault(run, []).append(tag)
    return Tags(by_run, found.damage)


def give(runs: Sequence[str], tag: str) -> None:
    """Give the tag to these runs. Raises TagError for a text that is none, FileError if it cannot be kept."""
    tag = tag.strip()
    if not (1 <= len(tag) <= LONGEST and tag.isprintable()):
        raise TagError(f"a tag has 1 to {LONGEST} printable characters, this one is {tag[:60]!r}")
    known = every()
    _write([run for run in runs if tag not in known.of(run)], tag, given=True)


def take(runs: Sequence[str], tag: str) -> None:
    """Take the tag away from these runs. Raises FileError."""
    known = every()
    _write([run for run in runs if tag in known.of(run)], tag, given=False)


def forget(run: str) -> None:
    """Take all its tags away from a run. Raises FileError."""
    for tag in every().of(run):
        take([run], tag)


def _write(runs: Sequence[str], tag: str, *, given: bool) -> None:
    if runs:
        journal.add(file(), [Row(time=time.time(), run=run, tag=tag, given=given) for run in runs])
