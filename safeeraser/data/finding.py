"""Finding the picture that a path written in the JSON means.

Covered: case, slashes, one directory more or fewer, and paths or links that lead out of the folder, which are refused.
Not covered: opening pictures, and saying which record wrote the path (`official.py`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISLNK, S_ISREG
from typing import get_args

from safeeraser.data.images import MOST_BYTES
from safeeraser.data.records import CATEGORIES, DataError, Split

_CATEGORIES = {category.casefold() for category in CATEGORIES}
_SPLITS = get_args(Split)


@dataclass(frozen=True)
class Found:
    """Where a written picture path leads: a picture, or None. `problem` says why, or how the disk spells the path.

    `kind` says the same without the path.
    """

    picture: Path | None
    problem: str | None = None
    kind: str | None = None


class PictureFinder:
    """Finds pictures below one folder, without regard to case, and never outside it. Lists each directory once."""

    def __init__(self, root: Path):
        self.root = root  # a real path, without symbolic links
        self._listings: dict[Path, dict[str, list[str]]] = {}
        # Asked for many pictures of one folder.
        self._levels = cache(self._list_levels)
        self._is_folder_within = cache(self._is_within)

    def find(self, written: str) -> Found:
        """The picture that a path of the JSON means, be it there or not.

        A path that is absolute or holds `..`, and a symbolic link that leads out of the folder, is refused. One
        directory more or fewer below the category is survived, if just one picture fits.
        """
        if escapes(written):
            return _none(written, "leads out of the data set folder and is refused")
        parts = PurePosixPath(posix(written)).parts
        fitting = self._walk(self.root, parts) or [p for other in self._other_levels(parts) for p in self._walk(*other)]
        exact = self.root.joinpath(*parts)
        if not fitting:
            return _none(written, "is missing", what="picture")
        if len(fitting) > 1 and exact not in fitting:
            names = " and ".join(sorted(self._relative(path) for path in fitting))
            could = f"the path '{written}' could mean {names}, so neither is used"
            return Found(None, could, "the path could mean two pictures, so neither is used")
        picture = exact if exact in fitting else fitting[0]
        if why := self._unfit(picture):
            return _none(written, why)
        if picture == exact:
            return Found(picture)
        return Found(picture, self._difference(exact, picture), "the path is spelled differently on disk")

    def _unfit(self, picture: Path) -> str | None:
        """Why a path that is there is not taken, from one look at it."""
        try:
            facts = picture.lstat()
            if not (self._is_within(picture) if S_ISLNK(facts.st_mode) else self._is_folder_within(picture.parent)):
                return "is a link that leads out of the data set folder and is refused"
            facts = picture.stat() if S_ISLNK(facts.st_mode) else facts
        except OSError:  # a link that leads nowhere, or in a circle
            return "is not a file"
        if not S_ISREG(facts.st_mode):
            return "is not a file"
        return f"is a file of more than {MOST_BYTES:,} bytes" if facts.st_size > MOST_BYTES else None

    def _is_within(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.root)

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
                yield from ((level, parts[i:]) for level in self._levels(folder))

    def _list_levels(self, folder: Path) -> list[Path]:
        """The folders in a folder, but those of the splits."""
        levels = [name for key, names in self._names(folder).items() if key not in _SPLITS for name in names]
        return [folder / level for level in levels if (folder / level).is_dir()]

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


def _none(written: str, why: str, *, what: str = "path") -> Found:
    return Found(None, f"the {what} '{written}' {why}", f"the {what} {why}")


def posix(written: str) -> str:
    """A path of the JSON in one spelling: forward slashes, no `./`, no leading `dataset/`."""
    path = PurePosixPath(written.strip().replace("\\", "/"))
    inside = path.relative_to("dataset") if path.parts[:1] == ("dataset",) else path
    return inside.as_posix()


def escapes(written: str) -> bool:
    """Whether a path is absolute, on a drive, or goes up: anything that could lead out of the data set folder."""
    path = PureWindowsPath(written.strip())  # reads both kinds of slash
    return bool(path.anchor) or ".." in path.parts
