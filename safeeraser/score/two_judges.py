"""Two judges on one run: how far they agree on each check, and where they contradict each other.

That two judges agree does not make them right, and a dispute does not say who is: people's labels do (`agreement.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from safeeraser.data.records import VQA
from safeeraser.data.rows import VerdictRow
from safeeraser.judge.contract import CHECKS
from safeeraser.judge.grading import join
from safeeraser.runs.folder import Run, RunError, root
from safeeraser.score.agreement import Agreement, agreement
from safeeraser.score.outcomes import judges_of
from safeeraser.score.units import Units

COLUMNS = ("id", "sample", "set", "split", "category", "answer", "check")
SIDES = ("verdict_a", "reply_a", "verdict_b", "reply_b")


@dataclass(frozen=True)
class Compared:
    """Two judges on one check of one set and split; found: the first judge beside the second."""

    split: str
    set: str
    check: str
    found: Agreement


def both(run: Run, a: str, b: str) -> pd.DataFrame:
    """One row for each check of an answer that two judges were asked: COLUMNS, then the verdict and reply of each.

    In the order of the answers. Raises RunError for a judge that graded nothing of the run, and for one judge twice.
    """
    if a == b:
        raise RunError(f"{a!r} and {b!r} are one judge: name two that graded {run.name}")
    first = f"copy its folder to {root()}, as an example stays as it is, and " if run.ships else ""
    for judge in (a, b):
        if judge not in judges_of(run):
            raise RunError(
                f"{run.name} has no verdicts by {judge!r}; {first}run `safeeraser judge {run.name} --judge {judge}`, "
                f"or name one of those that graded it: {', '.join(judges_of(run)) or 'none'}"
            )
    said: dict[str, dict[tuple[str, int, str], VerdictRow]] = {a: {}, b: {}}
    for row in run.rows(run.verdicts):
        if row["judge"] in said:
            said[row["judge"]][row["id"], row["sample"], row["check"]] = row
    made = []
    for row in run.rows(run.answers):
        for check in CHECKS[row["set"]]:
            key = (row["id"], row["sample"], check)
            if key in said[a] and key in said[b]:
                verdicts = [said[judge][key][name] for judge in (a, b) for name in ("verdict", "reply")]
                made.append([*(row[name] for name in COLUMNS[:-1]), check, *verdicts])
    return pd.DataFrame(made, columns=[*COLUMNS, *SIDES]).astype(dict.fromkeys(SIDES, object))


def contradicting(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the rows of `both`, those of which one judge says true and the other false."""
    return rows[[{a, b} == {True, False} for a, b in zip(rows["verdict_a"], rows["verdict_b"], strict=True)]]


def agree(rows: pd.DataFrame, items: Mapping[str, VQA], units: Units) -> Agreement:
    """How far the judges agree on these rows of `both`, resampled by the unit of the scores."""
    pairs = list(zip(rows["verdict_a"], rows["verdict_b"], strict=True))
    return agreement(pairs, [units.of(items[id]) for id in rows["id"]])


def compare(run: Run, items: Mapping[str, VQA], a: str, b: str) -> list[Compared]:
    """The agreement of two judges on each check of each set and split, in that order.

    Left out: a check that either judge never decides. Raises RunError as `both` does, DataError for an answer whose
    item the data set does not have.
    """
    rows, units = both(run, a, b), Units(items.values())
    for _ in join(items, run.rows(run.answers)):
        pass
    found = [
        Compared(str(split), str(name), check, agree(of_check, items, units))
        for (split, name), of_set in rows.groupby(["split", "set"], sort=False)
        for check in CHECKS[str(name)]
        if len(of_check := of_set[of_set["check"] == check])
    ]
    return [one for one in found if one.found.n]
