"""A forecast as tables for the terminal, readable at 100 columns. Not covered: its numbers (`forecast.py`)."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from safeeraser.plan.forecast import UTILISATION, Forecast, Machine
from safeeraser.plan.hardware import GIB

NOTHING = "–"
SMALLER = "lower --batch-size and raise --accumulation, or add --gradient-checkpointing or --quantization 4bit"


def render(told: Forecast) -> Iterator[RenderableType]:
    """The command, then parameters, memory, tokens, time, and what all of that rests on."""
    yield Text(told.plan.command)
    yield Text(f"{told.plan.name}: {told.plan.steps:,} steps, {told.passes:.1f} passes, {_answers(told)}")
    yield _parameters(told)
    yield _memory(told)
    yield _tokens(told)
    yield _time(told)
    yield Text("\n".join(f"- {note}" for note in _notes(told)))


def _answers(told: Forecast) -> str:
    base = f", and as many of {told.plan.base}" if told.plan.base else ""
    return f"{told.evaluation.count:,} answers{base}"


def _parameters(told: Forecast) -> Table:
    table = _table("Parameters", "Part", "Parameters", "Trained")
    for name, count in told.model.parts.items():
        table.add_row(name, f"{count:,}", NOTHING)
    for name, count in told.model.trained.items():
        table.add_row(name, NOTHING, f"{count:,}")
    share = told.model.trainable / told.model.parameters
    trained = f"{told.model.trainable:,} ({share:.2%})" if told.model.trainable else NOTHING
    table.add_row("all", f"{told.model.parameters:,}", trained, style="bold")
    return table


def _memory(told: Forecast) -> Table:
    """Both columns side by side; a part's explanation is the training's where both have one."""
    table = _table("Memory, GiB", "Part", "Training", "Answering", "What it is")
    training, answering = (
        {part.name: part for part in parts} for parts in (told.training_memory, told.answering_memory)
    )
    for name in dict.fromkeys([*training, *answering]):
        found = [parts.get(name) for parts in (training, answering)]
        what = next(part.what for part in found if part)
        table.add_row(name, *(_gib(part.bytes) if part else NOTHING for part in found), what)
    sums = [sum(part.bytes for part in parts.values()) for parts in (training, answering)]
    table.add_row("all", *(_gib(total) if total else NOTHING for total in sums), style="bold")
    return table


def _tokens(told: Forecast) -> Table:
    table = _table("Tokens", "Of", "How many", "A row each", "Prefixes shared", "Ratio")
    one, asked = told.tokens, told.evaluation
    if one:
        pairs = ", ".join(f"{count:,} {name}" for name, count in one.pairs.items())
        ratio = f"{one.separate / one.packed:.2f}"
        table.add_row("a training pass", pairs, f"{one.separate:,}", f"{one.packed:,}", ratio)
        all_passes = [f"{round(told.passes * count):,}" for count in (one.separate, one.packed)]
        table.add_row("all passes", f"{told.passes:.1f} passes", *all_passes, ratio)
    questions = ", ".join(f"{count:,} {name}" for name, count in asked.questions.items())
    ratio = f"{asked.separate / asked.shared:.2f}" if asked.shared else NOTHING
    table.add_row("the prompts", questions, f"{asked.separate:,}", f"{asked.shared:,}", ratio)
    table.add_row("the answers, at most", f"{asked.count:,} answers", f"{asked.answers:,}", NOTHING, NOTHING)
    return table


def _time(told: Forecast) -> Table:
    table = _table("Time", "Hardware", "GiB each", "Training", "Answering, at most", "Memory")
    for machine in told.machines:
        name = f"{machine.gpus} x {machine.name}"
        training = duration(machine.training) if told.tokens else NOTHING
        table.add_row(name, _gib(machine.memory), training, duration(machine.answering), _fits(told, machine))
    measured = (told.plan.training, told.plan.answering, told.plan.memory)
    if any(estimate.value is not None for estimate in measured):
        training, answering, memory = (estimate.value for estimate in measured)
        times = [NOTHING if seconds is None else duration(seconds) for seconds in (training, answering)]
        table.add_row("as measured", NOTHING, *times, NOTHING if memory is None else f"{_gib(memory)} GiB")
    return table


def _fits(told: Forecast, machine: Machine) -> str:
    wrong = ["training"] if told.tokens and not machine.training_fits else []
    wrong += [] if machine.answering_fits else ["answering"]
    return f"too small for {' and '.join(wrong)}" if wrong else "fits"


def _notes(told: Forecast) -> Iterator[str]:
    yield f"Parameters: exact, from {told.model.source}."
    yield f"Tokens: {told.counted}."
    if told.model.alone:
        yield f"Packing: {told.model.alone}."
    if told.model.misread:
        yield f"Pictures: {told.model.misread}."
    yield (
        f"Time: hardware is assumed to reach {UTILISATION:.0%} of its peak in arithmetic and memory bandwidth; reading "
        "pictures and grading are not counted, and answers are taken to be as long as they may get."
    )
    if told.tokens and not all(machine.training_fits for machine in told.machines):
        yield f"Where training does not fit: {SMALLER}."
    if not all(machine.answering_fits for machine in told.machines):
        yield "Where answering does not fit: lower --answer-batch."
    measured = {"training": told.plan.training, "answering": told.plan.answering, "memory": told.plan.memory}
    found = [f"{name}: {estimate.basis}" for name, estimate in measured.items() if estimate.basis]
    yield f"Measured: {'; '.join(found) or 'no run of this model in the folder of runs'}."


def duration(seconds: float) -> str:
    """Seconds in the unit that a reader would choose."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _gib(count: float) -> str:
    return f"{count / GIB:.2f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        words = column in ("What it is", "How many", "Memory") or place == 0
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    return table
