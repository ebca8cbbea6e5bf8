"""Training in the trackers that people use, by accelerate's own: TensorBoard, Weights & Biases, Trackio.

Off unless a run's setting `track` names some. They only listen: a tracked run ends with the same adapter. Light:
accelerate is imported where tracking starts. Not covered: the run's own log (`log.jsonl`), with the same numbers.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from safeeraser.config import RunConfig
from safeeraser.errors import SafeEraserError
from safeeraser.runs import processes
from safeeraser.runs.folder import Run

PROJECT = "safeeraser"  # that the runs are in, where a tracker has projects
Log = Callable[[Mapping[str, Any]], None]


class TrackError(SafeEraserError):
    """A tracker cannot be used; the message says which and what to do."""


def check(config: RunConfig) -> None:
    """Raise TrackError unless all trackers that a run asks for are installed."""
    missing = [name for name in config.trackers if not _installed(name)]
    if missing:
        raise TrackError(
            f"--track {config.track}: {' and '.join(missing)} {'are' if missing[1:] else 'is'} not installed; "
            f"`pip install {' '.join(missing)}`, or leave the flag out"
        )


def _installed(name: str) -> bool:
    try:
        distribution(name)  # a folder of that name, as wandb leaves behind, could be imported too
    except PackageNotFoundError:
        return False
    return True


@contextmanager
def tracking(run: Run, *, done: int) -> Iterator[Log]:
    """What takes each row of the run's log while it trains, and hands it to the run's trackers.

    done: the steps that training goes on after; then it goes on in the same run of each tracker. Of several processes
    the main one alone logs. Raises TrackError for a tracker that does not start.
    """
    started: list[Any] = []
    try:
        for name in run.config.trackers if processes.is_main() else ():
            started.append(_start(name, run, done))

        def log(row: Mapping[str, Any]) -> None:
            for tracker in started:
                tracker.log(values(row), step=row["step"])

        yield log
    finally:
        for tracker in started:
            tracker.finish()


def values(row: Mapping[str, Any]) -> dict[str, float]:
    """What a tracker is told of a training step: losses in nats, tokens a second, and how the step was taken."""
    terms = {f"terms/{name}": value for name, value in row["terms"].items()}
    speed = row["tokens"] / max(row["seconds"], 1e-4)  # seconds are rounded to these
    return {name: row[name] for name in ("loss", "lr", "grad_norm", "epoch")} | terms | {"tokens_per_second": speed}


def _start(name: str, run: Run, done: int) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    tracker = LOGGER_TYPE_TO_CLASS[name](**_how(name, run, done))
    try:
        tracker.start()
        if not done:
            tracker.store_init_configuration(run.config.model_dump(exclude_none=True))
    except Exception as error:  # each tracker has its own, such as for a login that is missing
        raise TrackError(
            f"--track {run.config.track}: {name} does not start ({error}); mend that, or give the command without it"
        ) from error
    return tracker


def _how(name: str, run: Run, done: int) -> dict[str, Any]:
    """What makes accelerate's tracker write into one run, however often this one is gone on with."""
    made = hashlib.sha256(f"{run.name} {run.facts['created']}".encode()).hexdigest()[:16]
    return {
        # Steps after the last checkpoint are taken again, so what was written of them is dropped.
        "tensorboard": {"run_name": run.tensorboard.name, "logging_dir": str(run.folder), "purge_step": done + 1},
        "wandb": {
            "run_name": os.environ.get("WANDB_PROJECT", PROJECT),
            "name": run.name,
            "id": made,
            "resume": "allow",
            "dir": str(run.wandb.parent),
        },
        "trackio": {"run_name": PROJECT, "name": run.name, "resume": "allow" if done else "never"},
    }[name]
