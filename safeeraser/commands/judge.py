"""`safeeraser judge`: grading the answers of a run."""

import argparse

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import say
from safeeraser.judge import grading, measured
from safeeraser.judge.guard import STRICT, named
from safeeraser.judge.guards import CONTROVERSIAL
from safeeraser.judge.rules import RulesJudge
from safeeraser.runs.folder import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser judge demo-po-pd-s0-1a2b3c --judge rules")
    flags.add_run(parser)
    parser.add_argument("--judge", help="demo, rules or guard:MODEL (default: the run's own)")
    parser.add_argument(
        "--controversial",
        choices=CONTROVERSIAL,
        help=f"what a guard's Controversial counts as (default: {STRICT}); stands in the judge's name",
    )


def do(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    judge = options.judge or run.config.judge
    if options.controversial:
        judge = grading.get(f"{judge}+controversial={options.controversial}").name
    stages.judge(run, running.source_of(run), judge)
    say(f"verdicts: {run.verdicts} ({len(run.rows(run.verdicts))} rows)")
    if judge.startswith("guard:"):
        row = named(judge.removeprefix("guard:")).guard
        say(f"The row {row.name} was written from the model's card and not tried on its weights; open: {row.untried}.")
    for sentence in measured.of_rules().values() if judge == RulesJudge.name else ():
        say(sentence)
