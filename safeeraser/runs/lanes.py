"""Who has a device: a launched run holds it to its end, and one process at a time answers questions on it.

Both are locks of the system on files beside the runs, so that a kill lets go of them.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from safeeraser.errors import SafeEraserError
from safeeraser.runs.folder import root

POLL = 0.05  # seconds between looks at a lock that somebody has


class BusyError(SafeEraserError):
    """Somebody else has the lock."""


def of_runs(device: str) -> Path:
    """What a launched run holds while it works on the device."""
    return root() / f".device-{device}.lock"


def of_questions(device: str) -> Path:
    """What is held while questions of one's own are answered on the device."""
    return root() / f".asking-{device}.lock"


def taken(file: IO[str]) -> bool:
    """Take the lock of an open file unless somebody else has it; closing the file lets go of it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def held(lock: Path, *, deadline: float) -> Iterator[None]:
    """Hold a lock, as soon as it is free; raises BusyError at the deadline, in seconds of `time.monotonic`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        while not taken(file):
            if time.monotonic() >= deadline:
                raise BusyError(f"{lock} is held by another process")
            time.sleep(POLL)
        yield
