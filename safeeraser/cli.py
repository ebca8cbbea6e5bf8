"""The `safeeraser` command. Flags come from `RunConfig`; the work is done by `stages.py`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import track as rich_track

from safeeraser import __version__, tables
from safeeraser.config import PRESETS, ConfigError, RunConfig
from safeeraser.data.records import DataError
from safeeraser.judges import JudgeError
from safeeraser.losses import METHODS
from safeeraser.runs import Run, RunError

SWEEPS: dict[str, list[dict[str, Any]]] = {
    "paper": [{"method": method, "pd": pd} for method in METHODS for pd in (False, True)],
}

# Piped output keeps its columns whatever the terminal is.
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt as stop:
        err.print(f"stopped: {str(stop) or 'the same command goes on from here'}", markup=False)
        return 130
    except _expected_errors() as error:
        err.print(f"error: {error}", markup=False)
        return 1


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a user can mend. The errors of the model stages are known only once these stages are loaded."""
    known: list[type[Exception]] = [ConfigError, DataError, RunError, JudgeError]
    for module, name in (("safeeraser.train", "TrainError"), ("safeeraser.models", "ModelError")):
        if module in sys.modules:
            known.append(getattr(sys.modules[module], name))
    return tuple(known)


# --- commands


def _run(options: argparse.Namespace) -> None:
    from safeeraser import stages

    config, source = _config(options), _source(options)
    if not config.trains:
        _show([_finish(stages.open_run(config, source, name=options.name, force=options.force), source)])
        return
    base = _finish(stages.open_run(config.base(), source), source)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    _show([base, _finish(run, source)])


def _unlearn(options: argparse.Namespace) -> None:
    from safeeraser import stages

    config, source = _config(options), _source(options)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    with _progress() as progress:
        stages.unlearn(run, source, progress)
    out.print(f"adapter: {run.adapter}", highlight=False)


def _generate(options: argparse.Namespace) -> None:
    from safeeraser import stages

    run = Run.find(options.run)
    with _progress() as progress:
        stages.generate(run, _run_source(run), progress)
    out.print(f"answers: {run.answers} ({len(run.rows(run.answers))} rows)", highlight=False)


def _judge(options: argparse.Namespace) -> None:
    from safeeraser import stages

    run = Run.find(options.run)
    stages.judge(run, _run_source(run), options.judge or run.config.judge)
    out.print(f"verdicts: {run.verdicts} ({len(run.rows(run.verdicts))} rows)", highlight=False)


def _score(options: argparse.Namespace) -> None:
    from safeeraser import stages

    runs = [Run.find(name) for name in options.runs]
    sources = {name: _source_of(name) for name in dict.fromkeys(run.config.data for run in runs)}
    rows = []
    for run in runs:
        source, judge = sources[run.config.data], options.judge or run.config.judge
        if source.hash != run.facts["data_hash"]:
            err.print(f"note: {run.name} was made on other data than {run.config.data} holds now", highlight=False)
        rows.append(stages.score(run, source, judge))
        if judge == run.config.judge and rows[-1] != run.scores:
            stages.finish(run, rows[-1])
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _show(rows)


def _sweep(options: argparse.Namespace) -> None:
    from safeeraser import stages

    source, rows = _source(options), {}
    for seed in options.seeds:
        for variant in SWEEPS[options.sweep]:
            config = _config(options, **variant, seed=seed)
            for one in (config.base(), config):
                run = stages.open_run(one, source)
                if run.name not in rows:
                    rows[run.name] = _finish(run, source)
    _show(list(rows.values()), options.format, options.output)


def _data_check(options: argparse.Namespace) -> int:
    from safeeraser.data import health

    report = health.check(options.folder)
    if options.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        report.render(out)
    return 0 if report.usable else 1


def _data_import(options: argparse.Namespace) -> None:
    from safeeraser import stages
    from safeeraser.data import predictions

    config, source = _config(options), _source(options)
    rows = predictions.read(options.file, source.dataset, split=options.split)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    if run.answers.exists():
        raise RunError(f"{run.folder} has answers already; choose another --name or add --force")
    run.append(run.answers, rows)
    out.print(f"answers: {run.answers} ({len(rows)} rows); next: safeeraser judge {run.name}", highlight=False)


def _demo_build(options: argparse.Namespace) -> None:
    from safeeraser import demo_model

    if options.folder.exists() and any(options.folder.iterdir()):
        raise ConfigError(f"--folder {options.folder} is not empty; choose another or empty it first")
    demo_model.build(options.folder, seed=options.seed)
    out.print(f"model: {options.folder}", highlight=False)


# --- what commands share


def _config(options: argparse.Namespace, **settings: Any) -> RunConfig:
    given = {name: getattr(options, name) for name in RunConfig.model_fields if hasattr(options, name)}
    return RunConfig.create(options.preset, **{**given, **settings})


def _source(options: argparse.Namespace) -> Any:
    return _source_of(_config(options).data)


def _source_of(name: str) -> Any:
    from safeeraser import stages

    return stages.Source(name, track=_track)


def _run_source(run: Run) -> Any:
    source = _source_of(run.config.data)
    if source.hash != run.facts["data_hash"]:
        raise RunError(f"{run.name} was made on other data than {run.config.data} holds now")
    return source


def _track(plan: list) -> Any:
    return rich_track(plan, description="drawing the demo world", console=err, disable=not err.is_terminal)


def _finish(run: Run, source: Any) -> dict[str, Any]:
    """The run's score row: read if it is finished, computed if not."""
    from safeeraser import stages

    if run.scores is not None and run.state["status"] == "done":
        err.print(f"{run.name}: finished already", highlight=False)
        return run.scores
    err.print(f"{run.name}: {run.folder}", highlight=False)
    with _progress() as progress:
        return stages.run_all(run, source, progress)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
        disable=not err.is_terminal,
    )


def _show(rows: list[dict[str, Any]], form: str = "text", output: Path | None = None) -> None:
    if form == "text" and output is None:
        for table in tables.as_text(rows):
            out.print(table)
        return
    text = {"markdown": tables.as_markdown, "csv": tables.as_csv}[form](rows)
    if output is None:
        print(text)
    else:
        output.write_text(text, encoding="utf-8")
        out.print(f"table: {output}", highlight=False)


# --- flags


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safeeraser", description="Unlearning in multimodal models, and its over-forgetting."
    )
    parser.add_argument("--version", action="version", version=f"safeeraser {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(
        commands,
        "run",
        _run,
        "unlearn, answer, judge and score; then the table beside the base model",
        "safeeraser run --method gd --no-pd",
    )
    _config_flags(run)
    _name_flags(run)
    unlearn = _command(
        commands, "unlearn", _unlearn, "train a run's adapter only", "safeeraser unlearn --method ga --max-steps 100"
    )
    _config_flags(unlearn)
    _name_flags(unlearn)
    generate = _command(
        commands, "generate", _generate, "write the answers of a run", "safeeraser generate demo-po-pd-s0-1a2b3c"
    )
    generate.add_argument("run", help="a run's name or folder")
    judge = _command(
        commands, "judge", _judge, "grade the answers of a run", "safeeraser judge demo-po-pd-s0-1a2b3c --judge rules"
    )
    judge.add_argument("run", help="a run's name or folder")
    judge.add_argument("--judge", help="demo or rules (default: the run's own)")
    score = _command(
        commands,
        "score",
        _score,
        "the scores of runs, as a table or as JSON",
        "safeeraser score demo-base-s0-1a2b3c demo-po-pd-s0-1a2b3c --json",
    )
    score.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder")
    score.add_argument("--judge", help="whose verdicts to score (default: each run's own)")
    score.add_argument("--json", action="store_true", help="print the score rows as JSON")
    sweep = _command(
        commands,
        "sweep",
        _sweep,
        "several methods and seeds, one table",
        "safeeraser sweep --preset paper --seeds 0 1 2",
    )
    sweep.add_argument(
        "--preset",
        dest="sweep",
        choices=SWEEPS,
        default="paper",
        help="which methods: paper is the base and GA, GD, KL, PO without and with PD",
    )
    sweep.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of every method for each seed")
    sweep.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="of the table")
    sweep.add_argument("--output", type=Path, help="write the table to this file (needs --format markdown or csv)")
    _config_flags(sweep, preset_flag="--settings", leave_out=("method", "pd", "seed"))

    data = commands.add_parser("data", help="check a data set, import answers").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = _command(
        data,
        "check",
        _data_check,
        "report on a data set; exit status 1 only if it cannot be used",
        "safeeraser data check path/to/SafeEraser --json",
    )
    check.add_argument("folder", type=Path, help="a folder in the official SafeEraser layout")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    imported = _command(
        data,
        "import",
        _data_import,
        "make a run from a prediction file of the published inference script",
        "safeeraser data import predictions.json --data path/to/SafeEraser --model llava-1.5-7b --judge rules",
    )
    imported.add_argument("file", type=Path, help="the prediction file")
    imported.add_argument("--split", choices=("train", "val"), help="of the file's records (default: found by itself)")
    _config_flags(imported)
    _name_flags(imported)
    demo = commands.add_parser("demo", help="the demo world").add_subparsers(required=True, metavar="COMMAND")
    build = _command(
        demo,
        "build",
        _demo_build,
        "train the demo world's base model anew",
        "safeeraser demo build --folder my-demo-model --seed 1",
    )
    build.add_argument("--folder", type=Path, default=Path("demo-model"), help="where the checkpoint goes")
    build.add_argument("--seed", type=int, default=0)
    return parser


def _command(commands: Any, name: str, command: Callable, help: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(command=command)
    return parser


def _config_flags(
    parser: argparse.ArgumentParser, *, preset_flag: str = "--preset", leave_out: tuple[str, ...] = ()
) -> None:
    """One flag for each field of RunConfig; only what the user gives overrides the preset."""
    parser.add_argument(preset_flag, dest="preset", choices=PRESETS, default="demo", help="settings to start from")
    for name, field in RunConfig.model_fields.items():
        if name in leave_out:
            continue
        kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
        how: dict[str, Any] = (
            {"type": kinds[0], "metavar": kinds[0].__name__.upper()}
            if isinstance(kinds[0], type)
            else {"choices": kinds}
        )
        if kinds == [bool]:
            how = {"action": argparse.BooleanOptionalAction}
        shown = "" if field.default is None else f" (demo: {field.default})"
        parser.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            default=argparse.SUPPRESS,
            help=f"{field.description}{shown}",
            **how,
        )


def _name_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="a name of your own for the run (default: made from its settings)")
    parser.add_argument("--force", action="store_true", help="throw an existing run of that name away first")
