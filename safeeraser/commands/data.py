"""`safeeraser data`: what is wrong with a data set; data sets and answers that come from elsewhere."""

import argparse
import json
from pathlib import Path
from typing import Any

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, out, say
from safeeraser.config import BASE, ConfigError, RunConfig
from safeeraser.data import converting, health, predictions, report
from safeeraser.data.records import NO_TARGETS
from safeeraser.data.source import folder
from safeeraser.runs.folder import RunError
from safeeraser.runs.progress import reporter

# The settings that answering a data set has.
ANSWERING = {
    *("model", "data", "precision", "quantization", "device", "workers", "feature_cache"),
    *("system_prompt", "max_length", "max_new_tokens", "answer_batch", "engine"),
}


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
    _add_convert(actions)
    _add_targets(actions)
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


def _add_convert(actions: Any) -> None:
    convert = flags.below(
        actions,
        "convert",
        _convert,
        "write a data set of pairs of pictures in the official SafeEraser layout",
        "safeeraser data convert plain path/to/pairs path/to/data",
    )
    of = "; ".join(f"{name}: {layout.what}" for name, layout in converting.FORMATS.items())
    convert.add_argument("format", choices=converting.FORMATS, metavar="FORMAT", help=of)
    convert.add_argument("source", type=Path, metavar="SOURCE", help="the folder to read")
    convert.add_argument("out", type=Path, metavar="OUT", help="the folder to write: a new or an empty one")
    convert.add_argument(
        "--val", type=_share, default=0.2, help="share of the pictures that is held out (default: 0.2)"
    )
    convert.add_argument("--dev", type=_share, default=0.0, help="share to choose settings on (default: 0)")
    convert.add_argument("--seed", type=int, default=0, help="draws which pictures are held out (default: 0)")


def _add_targets(actions: Any) -> None:
    targets = flags.below(
        actions,
        "targets",
        _targets,
        "copy a data set with a model's own answers as forget, retain and decouple targets",
        "safeeraser data targets --model llava-hf/llava-1.5-7b-hf --preset paper --data path/to/data --out path/to/own",
    )
    targets.add_argument("--out", type=Path, required=True, help="the folder to write: a new or an empty one")
    targets.add_argument(
        "--leave-out",
        type=_kinds,
        default=(),
        metavar="KINDS",
        help=f"answers that do not become targets, with commas: {', '.join(NO_TARGETS)} (default: all do)",
    )
    flags.add_settings(targets, leave_out=tuple(RunConfig.model_fields.keys() - ANSWERING))


def _kinds(text: str) -> tuple[str, ...]:
    """Kinds of answers, with commas between them."""
    kinds = tuple(filter(None, map(str.strip, text.split(","))))
    if unknown := [kind for kind in kinds if kind not in NO_TARGETS]:
        raise argparse.ArgumentTypeError(f"unknown kind {unknown[0]!r}; known: {', '.join(NO_TARGETS)}")
    return kinds


def _targets(options: argparse.Namespace) -> None:
    from safeeraser.generate import targets  # large

    with reporter(err) as progress:
        made = targets.make(
            flags.config(options, method=BASE), options.out, leave_out=options.leave_out, progress=progress
        )
    say(f"data set: {options.out}\n{report.whose(made)}")


def _share(text: str) -> float:
    """A share of at least 0 and below 1."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"must be a share of at least 0 and below 1, got {text!r}")
    return share


def _convert(options: argparse.Namespace) -> None:
    found = converting.convert(
        options.format, options.source, options.out, seed=options.seed, val=options.val, dev=options.dev
    )
    for note in found.notes:
        err.print(f"note: {note}")
    if found.stock_retain:
        err.print(
            f"note: the source has no harmless questions; {len(converting.RETAIN)} plain ones are asked in their place"
        )
    records = ", ".join(f"{count:,} {split}" for split, count in found.records.items())
    wrote = [f"records: {records}; questions: {found.questions:,}"] if found.records else []
    wrote += [f"harmless questions to evaluate with: {found.harmless:,}"] if found.harmless else []
    say(f"data set: {options.out} ({'; '.join(wrote)})")
    if found.unanswered:
        say(f"{found.unanswered:,} questions have no answer yet; next: safeeraser data targets --data {options.out}")
    if not found.records:
        say(f"nothing is forgotten on it; next: safeeraser run --method base --judge rules --data {options.out}")


def _check(options: argparse.Namespace) -> int:
    found = health.check(folder(options.folder))
    if options.json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        found.render(out)
    return 0 if found.usable else 1


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
