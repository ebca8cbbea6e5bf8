"""The judges by name, their self-test, and grading a run's answers.

Not covered: turning verdicts into scores (`score/metrics.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from safeeraser.data.records import VQA, DataError
from safeeraser.data.rows import AnswerRow, VerdictRow
from safeeraser.judge.contract import CHECKS, Judge, JudgeError, UndecidedError, Verdict
from safeeraser.judge.demo import DemoJudge
from safeeraser.judge.rules import RulesJudge

# What makes each judge, of a data set's own refusal sentences.
JUDGES: dict[str, Callable[[Sequence[str]], Judge]] = {"rules": RulesJudge, "demo": lambda refusals: DemoJudge()}


def get(name: str, refusals: Sequence[str] = ()) -> Judge:
    """The judge of this name; refusals: the data set's own. Raises JudgeError, listing the judges, for another name."""
    if name not in JUDGES:
        raise JudgeError(f"There is no judge {name!r}. Known judges: {', '.join(JUDGES)}.")
    return JUDGES[name](refusals)


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


def grade(judge: Judge, items: Mapping[str, VQA], answers: Iterable[AnswerRow]) -> Iterator[VerdictRow]:
    """One verdict row for every answer row and every check of its set, in the order of the answers.

    The self-test runs now, not at the first row. Raises JudgeError if it fails, DataError for an answer whose item the
    data set does not have.
    """
    self_test(judge)
    return (_row(judge, check, item, row) for item, row in join(items, answers) for check in CHECKS[item.set])


def join(items: Mapping[str, VQA], answers: Iterable[AnswerRow]) -> Iterator[tuple[VQA, AnswerRow]]:
    """Each answer row with the item it answers, by id. Raises DataError for an id the data set does not have."""
    for row in answers:
        if row["id"] not in items:
            raise DataError(f"The data set has no item {row['id']!r}: score the run with the data it was made from.")
        yield items[row["id"]], row


def _row(judge: Judge, check: str, item: VQA, row: AnswerRow) -> VerdictRow:
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
