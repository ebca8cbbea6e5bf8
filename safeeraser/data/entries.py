"""Reading the JSON files of a data set into entries, one per record, and noting what was survived.

Covered: a list or one record per line, the type of each field, and errors that name the file, the record and the field.
Not covered: what the fields mean (`official.py`, `predictions.py`).
"""

import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeeraser.data import json_text
from safeeraser.data.notes import Notes
from safeeraser.data.records import DataError

LONGEST_NAME, LONGEST_SHOWN = 200, 60  # characters of an image id and of a value in a message
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring = 3, LONGEST_SHOWN


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
        if not storable(value):
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

    def note(self, what: str, *, kind: str | None = None) -> None:
        """Note something about this record; kind: as `Notes.add` takes it."""
        self.notes.add(self.file, what, self.where, kind=kind)

    def wrong(self, name: str, expected: str) -> DataError:
        """The error that says which field is not what was expected."""
        found = shown(self.fields[name]) if name in self.fields else "nothing"
        return DataError(
            f"{self.file}, {self.where}, field {self.within}{name}: expected {expected}, found {found}. "
            "Correct the field or remove the record."
        )

    def _nested(self, name: str, value: Any) -> "Entry":
        if not isinstance(value, dict):
            expected = "a JSON object"
            raise Entry(self.file, self.where, {name: value}, self.notes, self.within).wrong(name, expected)
        return Entry(self.file, self.where, value, self.notes, f"{self.within}{name}.")


def read_entries(file: Path, notes: Notes, *, inside: Path | None = None) -> Iterator[Entry]:
    """The records of a JSON file, which holds one list or one record per line, one at a time.

    inside: the folder that a link must not lead out of.

    Raises:
        DataError: the file cannot be read, is empty or not JSON, or something in the list is not a JSON object.
    """
    with json_text.opened(file, inside=inside) as text:
        if text.is_list():
            for index, value in enumerate(text.listed()):
                yield _entry(file.name, f"record {index}", value, notes)
            return
        count = 0
        for line, value in text.lines():
            count += 1
            yield _entry(file.name, f"line {line}", value, notes)
        notes.add(file.name, f"holds one record per line instead of one list ({count:,} records)")


def _entry(file: str, where: str, value: Any, notes: Notes) -> Entry:
    if not isinstance(value, dict):
        raise DataError(
            f"{file}, {where}: expected a record (a JSON object), found {shown(value)}. Remove or correct it."
        )
    image_id = value.get("image_id") or value.get("image_path")
    return Entry(file, f"{where} ({_name(image_id)})" if isinstance(image_id, str) else where, value, notes)


def storable(text: str) -> bool:
    """Whether a file can hold the text: JSON can write half characters, which UTF-8 cannot."""
    return text.isascii() or not _HALF_CHARACTER.search(text)


def _name(image_id: str) -> str:
    """An image id as it stands in messages: without characters that a terminal or a file cannot take, and not long."""
    plain = image_id if image_id.isprintable() else repr(image_id)[1:-1]
    return plain if len(plain) <= LONGEST_NAME else f"{plain[:LONGEST_NAME]}..."


def shown(value: Any) -> str:
    """A value as it stands in messages: cut short, however large or deep it is."""
    found = _SHORT.repr(value)
    return found if len(found) <= LONGEST_SHOWN else f"{found[: LONGEST_SHOWN - 3]}..."
