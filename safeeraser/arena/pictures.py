"""The pictures of a data set that the arena asks about, with what the data set asks about each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.data.source import Source

SAFE, HARMFUL = "safe", "harmful"
KINDS = (SAFE, HARMFUL)


@dataclass(frozen=True)
class Shown:
    """A picture of the data set; harmful: it is hidden until it is revealed, unless the data set is harmless.

    items: what the data set asks about it, each question once.
    """

    path: Path
    category: str
    harmful: bool
    items: tuple[VQA, ...]

    def item(self, question: str) -> VQA:
        """The item of this question, else the first one of this picture: a question of one's own is about it too."""
        return next((item for item in self.items if item.question == question), self.items[0])


def of(source: Source) -> dict[str, list[Shown]]:
    """The held-out pictures by kind, in the order of the data set."""
    by_picture: dict[Path, list[VQA]] = {}
    for item in source.items.values():
        if item.picture is not None and not item.text_only and item.split == "val":
            by_picture.setdefault(item.picture, []).append(item)
    found: dict[str, list[Shown]] = {kind: [] for kind in KINDS}
    for path, items in by_picture.items():
        harmful = any(item.set in outcome_words.HARMFUL_PICTURE for item in items)
        once = {item.question: item for item in reversed(items)}
        asked = tuple(item for item in items if once[item.question] is item)
        found[HARMFUL if harmful else SAFE].append(Shown(path, items[0].category, harmful, asked))
    return found


def draw(pictures: Sequence[Shown], rng: random.Random, *, instead_of: Shown | None = None) -> Shown:
    """One of the pictures, another than the one that is shown if there is one."""
    others = [picture for picture in pictures if picture != instead_of]
    return rng.choice(others or list(pictures))
