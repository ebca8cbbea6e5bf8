"""A table in the folder of runs that people add to: rows are only ever added, by any number of sessions at once.

A damaged line costs itself alone: all others are read, and what is wrong is told beside them. Not covered: what the
rows say (`tags.py`, `generate/probes.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from json import dumps
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from safeeraser import files
from safeeraser.runs import contents


@dataclass(frozen=True)
class Journal:
    """The rows that can be read, oldest first. damage: what is wrong with the file and what to do, None if nothing."""

    rows: list[Any]
    damage: str | None = None


def read(path: Path, kind: Any) -> Journal:
    """The table as it is now, empty where there is no file; kind: what pydantic checks each row by."""
    try:
        lines = files.lines(path)
    except files.FileError as error:
        return Journal([], str(error))
    rows, wrong = [], []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_adapter(kind).validate_json(line))
        except ValidationError as error:
            wrong.append(f"line {number}: {contents.first(error)}")
    if not wrong:
        return Journal(rows)
    more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
    return Journal(rows, f"{path}, {wrong[0]}{more}. Mend or remove that line; all other lines are in use.")


def add(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows; they are on the disk when this returns. Raises FileError."""
    files.append_in_turn(path, [dumps(row, ensure_ascii=False) for row in rows])


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)
