"""Python processes that need not import torch any more: forks of one that did, for tests that start many of them.

What they run is what `python -c PROGRAM` or `python -m MODULE` runs; a command's own start is tested elsewhere.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["safeeraser.cli", "safeeraser.unlearn.train", "safeeraser.generate.answering"])
LONGEST = 600  # seconds; a bound for what would never end


class Started:
    """A process that was started here; it writes all that it says to a file."""

    def __init__(self, words: Sequence[str], *, output: Path, environment: Mapping[str, str] | None = None) -> None:
        """words: `-c`, the program and its arguments, or `-m`, the module and its arguments."""
        self.output = output
        self._process = WARM.Process(target=_run, args=(list(words), dict(environment or os.environ), output))
        # Where a page ran in this process before, `__main__` is its script, which a fork would run again.
        with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()
        atexit.register(self._process.kill)  # a test that failed may have left it

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        """How it ended, the negative of the signal where one killed it; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join(LONGEST)
        ended = self.poll()
        assert ended is not None, f"still running after {LONGEST} seconds: {self.said()}"
        return ended

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def said(self) -> str:
        return self.output.read_text()


def _run(words: list[str], environment: dict[str, str], output: Path) -> None:
    multiprocessing.set_start_method("fork", force=True)  # Linux's own, for what the program itself starts
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    kind, program, *arguments = words
    sys.argv = [kind if kind == "-c" else program, *arguments]
    if kind == "-c":
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
