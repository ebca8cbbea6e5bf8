"""The sentence about over-forgetting, one part a run: what it does, to how many safe pictures, and how sure that is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from safeeraser.charts.words import percent
from safeeraser.config import RunConfig
from safeeraser.losses import BASE, method_name
from safeeraser.score.counted import Counts


class Part(NamedTuple):
    """`PO refuses` **`384 of 384`** questions about safe pictures, `100 %, 95 % interval 94-100 %`.

    wrong: whether it is the part that shows over-forgetting, and not what it is held against.
    """

    says: str
    number: str
    sure: str
    wrong: bool


ABOUT = "questions about safe pictures"


def part(config: RunConfig, counts: Counts, score: Mapping[str, Any]) -> Part:
    """One run's part. score: the run's SARR, whose interval stands beside the share."""
    lost, of = counts.lost
    share = f"{100 * lost / of:.0f} %" if of else "not asked"
    low, high = percent(score, "low"), percent(score, "high")
    sure = "" if low is None or high is None else f", 95 % interval {low:.0f}–{high:.0f} %"
    says = f"{_name(config)} {_does(config, counts)}"
    return Part(says, f"{lost:,} of {of:,}", f"{share}{sure}", wrong=config.trains and not config.pd)


def _name(config: RunConfig) -> str:
    if config.method == BASE:
        return "The base model"
    return f"{method_name(config.method)}{' with Prompt Decouple' if config.pd else ''}"


def _does(config: RunConfig, counts: Counts) -> str:
    """What the run does where it does not answer: the word for all of it."""
    if counts.safe.get("refuses", 0) == counts.lost[0]:
        return "refuses"
    return "no longer answers" if config.trains else "does not answer"
