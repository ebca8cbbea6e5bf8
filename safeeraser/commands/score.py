"""`safeeraser score`: the scores of runs; those that are final are kept in the run."""

import argparse
import json

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, show_scores
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser score demo-base-s0-1a2b3c demo-po-pd-s0-1a2b3c --json")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder")
    parser.add_argument("--judge", help="whose verdicts to score (default: each run's own)")
    parser.add_argument("--paper", action="store_true", help="also the scores as the published code counts them")
    flags.add_json(parser, "the score rows")


def do(options: argparse.Namespace) -> None:
    runs = [Run.find(name) for name in options.runs]
    sources = {name: running.load(name) for name in dict.fromkeys(run.config.data for run in runs)}
    rows = []
    for run in runs:
        source, judge = sources[run.config.data], options.judge or run.config.judge
        rows.append(stages.score(run, source, judge))
        if run.ships or judge != run.config.judge or rows[-1] == run.scores:
            continue
        if why := _not_final(run, source):
            err.print(f"note: {run.name}: {why}; these scores are not kept")
        else:
            stages.finish(run, rows[-1])
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        show_scores(rows, paper=options.paper)


def _not_final(run: Run, source: Source) -> str | None:
    if source.hash != run.facts["data_hash"]:
        return f"it was made on other data than {run.config.data} holds now"
    return stages.unfinished(run, source)
