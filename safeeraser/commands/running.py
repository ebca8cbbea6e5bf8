"""What the commands that work on runs have in common: their data set, and finishing a run with a word about it."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from rich.progress import track

from safeeraser import stages
from safeeraser.commands import flags
from safeeraser.commands.console import err
from safeeraser.config import RunConfig
from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.runs import processes
from safeeraser.runs.folder import Run, RunError
from safeeraser.runs.progress import reporter


def source(options: argparse.Namespace) -> Source:
    """The data set that the flags name."""
    return load(flags.config(options).data)


def load(name: str) -> Source:
    """A data set by its name; the demo world is drawn by the first process alone."""
    with processes.main_first():
        return Source(name, track=_track)


def source_of(run: Run) -> Source:
    """The data set that a run was made on. Raises RunError when it has changed since."""
    return sources_of([run])[run.config.data]


def sources_of(runs: Sequence[Run]) -> dict[str, Source]:
    """The data sets that runs were made on, by name. Raises RunError when one has changed since."""
    found = {name: load(name) for name in dict.fromkeys(run.config.data for run in runs)}
    for run in runs:
        if found[run.config.data].hash != run.facts["data_hash"]:
            raise RunError(f"{run.name} was made on other data than {run.config.data} holds now")
    return found


def finish(run: Run, source: Source) -> ScoreRow:
    """The run's score row: read if it is finished, computed if not."""
    if run.done and (scores := run.scores):
        err.print(f"{run.name}: finished already")
        return scores
    err.print(f"{run.name}: {run.folder}")
    if broken := source.readable[1]:
        many = "1 picture cannot" if len(broken) == 1 else f"{len(broken)} pictures cannot"
        err.print(f"note: {many} be read, and questions about it are left out: {next(iter(broken))}")
    if told := stages.targets_of_another(run.config, source):
        err.print(f"note: {told}")
    with reporter(err) as progress:
        return stages.run_all(run, source, progress)


def finish_all(configs: Iterable[RunConfig], source: Source) -> tuple[dict[str, ScoreRow], dict[str, str]]:
    """The score rows of these configs' runs, each finished in its turn, and what went wrong in the others; by run.

    A run that fails does not keep the others from being compared.
    """
    rows: dict[str, ScoreRow] = {}
    errors: dict[str, str] = {}
    for config in configs:
        run = stages.open_run(config, source)
        if run.name in {**rows, **errors}:
            continue
        try:
            rows[run.name] = finish(run, source)
        except SafeEraserError as error:
            err.print(f"error: {run.name}: {error}")
            errors[run.name] = str(error)
    return rows, errors


def _track(plan: list) -> Any:
    return track(plan, description="drawing the demo world", console=err, disable=not err.is_terminal)
