"""What launching a run would take, told before it starts: command, steps, questions, time, disk and memory.

Time, disk and memory are scaled from runs that were measured, never guessed: without such a run they are None.
"""

import platform
import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from safeeraser import files
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.generate.questions import questions
from safeeraser.runs import jobs, watching
from safeeraser.runs.folder import DRY, Run, every

# What decides how much memory a training step needs, beside the model.
_STEP_SIZE = ("device", "precision", "batch_size", "max_length", "lora_rank", "train_projector", "method", "pd")


@dataclass(frozen=True)
class Estimate:
    """A number and the measured run that it is scaled from, in words; both None where no run was measured."""

    value: float | None = None
    basis: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run before it is launched.

    command: what a user would type. status: of the run of this name if there is one already, else None. questions: how
    many it answers, by set. base: the name of the base model's run if that must be made first. training, answering:
    seconds, answering with the base model's own answers if these are missing. disk: bytes that stay; memory: bytes at
    the peak of training, on a GPU by tensors, else by the whole process.
    """

    command: str
    name: str
    status: str | None
    steps: int
    questions: dict[str, int]
    base: str | None
    training: Estimate
    answering: Estimate
    disk: Estimate
    memory: Estimate

    @property
    def seconds(self) -> float | None:
        """Training and answering together, None unless both are known."""
        known = (self.training.value, self.answering.value)
        return None if None in known else sum(value for value in known if value is not None)


def plan(config: RunConfig, source: Source, *, name: str | None = None) -> Plan:
    """What `jobs.launch(config, name=name)` would do and take; source: the config's data set.

    Counts are exact: they look at every picture of the data set once, which `source` keeps.
    """
    return of_data(config, source.readable[0], name=name)


def of_data(config: RunConfig, data: Dataset, *, name: str | None = None) -> Plan:
    """The same for a data set whose pictures are taken to be readable."""
    config = config.needed()
    there = jobs.there(config, name=name)
    asked = Counter(question.item.set for question in questions(data, config))
    pairs = sum(vqa.picture is not None for record in data.train for vqa in record.forget)
    steps = config.steps(pairs) if config.trains else 0
    base = config.base().run_name()
    make_base = config.trains and not watching.done(Run.of(config.base()))
    answers = asked.total() * (2 if make_base else 1)
    return Plan(
        command=shlex.join(jobs.command(config, name=name)),
        name=name or config.run_name(),
        status=there.status if there else None,
        steps=steps,
        questions=dict(asked),
        base=base if make_base else None,
        training=_training(config, steps) if config.trains else Estimate(0.0),
        answering=_answering(config, answers),
        disk=_disk(config, answers),
        memory=_memory(config) if config.trains else Estimate(),
    )


def dry_run(config: RunConfig) -> RunConfig:
    """The same run in small: two steps, two records of each split, no looks."""
    return RunConfig(**config.model_dump() | {"max_steps": 2, "eval_records": 2, "look_every": None})


def dry_run_name(config: RunConfig) -> str:
    return f"{DRY}{config.run_name()}"


def launch_dry_run(config: RunConfig, device: str | None = None) -> str:
    """Launch the small version as `dry-` and the run's name, in place of an earlier one; returns that name.

    One that is active is left as it is.
    """
    name = dry_run_name(config)
    with suppress(jobs.StillActiveError):
        jobs.launch(dry_run(config), name=name, force=True, device=device)
    return name


def _training(config: RunConfig, steps: int) -> Estimate:
    """Seconds of all steps: the median step of a measured run, times the examples in a step."""
    run = _measured(config, lambda run: bool(watching.tail(run.log)), ("device", "precision", "method", "pd"))
    if run is None:
        return Estimate()
    seconds = statistics.median(row["seconds"] for row in watching.tail(run.log))
    per_example = seconds / (run.config.batch_size * run.config.accumulation)
    value = steps * config.batch_size * config.accumulation * per_example
    return Estimate(value, f"a step of {_described(run)} took {seconds:.2g} s")


def _answering(config: RunConfig, answers: int) -> Estimate:
    run = _measured(config, lambda run: _answer_seconds(run) is not None, ("device", "precision", "max_new_tokens"))
    seconds = _answer_seconds(run) if run else None
    if run is None or seconds is None:
        return Estimate()
    return Estimate(answers * seconds, f"an answer of {_described(run)} took {seconds:.2g} s")


def _answer_seconds(run: Run) -> float | None:
    """Seconds per answer of a trained run on this machine, from its adapter to its last answer.

    None unless one process wrote both and the scores after them, so that nothing else lies between.
    """
    adapter, state = run.weights, watching.state_of(run)
    if (
        run.ships
        or state.get("status") != "done"
        or state["host"] != platform.node()
        or not adapter.exists()
        or not run.answers.is_file()
    ):
        return None
    start, end = adapter.stat().st_mtime, run.answers.stat().st_mtime
    return (end - start) / files.count_lines(run.answers) if state["born"] < start < end <= state["time"] else None


def _disk(config: RunConfig, answers: int) -> Estimate:
    """Bytes of the adapter and of the answers, as in a run of the same adapter's size."""
    sizes = ("trains", *(("lora_rank", "train_projector") if config.trains else ()))

    def as_large(run: Run) -> bool:
        whole = run.answers.is_file() and not run.untrained
        return whole and all(getattr(run.config, name) == getattr(config, name) for name in sizes)

    run = _measured(config, as_large, ("method", "pd", "max_new_tokens"))
    if run is None or not (lines := files.count_lines(run.answers)):
        return Estimate()
    adapter = sum(file.stat().st_size for file in run.adapter.iterdir()) if run.adapter.exists() else 0
    return Estimate(adapter + answers * run.answers.stat().st_size / lines, f"the files of {run.name}")


def _memory(config: RunConfig) -> Estimate:
    """Bytes at the peak of a run whose steps are as large."""

    def alike(run: Run) -> bool:
        rows = watching.tail(run.log)
        same = all(getattr(run.config, name) == getattr(config, name) for name in _STEP_SIZE)
        return same and bool(rows) and rows[-1]["peak_memory"] is not None

    run = _measured(config, alike)
    if run is None:
        return Estimate()
    return Estimate(max(row["peak_memory"] for row in watching.tail(run.log)), f"the peak of {_described(run)}")


def _measured(config: RunConfig, fits: Callable[[Run], bool], alike: tuple[str, ...] = ()) -> Run | None:
    """A measured run of the same model that fits: the user's own before an example, then the most alike settings.

    Then the most steps: those of a dry run are its first, which are slow.
    """
    found = list(_of_model(config.model, fits))

    def difference(run: Run) -> tuple[bool, int, int]:
        unlike = sum(getattr(run.config, name) != getattr(config, name) for name in alike)
        return run.ships, unlike, -len(watching.tail(run.log))

    return min(found, key=difference, default=None)


def _of_model(model: str, fits: Callable[[Run], bool]) -> Iterator[Run]:
    for run in every():
        with suppress(SafeEraserError):  # damaged or of another version: it cannot be compared
            if run.config.model == model and not run.facts["imported"] and fits(run):
                yield run


def _described(run: Run) -> str:
    return f"{run.name} ({'example run, ' if run.ships else ''}{run.facts['machine']})"
