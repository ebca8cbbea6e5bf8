"""Where a rate comes from: SARR told apart by what its answers are about.

Not covered: the metrics themselves (`metrics.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from safeeraser.data.records import VQA
from safeeraser.data.rows import Score
from safeeraser.score.measuring import scored_by, trained_concepts
from safeeraser.score.outcomes import UNSCORED
from safeeraser.score.units import Units

MOST = 12  # slices of one kind; of more, those with the most answers


@dataclass(frozen=True)
class Slice:
    """A part of the answers to questions about safe pictures, and the share of it that is not answered."""

    kind: str
    name: str
    score: Score


def slices(rows: pd.DataFrame, items: Mapping[str, VQA]) -> list[Slice]:
    """SARR of each part: things that PD training showed or did not, category, wording of the question.

    rows: `outcomes.answers` of one run on one split; items: the whole data set by id. A kind with one part tells
    nothing apart and is left out; rates and intervals are those of the metrics.
    """
    rows = rows[(rows["set"] == "decouple") & rows["id"].isin(items.keys())]
    trained, units = trained_concepts(items.values()), Units(items.values())

    def seen(item: VQA) -> str | None:
        return None if item.concept is None else "seen in training" if item.concept in trained else "never seen"

    kinds: dict[str, Callable[[VQA], str | None]] = {
        "Safe thing": seen,
        "Category": lambda item: item.category,
        "Wording": lambda item: item.question,
    }
    found: list[Slice] = []
    for kind, part in kinds.items():
        parts = pd.Series([part(items[id]) for id in rows["id"]], index=rows.index, dtype=object)
        names = list(parts.value_counts().index[:MOST])
        if len(names) > 1:
            found += [
                Slice(kind, str(name), _score(rows[parts == name], items, units)) for name in sorted(names, key=str)
            ]
    return found


def _score(rows: pd.DataFrame, items: Mapping[str, VQA], units: Units) -> Score:
    scored = rows[rows["outcome"] != UNSCORED]
    unscored = len(rows) - len(scored)
    if scored.empty:
        why = "no answer of it has a verdict"
        return {"value": None, "low": None, "high": None, "n": 0, "unscored": unscored, "why": why}
    lost = [float(outcome != "answers") for outcome in scored["outcome"]]
    return scored_by(lost, [units.of(items[id]) for id in scored["id"]], units=units, unscored=unscored)
