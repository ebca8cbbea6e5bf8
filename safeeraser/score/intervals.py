"""Intervals of means over answers, resampled by picture. SciPy is imported by the functions that use it: it is slow."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
BATCH = 250  # resamples at a time: 3,000 pictures then need some 20 MB instead of 150
SEED = 233


def interval(scores: Sequence[float], pictures: Sequence[str]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean score, resampled by picture: answers about one picture stand or fall together.

    Percentile bootstrap, 2,000 resamples, seeded. When all answers agree on 0 or 1 a bootstrap has no width: then
    Clopper-Pearson's exact interval with the pictures as trials. None, None for a single picture whose answers differ.
    """
    values = np.asarray(scores, dtype=float)
    _, picture = np.unique(pictures, return_inverse=True)
    sums, counts = np.bincount(picture, weights=values), np.bincount(picture)
    if values.min() == values.max() and values[0] in (0.0, 1.0):
        from scipy.stats import binomtest

        trials = len(counts)
        exact = binomtest(int(values[0]) * trials, trials).proportion_ci(0.95, method="exact")
        return float(exact.low), float(exact.high)
    if len(counts) < 2:
        return None, None
    resampled = resample(lambda sums, counts: sums / counts, (sums, counts)).confidence_interval
    return float(resampled.low), float(resampled.high)


def resample(statistic: Callable[..., np.ndarray], columns: Sequence[np.ndarray]) -> Any:
    """SciPy's percentile bootstrap of a statistic of the columns' sums; columns: arrays with one entry a picture."""
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
