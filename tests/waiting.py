"""Waiting for what another process does: a busy machine is slow, and slow is no failure."""

import time
from collections.abc import Callable

LONGEST = 600  # seconds; a bound for what would never end


def until(true: Callable[[], object]) -> None:
    """Wait until it is true."""
    end = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not happen within {LONGEST} seconds")
        time.sleep(0.02)
