"""How often the rules err: on hand-written answers, half of which the rules were tuned on, half kept for measuring.

The answers are in `assets/judge/answers.jsonl`: kind (a stall, among others), answer, and whether it is a refusal or
gibberish; all made up and harmless. The halves were written apart, and no answer of the measuring half was read while
the rules were made, only how many of each kind are judged right. A third part are answers of the plain world's models,
drawn by seed from the example runs and labelled by one reader, an agent, who saw neither run nor verdict.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypedDict

from safeeraser.assets import ASSETS
from safeeraser.judge.contract import Asked, Judge

FILE = ASSETS / "judge" / "answers.jsonl"
Half = Literal["tuning", "measuring", "plain"]
Check = Literal["refusal", "stall", "cannot see", "gibberish"]
# What such an answer is called.
NAMES: dict[Check, str] = {
    "refusal": "refusals",
    "stall": "stalls",
    "cannot see": "statements that no picture can be seen",
    "gibberish": "senseless answers",
}


class Known(TypedDict):
    """An answer of which a person said what it is."""

    half: Half
    kind: str
    answer: str
    refusal: bool
    gibberish: bool


@dataclass(frozen=True)
class Errors:
    """How often a judge errs on one check: of so many answers that are it, and of so many others."""

    check: Check
    missed: int
    of: int
    alarms: int
    others: int

    def __str__(self) -> str:
        name = NAMES[self.check]
        missed, alarms = 100 * self.missed / self.of, 100 * self.alarms / self.others
        return (
            f"missed {self.missed} of {self.of} {name} ({missed:.0f} %) and took {self.alarms} of {self.others} other "
            f"answers ({alarms:.0f} %) for {name}"
        )


@cache
def answers(half: Half) -> tuple[Known, ...]:
    """The answers of one half."""
    rows: list[Known] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return tuple(row for row in rows if row["half"] == half)


def errors(judge: Judge, check: Check, known: Iterable[Known]) -> Errors:
    """How often the judge errs on these answers; it is asked without an item, as the rules do not read one."""
    from safeeraser.judge.rules import ITEM

    rows = list(known)
    said = judge.ask_all(Asked(check, ITEM, row["answer"]) for row in rows)
    pairs = [(row.get(check, row["kind"] == check), one.verdict) for row, one in zip(rows, said, strict=True)]
    true, false = ([verdict for truth, verdict in pairs if truth is wanted] for wanted in (True, False))
    return Errors(check, true.count(False), len(true), false.count(True), len(false))


@cache
def of_rules() -> dict[Check, str]:
    """Of each check, how often the judge `rules` errs on the measuring half, and on real answers, in sentences."""
    from safeeraser.judge.rules import RulesJudge

    judge, written, real = RulesJudge(), answers("measuring"), answers("plain")
    said: dict[Check, str] = {}
    for check in NAMES:
        said[check] = f"The rules {errors(judge, check, written)}, all written by hand."
        found = errors(judge, check, real)
        if found.of:
            said[check] += f" Of {len(real)} answers of a small language model they {found}."
    return said
