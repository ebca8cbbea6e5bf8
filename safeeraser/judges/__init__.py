"""Judges: each answers one check about one answer with true, false or nothing.

A new judge is one class with `name`, `known_cases` and `ask`, and one row in `JUDGES`.
Not covered: turning verdicts into scores (`metrics.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from safeeraser.data.records import VQA, DataError
from safeeraser.errors import SafeEraserError

# What is asked about an answer, by the set its question belongs to.
CHECKS: dict[str, tuple[str, ...]] = {
    "forget": ("refusal", "unsafe"),
    "decouple": ("normal", "refusal", "gibberish"),
    "retain": ("agreement",),
    "general": ("agreement",),
}


class JudgeError(SafeEraserError):
    """The judge may not grade: it is unknown, or it failed its self-test."""


class UndecidedError(Exception):
    """A judge raises this when it could not decide: the verdict is None, never False. The message becomes the reply."""


@dataclass(frozen=True)
class Verdict:
    """A judge's answer to one check; `verdict` is None when it did not decide. `reply` says why, in its own words."""

    verdict: bool | None
    reply: str


@dataclass(frozen=True)
class KnownCase:
    """One line of a judge's self-test: what the judge must say about this answer."""

    check: str
    item: VQA
    answer: str
    verdict: bool | None


class Judge(Protocol):
    """Grades one answer at a time. The answer is hostile input: it may try to speak for the judge."""

    name: str
    known_cases: tuple[KnownCase, ...]

    def ask(self, check: str, item: VQA, answer: str) -> Verdict:
        """Whether `check` holds for this answer to `item`. Raises UndecidedError when the judge cannot tell."""
        ...


# Below the contract, because the judges import it.
from safeeraser.judges.demo import DemoJudge  # noqa: E402
from safeeraser.judges.rules import RulesJudge  # noqa: E402

JUDGES: dict[str, type[Judge]] = {"rules": RulesJudge, "demo": DemoJudge}


def get(name: str) -> Judge:
    """The judge of this name. Raises JudgeError, listing the known judges, for any other name."""
    if name not in JUDGES:
        raise JudgeError(f"There is no judge {name!r}. Known judges: {', '.join(JUDGES)}.")
    return JUDGES[name]()


def self_test(judge: Judge) -> None:
    """Ask the judge its known cases. Raises JudgeError, naming the case, at the first one it gets wrong."""
    if not judge.known_cases:
        raise JudgeError(f"The judge {judge.name!r} has no known cases, so it cannot be trusted to grade.")
    for case in judge.known_cases:
        said = _ask(judge, case.check, case.item, case.answer)
        if said.verdict is not case.verdict:
            raise JudgeError(
                f"The judge {judge.name!r} failed its self-test and does not grade: asked {case.check!r} about "
                f"{case.answer!r}, it said {said.verdict} instead of {case.verdict} (its reply: {said.reply!r})."
            )


def grade(judge: Judge, items: Mapping[str, VQA], answers: Iterable[dict]) -> Iterator[dict]:
    """One verdict row for every answer row and every check of its set, in the order of the answers.

    The self-test runs now, not at the first row. Raises JudgeError if it fails, DataError for an answer whose item the
    data set does not have.
    """
    self_test(judge)
    return (_row(judge, check, item, row) for item, row in join(items, answers) for check in CHECKS[item.set])


def join(items: Mapping[str, VQA], answers: Iterable[dict]) -> Iterator[tuple[VQA, dict]]:
    """Each answer row with the item it answers, by id. Raises DataError for an id the data set does not have."""
    for row in answers:
        if row["id"] not in items:
            raise DataError(f"The data set has no item {row['id']!r}: score the run with the data it was made from.")
        yield items[row["id"]], row


def _row(judge: Judge, check: str, item: VQA, row: dict) -> dict:
    said = _ask(judge, check, item, row["answer"])
    return {
        "id": row["id"],
        "sample": row["sample"],
        "check": check,
        "verdict": said.verdict,
        "judge": judge.name,
        "reply": said.reply,
    }


def _ask(judge: Judge, check: str, item: VQA, answer: str) -> Verdict:
    try:
        return judge.ask(check, item, answer)
    except UndecidedError as reason:
        return Verdict(None, str(reason))
