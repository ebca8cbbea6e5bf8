"""What a judge is: it answers one check about one answer with true, false or nothing.

A new judge is one class with `name`, `known_cases` and `ask` in a file of its own, and one row in `grading.JUDGES`.
Not covered: asking it about many answers (`grading.py`), turning verdicts into scores (`score/metrics.py`).
"""

from dataclasses import dataclass
from typing import Protocol

from safeeraser.data.records import VQA
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
