"""Two runs on one metric, by their answers to the same questions, and a test of the difference.

Not covered: the metrics of one run (`measuring.py`), how verdicts changed from the base model (`change.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from safeeraser.data.records import VQA
from safeeraser.score.significance import sign_flip
from safeeraser.score.units import Units

Scores = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Difference:
    """The means of two runs, 0 to 1, over the n answers of which both have a score; p: `significance.sign_flip`."""

    n: int
    a: float
    b: float
    p: float
    unit: str


def difference(a: Scores, b: Scores, items: Mapping[str, VQA]) -> Difference | None:
    """a, b: `measuring.answer_scores` of one metric; items: the whole data set by id. None without a common answer."""
    both = sorted(a.keys() & b.keys())
    if not both:
        return None
    units = Units(items.values())
    p = sign_flip([b[key] - a[key] for key in both], [units.of(items[id]) for id, _ in both])
    return Difference(len(both), mean(a[key] for key in both), mean(b[key] for key in both), p, units.name)
