"""Reading the JSON files of a data set into entries, one per record, and noting what was survived.

Covered: a list or one record per line, the type of each field, and errors that name the file, the record and the field.
Not covered: what the fields mean (`official.py`, `predictions.py`).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safeeraser.data.records import DataError

_RECORDS_NAMED = 3  # a note names the first few records and counts the others
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass
class Notes:
    """What was survived: one sentence per file and kind, naming the records it happened in."""

    _where: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, file: str, what: str, where: str | None = None) -> None:
        """Note `what` about the whole file, or about the record that `where` names."""
        self._where.setdefault((file, what), []).extend([where] if where else [])

    def sentences(self) -> tuple[str, ...]:
        return tuple(_sentence(file, what, records) for (file, what), records in self._where.items())


def _sentence(file: str, what: str, records: Sequence[str]) -> str:
    if not records:
        return f"{file}: {what}."
    others = len(records) - _RECORDS_NAMED
    more = f" and {others:,} more" if others > 0 else ""
    return f"{file}: {what}: {', '.join(records[:_RECORDS_NAMED])}{more}."


@dataclass(frozen=True)
class Entry:
    """One JSON object and where it stands, which every message about it names. `within` is set for a nested object."""

    file: str
    where: str
    fields: dict[str, Any]
    notes: Notes
    within: str = ""

    def text(self, name: str) -> str:
        """The text of a field; "" when the field is missing, null or blank. Raises DataError for any other type."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        if _HALF_CHARACTER.search(value):
            raise self.wrong(name, "a text without half characters (\\ud800 to \\udfff), which no file can store")
        return value if value.strip() else ""

    def needed(self, name: str) -> str:
        """The text of a field that must have one."""
        if text := self.text(name):
            return text
        raise self.wrong(name, "a text that is not empty")

    def items(self, name: str) -> list["Entry"]:
        """The JSON objects in a list; none when the field is missing or null."""
        values = self.fields.get(name)
        if values is None:
            return []
        if not isinstance(values, list):
            raise self.wrong(name, "a list")
        return [self._nested(f"{name}[{k}]", value) for k, value in enumerate(values)]

    def item(self, name: str) -> "Entry | None":
        """The JSON object in a field; None when the field is missing or null."""
        value = self.fields.get(name)
        return None if value is None else self._nested(name, value)

    def note(self, what: str) -> None:
        self.notes.add(self.file, what, self.where)

    def wrong(self, name: str, expected: str) -> DataError:
        """The error that says which field is not what was expected."""
        found = repr(self.fields[name]) if name in self.fields else "nothing"
        shown = found if len(found) <= 60 else f"{found[:57]}..."
        return DataError(
            f"{self.file}, {self.where}, field {self.within}{name}: expected {expected}, found {shown}. "
            "Correct the field or remove the record."
        )

    def _nested(self, name: str, value: Any) -> "Entry":
        if not isinstance(value, dict):
            expected = "a JSON object"
            raise Entry(self.file, self.where, {name: value}, self.notes, self.within).wrong(name, expected)
        return Entry(self.file, self.where, value, self.notes, f"{self.within}{name}.")


def read_entries(file: Path, notes: Notes) -> list[Entry]:
    """The records of a JSON file, which holds one list or one record per line.

    Raises:
        DataError: the file is empty or not JSON, or something in the list is not a JSON object.
    """
    text = _read_text(file)
    if text.lstrip().startswith("["):
        values = [(f"record {index}", value) for index, value in enumerate(_parse(text, file))]
    else:
        # Not `splitlines`: it also splits at characters that JSON allows inside a text, such as U+2028.
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        values = [(f"line {number}", _parse(line, file, line=number)) for number, line in lines]
        notes.add(file.name, f"holds one record per line instead of one list ({len(values):,} records)")
    return [_entry(file.name, where, value, notes) for where, value in values]


def _entry(file: str, where: str, value: Any, notes: Notes) -> Entry:
    if not isinstance(value, dict):
        raise DataError(
            f"{file}, {where}: expected a record (a JSON object), found {value!r:.60}. Remove or correct it."
        )
    image_id = value.get("image_id") or value.get("image_path")
    return Entry(file, f"{where} ({image_id})" if isinstance(image_id, str) else where, value, notes)


def read_json(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: the file cannot be read, is empty or is not JSON.
    """
    return _parse(_read_text(file), file)


def _read_text(file: Path) -> str:
    try:
        # "-sig": editors on Windows put a byte order mark in front.
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error}. Check the path and its permissions.") from error
    if not text.strip():
        raise DataError(f"{file.name} is empty; expected JSON. Download it again or remove it.")
    return text


def _parse(text: str, file: Path, *, line: int | None = None) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, column {error.colno}"
        raise DataError(
            f"{file.name}, {place}: not valid JSON ({error.msg}). Correct it or download it again."
        ) from error
    except (ValueError, RecursionError) as error:
        place = f"{file.name}, line {line}" if line else file.name
        raise DataError(f"{place}: not usable JSON ({error}). Correct it or download it again.") from error


def _no_constant(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is not JSON")
