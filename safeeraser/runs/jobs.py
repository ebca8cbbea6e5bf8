"""Start, queue, watch, cancel and resume runs, each as a process of its own that outlives whoever started it.

Nothing stays in memory: what is said about a run follows from the files of its folder and from which processes live.
On one device launched runs go one after the other, first come first served. Not covered: what the process of a launched
run does (`commands/worker.py`) and how a run's status is found (`watching.py`).
"""

import csv
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import psutil

from safeeraser.config import RunConfig
from safeeraser.errors import SafeEraserError
from safeeraser.runs import tags, watching
from safeeraser.runs.folder import EXAMPLES, LONGEST_NAME, Run, identity, is_name, root
from safeeraser.runs.watching import ACTIVE, Job


class JobError(SafeEraserError):
    """A run cannot be launched, cancelled or resumed; the message says why and what to do."""


class StillActiveError(JobError):
    """The run waits or works at this moment, so it cannot be replaced."""


def launch(config: RunConfig, *, name: str | None = None, force: bool = False, device: str | None = None) -> str:
    """Start a run as a process of its own, or continue one that stopped; returns the run's name.

    A run that is active or done is left as it is, so that a second click starts nothing. name: the user's own for the
    run. force: throw an existing run of that name away first. device: one of `devices()`, by default the least busy.
    Raises StillActiveError with force on an active run, JobError or RunError for a name or device that cannot be used.
    """
    config = config.needed()  # as the command line does
    run = Run.of(config, name=name)
    with launch_lock():
        old = watching.describe(run) if watching.is_run(run) else None
        if old and force:
            if old.status in ACTIVE:
                raise StillActiveError(f"{run.name} is {old.status}; cancel it before it is thrown away")
            run.delete()
            old = None
        _check_settings(run, old, config)
        if old is None or old.status not in (*ACTIVE, "done"):
            _start(run, command(config, name=name), config, device)
    return run.name


def there(config: RunConfig, *, name: str | None = None) -> Job | None:
    """What is there already under the run's name; raises JobError or RunError where `launch` would refuse it."""
    run = Run.of(config, name=name)
    job = watching.describe(run) if watching.is_run(run) else None
    _check_settings(run, job, config)
    return job


def _check_settings(run: Run, job: Job | None, config: RunConfig) -> None:
    if job and job.config != config:
        raise JobError(f"{run.folder} holds a run with other settings; choose another --name or add --force")


def resume(name: str) -> str:
    """Start a stopped run again with the same command, from its last checkpoint; returns its name.

    Raises JobError for a run that is active, done, imported or ships with the project.
    """
    run = find(name)
    with launch_lock():
        job = watching.describe(run)
        if job.ships:
            raise JobError(f"{run.name} ships with the project and stays as it is; launch its settings anew")
        if job.status in (*ACTIVE, "done"):
            raise JobError(f"{run.name} is {job.status}; there is nothing to resume")
        if job.config is None:
            raise JobError(f"{run.folder / 'config.json'}: its settings cannot be read; launch the run anew")
        own = None if run.name == job.config.run_name() else run.name
        device = job.device if job.device in devices() else None
        _start(run, command(job.config, name=own), job.config, device)
    return run.name


def cancel(name: str, *, force: bool = False) -> None:
    """Ask a run to stop, and a queued one to leave the queue; a run in training writes a checkpoint first.

    force: kill it, with all that it started, without letting it end its step. Raises JobError if it is not active.
    """
    run = find(name)
    with launch_lock():
        job = watching.describe(run)
        process = watching.process(run)
        if process is None:
            raise JobError(f"{run.name} is {job.status}, not active; there is nothing to cancel")
        run.cancel.touch()
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended by itself at this moment
            if not force:
                process.terminate()
            elif (
                process == watching.alive((run.launched or {}).get("process"))
                and os.getpgid(process.pid) == process.pid
            ):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # started in somebody's terminal, whose group is not ours to kill
                process.kill()


def delete(name: str) -> None:
    """Throw a run away with its tags, if it is the user's own and not active; raises JobError or RunError otherwise."""
    run = find(name)
    with launch_lock():
        if (job := watch(name)).status in ACTIVE:
            raise StillActiveError(f"{name} is {job.status}; cancel it first")
        run.delete()
    tags.forget(name)


def watch(name: str) -> Job:
    """What is known about a run; raises JobError if there is none of that name."""
    return watching.describe(find(name))


def every() -> list[Job]:
    """All runs, the user's own before the examples that ship with the project, in order of name."""
    return watching.every()


def find(name: str) -> Run:
    """The folder of a run or of a launch that has not made its run yet; JobError if there is none of that name."""
    for folder in (root() / name, EXAMPLES / name) if is_name(name) else ():
        if watching.is_run(run := Run(folder)):
            return run
    known = ", ".join(job.name for job in every()) or "none"
    raise JobError(f"no run {name[:LONGEST_NAME]!r}; known: {known} (in {root()})")


def command(config: RunConfig, *, name: str | None = None, force: bool = False) -> list[str]:
    """What a user would type for this run: only the flags that differ from the preset `demo`."""
    own = ["--name", name] if name else []
    return ["safeeraser", "run", *config.flags(), *own, *(["--force"] if force else [])]


def devices() -> dict[str, str]:
    """The devices of this machine that this process may use and what they are called: GPUs, then `cpu`."""
    return {**dict(_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))), "cpu": "CPU"}


def first_device(config: RunConfig) -> str:
    """Where a process that sees all devices loads a model of these settings."""
    return "cpu" if config.device == "cpu" else next(iter(devices()))


@cache
def _gpus(visible: str | None) -> tuple[tuple[str, str], ...]:
    """`cuda:N` and the name of each GPU, N as nvidia-smi counts; visible: what CUDA_VISIBLE_DEVICES allows."""
    if not shutil.which("nvidia-smi"):
        return ()
    query = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    if listed.returncode:  # a driver that is installed without a GPU
        return ()
    rows = csv.reader(listed.stdout.splitlines(), skipinitialspace=True)
    return tuple((f"cuda:{n}", name) for n, name in rows if visible is None or n in visible.split(","))


@contextmanager
def launch_lock() -> Iterator[None]:
    """Hold back all other launches, so that looking whether a run is active and starting it are one act."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / ".launch.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(run: Run, words: list[str], config: RunConfig, device: str | None) -> None:
    """Write job.json and start the run's process; the caller holds the launch lock."""
    device = _device(config, device)
    if not run.config_file.exists():
        run.check_free()
    elif run.answers_imported:
        raise JobError(f"{run.name} was imported; run `safeeraser judge {run.name}` and `safeeraser score {run.name}`")
    run.cancel.unlink(missing_ok=True)
    before, now = run.launched or {}, time.time()
    facts: dict[str, Any] = {
        "command": words,
        "config": config.model_dump(),
        "device": device,
        "ticket": 1 + max((facts["ticket"] for _, facts in watching.launches()), default=0),
        "created": before.get("created", now),
        "queued": now,
        "started": None,
        "ended": None,
        "exit": None,
        "process": None,
    }
    run.save_launched(facts)
    with run.log_text.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "safeeraser.commands.worker", run.name],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | _visible(device),
        )
    run.save_launched(facts | {"process": identity(psutil.Process(child.pid))})


def _device(config: RunConfig, device: str | None) -> str:
    """The device to queue on: as asked for, else the one with the fewest active launches."""
    known = devices()
    if device is not None and device not in known:
        raise JobError(f"--device {device}: there is no such device; known: {', '.join(known)}")
    if config.device == "cpu":
        if device not in (None, "cpu"):
            raise JobError(f"--device {device}: the run's own settings say cpu")
        return "cpu"
    busy = [facts["device"] for _, facts in watching.lined_up()]
    gpus = [name for name in known if name != "cpu"]
    return device or min(gpus or ["cpu"], key=busy.count)


def _visible(device: str) -> dict[str, str]:
    """The environment in which a process sees this device alone; nvidia-smi counts GPUs by their bus, CUDA need not."""
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": device.removeprefix("cuda:") if device != "cpu" else "",
    }
