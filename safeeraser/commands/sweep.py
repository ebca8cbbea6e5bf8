"""`safeeraser sweep`: several methods and seeds, here, in this machine's queue or on a cluster; then one table."""

import argparse
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import say, show_scores
from safeeraser.config import BASE, PARTS, ConfigError, RunConfig
from safeeraser.data.rows import ScoreRow
from safeeraser.losses import METHODS
from safeeraser.runs import jobs, slurm

Variant = dict[str, Any]  # the settings in which a run of a sweep differs from the others


def _both(methods: Iterable[str]) -> tuple[Variant, ...]:
    """Each method without and with Prompt Decouple."""
    return tuple({"method": method, "pd": pd} for method, pd in product(methods, (False, True)))


# What needs more steps gets them, with PO + PD beside it at the same.
_TWICE = {"epochs": 8.0}
_LONGER = {"vicinal": _TWICE, "sine": _TWICE}
_PARTS: tuple[Variant, ...] = (
    {"method": "po", "pd": True, **_TWICE},
    *({"method": "po", "pd": True, **settings, **_LONGER.get(part, {})} for part, settings in PARTS.items()),
)

# The base model is always the first row.
SWEEPS: dict[str, tuple[Variant, ...]] = {
    "paper": _both(("ga", "gd", "kl", "po")),
    "parts": ({"method": "po", "pd": True}, *_PARTS),
    "all": (
        *({"method": control, "pd": False} for control in ("always-refuse", "keyword-filter")),
        *_both(METHODS),
        *_PARTS,
    ),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser sweep --preset paper --seeds 0 1 2")
    parser.add_argument(
        "--preset",
        dest="sweep",
        choices=SWEEPS,
        help="which methods: paper (the default) is the base and GA, GD, KL, PO without and with PD; parts is PO with "
        "PD and each of what methods can be combined with, the vicinal term and SineProject with twice the steps, as "
        "PO with PD once more; all is every method without and with PD, the controls, and parts. With --rows: only "
        "these, of the settings that the other flags say",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of every method for each seed")
    parser.add_argument(
        "--format", choices=("text", "markdown", "csv"), help="of the table (default: by --output, else text)"
    )
    parser.add_argument(
        "--short", action="store_true", help="one table of what is forgotten, over-forgotten and kept; not as csv"
    )
    parser.add_argument("--output", type=Path, help="write the table to this .md or .csv file")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="run nothing: the table of the score rows in this JSON file"
    )
    _add_places(parser)
    flags.add_settings(parser, preset_flag="--settings", leave_out=("method", "pd", "seed"))


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where a sweep's runs go, and what they ask of a cluster."""
    parser.add_argument(
        "--on",
        choices=("here", "queue", "slurm"),
        default="here",
        help="run here and now, as processes in this machine's queue (safeeraser jobs), or as jobs of a Slurm cluster",
    )
    parser.add_argument("--slurm-partition", metavar="NAME", help="with --on slurm: the partition")
    parser.add_argument("--slurm-account", metavar="NAME", help="with --on slurm: the account")
    parser.add_argument("--gpus", type=int, metavar="INT", help="with --on slurm: GPUs of each run (default: 1)")
    parser.add_argument("--hours", type=float, metavar="FLOAT", help="with --on slurm: of each job (default: 24)")
    parser.add_argument(
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


def do(options: argparse.Namespace) -> int:
    form, resources = _format(options), _resources(options)
    if options.short and form == "csv":
        raise ConfigError("--short has no effect on csv, which has every column; leave it out")
    variants = SWEEPS[options.sweep or "paper"]
    configs = [flags.config(options, **variant | {"seed": seed}) for seed, variant in product(options.seeds, variants)]
    if options.rows:
        rows = _rows(options.rows)
        show_scores(_of(configs, rows) if options.sweep else rows, form, options.output, short=options.short)
        return 0
    source = running.source(options)
    if options.on != "here":
        stages.check_data(configs[0], source)
        _hand_over(configs, resources)
        return 0
    rows, errors = running.finish_all([one for config in configs for one in (config.base(), config)], source)
    show_scores(list(rows.values()), form, options.output, short=options.short)
    return 1 if errors else 0


def _rows(file: Path) -> list[ScoreRow]:
    """The score rows of a file, as `safeeraser score RUN... --json` prints them."""
    try:
        return TypeAdapter(list[ScoreRow]).validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"--rows {file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"{part}: " for part in wrong["loc"])
        said = f"no score rows as `safeeraser score --json` prints them: {place}{wrong['msg']}"
        raise ConfigError(f"--rows {file}: {said}") from None


def _of(configs: list[RunConfig], rows: list[ScoreRow]) -> list[ScoreRow]:
    """The rows of runs with these settings, whatever their seed, and of the base model. Raises ConfigError for none."""
    wanted = {_kind(config) for one in configs for config in (one, one.base())}
    found = [row for row in rows if _kind_of(row) in wanted]
    if not any(row["method"] != BASE for row in found):
        raise ConfigError("--rows: no row is of this --preset and these settings; leave --preset out to see all rows")
    return found


def _kind(config: RunConfig) -> tuple:
    return config.method, config.pd and config.trains, config.parts, config.other_flags()


def _kind_of(row: ScoreRow) -> tuple:
    return row["method"], bool(row["pd"]), tuple(row.get("parts", ())), row.get("settings") or ""


def _hand_over(configs: list[RunConfig], resources: slurm.Resources | None) -> None:
    """Start the runs of a sweep elsewhere, and say what became of each."""
    if resources:
        outcomes = slurm.hand_over(configs, resources)
    else:
        outcomes = {name: jobs.watch(name).status for name in [jobs.launch(config) for config in configs]}
    for name, words in outcomes.items():
        say(f"{name}: {words}")
    say("for the table, give the same command without --on when they are done")


def _resources(options: argparse.Namespace) -> slurm.Resources | None:
    """What the flags ask of Slurm, None unless the sweep goes there."""
    names = ("slurm_partition", "slurm_account", "gpus", "hours", "slurm_parameter")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.on != "slurm":
        if given:
            raise ConfigError(f"--{next(iter(given)).replace('_', '-')} has no effect without --on slurm; leave it out")
        return None
    extra = dict(given.pop("slurm_parameter", []))
    return slurm.Resources(**{name.removeprefix("slurm_"): value for name, value in given.items()}, extra=extra)


def _format(options: argparse.Namespace) -> str:
    """The table's format: as asked for, else by the file's ending; wrong ones are named before any work is done."""
    if options.on != "here" and (options.format or options.output or options.short):
        raise ConfigError(
            f"--format, --output and --short have no effect with --on {options.on}, which prints no table"
        )
    if options.output is None:
        return options.format or "text"
    form = options.format or {".md": "markdown", ".csv": "csv"}.get(options.output.suffix)
    if form not in ("markdown", "csv"):
        raise ConfigError(f"--output {options.output}: add --format markdown or csv, or end the name with .md or .csv")
    if not options.output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no folder {options.output.parent}; make it first")
    return form
