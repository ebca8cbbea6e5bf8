"""Reading pairs in the plain layout of this project: a folder of pictures with one table, `pairs.csv`.

Covered: the columns, the rows and `refusals.txt`. Not covered: splits and the official layout (`converting.py`).
"""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from safeeraser.data import images, regular
from safeeraser.data.finding import PictureFinder
from safeeraser.data.pairs import Pair, Pairs
from safeeraser.data.records import DataError

TABLE, REFUSALS = "pairs.csv", "refusals.txt"
NEEDED = ("question", "harmful_picture", "safe_picture")
OPTIONAL = (
    *("harmful_answer", "safe_answer", "category", "harmful_thing", "safe_thing"),
    *("retain_question", "retain_answer"),
)
MOST_BYTES = 500_000_000

Cells = dict[str, str]


def read(source: Path) -> Pairs:
    """The pairs of a folder that holds `pairs.csv` and the pictures that its rows name, by paths from the folder.

    Raises DataError that names the file, the row and the column.
    """
    table = source / TABLE
    if not table.is_file():
        raise DataError(f"{source} holds no {TABLE}. Give the folder with the table and the pictures.")
    root = Path(os.path.realpath(source))
    finder = PictureFinder(root)
    rows = list(_rows(table))
    if not rows:
        raise DataError(f"{TABLE} holds no rows below its header. Write one row for each question.")
    unknown = [column for column in rows[0][1] if column not in NEEDED + OPTIONAL]
    notes = [f"{TABLE}: columns that are not used: {', '.join(unknown)}."] if unknown else []
    pairs = tuple(_pair(f"{TABLE}, line {line}", cells, finder) for line, cells in rows)
    sentences = _text(source / REFUSALS).splitlines() if (source / REFUSALS).exists() else []
    refusals = tuple(filter(None, map(str.strip, sentences)))
    return Pairs(root, pairs, refusals=refusals, notes=tuple(notes))


def _rows(table: Path) -> Iterator[tuple[int, Cells]]:
    """The line on which each row ends, from 1, and its cells by column; rows without any text are left out."""
    lines = csv.reader(io.StringIO(_text(table), newline=""), strict=True)
    try:
        columns = [_column(name) for name in next(lines, [])]
        if missing := [name for name in NEEDED if name not in columns]:
            raise DataError(
                f"{TABLE} lacks the columns {', '.join(missing)}; its first line has {', '.join(columns) or 'none'}. "
                "Name the columns there, with commas between them."
            )
        if twice := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
            raise DataError(f"{TABLE} has the column {twice[0]} twice. Remove or rename one.")
        for cells in lines:
            if len(cells) > len(columns):
                raise DataError(
                    f"{TABLE}, line {lines.line_num}: {len(cells)} cells for {len(columns)} columns. "
                    "Put texts that hold commas between double quotes."
                )
            if any(cell.strip() for cell in cells):
                filled = [*map(str.strip, cells), *[""] * (len(columns) - len(cells))]
                yield lines.line_num, dict(zip(columns, filled, strict=True))
    except csv.Error as error:
        raise DataError(f"{TABLE}, line {lines.line_num}: not valid CSV ({error}). Correct it.") from error


def _column(written: str) -> str:
    """A column's name in one spelling: `Harmful picture` is `harmful_picture`."""
    return written.strip().casefold().replace(" ", "_").replace("-", "_")


def _pair(where: str, cells: Cells, finder: PictureFinder) -> Pair:
    for column in NEEDED:
        if not cells[column]:
            raise DataError(f"{where}: {column} is empty. Fill the cell or remove the row.")
    answer, question = cells.get("retain_answer", ""), cells.get("retain_question", "")
    if answer and not question:
        raise DataError(f"{where}: retain_answer answers no retain_question. Fill both or none.")
    return Pair(
        where=where,
        question=cells["question"],
        harmful=picture(where, "harmful_picture", cells["harmful_picture"], finder),
        safe=picture(where, "safe_picture", cells["safe_picture"], finder),
        retain=(question, answer) if question else None,
        **{name: cells.get(name, "") for name in OPTIONAL if not name.startswith("retain")},
    )


def picture(where: str, column: str, written: str, finder: PictureFinder) -> Path:
    """The picture that a cell names. Raises DataError that names row and column, for one missing or broken too."""
    found = finder.find(written)
    if found.picture is None:
        raise DataError(f"{where}, {column}: {found.problem}. Put the picture into the folder or correct the path.")
    if why := images.why_broken(found.picture):
        raise DataError(f"{where}, {column}: the picture '{written}' {why}. Put a whole picture in its place.")
    return found.picture


def _text(file: Path) -> str:
    """The text of a file that somebody else wrote; editors on Windows put a mark in front, which is left out."""
    try:
        with regular.opened(file, most=MOST_BYTES) as opened:
            return opened.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8 text (byte {error.start}). Save it as 'CSV UTF-8'.") from error
    except regular.FileKindError as error:
        raise DataError(f"{file.name} {error}. Put a text file in its place.") from None
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error}. Check its permissions.") from error
