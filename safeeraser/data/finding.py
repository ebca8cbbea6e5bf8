"""Finding the picture that a path written in the JSON means.

Covered: case, slashes, one directory more or fewer, and paths or links that lead out of the folder, which are refused.
Not covered: opening pictures, and saying which record wrote the path (`official.py`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
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
    """Finds pictures below one folder, without regard to case, and never outside it. Lists each directory once.

    Paths are plain texts here: making a `Path` of each on the way takes longer than all the rest of reading a record.
    """

    def __init__(self, root: Path):
        self.root = str(root)  # a real path, without symbolic links
        # Asked for many pictures of one folder.
        self._names = cache(self._list_names)
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
        exact = os.path.join(self.root, *parts)
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
            return Found(Path(picture))
        return Found(Path(picture), self._difference(exact, picture), "the path is spelled differently on disk")

    def _unfit(self, picture: str) -> str | None:
        """Why a path that is there is not taken."""
        try:
            facts = os.lstat(picture)
            is_link = S_ISLNK(facts.st_mode)
            if not (self._is_within(picture) if is_link else self._is_folder_within(os.path.dirname(picture))):
                return "is a link that leads out of the data set folder and is refused"
            facts = os.stat(picture) if is_link else facts
        except OSError:  # a link that leads nowhere, or in a circle
            return "is not a file"
        if not S_ISREG(facts.st_mode):
            return "is not a file"
        return f"is a file of more than {MOST_BYTES:,} bytes" if facts.st_size > MOST_BYTES else None

    def _is_within(self, path: str) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def _walk(self, folder: str, parts: Sequence[str]) -> list[str]:
        """Every path below `folder` that has these parts, without regard to case."""
        found = [folder]
        for part in parts:
            found = [os.path.join(path, name) for path in found for name in self._names(path).get(part.casefold(), ())]
        return found

    def _other_levels(self, parts: tuple[str, ...]) -> Iterator[tuple[str, Sequence[str]]]:
        """Where else to walk: with one directory left out or put in between the category and the file."""
        after = next((i + 1 for i, part in enumerate(parts) if part.casefold() in _CATEGORIES), len(parts))
        for i in range(after, len(parts) - 1):
            # `train` and `val` are never guessed: both hold a picture of the same number.
            if parts[i].casefold() not in _SPLITS:
                yield self.root, (*parts[:i], *parts[i + 1 :])
        for i in range(after, len(parts)):
            for folder in self._walk(self.root, parts[:i]):
                yield from ((level, parts[i:]) for level in self._levels(folder))

    def _list_levels(self, folder: str) -> list[str]:
        """The folders in a folder, but those of the splits."""
        levels = [name for key, names in self._names(folder).items() if key not in _SPLITS for name in names]
        return [level for name in levels if os.path.isdir(level := os.path.join(folder, name))]

    def _list_names(self, folder: str) -> dict[str, list[str]]:
        """What a folder holds, by its name without regard to case; nothing if it is no folder."""
        listing: dict[str, list[str]] = {}
        try:
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        except OSError as error:
            raise DataError(f"The folder {folder} cannot be listed: {error}. Check its permissions.") from error
        for name in names:
            listing.setdefault(name.casefold(), []).append(name)
        return listing

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _difference(self, written: str, found: str) -> str:
        """How the disk spells it; the directory alone if the file names agree, so that many files share one note."""
        if os.path.basename(written) == os.path.basename(found):
            written, found = os.path.dirname(written), os.path.dirname(found)
        return f"'{self._relative(written)}' is '{self._relative(found)}' on disk"


def _none(written: str, why: str, *, what: str = "path") -> Found:
    return Found(None, f"the {what} '{written}' {why}", f"the {what} {why}")


@lru_cache(maxsize=1024)
def posix(written: str) -> str:
    """A path of the JSON in one spelling: forward slashes, no `./`, no leading `dataset/`."""
    path = PurePosixPath(written.strip().replace("\\", "/"))
    inside = path.relative_to("dataset") if path.parts[:1] == ("dataset",) else path
    return inside.as_posix()


@lru_cache(maxsize=1024)
def escapes(written: str) -> bool:
    """Whether a path is absolute, on a drive, or goes up: anything that could lead out of the data set folder."""
    path = PureWindowsPath(written.strip())  # reads both kinds of slash
    return bool(path.anchor) or ".." in path.parts
