"""Reading MOSSBench (arXiv 2406.17806; `xirui-li/MOSSBench`), by the fields of its README and of its `utils.py`.

Covered: its oversensitivity set, 300 harmless questions about pictures that only look harmful. Not covered: its
contrast set, and the copy `AIcell/MOSSBench` on the hub, whose table has other fields.
"""

import os
from pathlib import Path
from typing import Any

from safeeraser.data import json_text, plain
from safeeraser.data.entries import Entry, shown
from safeeraser.data.finding import PictureFinder
from safeeraser.data.notes import Notes
from safeeraser.data.pairs import Harmless, Pairs
from safeeraser.data.records import DataError

TABLE = "information.json"
BELOW = Path("images_information") / TABLE


def read(source: Path) -> Pairs:
    """The questions of a folder that holds `images_information/information.json` and `images/`; there are no pairs.

    Their category is the type of stimulus as it is written (`type 1` ...). Raises DataError that names the file, the
    entry and the field.
    """
    if not (source / BELOW).is_file():
        raise DataError(f"{source} holds no {BELOW}. Give the folder `data` of xirui-li/MOSSBench.")
    root = Path(os.path.realpath(source))
    with json_text.opened(root / BELOW, inside=root) as text:
        content = text.value()
    if not isinstance(content, dict) or not content:
        raise DataError(f"{TABLE}: expected a JSON object of entries by their numbers. Download it again.")
    finder, notes = PictureFinder(root), Notes()
    harmless = tuple(_question(number, value, finder, notes) for number, value in content.items())
    return Pairs(root, (), harmless=harmless, notes=notes.sentences())


def _question(number: str, value: Any, finder: PictureFinder, notes: Notes) -> Harmless:
    where = f"entry {number}"
    if not isinstance(value, dict):
        raise DataError(f"{TABLE}, {where}: expected a JSON object, found {shown(value)}. Correct or remove it.")
    entry = Entry(TABLE, where, value, notes)
    facts = entry.item("metadata")
    if facts is None or "harm" not in facts.fields:
        raise DataError(
            f"{TABLE}, {where}: there is no metadata.harm, which every entry of the oversensitivity set has. "
            "Give the folder `data`, not `data_contrast`, whose questions need not be harmless."
        )
    return Harmless(
        question=entry.needed("question").strip(),
        picture=plain.picture(f"{TABLE}, {where}", "image", entry.needed("image"), finder),
        category=facts.needed("over"),
    )
