"""What a run is doing, found from the files of its folder and from which processes live; nothing is written.

Cheap enough to be called every other second for all runs: small files, and the end of the log of an active run.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from safeeraser import files
from safeeraser.config import RunConfig
from safeeraser.runs import contents
from safeeraser.runs.contents import DamagedError, RunError
from safeeraser.runs.folder import EXAMPLES, Run, folders, root

STALLED_AFTER = 180.0  # seconds without a write
ACTIVE = ("queued", "running", "stalled")
STOPPED = 130  # exit status of a command that was asked to stop

RECENT = 20  # log rows that speed is measured on


@dataclass(frozen=True)
class Job:
    """What is known about a run; what is unknown is None.

    status: queued, running, stalled (alive without a sign of life for STALLED_AFTER seconds), interrupted (dead before
    its end), failed, cancelled, ready (made stage by stage, waits for the next), done, or broken (a file of it cannot
    be read, `message` says which). place: in the queue, from 1.
    pid: of the process that works on it now. created, started, ended: seconds since the epoch. message: why it failed
    or stopped. log: what the process printed; seconds_left: of training alone. ships: an example of the project.
    """

    name: str
    status: str
    stage: str | None
    step: int | None
    steps: int | None
    place: int | None
    device: str | None
    pid: int | None
    created: float | None
    started: float | None
    ended: float | None
    message: str | None
    config: RunConfig | None
    log: Path
    seconds_left: float | None
    tokens_per_second: float | None
    ships: bool


@dataclass(frozen=True)
class _Facts:
    """A run's files and its live process; a file that is not there yet, or is damaged, is empty.

    damage: what is wrong with the damaged ones.
    """

    run: Run
    launched: dict[str, Any]
    state: dict[str, Any]
    made: dict[str, Any]
    process: psutil.Process | None
    damage: tuple[str, ...]

    @classmethod
    def of(cls, run: Run) -> "_Facts":
        """What the files say, each read once."""
        damage: list[str] = []
        launched = _read(lambda: run.launched, damage)
        state = _read(lambda: run.state, damage)
        made = _read(lambda: run.facts if run.config_file.exists() else None, damage)
        return cls(run, launched, state, made, _process(launched, state), tuple(damage))

    @property
    def of_launch(self) -> bool:
        """Whether the run's launch, rather than a command typed later, is the last that worked on it."""
        if not self.launched or not self.state:
            return bool(self.launched)
        who = self.launched["process"] or {}
        same = all(self.state[key] == who.get(key) for key in ("host", "pid", "born"))
        return same or self.state["time"] < (self.launched["ended"] or self.launched["queued"])

    @property
    def waits(self) -> bool:
        """Whether the live process is the launch's own and has no device yet."""
        if self.process is None or not self.launched or self.launched["started"] is not None:
            return False
        return self.process.pid == (self.launched["process"] or {}).get("pid")

    @property
    def begun(self) -> bool:
        """Whether the live process works on this run already, not on the base model's."""
        return self.process is not None and self.state.get("pid") == self.process.pid


def is_run(run: Run) -> bool:
    """Whether the folder holds a run, or a launch that has not made its run yet."""
    return os.path.exists(run.config_file) or os.path.exists(run.job)  # false for a name that is too long


def every() -> list[Job]:
    """All runs, the user's own before the examples, in order of name."""
    queue = lined_up()
    found = [folder for base in (root(), EXAMPLES) for folder in folders(base)]
    return [describe(run, queue) for run in map(Run, found) if is_run(run)]


def describe(run: Run, queue: list[tuple[Run, dict[str, Any]]] | None = None) -> Job:
    """What is known about one run; queue: `lined_up()` where it is known already."""
    facts = _Facts.of(run)
    launched, state, live = facts.launched, facts.state, facts.process
    config = _config(facts)
    status = _status(facts, config)
    stage, step, steps = _where(facts, config)
    seconds_left, tokens_per_second = _speed(facts) if live and stage == "unlearn" else (None, None)
    return Job(
        name=run.name,
        status=status,
        stage=stage,
        step=step,
        steps=steps,
        place=_place(facts, queue) if status == "queued" else None,
        device=launched["device"] if facts.of_launch else None,
        pid=live.pid if live else None,
        created=launched.get("created", _created(facts)),
        started=launched["started"] if facts.of_launch else state.get("born"),
        ended=None if live else _ended(facts),
        message=_message(facts) if status in ("failed", "interrupted", "cancelled", "broken") else None,
        config=config,
        log=run.log_text,
        seconds_left=seconds_left,
        tokens_per_second=tokens_per_second,
        ships=run.ships,
    )


def process(run: Run) -> psutil.Process | None:
    """The live process that works on a run or waits for its turn."""
    return _process(launch_of(run), state_of(run))


def _process(launched: dict[str, Any], state: dict[str, Any]) -> psutil.Process | None:
    own = alive(launched["process"]) if launched and launched["ended"] is None else None
    return own or _at_work(state)


def at_work(run: Run) -> psutil.Process | None:
    """The live process that works on a run; it may be there for another run, whose base model this one is."""
    return _at_work(state_of(run))


def _at_work(state: dict[str, Any]) -> psutil.Process | None:
    return alive(state) if state.get("status") in ("created", "running", "ready") else None


def launch_of(run: Run) -> dict[str, Any]:
    """job.json, empty for a run that was not launched, or is being deleted, and where the file is damaged."""
    return _read(lambda: run.launched, [])


def state_of(run: Run) -> dict[str, Any]:
    """state.json, empty for a launch whose run is not made yet, and where the file is damaged."""
    return _read(lambda: run.state, [])


def _read(read: Callable[[], Mapping[str, Any] | None], damage: list[str]) -> dict[str, Any]:
    """What a file holds; what is wrong with a damaged one is added to `damage`."""
    try:
        return dict(read() or {})
    except DamagedError as error:
        damage.append(str(error))
    except RunError:  # it was there a moment ago: the run is being deleted
        pass
    return {}


def done(run: Run) -> bool:
    """Whether a run has come to its end; False where there is none, or a damaged one."""
    return state_of(run).get("status") == "done"


def alive(who: Mapping[str, Any] | None) -> psutil.Process | None:
    """The process that `folder.identity` told of; None if it is a zombie, gone, or gone and another has its pid now."""
    if not who or who.get("host") != platform.node():
        return None
    boot = psutil.boot_time()
    try:
        found = psutil.Process(who["pid"])
        # A clock that was set moves the times of boot and birth alike.
        moved = found.create_time() - boot - (who["born"] - who["boot"])
        same = abs(moved) < 0.05 and abs(boot - who["boot"]) < 60
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def launches() -> list[tuple[Run, dict[str, Any]]]:
    """Every launched run with its job.json."""
    return [(run, facts) for run in map(Run, folders(root())) if (facts := launch_of(run))]


def lined_up() -> list[tuple[Run, dict[str, Any]]]:
    """The launched runs that hold a device or wait for one, first come first."""
    found = [(run, facts) for run, facts in launches() if facts["ended"] is None and alive(facts["process"])]
    return sorted(found, key=lambda one: one[1]["ticket"])


def tail(path: Path, count: int = RECENT) -> list[dict[str, Any]]:
    """The last rows of a table of a run, read from its end."""
    return contents.last_rows(path)[-count:]


def _config(facts: _Facts) -> RunConfig | None:
    """The run's settings, None for those of another version."""
    settings = facts.made.get("config") or facts.launched.get("config")
    try:
        return RunConfig(**settings) if settings else None
    except (ValidationError, TypeError):
        return None


def _created(facts: _Facts) -> float | None:
    """When the run was made, in seconds since the epoch."""
    try:
        return datetime.fromisoformat(facts.made.get("created", "")).timestamp()
    except ValueError:
        return None


def _status(facts: _Facts, config: RunConfig | None) -> str:
    if facts.damage and not facts.process:
        return "broken"
    if facts.process:
        if facts.waits:
            return "queued"
        return "stalled" if time.time() - _last_write(facts, config) > STALLED_AFTER else "running"
    said = facts.state.get("status")
    if said == "done":
        return "done"
    if _cancelled(facts):
        return "cancelled"
    if facts.of_launch and facts.launched["exit"] != 0:
        return "interrupted" if facts.launched["exit"] in (None, STOPPED) else "failed"
    return said if said in ("failed", "ready") else "interrupted"


def _cancelled(facts: _Facts) -> bool:
    """Whether the last process was told to stop; a cancel file from before its birth was for another."""
    who = facts.launched["process"] if facts.of_launch else facts.state
    told = _written(facts.run.cancel)
    return bool(told) and told >= (who or {}).get("born", 0)


def _last_write(facts: _Facts, config: RunConfig | None) -> float:
    """When the run, or the base model's run that it waits for or works on, last wrote any file; epoch seconds."""
    runs = [facts.run]
    if not facts.begun and config:
        runs.append(facts.run.beside(config.base()))
    return max(_written(path) for run in runs for path in vars(run).values() if isinstance(path, Path))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _where(facts: _Facts, config: RunConfig | None) -> tuple[str | None, int | None, int | None]:
    """Stage, step and number of steps: of the run, or of the base model's run that the process works on first."""
    if facts.process is None or facts.begun:
        return facts.state.get("stage"), facts.state.get("step"), facts.state.get("steps")
    base = facts.run.beside(config.base()) if config and not facts.waits else None
    if base and at_work(base):
        return f"base model: {state_of(base).get('stage', 'start')}", None, None
    return None, None, None


def _place(facts: _Facts, queue: list[tuple[Run, dict[str, Any]]] | None) -> int:
    device, ticket = facts.launched["device"], facts.launched["ticket"]
    waiting = [other for _, other in queue or lined_up() if other["device"] == device and other["started"] is None]
    return 1 + sum(other["ticket"] < ticket for other in waiting)


def _speed(facts: _Facts) -> tuple[float | None, float | None]:
    """Seconds of training left and tokens per second, from the last steps."""
    rows = tail(facts.run.log)
    if not rows or "step" not in facts.state:
        return None, None
    seconds = [row["seconds"] for row in rows]
    left = statistics.median(seconds) * (facts.state["steps"] - facts.state["step"])
    return left, sum(row["tokens"] for row in rows) / sum(seconds) if sum(seconds) else None


def _ended(facts: _Facts) -> float | None:
    if facts.of_launch:
        return facts.launched["ended"]
    return facts.state.get("time") if facts.state.get("status") in ("done", "failed", "interrupted") else None


def _message(facts: _Facts) -> str | None:
    """Why the run failed or stopped: its own words, else the last error that its process printed."""
    if facts.damage:
        return facts.damage[0]
    who = facts.launched["process"] if facts.of_launch else None
    if "message" in facts.state and (who is None or facts.state["born"] == who["born"]):
        return facts.state["message"]
    if not facts.of_launch or facts.launched["exit"] in (None, STOPPED):
        return None
    lines = [line for line in files.last_lines(facts.run.log_text) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return next(iter(errors[-1:] or lines[-1:]), None)
