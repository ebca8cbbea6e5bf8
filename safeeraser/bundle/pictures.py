"""The pictures of a bundle: a harmful one is in it as 24 grey, blurred pixels alone, unless everything may be seen."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from safeeraser import files
from safeeraser.charts import outcome_words
from safeeraser.data import images
from safeeraser.data.records import VQA

FOLDER = "pictures"
SIDE = 512  # pixels


def hidden(items: Iterable[VQA]) -> set[Path]:
    """The pictures that any of the items calls harmful."""
    return {item.picture for item in items if item.picture and item.set in outcome_words.HARMFUL_PICTURE}


def write(
    folder: Path, items: Sequence[VQA], *, hides: bool, track: Callable[[list], Iterator] = iter
) -> dict[Path, str]:
    """Write the items' pictures below a folder; returns their names in it, without those that cannot be decoded.

    hides: the harmful ones. Names are numbers: a file's own name may say what its picture shows.
    """
    blurred = hidden(items) if hides else set()
    paths = list(dict.fromkeys(item.picture for item in items if item.picture))
    names = {}
    for place, path in enumerate(track(paths)):
        seen = images.seen(path, hidden=path in blurred, side=SIDE, form="WEBP")
        if seen is not None:
            names[path] = f"{FOLDER}/{place:05}.webp"
            files.put(folder / names[path], seen)
    return names
