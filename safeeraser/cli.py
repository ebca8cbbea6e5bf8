"""The `safeeraser` command. Flags come from `RunConfig`; the work is done in `commands.py`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from safeeraser import __version__, commands
from safeeraser.config import PRESETS, RunConfig
from safeeraser.errors import SafeEraserError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt as stop:
        commands.err.print(f"stopped: {str(stop) or 'the same command goes on from here'}", markup=False)
        return 130
    except SafeEraserError as error:
        commands.err.print(f"error: {error}", markup=False)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safeeraser", description="Unlearning in multimodal models, and its over-forgetting."
    )
    parser.add_argument("--version", action="version", version=f"safeeraser {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(
        subcommands,
        "run",
        commands.run,
        "unlearn, answer, judge and score; then the table beside the base model",
        "safeeraser run --method gd --no-pd",
    )
    _config_flags(run)
    _name_flags(run)
    unlearn = _command(
        subcommands,
        "unlearn",
        commands.unlearn,
        "train a run's adapter only",
        "safeeraser unlearn --method ga --max-steps 100",
    )
    _config_flags(unlearn)
    _name_flags(unlearn)
    generate = _command(
        subcommands,
        "generate",
        commands.generate,
        "write the answers of a run",
        "safeeraser generate demo-po-pd-s0-1a2b3c",
    )
    generate.add_argument("run", help="a run's name or folder")
    judge = _command(
        subcommands,
        "judge",
        commands.judge,
        "grade the answers of a run",
        "safeeraser judge demo-po-pd-s0-1a2b3c --judge rules",
    )
    judge.add_argument("run", help="a run's name or folder")
    judge.add_argument("--judge", help="demo or rules (default: the run's own)")
    score = _command(
        subcommands,
        "score",
        commands.score,
        "the scores of runs, as a table or as JSON",
        "safeeraser score demo-base-s0-1a2b3c demo-po-pd-s0-1a2b3c --json",
    )
    score.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder")
    score.add_argument("--judge", help="whose verdicts to score (default: each run's own)")
    score.add_argument("--json", action="store_true", help="print the score rows as JSON")
    sweep = _command(
        subcommands,
        "sweep",
        commands.sweep,
        "several methods and seeds, one table",
        "safeeraser sweep --preset paper --seeds 0 1 2",
    )
    sweep.add_argument(
        "--preset",
        dest="sweep",
        choices=commands.SWEEPS,
        default="paper",
        help="which methods: paper is the base and GA, GD, KL, PO without and with PD",
    )
    sweep.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of every method for each seed")
    sweep.add_argument(
        "--format",
        choices=("text", "markdown", "csv"),
        help="of the table (default: by --output, else text)",
    )
    sweep.add_argument("--output", type=Path, help="write the table to this .md or .csv file")
    _config_flags(sweep, preset_flag="--settings", leave_out=("method", "pd", "seed"))

    _jobs(subcommands)
    data = subcommands.add_parser("data", help="check a data set, import answers").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = _command(
        data,
        "check",
        commands.data_check,
        "report on a data set; exit status 1 only if it cannot be used",
        "safeeraser data check path/to/SafeEraser --json",
    )
    check.add_argument("folder", type=Path, help="a folder in the official SafeEraser layout")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    imported = _command(
        data,
        "import",
        commands.data_import,
        "make a run from a prediction file of the published inference script",
        "safeeraser data import predictions.json --data path/to/SafeEraser --model llava-1.5-7b --judge rules",
    )
    imported.add_argument("file", type=Path, help="the prediction file")
    imported.add_argument("--split", choices=("train", "val"), help="of the file's records (default: found by itself)")
    _config_flags(imported)
    _name_flags(imported)
    demo = subcommands.add_parser("demo", help="the demo world").add_subparsers(required=True, metavar="COMMAND")
    build = _command(
        demo,
        "build",
        commands.demo_build,
        "train the demo world's base model anew",
        "safeeraser demo build --folder my-demo-model --seed 1",
    )
    build.add_argument("--folder", type=Path, default=Path("demo-model"), help="where the checkpoint goes")
    build.add_argument("--seed", type=int, default=0)
    return parser


def _jobs(subcommands: Any) -> None:
    """`jobs` alone lists; below it what can be done to a run that is a process of its own."""
    jobs = _command(
        subcommands, "jobs", commands.jobs_list, "list the runs; launch, cancel or resume one", "safeeraser jobs --json"
    )
    jobs.add_argument("--json", action="store_true", help="print the list as JSON")
    actions = jobs.add_subparsers(metavar="COMMAND")
    launch = _command(
        actions,
        "launch",
        commands.jobs_launch,
        "start a run in the background, or queue it behind the one on its device",
        "safeeraser jobs launch --method gd --no-pd",
    )
    _config_flags(launch, leave_out=("device",))
    launch.add_argument("--device", default="auto", help="cpu, cuda:0, ... (default: the GPU with the shortest queue)")
    _name_flags(launch)
    cancel = _command(
        actions,
        "cancel",
        commands.jobs_cancel,
        "stop a run at its next step, with a checkpoint; or take it out of the queue",
        "safeeraser jobs cancel demo-po-pd-s0-1a2b3c",
    )
    cancel.add_argument("run", help="a run's name")
    cancel.add_argument("--force", action="store_true", help="kill it at once")
    resume = _command(
        actions,
        "resume",
        commands.jobs_resume,
        "continue a stopped run in the background from its last checkpoint",
        "safeeraser jobs resume demo-po-pd-s0-1a2b3c",
    )
    resume.add_argument("run", help="a run's name")


def _command(group: Any, name: str, command: Callable, help: str, example: str) -> argparse.ArgumentParser:
    parser = group.add_parser(
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
        if NoneType in get_args(field.annotation) and field.default is not None:
            off = {"dest": name, "action": "store_const", "const": None, "default": argparse.SUPPRESS}
            parser.add_argument("--no-" + name.replace("_", "-"), help=f"no --{name.replace('_', '-')}", **off)


def _name_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="a name of your own for the run (default: made from its settings)")
    parser.add_argument("--force", action="store_true", help="throw an existing run of that name away first")
