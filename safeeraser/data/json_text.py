"""Reading JSON that somebody else wrote, a value at a time: a file may be larger than the memory, damaged or hostile.

Covered: which files are read, their encoding, and errors that name the file and the line. Not covered: what the values
mean (`entries.py`).
"""

import codecs
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from safeeraser.data import regular
from safeeraser.data.records import DataError

# 100,000 records of 20 texts with 1,000 characters each. The published files have 2,400 records in 30 MB.
MOST_BYTES = 2_000_000_000
LONGEST = 64 * 2**20  # characters of one value
BLOCK = 2**20  # bytes read at once
START = 100  # bytes that tell what the file is
_SPACE = re.compile(r"[ \t\n\r]*")
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


@contextmanager
def opened(path: Path, *, inside: Path | None = None) -> Iterator["JsonText"]:
    """The text of a JSON file, read as it is asked for.

    inside: the real path of the folder that the file, if it is a link, must not lead out of.

    Raises:
        DataError: it leads out, is no regular file of at most MOST_BYTES bytes, cannot be read, or is empty.
    """
    name = path.name
    if inside and not Path(os.path.realpath(path)).is_relative_to(inside):
        raise DataError(f"{name} is a link that leads out of the data set folder. Put the file itself there.")
    try:
        with regular.opened(path, most=MOST_BYTES) as file:
            yield JsonText(file, name)
    except regular.FileKindError as error:
        raise DataError(f"{name} {error}. Put a JSON file there, or remove it.") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error}. Check the path and its permissions.") from error


class JsonText:
    """Where in a JSON file the reading is, and the part of its text from there on that is in memory."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._decoder = io.IncrementalNewlineDecoder(self._utf8, translate=True)
        self._json = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
        self._bytes = 0  # read so far
        self._ended = False
        self._text = ""
        self._place = 0  # in the text
        self._line, self._column = 1, 0  # of the text's start
        if not self._next():
            raise DataError(f"{name} is empty; expected JSON. Download it again or remove it.")

    def is_list(self) -> bool:
        """Whether the file's first value is a list."""
        return self._next() == "["

    def value(self) -> Any:
        """The file's only value."""
        value = self._value()
        self._expect_end()
        return value

    def listed(self) -> Iterator[Any]:
        """The values of the list that the file is."""
        self._place += 1
        if self._next() != "]":
            yield self._value()
            while self._next() == ",":
                self._place += 1
                self._next()
                yield self._value()
        if self._next() != "]":
            raise self._wrong("Expecting ',' delimiter", self._place)
        self._place += 1
        self._expect_end()

    def lines(self) -> Iterator[tuple[int, Any]]:
        """The number, from 1, of each line that is not blank, and the value that it holds."""
        while self._next():
            end = self._line_end()
            line, _ = self._position(self._place)
            with self._explained():
                value = self._json.decode(self._text[self._place : end])
            self._place = end
            yield line, value

    def _value(self) -> Any:
        """The value that starts here; the text is read on until it is whole."""
        while True:
            with self._explained():
                try:
                    value, self._place = self._json.raw_decode(self._text, self._place)
                    return value
                except json.JSONDecodeError:
                    # What is cut short cannot be told from what is wrong, so there is a limit.
                    if self._ended or len(self._text) - self._place > LONGEST:
                        raise
            self._more()

    def _next(self) -> str:
        """Go to the next character that is no space, and return it; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._place)
            self._place = found.end() if found else self._place
            if self._place < len(self._text) or self._ended:
                return self._text[self._place : self._place + 1]
            self._more()

    def _line_end(self) -> int:
        """The place where this line ends."""
        while (end := self._text.find("\n", self._place)) < 0 and not self._ended:
            if len(self._text) - self._place > LONGEST:
                raise self._wrong(f"the line has more than {LONGEST:,} characters", self._place)
            self._more()
        return end if end >= 0 else len(self._text)

    def _more(self) -> None:
        """Forget the text before this place and read as much as is left, so that a long value is not parsed often."""
        line, column = self._position(self._place)
        self._text, self._place, self._line, self._column = self._text[self._place :], 0, line, column
        read = self._file.read(max(BLOCK, len(self._text)) if self._bytes else START)
        try:
            if not self._bytes:
                self._check_start(read)
            self._text += self._decoder.decode(read, final=not read)
            if not self._bytes:
                self._text = self._text.removeprefix("\ufeff")  # editors on Windows put it in front
        except UnicodeDecodeError as error:
            place = self._bytes - len(self._utf8.getstate()[0]) + error.start
            raise DataError(f"{self.name} is not UTF-8 text (byte {place}). Save it as UTF-8.") from error
        self._bytes += len(read)
        self._ended = not read

    def _check_start(self, start: bytes) -> None:
        if regular.is_lfs_pointer(start):
            raise DataError(f"{self.name} {regular.LFS_POINTER}.")
        if start.startswith(_WIDE_MARKS) or b"\0" in start[:4]:
            raise DataError(f"{self.name} is not UTF-8 text but UTF-16 or UTF-32. Save it as UTF-8.")

    def _expect_end(self) -> None:
        if self._next():
            raise self._wrong("Extra data", self._place)

    def _position(self, place: int) -> tuple[int, int]:
        """The line, from 1, and how many of its characters are before this place."""
        start = self._text.rfind("\n", 0, place) + 1
        return self._line + self._text.count("\n", 0, place), place - start + (0 if start else self._column)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the parser says about the text from here on, as a DataError that names file and line."""
        try:
            yield
        except json.JSONDecodeError as error:
            start = 0 if error.doc is self._text else self._place
            raise self._wrong(error.msg, start + error.pos) from error
        except (ValueError, RecursionError) as error:
            line, _ = self._position(self._place)
            raise DataError(
                f"{self.name}, line {line}: not usable JSON ({error}). Correct it or download it again."
            ) from error

    def _wrong(self, what: str, place: int) -> DataError:
        line, column = self._position(place)
        return DataError(
            f"{self.name}, line {line}, column {column + 1}: not valid JSON ({what}). Correct it or download it again."
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"an object has the key {twice!r:.60} twice")
    return found


def _no_constant(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is not JSON")
