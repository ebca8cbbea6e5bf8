"""`safeeraser attack`: how much of what a run forgot comes back under attack, beside its base model."""

import argparse
import json
import time
from collections.abc import Sequence

from rich.table import Table

from safeeraser import stages
from safeeraser.attack import scoring, suite
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, out, printable
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run
from safeeraser.runs.progress import reporter

RECORDS = 24  # a run and its base then take about 90 s of one core in the demo world


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser attack demo-po-pd-s0-1a2b3c --suite standard")
    flags.add_run(parser)
    parser.add_argument("--suite", choices=suite.SUITES, default="standard", help="which attacks (default: standard)")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=(),
        help=f"of these: {', '.join(one.name for one in suite.ATTACKS)}",
    )
    parser.add_argument(
        "--records",
        type=flags.positive,
        metavar="INT",
        default=RECORDS,
        help=f"val records whose questions are asked under each attack (default: {RECORDS})",
    )
    parser.add_argument("--judge", help="who grades (default: the run's own)")
    parser.add_argument(
        "--force", action="store_true", help="throw the run's and its base's answers under attack away first"
    )
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="of the table")
    flags.add_json(parser, "all of it")


def do(options: argparse.Namespace) -> None:
    attacks = suite.chosen(options.suite, options.only)
    run = Run.find(options.run)
    source, judge = running.source_of(run), options.judge or run.config.judge
    stages.check_judge(judge, source)
    both = [run] if run.config == run.config.base() else [run, _base(run, source)]
    _attack(both, source, attacks, judge, options)
    tables = [scoring.outcomes(one, source, judge, attacks) for one in both]
    if options.json:
        print(json.dumps([_facts(one, judge, found) for one, found in zip(both, tables, strict=True)], indent=1))
        return
    lines = scoring.lines(*tables)
    caption = scoring.caption(run, source, judge, tables[0])
    if options.format == "markdown":
        print(printable(scoring.as_markdown(lines, caption)))
    else:
        out.print(_table(run, lines, caption))


def _base(run: Run, source: Source) -> Run:
    """The base model's run, made first if it is not there."""
    return run.base if run.base.done else _finished(run, source)


def _finished(run: Run, source: Source) -> Run:
    base = stages.open_run(run.config.base(), source)
    running.finish(base, source)
    return base


def _attack(
    runs: Sequence[Run], source: Source, attacks: Sequence[suite.Attack], judge: str, options: argparse.Namespace
) -> None:
    """Ask and grade what is missing, of both runs."""
    from safeeraser.attack import attacking  # loads a model library

    start = time.monotonic()
    asked = 0
    for run in runs:
        if options.force:
            attacking.forget(run)
        err.print(f"{run.name}: under attack")
        with reporter(err) as progress:
            asked += attacking.attack(run, source, attacks, records=options.records, judge=judge, progress=progress)
    err.print(f"asked {asked:,} questions in {time.monotonic() - start:.0f} s")


def _facts(run: Run, judge: str, found: Sequence[scoring.Outcome]) -> dict:
    return {
        **stages.identity(run),
        "judge": judge,
        "decoding": stages.decoding(run.config, run.rows(run.attacks)),
        "attacks": [one.as_dict() for one in found],
    }


def _table(run: Run, lines: Sequence[Sequence[str]], caption: str) -> Table:
    from rich.box import SIMPLE_HEAD

    table = Table(
        title=f"{run.name} under attack", caption=caption, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False
    )
    for number, name in enumerate(lines[0]):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in lines[1:]:
        table.add_row(*line)
    return table
