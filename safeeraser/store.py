"""A bounded store of tensors on disk, the least recently used thrown away first: what the caches have in common.

Covered: several processes at once, a kill in the middle of writing, damaged files, the bound. Not covered: what a key
stands for (`models/features.py` ...). Losing any file costs time, never a result.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from platformdirs import user_cache_path

from safeeraser import files
from safeeraser.errors import SafeEraserError

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {
    "features": "what the frozen vision tower made of each picture",
    "base": "what the base model predicted for the training pairs",
    "judge": "what endpoints said when they were asked to grade",
    "pictures": "which pictures of large data sets can be read",
}
GB = 1_000_000_000
ENDING = ".safetensors"
LEFT_BEHIND = 3600  # seconds after which a half-written file is taken for what a kill left


class StoreError(SafeEraserError):
    """A store cannot be written; the message names the folder and says what to do."""


def folder_of(kind: str) -> Path:
    """Where the store of this kind (a key of KINDS) is, or will be, in the user's cache."""
    return user_cache_path("safeeraser") / kind


def sizes() -> list[dict[str, Any]]:
    """Each kind of cache: {"cache", "holds", "files", "bytes", "folder"}."""
    found = [(kind, holds, Store(folder_of(kind))) for kind, holds in KINDS.items()]
    return [
        {
            "cache": kind,
            "holds": holds,
            **dict(zip(("files", "bytes"), store.size(), strict=True)),
            "folder": store.folder,
        }
        for kind, holds, store in found
    ]


class Entry(NamedTuple):
    """One file of a store: when it was used last (nanoseconds since 1970), its size in bytes, and where it is."""

    used: int
    bytes: int
    path: Path


class Store:
    """Named groups of tensors below one folder, together at most `limit_bytes` large.

    A key is a relative path of plain names, such as `model/picture`. Before each 1/64 of the limit that it writes, a
    process looks at all files and throws the least recently used away until the rest fill 7/8 of the limit at most; so
    eight processes that write at once still keep the limit.
    """

    def __init__(self, folder: Path, limit_bytes: float = math.inf) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._written: float = limit_bytes  # what is there already may be too much: look before the first writing

    def get(self, key: str) -> "dict[str, Tensor] | None":
        """The tensors put under this key, on the CPU; None when there are none, or when their file was damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self._path(key)
        try:
            content = path.read_bytes()  # at once: another process may throw the file away
            os.utime(path)
        except FileNotFoundError:
            return None
        try:
            tensors = load(content)
            if _metadata(content).get("sha256") == _digest(tensors):
                return tensors
        except SafetensorError:
            pass  # cut short: as damaged as one with another digest
        path.unlink(missing_ok=True)
        return None

    def put(self, key: str, tensors: "Mapping[str, Tensor]") -> None:
        """Keep the tensors under this key.

        Raises:
            StoreError: the folder cannot be written, the disk is full, or these tensors alone fill 1/8 of the limit.
        """
        from safetensors.torch import save

        there = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        content = save(there, {"sha256": _digest(there)})
        self._make_room(len(content))
        path = self._path(key)
        try:
            files.write(path, content)
        except files.FileError as error:
            with suppress(OSError):
                files.scratch_of(path).unlink()
            raise StoreError(
                f"{self.folder} cannot be written: {error.reason}. Free space or switch the cache off."
            ) from error

    def size(self) -> tuple[int, int]:
        """How many files there are, and their size in bytes."""
        entries = list(self._entries())
        return len(entries), sum(entry.bytes for entry in entries)

    def clear(self) -> None:
        """Throw everything away; a process that is using the store goes on."""
        for entry in self._entries():
            entry.path.unlink(missing_ok=True)

    def _make_room(self, needed: int) -> None:
        if needed > self.limit_bytes / 8:
            raise StoreError(
                f"{self.folder} may take {self.limit_bytes / GB:.4g} GB, and one entry has {needed / GB:.4g}; "
                f"allow at least {8 * needed / GB:.4g} GB or switch the cache off."
            )
        self._written += needed
        if self._written > self.limit_bytes / 64:
            self._written = needed
            self._shrink()

    def _shrink(self) -> None:
        entries = sorted(self._entries())
        total = sum(entry.bytes for entry in entries)
        long_ago = time.time_ns() - LEFT_BEHIND * 1_000_000_000
        for entry in entries:
            half_written = entry.path.suffix != ENDING
            if (entry.used < long_ago) if half_written else (total > self.limit_bytes * 7 / 8):
                entry.path.unlink(missing_ok=True)
                total -= entry.bytes

    def _entries(self) -> Iterator[Entry]:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                try:
                    facts = path.stat()
                except FileNotFoundError:  # another process threw it away
                    continue
                yield Entry(facts.st_mtime_ns, facts.st_size, path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{ENDING}"


def as_bytes(tensor: "Tensor") -> memoryview:
    """The tensor's bytes, whatever its type and device."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _metadata(content: bytes) -> dict[str, str]:
    """What safetensors calls metadata, from the header: 8 bytes with its length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _digest(tensors: "Mapping[str, Tensor]") -> str:
    """SHA-256 over names and bytes: a power cut can leave a file of the right length that holds nothing."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(as_bytes(tensor))
    return digest.hexdigest()
