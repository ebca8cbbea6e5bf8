"""Intervals of means over answers that go together: those about one picture or, in the demo world, one thing.

What goes together is called a unit here. SciPy is imported by the functions that use it: it is slow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
BATCH = 250  # resamples at a time: 3,000 pictures then need some 20 MB instead of 150
SEED = 233
# Below so many effective answers on the rarer side an interval covers less than it says (`benchmarks/coverage.py`).
FEWEST = 8
EQUAL = 1e-9  # scores that differ by less are one score


def interval(scores: Sequence[float], units: Sequence[str]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean of scores from 0 to 1, where answers about one unit stand or fall together.

    Wilson's interval (Wilson 1927, "Probable inference, the law of succession, and statistical inference") with the
    effective number of answers and, for the variance is itself estimated from the units, quantiles of Student's t. When
    all answers agree on 0 or 1, Clopper-Pearson's exact interval with the units as trials. None, None for a single unit
    whose mean is neither. How often it covers the truth is measured by `benchmarks/coverage.py`.
    """
    values = _checked(scores)
    count, mean = len(set(units)), float(values.mean())
    if mean in (0.0, 1.0):
        from scipy.stats import binomtest

        exact = binomtest(int(mean) * count, count).proportion_ci(LEVEL, method="exact")
        return float(exact.low), float(exact.high)
    worth = effective(scores, units)
    if worth is None or count < 2:
        return None, None
    from scipy.stats import t

    square = float(t.ppf((1 + LEVEL) / 2, count - 1)) ** 2 / worth
    centre, half = mean + square / 2, (square * (mean * (1 - mean) + square / 4)) ** 0.5
    return max((centre - half) / (1 + square), 0.0), min((centre + half) / (1 + square), 1.0)


def effective(scores: Sequence[float], units: Sequence[str]) -> float | None:
    """How many independent answers with this mean would know it as well: p (1 - p) over the variance of the mean.

    The variance is that of the units' sums around their share of the mean, but no less than a quarter of what answers
    taken one by one would have: units whose sums agree by chance know no more. The number of units when all answers
    have one score, where no variance is seen; None for a single unit whose answers differ. Scores that agree but for
    little, such as ROUGE-L's, can be worth more than their number. Raises ValueError for scores outside 0 to 1.
    """
    values = _checked(scores)
    _, unit = np.unique(units, return_inverse=True)
    sums, counts = np.bincount(unit, weights=values), np.bincount(unit)
    mean, many = float(values.mean()), len(counts)
    if np.ptp(values) < EQUAL:
        return float(many)
    if many < 2:
        return None
    variance = float(((sums - mean * counts) ** 2).sum()) / len(values) ** 2 * many / (many - 1)
    alone = float(values.var(ddof=1)) / len(values)
    return mean * (1 - mean) / max(variance, alone / 4)


def _checked(scores: Sequence[float]) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    if not len(values) or not np.all((values >= -EQUAL) & (values <= 1 + EQUAL)):
        raise ValueError("an interval needs scores, each from 0 to 1")
    return np.clip(values, 0, 1)


def too_few(mean: float, worth: float | None) -> bool:
    """Whether the interval of a mean, of so many effective answers, covers the truth less often than it says."""
    return mean not in (0.0, 1.0) and (worth is None or min(mean, 1 - mean) * worth < FEWEST)


def resample(statistic: Callable[..., np.ndarray], columns: Sequence[np.ndarray]) -> Any:
    """SciPy's percentile bootstrap of a statistic of the columns' sums; columns: arrays with one entry a unit."""
    from scipy.stats import bootstrap

    return bootstrap(
        columns,
        lambda *drawn, axis: statistic(*(one.sum(axis) for one in drawn)),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(SEED),
    )
