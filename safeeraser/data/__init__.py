"""Data sets: `load` reads the demo world or a folder in the official SafeEraser layout."""

from collections.abc import Callable, Iterator
from pathlib import Path

from safeeraser.data import demo, official
from safeeraser.data.records import Dataset


def load(name: str, *, track: Callable[[list], Iterator] = iter) -> Dataset:
    """The data set of this name ('demo') or folder; `track` wraps the demo world's first drawing in a progress bar."""
    return official.load(demo.ensure(track), name="demo") if name == "demo" else official.load(Path(name))
