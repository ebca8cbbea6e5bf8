"""Reading pairs from VSCBench (arXiv 2505.20362; `jiahuigeng/VSCBench`), by the columns and folders of its
`data_checker.py`.

Covered: its image-centric part, where each prompt is asked of three safe and of three unsafe pictures. Not covered: its
text-centric part, where the question differs and not the picture.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from safeeraser.data import plain, regular
from safeeraser.data.entries import Entry
from safeeraser.data.finding import PictureFinder
from safeeraser.data.notes import Notes
from safeeraser.data.pairs import Pair, Pairs
from safeeraser.data.records import DataError

TABLE, PICTURES = "vscbench_image_centric.xlsx", "vscbench_image_centric_images"
NUMBERS = (0, 1, 2)
COLUMNS = ("Category", "Prompt", *(f"{kind}_img_{k}" for kind in ("safe", "unsafe") for k in NUMBERS))
MOST_BYTES = 100_000_000


def read(source: Path) -> Pairs:
    """The pairs of a folder that holds the table and its pictures, `PICTURES/<Category>/`. Nobody answered them yet.

    The safe and unsafe pictures of a row are paired by their numbers. All pairs of a prompt are in one split. Rows
    without a prompt (the published file has two) are left out. Raises DataError that names the file, row and column.
    """
    if not (source / TABLE).is_file():
        raise DataError(
            f"{source} holds no {TABLE}. Give the folder of jiahuigeng/VSCBench, its pictures unpacked in it."
        )
    root = Path(os.path.realpath(source))
    finder, notes = PictureFinder(root), Notes()
    rows = [Entry(TABLE, f"row {number}", cells, notes) for number, cells in _rows(root / TABLE)]
    pairs = tuple(pair for row in rows for pair in _pairs(row, finder))
    if not pairs:
        raise DataError(f"{TABLE} holds no rows with a prompt. Download it again.")
    return Pairs(root, pairs, notes=notes.sentences())


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each row of the first sheet, from 1, and its cells by column; without those that hold nothing."""
    (_, columns), *rows = _sheet(table) or [(1, ())]
    if missing := [name for name in COLUMNS if name not in columns]:
        found = ", ".join(str(name) for name in columns if name is not None)
        raise DataError(
            f"{TABLE} lacks the columns {', '.join(missing)}; its first row has {found or 'none'}. "
            "Name the columns there as the published file does, or download it again."
        )
    for number, cells in rows:
        if any(cell is not None for cell in cells):
            yield number, dict(zip(columns, cells, strict=False))  # a row may end early


def _sheet(table: Path) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DataError(f"{TABLE} needs openpyxl to be read: pip install 'openpyxl>=3.1'") from None
    try:
        with regular.opened(table, most=MOST_BYTES) as file:
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            return list(enumerate(sheet.iter_rows(values_only=True), 1))
    except regular.FileKindError as error:
        raise DataError(f"{TABLE} {error}. Put the published file in its place.") from None
    except (BadZipFile, ParseError, KeyError, IndexError, ValueError) as error:
        raise DataError(f"{TABLE} is no xlsx workbook ({error}). Download it again.") from error
    except OSError as error:
        raise DataError(f"{TABLE} cannot be read: {error}. Check its permissions.") from error


def _pairs(row: Entry, finder: PictureFinder) -> list[Pair]:
    prompt, category = row.text("Prompt").strip(), row.needed("Category").strip()
    if not prompt:
        row.note("has no Prompt and is left out")
        return []
    where = f"{TABLE}, {row.where}"

    def picture(column: str) -> Path:
        return plain.picture(where, column, f"{PICTURES}/{category}/{row.needed(column).strip()}", finder)

    return [
        Pair(
            where=where,
            question=prompt,
            harmful=picture(f"unsafe_img_{k}"),
            safe=picture(f"safe_img_{k}"),
            category=category,
            group=prompt.casefold(),
        )
        for k in NUMBERS
    ]
