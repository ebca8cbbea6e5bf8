"""Finding the picture that a path written in the JSON means.

Covered: case, slashes, one directory more or fewer, and paths or links that lead out of the folder, which are refused.
Not covered: opening pictures, and saying which record wrote the path (`official.py`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import get_args

from safeeraser.data.records import CATEGORIES, DataError, Split

_CATEGORIES = {category.casefold() for category in CATEGORIES}
_SPLITS = get_args(Split)


@dataclass(frozen=True)
class Found:
    """Where a written picture path leads: a picture, or None and why. `difference` says how the disk spells it."""

    picture: Path | None
    why: str | None = None
    difference: str | None = None


class PictureFinder:
    """Finds pictures below one folder, without regard to case, and never outside it. Lists each directory once."""

    def __init__(self, root: Path):
        self.root = root  # a real path, without symbolic links
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, written: str) -> Found:
        """The picture that a path of the JSON means, be it there or not.

        A path that is absolute or holds `..`, and a symbolic link that leads out of the folder, is refused. One
        directory more or fewer below the category is survived, if just one picture fits.
        """
        if escapes(written):
            return Found(None, f"the path '{written}' leads out of the data set folder and is refused")
        parts = PurePosixPath(posix(written)).parts
        fitting = self._walk(self.root, parts) or [p for other in self._other_levels(parts) for p in self._walk(*other)]
        exact = self.root.joinpath(*parts)
        if not fitting:
            return Found(None, f"the picture '{written}' is missing")
        if len(fitting) > 1 and exact not in fitting:
            names = " and ".join(sorted(self._relative(path) for path in fitting))
            return Found(None, f"the path '{written}' could mean {names}, so neither is used")
        picture = exact if exact in fitting else fitting[0]
        if not Path(os.path.realpath(picture)).is_relative_to(self.root):
            return Found(None, f"the path '{written}' is a link that leads out of the data set folder and is refused")
        if not picture.is_file():
            return Found(None, f"the path '{written}' is not a file")
        return Found(picture, difference=None if picture == exact else self._difference(exact, picture))

    def _walk(self, folder: Path, parts: Sequence[str]) -> list[Path]:
        """Every path below `folder` that has these parts, without regard to case."""
        if not parts:
            return [folder]
        names = self._names(folder).get(parts[0].casefold(), [])
        return [path for name in names for path in self._walk(folder / name, parts[1:])]

    def _other_levels(self, parts: tuple[str, ...]) -> Iterator[tuple[Path, Sequence[str]]]:
        """Where else to walk: with one directory left out or put in between the category and the file."""
        after = next((i + 1 for i, part in enumerate(parts) if part.casefold() in _CATEGORIES), len(parts))
        for i in range(after, len(parts) - 1):
            # `train` and `val` are never guessed: both hold a picture of the same number.
            if parts[i].casefold() not in _SPLITS:
                yield self.root, (*parts[:i], *parts[i + 1 :])
        for i in range(after, len(parts)):
            for folder in self._walk(self.root, parts[:i]):
                levels = [name for key, names in self._names(folder).items() if key not in _SPLITS for name in names]
                yield from ((folder / level, parts[i:]) for level in levels)

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listings:
            self._listings[folder] = listing = {}
            try:
                names = sorted(os.listdir(folder)) if folder.is_dir() else []
            except OSError as error:
                raise DataError(f"The folder {folder} cannot be listed: {error}. Check its permissions.") from error
            for name in names:
                listing.setdefault(name.casefold(), []).append(name)
        return self._listings[folder]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _difference(self, written: Path, found: Path) -> str:
        """How the disk spells it; the directory alone if the file names agree, so that many files share one note."""
        if written.name == found.name:
            written, found = written.parent, found.parent
        return f"'{self._relative(written)}' is '{self._relative(found)}' on disk"


def posix(written: str) -> str:
    """A path of the JSON in one spelling: forward slashes, no `./`, no leading `dataset/`."""
    path = PurePosixPath(written.strip().replace("\\", "/"))
    inside = path.relative_to("dataset") if path.parts[:1] == ("dataset",) else path
    return inside.as_posix()


def escapes(written: str) -> bool:
    """Whether a path is absolute, on a drive, or goes up: anything that could lead out of the data set folder."""
    path = PureWindowsPath(written.strip())  # reads both kinds of slash
    return bool(path.anchor) or ".." in path.parts
