"""The judges by name, their self-test, and grading a run's answers.

Not covered: turning verdicts into scores (`score/measuring.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, tee

from safeeraser.data.records import VQA, DataError
from safeeraser.data.rows import AnswerRow, VerdictRow
from safeeraser.judge import chat
from safeeraser.judge.contract import CHECKS, Asked, Judge, JudgeError, Verdict
from safeeraser.judge.demo import DemoJudge
from safeeraser.judge.guard import CHOICES, GuardJudge
from safeeraser.judge.rules import RulesJudge


@dataclass(frozen=True)
class Kind:
    """A kind of judges.

    make: one of them, of what stands after the colon of its name ("" for nothing) and a data set's own refusal
        sentences; raises JudgeError for a model that it cannot be made of. It loads nothing.
    models: some that can stand after the colon; empty for a kind of one judge, whose name has no colon.
    """

    make: Callable[[str, Sequence[str]], Judge]
    models: tuple[str, ...] = ()


JUDGES: dict[str, Kind] = {
    "rules": Kind(lambda model, refusals: RulesJudge(refusals)),
    "demo": Kind(lambda model, refusals: DemoJudge()),
    "guard": Kind(lambda model, refusals: GuardJudge(model), CHOICES),
    "chat": Kind(lambda model, refusals: chat.make(model), models=("gpt-4o",)),
}


def known() -> tuple[str, ...]:
    """The names of judges to choose from; kinds with models may take others of them."""
    return tuple(chain.from_iterable(_names(kind) for kind in JUDGES))


def get(name: str, refusals: Sequence[str] = ()) -> Judge:
    """The judge of this name, `KIND` or `KIND:MODEL`; refusals: the data set's own.

    Raises JudgeError, listing the judges, for a name that is none.
    """
    kind, colon, model = name.partition(":")
    if kind not in JUDGES:
        raise JudgeError(f"There is no judge {name!r}. Known judges: {', '.join(known())}.")
    if bool(colon) != bool(JUDGES[kind].models) or bool(colon) != bool(model):
        raise JudgeError(f"There is no judge {name!r}. Known of this kind: {', '.join(_names(kind))}.")
    return JUDGES[kind].make(model, refusals)


def _names(kind: str) -> list[str]:
    return [f"{kind}:{model}" for model in JUDGES[kind].models] or [kind]


def self_test(judge: Judge) -> None:
    """Ask the judge its known cases. Raises JudgeError, naming the case, at the first one it gets wrong."""
    if not judge.known_cases:
        raise JudgeError(f"The judge {judge.name!r} has no known cases, so it cannot be trusted to grade.")
    asked = [Asked(case.check, case.item, case.answer) for case in judge.known_cases]
    for case, said in zip(judge.known_cases, verdicts(judge, asked), strict=True):
        if said.verdict is not case.verdict:
            raise JudgeError(
                f"The judge {judge.name!r} failed its self-test and does not grade: asked {case.check!r} about "
                f"{case.answer!r}, it said {said.verdict} instead of {case.verdict} (its reply: {said.reply!r})."
            )


def verdicts(judge: Judge, asked: Iterable[Asked]) -> Iterator[Verdict]:
    """One verdict for each, in their order, as they come; None for the checks that the judge does not answer."""
    asked, for_judge = tee(asked)
    said = judge.ask_all(one for one in for_judge if one.check in judge.checks)
    for one in asked:
        unasked = Verdict(None, f"the judge {judge.name} does not answer {one.check!r}")
        yield next(said) if one.check in judge.checks else unasked


def grade(
    judge: Judge,
    items: Mapping[str, VQA],
    answers: Iterable[AnswerRow],
    *,
    wanted: Callable[[AnswerRow, str], bool] = lambda row, check: True,
) -> Iterator[VerdictRow]:
    """One verdict row for every answer row and every check of its set, in the order of the answers, as they come.

    wanted: whether a check of an answer is asked, all by default.
    The self-test runs now, not at the first row. Raises JudgeError if it fails, DataError for an answer whose item the
    data set does not have.
    """
    self_test(judge)
    rows, to_ask = tee(
        (item, row, check) for item, row in join(items, answers) for check in CHECKS[item.set] if wanted(row, check)
    )
    said = verdicts(judge, (Asked(check, item, row["answer"]) for item, row, check in to_ask))
    return (_row(judge, check, row, one) for (_, row, check), one in zip(rows, said, strict=True))


def join(items: Mapping[str, VQA], answers: Iterable[AnswerRow]) -> Iterator[tuple[VQA, AnswerRow]]:
    """Each answer row with the item it answers, by id. Raises DataError for an id the data set does not have."""
    for row in answers:
        if row["id"] not in items:
            raise DataError(f"The data set has no item {row['id']!r}: score the run with the data it was made from.")
        yield items[row["id"]], row


def _row(judge: Judge, check: str, row: AnswerRow, said: Verdict) -> VerdictRow:
    """The row of a verdict; that of a look's answer names its step, that of one under attack the attack."""
    made: VerdictRow = {
        "id": row["id"],
        "sample": row["sample"],
        "check": check,
        "verdict": said.verdict,
        "judge": judge.name,
        "reply": said.reply,
    }
    return {**{name: row[name] for name in ("step", "attack") if name in row}, **made}  # pyright: ignore
