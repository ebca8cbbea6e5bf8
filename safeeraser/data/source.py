"""A data set by its name, and what the stages derive from it, each computed once."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from safeeraser.data import health, official
from safeeraser.data.records import VQA, About, Dataset
from safeeraser.demo import dataset as demo
from safeeraser.plain import dataset as plain

# The embedded worlds by name: each is drawn into the user's cache on first use.
WORLDS = {"demo": demo, "plain": plain}


def load(name: str, *, track: Callable[[list], Iterator] = iter) -> Dataset:
    """The data set of this name (a key of WORLDS) or folder; `track` wraps the first drawing in a progress bar."""
    return official.load(folder(name, track=track), name=name if name in WORLDS else None)


def folder(name: str, *, track: Callable[[list], Iterator] = iter) -> Path:
    """Where the data set of this name (a key of WORLDS) or folder is; `track` wraps a world's first drawing."""
    return WORLDS[name].ensure(track) if name in WORLDS else Path(name)


def about(name: str) -> About:
    """What the data set of this name or folder says of itself; read without its records."""
    return official.about(folder(name))


class Source:
    """A data set with what the stages derive from it, each computed once."""

    def __init__(self, name: str, *, track: Callable[[list], Iterator] = iter) -> None:
        self.dataset: Dataset = load(name, track=track)

    @cached_property
    def hash(self) -> str:
        return health.dataset_hash(self.dataset)

    @cached_property
    def readable(self) -> tuple[Dataset, dict[Path, str]]:
        """The data set without the pictures that cannot be read, and these pictures with the reason."""
        return health.readable(self.dataset)

    @cached_property
    def items(self) -> dict[str, VQA]:
        return {vqa.id: vqa for vqa in self.dataset.vqa()}

    @cached_property
    def clean(self) -> frozenset[str]:
        return health.clean_val(self.dataset)
