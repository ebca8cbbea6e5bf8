"""`safeeraser data`: what is wrong with a data set; answers of the published inference script as a run."""

import argparse
import json
from pathlib import Path

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import out, say
from safeeraser.config import ConfigError
from safeeraser.data import health, predictions
from safeeraser.data.source import folder
from safeeraser.runs.folder import RunError


def add_flags(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="COMMAND")
    check = flags.below(
        actions,
        "check",
        _check,
        "report on a data set; exit status 1 only if it cannot be used",
        "safeeraser data check path/to/SafeEraser --json",
    )
    check.add_argument("folder", help="'demo', or a folder in the official SafeEraser layout")
    flags.add_json(check, "the report")
    imported = flags.below(
        actions,
        "import",
        _import,
        "make a run from a prediction file of the published inference script",
        "safeeraser data import predictions.json --data path/to/SafeEraser --model llava-1.5-7b --judge rules",
    )
    imported.add_argument("file", type=Path, help="the prediction file")
    imported.add_argument("--split", choices=("train", "val"), help="of the file's records (default: found by itself)")
    flags.add_settings(imported)
    flags.add_name(imported)


def _check(options: argparse.Namespace) -> int:
    report = health.check(folder(options.folder))
    if options.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        report.render(out)
    return 0 if report.usable else 1


def _import(options: argparse.Namespace) -> None:
    if not hasattr(options, "method"):
        raise ConfigError("--method: say which method made the answers (base for none), and --pd or --no-pd")
    config, source = flags.config(options), running.source(options)
    rows = predictions.read(options.file, source.dataset, split=options.split)
    run = stages.open_run(config, source, name=options.name, force=options.force, imported=options.file.name)
    with run.lock():
        if run.rows(run.answers):
            raise RunError(f"{run.folder} has answers already; choose another --name or add --force")
        run.append(run.answers, rows)
        run.set_state("ready", stage="generate")
    say(f"answers: {run.answers} ({len(rows)} rows); next: safeeraser judge {run.name}")
