"""Reading pairs from MSSBench (arXiv 2410.06172; `kzhou35/mssbench` on the hub), as its own `infer_on_data.py` does.

Covered: its chat task, where each query is asked of a safe and of an unsafe picture. Not covered: its embodied task,
whose instructions differ between the two pictures.
"""

import os
from pathlib import Path
from typing import Any

from safeeraser.data import json_text, plain
from safeeraser.data.entries import Entry
from safeeraser.data.finding import PictureFinder
from safeeraser.data.notes import Notes
from safeeraser.data.pairs import Pair, Pairs
from safeeraser.data.records import DataError

TABLE, CHAT, EMBODIED = "combined.json", "chat", "embodied"


def read(source: Path) -> Pairs:
    """The pairs of a folder that holds `combined.json` and the pictures below `chat/`. Nobody answered them yet.

    Raises DataError that names the file, the entry and the field.
    """
    if not (source / TABLE).is_file():
        raise DataError(f"{source} holds no {TABLE}. Give the folder of kzhou35/mssbench as it is on the hub.")
    root = Path(os.path.realpath(source))
    with json_text.opened(root / TABLE, inside=root) as text:
        content = text.value()
    if not isinstance(content, dict) or not isinstance(content.get(CHAT), list) or not content[CHAT]:
        raise DataError(f"{TABLE}, field {CHAT}: expected a list of entries. Download it again.")
    finder, notes = PictureFinder(root), Notes()
    entries = [_entry(f"{CHAT}[{k}]", value, notes) for k, value in enumerate(content[CHAT])]
    pairs = tuple(pair for entry in entries for pair in _pairs(entry, finder))
    if other := len(content.get(EMBODIED) or ()):
        notes.add(TABLE, f"the {other:,} entries of the embodied task ask two different questions and are left out")
    return Pairs(root, pairs, notes=notes.sentences())


def _entry(where: str, value: Any, notes: Notes) -> Entry:
    if not isinstance(value, dict):
        raise DataError(f"{TABLE}, {where}: expected a JSON object. Correct or remove it.")
    return Entry(TABLE, where, value, notes)


def _pairs(entry: Entry, finder: PictureFinder) -> list[Pair]:
    queries = entry.fields.get("queries")
    if not isinstance(queries, list) or not queries:
        raise entry.wrong("queries", "a list of questions")
    where = f"{TABLE}, {entry.where}"
    paths = {name: f"{CHAT}/{entry.needed(name)}" for name in ("unsafe_image_path", "safe_image_path")}
    harmful, safe = (plain.picture(where, name, path, finder) for name, path in paths.items())
    written = entry.fields.get("Type")
    category = written.strip() if isinstance(written, str) else ""
    asked = [Entry(TABLE, entry.where, {"queries": query}, entry.notes).needed("queries") for query in queries]
    return [Pair(where=where, question=query, harmful=harmful, safe=safe, category=category) for query in asked]
