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


def area(high: Sequence[float], low: Sequence[float]) -> tuple[float, float, float]:
    """The area under the ROC curve of scores that should be high against others that should be low; its 95 % interval.

    It is the share of pairs, one of each, in which the first scores higher; ties count one half (Hanley, McNeil 1982,
    "The meaning and use of the area under a receiver operating characteristic curve"). The interval is Newcombe's
    (2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic", part 2, method 5),
    which holds at 0 and 1 too. Scores are independent of each other: means of units. Raises ValueError for none.
    """
    above, below = _checked(high), _checked(low)
    difference = above[:, None] - below[None, :]
    found = float(np.mean(np.where(abs(difference) < EQUAL, 0.5, difference > 0)))
    from scipy.optimize import brentq
    from scipy.stats import norm

    pairs, half = len(above) * len(below), (len(above) + len(below)) / 2 - 1
    quantile = float(norm.ppf((1 + LEVEL) / 2))

    def beyond(true: float) -> float:
        """How much further than chance allows the area found lies from the true one."""
        spread = true * (1 - true) * (1 + half * ((1 - true) / (2 - true) + true / (1 + true))) / pairs
        return abs(found - true) - quantile * spread**0.5

    root: Any = brentq  # of scipy's many results the plain one
    low_end = root(beyond, 0, min(found, 1 - EQUAL)) if found > 0 else 0.0
    high_end = root(beyond, max(found, EQUAL), 1) if found < 1 else 1.0
    return found, float(low_end), float(high_end)


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
