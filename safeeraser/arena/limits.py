"""How often somebody may do something, and who waits for their turn."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_REMEMBERED = 10_000  # keys; those heard of least lately are forgotten


class Limit:
    """At most `times` within `seconds` for each key, such as a session. Any number of threads may share it."""

    def __init__(self, times: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.times = times
        self.seconds = seconds
        self._clock = clock
        self._done: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> bool:
        """Whether this key may now; if so, it has."""
        now = self._clock()
        with self._lock:
            done = self._done.setdefault(key, deque())
            self._done.move_to_end(key)
            while done and done[0] <= now - self.seconds:
                done.popleft()
            if len(done) >= self.times:
                return False
            done.append(now)
            while len(self._done) > MOST_REMEMBERED:
                self._done.popitem(last=False)
            return True


class Line:
    """A line before what one has at a time, first come first served. Any number of threads may share it."""

    def __init__(self, most: int) -> None:
        self.most = most  # of those who wait behind the one whose turn it is
        self._tickets: list[object] = []
        self._lock = threading.Lock()

    def join(self) -> object | None:
        """A ticket, to be given back by `leave`; None where too many wait."""
        with self._lock:
            if len(self._tickets) > self.most:
                return None
            ticket = object()
            self._tickets.append(ticket)
            return ticket

    def before(self, ticket: object) -> int:
        """How many come before this ticket; 0: it is its turn."""
        with self._lock:
            return self._tickets.index(ticket)

    def leave(self, ticket: object) -> None:
        with self._lock:
            self._tickets.remove(ticket)
