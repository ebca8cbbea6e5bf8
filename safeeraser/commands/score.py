"""`safeeraser score`: the scores of runs, those that are final are kept in the run; how far two judges agree."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, out, show_scores, table
from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run

if TYPE_CHECKING:
    from safeeraser.score import two_judges


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser score demo-base-s0-1a2b3c demo-po-pd-s0-1a2b3c --json")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder")
    parser.add_argument("--judge", help="whose verdicts to score (default: each run's own)")
    parser.add_argument("--paper", action="store_true", help="also the scores as the published code counts them")
    parser.add_argument(
        "--agreement",
        nargs=2,
        metavar=("JUDGE", "OTHER"),
        help="instead of scores: how far two judges of the same run agree, with Cohen's kappa",
    )
    flags.add_json(parser, "the rows")


def do(options: argparse.Namespace) -> None:
    runs = [Run.find(name) for name in options.runs]
    sources = {name: running.load(name) for name in dict.fromkeys(run.config.data for run in runs)}
    if options.agreement:
        _agree(runs, sources, options.agreement, as_json=options.json)
        return
    rows = [scored(run, sources[run.config.data], options.judge or run.config.judge) for run in runs]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        show_scores(rows, paper=options.paper)


def scored(run: Run, source: Source, judge: str) -> ScoreRow:
    """The run's score row; kept in the run where it is final and by the run's own judge."""
    row = stages.score(run, source, judge)
    if run.ships or judge != run.config.judge or row == run.scores:
        return row
    if why := _not_final(run, source):
        err.print(f"note: {run.name}: {why}; these scores are not kept")
    else:
        stages.finish(run, row)
    return row


def _not_final(run: Run, source: Source) -> str | None:
    if source.hash != run.facts["data_hash"]:
        return f"it was made on other data than {run.config.data} holds now"
    return stages.unfinished(run, source)


def _agree(runs: Sequence[Run], sources: Mapping[str, Source], judges: Sequence[str], *, as_json: bool) -> None:
    """Print how far two judges agree on each run."""
    from safeeraser.score import two_judges  # large

    a, b = judges
    found = {run.name: two_judges.compare(run, sources[run.config.data].items, a, b) for run in runs}
    if as_json:
        rows = [
            {"run": name, "judges": [a, b], "split": one.split, "set": one.set, "check": one.check, **asdict(one.found)}
            for name, compared in found.items()
            for one in compared
        ]
        print(json.dumps(rows, indent=1))
        return
    for name, compared in found.items():
        lines = [_line(one) for one in compared]
        if not lines:
            err.print(f"note: {name}: there is no check that both {a} and {b} decide")
            continue
        made = table(*lines[0])
        made.title = f"{name}: first {a}, second {b}"
        for line in lines:
            made.add_row(*map(str, line.values()))
        made.caption = "95 % intervals, answers about one picture (in the demo world: one thing) taken together"
        out.print(made)


def _line(one: "two_judges.Compared") -> dict[str, str | int]:
    from safeeraser.score import agreement

    found = one.found
    counts = {"Both yes": found.both_true, "Only first": found.first_only, "Only second": found.second_only}
    counts["Both no"] = found.both_false
    asked = {"Split": one.split, "Set": one.set, "Check": one.check}
    return {**asked, **agreement.cells(found), **counts}
