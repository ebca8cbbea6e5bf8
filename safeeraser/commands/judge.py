"""`safeeraser judge`: grading the answers of a run."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, say
from safeeraser.data.rows import VerdictRow
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.judge import grading, measured, rubric
from safeeraser.judge.chat import AT_ONCE, ChatJudge
from safeeraser.judge.contract import Forecast, Judge, JudgeError
from safeeraser.judge.guard import STRICT, named
from safeeraser.judge.guards import CONTROVERSIAL
from safeeraser.judge.rules import RulesJudge
from safeeraser.runs.folder import Run

OF_CHAT = ("with_picture", "rubrics", "workers")


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(
        parser, do, "safeeraser judge demo-po-pd-s0-1a2b3c --judge chat:gpt-4o --price-in 2.5 --price-out 10"
    )
    flags.add_run(parser)
    parser.add_argument("--judge", help="demo, rules, guard:MODEL or chat:MODEL (default: the run's own)")
    parser.add_argument(
        "--controversial",
        choices=CONTROVERSIAL,
        help=f"what a guard's Controversial counts as (default: {STRICT}); stands in the judge's name",
    )
    parser.add_argument("--again", action="store_true", help="also ask again what the judge could not decide before")
    chat = parser.add_argument_group(
        "a judge behind an endpoint", "chat:MODEL asks OPENAI_BASE_URL (default: OpenAI's) with OPENAI_API_KEY"
    )
    chat.add_argument("--with-picture", action="store_true", help="show it the pictures too")
    chat.add_argument("--rubrics", type=Path, metavar="FOLDER", help="rubrics of your own instead of ours, one a check")
    chat.add_argument("--workers", type=flags.positive, metavar="INT", help=f"requests at once (default: {AT_ONCE})")
    chat.add_argument("--price-in", type=_price, metavar="USD", help="price of a million tokens that are sent")
    chat.add_argument("--price-out", type=_price, metavar="USD", help="price of a million tokens that come back")
    chat.add_argument("--yes", action="store_true", help="do not ask before anything is spent")


def do(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    source = running.source_of(run)
    judge = _judge(options, run, source)
    stages.judge(run, source, judge, agree=_asking(options), again=options.again)
    rows = run.rows(run.verdicts)
    say(f"verdicts: {run.verdicts} ({len(rows)} rows)")
    if undecided := _undecided(rows, judge) if isinstance(judge, ChatJudge) else 0:
        say(f"undecided: {undecided:,} (each row says why; --again asks once more)")
    if judge.name.startswith("guard:"):
        row = named(judge.name.removeprefix("guard:")).guard
        say(f"The row {row.name} was written from the model's card and not tried on its weights; open: {row.untried}.")
    for sentence in measured.of_rules().values() if judge.name == RulesJudge.name else ():
        say(sentence)


def _judge(options: argparse.Namespace, run: Run, source: Source) -> Judge:
    """The judge that the flags name. Raises JudgeError for a flag that this judge does not have."""
    name = options.judge or run.config.judge
    if options.controversial:
        name = f"{name}+controversial={options.controversial}"
    judge = grading.get(name, source.dataset.refusals)
    if isinstance(judge, ChatJudge):
        return replace(
            judge,
            picture=judge.picture or options.with_picture,
            rubrics=rubric.read(options.rubrics),
            at_once=options.workers or AT_ONCE,
        )
    if given := [name for name in OF_CHAT if getattr(options, name)]:
        raise JudgeError(f"--{given[0].replace('_', '-')} is for --judge chat:MODEL, not for {judge.name}")
    return judge


def _undecided(rows: Sequence[VerdictRow], judge: Judge) -> int:
    """How many checks that the judge answers have no verdict; the last row on an answer's check counts."""
    asked = (row for row in rows if row["judge"] == judge.name and row["check"] in judge.checks)
    last = {(row["id"], row["sample"], row["check"]): row["verdict"] for row in asked}
    return sum(verdict is None for verdict in last.values())


def _asking(options: argparse.Namespace) -> Callable[[Forecast], bool]:
    """Says what grading would take, and asks the person at the terminal whether to go on."""

    def agree(forecast: Forecast) -> bool:
        say(_told(forecast, options.price_in, options.price_out))
        if options.yes:
            return True
        if not sys.stdin.isatty():
            raise SafeEraserError("nobody is here to agree to this; give --yes to go on without being asked")
        err.print("Go on? [y/N] ", end="")
        return input().strip().lower() in ("y", "yes")

    return agree


def _told(forecast: Forecast, price_in: float | None, price_out: float | None) -> str:
    said = (
        f"{forecast.calls:,} requests to {forecast.host}, the self-test among them: about {forecast.tokens_in:,} "
        f"tokens there and at most {forecast.tokens_out:,} back"
    )
    if price_in is None or price_out is None:
        return f"{said}; with --price-in and --price-out (USD per million tokens) this says what they cost"
    return f"{said}, about {forecast.price(million_in=price_in, million_out=price_out):,.2f} USD"


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not (0 <= price < math.inf):
        raise argparse.ArgumentTypeError(f"must be a price in USD, got {text!r}")
    return price
