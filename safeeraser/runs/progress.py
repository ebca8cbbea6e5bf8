"""How a stage tells how far it is: a bar in a terminal, a line now and then in a log file."""

import time
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 15.0  # seconds between lines


class Reporter(Protocol):
    """What stages call; rich's Progress is one. `note` is free text, such as the loss of each term.

    console: for what is said once, a line of its own.
    """

    console: Console

    def add_task(self, description: str, *, total: float, completed: int, note: str) -> Any: ...

    def update(self, task: Any, *, completed: float, note: str = "") -> None: ...


def reporter(console: Console) -> AbstractContextManager[Any]:
    """A bar with time left where the console is a terminal, else plain lines."""
    if not console.is_terminal:
        return Lines(console)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )


def note(progress: Reporter | None, why: str | None) -> None:
    """Tell the reader of a stage what it does otherwise than expected, if it does and there is a reader."""
    if progress and why:
        progress.console.print(f"note: {why}")


class Lines(AbstractContextManager):
    """Prints `unlearn 40/300 prefer 0.512` every so many seconds, and at the end of a task."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tasks: list[tuple[str, float]] = []
        self.last = time.monotonic()

    def __exit__(self, *error: object) -> None:
        pass

    def add_task(self, description: str, *, total: float, completed: int, note: str) -> int:
        self.tasks.append((description, total))
        return len(self.tasks) - 1

    def update(self, task: int, *, completed: float, note: str = "") -> None:
        description, total = self.tasks[task]
        now = time.monotonic()
        if completed >= total or now - self.last >= EVERY:
            self.last = now
            self.console.print(
                f"{description} {completed:g}/{total:g} {note}", highlight=False, markup=False, emoji=False
            )
