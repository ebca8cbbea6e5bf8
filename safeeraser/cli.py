"""The `safeeraser` command. Flags come from `RunConfig`; the work is done in `commands.py`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from safeeraser import __version__, commands, hardware
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
    generate.add_argument(
        "--endpoint", metavar="URL", help="ask a server of the exported model, such as http://localhost:8000/v1"
    )
    generate.add_argument("--endpoint-model", metavar="NAME", help="its name there (default: the only one served)")
    generate.add_argument(
        "--endpoint-workers", metavar="INT", type=int, help="questions under way at once (default: 16)"
    )
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
    _places(sweep)
    _config_flags(sweep, preset_flag="--settings", leave_out=("method", "pd", "seed"))
    _plan(subcommands)

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
    _cache(subcommands)
    _adapters(subcommands)
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


def _adapters(subcommands: Any) -> None:
    """Adapters into a run and out of it."""
    adapter = subcommands.add_parser("adapter", help="import an adapter").add_subparsers(
        required=True, metavar="COMMAND"
    )
    imported = _command(
        adapter,
        "import",
        commands.adapter_import,
        "make a run from a published checkpoint.pt (LoRA and projector tensors by name)",
        "safeeraser adapter import checkpoint.pt --model llava-hf/llava-1.5-7b-hf --data path/to/SafeEraser "
        "--preset paper --method po --pd --lora-alpha 256",
    )
    imported.add_argument("file", type=Path, help="a state dict saved by torch; rank and projector are read from it")
    _config_flags(imported, leave_out=("lora_rank", "train_projector"))
    _name_flags(imported)
    export = _command(
        subcommands,
        "export",
        commands.export,
        "merge a run's adapter into its base model, with a model card; transformers, vLLM and SGLang load it",
        "safeeraser export demo-po-pd-s0-1a2b3c --out my-model",
    )
    export.add_argument("run", help="a run's name or folder")
    export.add_argument("--out", type=Path, help="an empty or new folder (default: exports/ and the run's name)")


def _cache(subcommands: Any) -> None:
    """`cache` alone lists; below it `clear`."""
    cache = _command(
        subcommands, "cache", commands.cache_list, "list what is kept on disk to save time", "safeeraser cache --json"
    )
    cache.add_argument("--json", action="store_true", help="print the list as JSON")
    clear = _command(
        cache.add_subparsers(metavar="COMMAND"),
        "clear",
        commands.cache_clear,
        "empty the caches; what is needed again is computed again",
        "safeeraser cache clear",
    )
    clear.add_argument("--json", action="store_true", help="print what was freed as JSON")


def _plan(subcommands: Any) -> None:
    plan = _command(
        subcommands,
        "plan",
        commands.plan,
        "parameters, memory, tokens, steps and time of a run, before anything is loaded",
        "safeeraser plan --preset paper --model llava-hf/llava-1.5-7b-hf --method kl --official-size --hardware h100",
    )
    plan.add_argument("--hardware", help=f"one of {', '.join(hardware.NAMES)} (default: all of them)")
    plan.add_argument("--gpus", type=_positive, default=1, metavar="INT", help="how many of them share the work")
    plan.add_argument(
        "--official-size", action="store_true", help="take the numbers of the official data set, which need not be here"
    )
    plan.add_argument("--json", action="store_true", help="print all of it as JSON")
    _config_flags(plan)


def _places(sweep: argparse.ArgumentParser) -> None:
    """Where a sweep's runs go, and what they ask of a cluster."""
    sweep.add_argument(
        "--on",
        choices=("here", "queue", "slurm"),
        default="here",
        help="run here and now, as processes in this machine's queue (safeeraser jobs), or as jobs of a Slurm cluster",
    )
    sweep.add_argument("--slurm-partition", metavar="NAME", help="with --on slurm: the partition")
    sweep.add_argument("--slurm-account", metavar="NAME", help="with --on slurm: the account")
    sweep.add_argument("--gpus", type=int, metavar="INT", help="with --on slurm: GPUs of each run (default: 1)")
    sweep.add_argument("--hours", type=float, metavar="FLOAT", help="with --on slurm: of each job (default: 24)")
    sweep.add_argument(
        "--slurm-parameter",
        type=_setting,
        action="append",
        metavar="KEY=VALUE",
        help="with --on slurm: a parameter of sbatch, such as constraint=a100; can be given several times",
    )


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    return key.lstrip("-"), value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


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
