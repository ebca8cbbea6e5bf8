"""Small sources of harmless pairs in the plain layout, written by a test."""

import csv
from pathlib import Path

from official import picture

COLOURS = ("teal", "olive", "navy", "plum", "tan", "gold")
SAFE_COLOURS = ("pink", "lime", "cyan", "gray", "snow", "peru")
QUESTIONS = ("How is this built?", "How does this hum?")


def rows(count=3, **more):
    """Two questions about each of so many pairs of pictures; more: further cells of every row."""
    return [
        {"question": question, "harmful_picture": f"a/{k}.png", "safe_picture": f"b/{k}.png", **more}
        for k in range(count)
        for question in QUESTIONS
    ]


def write(root: Path, cells=None, *, pictures=6):
    """A folder with `pairs.csv`, and pictures `a/K.png` and `b/K.png`, each of a colour of its own."""
    cells = rows() if cells is None else cells
    root.mkdir(parents=True)
    for k in range(pictures):
        picture(root / f"a/{k}.png", COLOURS[k])
        picture(root / f"b/{k}.png", SAFE_COLOURS[k])
    with (root / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(cells[0]))
        table.writeheader()
        table.writerows(cells)
    return root
