"""What was found out about each picture file, kept between runs as long as the file has the same size and time.

Covered: reading many files at once, and reading none again that has not changed. Not covered: what is found out, and
when a fresh look is wanted (`health.py`).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from safeeraser import files
from safeeraser.store import folder_of

FEW = 256  # pictures; so many are read faster than anybody notices
BATCH = 32  # pictures given to a thread at once: giving takes as long as reading a small one

Stamp = list[int]  # size in bytes, time of change in ns since 1970
Told = TypeVar("Told", str, str | None)


def of_each(
    pictures: Sequence[Path], find: Callable[[Path], Told], *, root: Path, version: str = "", anew: bool = False
) -> dict[Path, Told]:
    """What `find` says about each picture, asked in threads; about a file that has not changed, what it said before.

    root: the data set's folder. version: of what `find` depends on; what another one said does not count. anew: ask
    about each file, changed or not.
    """
    memory = _memory(root, f"{find.__name__} {version}")
    known = {} if anew else _read(memory)
    stamps = {path: _stamp(path) for path in pictures}
    fresh = [path for path, stamp in stamps.items() if stamp is None or known.get(str(path), [None])[0] != stamp]
    with ThreadPoolExecutor() as pool:
        starts = range(0, len(fresh), BATCH)
        batches = pool.map(lambda start: [find(path) for path in fresh[start : start + BATCH]], starts)
        found = dict(zip(fresh, chain.from_iterable(batches), strict=True))
    told = {path: found[path] if path in found else known[str(path)][1] for path in pictures}
    if len(fresh) > FEW or (fresh and known):
        files.write(memory, json.dumps({str(path): [stamps[path], told[path]] for path in pictures}))
    return told


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:  # `find` says it better
        return None
    return [facts.st_size, facts.st_mtime_ns]


def _memory(root: Path, what: str) -> Path:
    return folder_of("pictures") / f"{hashlib.sha256(f'{root} {what}'.encode()).hexdigest()[:32]}.json"


def _read(memory: Path) -> dict[str, Any]:
    try:
        return json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged file is written anew
        return {}
