"""The process of a launched run: waits for its turn, holds its device, runs the command and records how it ended.

`jobs.launch` starts it as `python -m safeeraser.commands.worker RUN`.
"""

import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from safeeraser.config import RunConfig
from safeeraser.runs import jobs, lanes, watching
from safeeraser.runs.contents import Launched
from safeeraser.runs.folder import Run, identity, root

POLL = 0.5  # seconds between looks at the queue
AGAIN = 1.0  # seconds until a stop that nobody heard is said again


def main(name: str) -> int:
    """Do a launched run's work; returns the exit status of its command."""
    run, status = Run(root() / name), 1
    try:
        with stopping():
            with jobs.launch_lock():  # the launcher writes the same file
                _note(run, process=identity(psutil.Process()))
            launched = _facts(run)
            with _held(run, lanes.of_runs(launched["device"]), may=lambda: _first(run, launched["device"])):
                _note(run, started=time.time())
                status = _work(run, launched)
    except KeyboardInterrupt:
        status = watching.STOPPED
    finally:
        if _ours(run):
            _note(run, ended=time.time(), exit=status)
    return status


@contextmanager
def stopping() -> Iterator[None]:
    """SIGTERM ends every stage like Ctrl+C does; training catches it by itself, to write a checkpoint.

    It is said again until something handles it: a library that tries whether it can have something may swallow it.
    Afterwards this process ignores it.
    """

    def stop(number: int, frame: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        if not isinstance(sys.exception(), KeyboardInterrupt):  # else what handles it is at work
            raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGALRM)
    for one in signals:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _work(run: Run, launched: Launched) -> int:
    """Make the base model's run if it is missing, then this one. Runs on two devices may need the same base."""
    from safeeraser import cli

    config = RunConfig(**launched["config"])
    base = run.beside(config.base())
    commands = [launched["command"]]
    with _held(run, root() / f".{base.name}.lock", may=lambda: not _taken(base)):
        if config.trains and not watching.done(base):
            commands.insert(0, jobs.command(config.base()))
        status = _call(cli.main, commands[0])
    return status or (_call(cli.main, commands[1]) if commands[1:] else 0)


def _call(main: Callable[[list[str]], int], words: list[str]) -> int:
    print("$", shlex.join(words), flush=True)
    return main(words[1:])


def _first(run: Run, device: str) -> bool:
    """Whether nobody came before this run among those that live."""
    return next((other.name for other, facts in watching.lined_up() if facts["device"] == device), None) == run.name


def _taken(base: Run) -> bool:
    """Whether another process, such as a command in a terminal, works on the base model's run."""
    worker = watching.at_work(base)  # one that only waits for its turn may be waiting for us
    return worker is not None and worker.pid != os.getpid()


@contextmanager
def _held(run: Run, lock: Path, *, may: Callable[[], bool]) -> Iterator[None]:
    """Wait until the lock is free and this run may have it, and hold it; the system lets go of it if we are killed."""

    def taken() -> bool:
        if not lanes.taken(file):
            return False
        if not may():
            fcntl.flock(file, fcntl.LOCK_UN)
            return False
        return True

    with lock.open("a") as file:
        while not taken():
            if run.cancel.exists() or not _ours(run):
                raise KeyboardInterrupt
            time.sleep(POLL)
        yield


def _ours(run: Run) -> bool:
    """Whether the run is still there and this its process; its folder may be deleted while it waits."""
    return (watching.launch_of(run).get("process") or {}).get("pid") == os.getpid()


def _facts(run: Run) -> Launched:
    facts = run.launched
    assert facts is not None, f"{run.job} is missing: this process was not started by a launch"
    return facts


def _note(run: Run, **facts: Any) -> None:
    run.save_launched(_facts(run) | facts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
