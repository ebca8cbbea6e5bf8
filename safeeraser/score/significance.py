"""Whether two runs differ: a test by unit (picture or thing), and Holm's correction where several are compared."""

from collections.abc import Sequence

import numpy as np

EXACT = 14  # units whose sums differ, up to which all signs are tried: 16,384
DRAWS = 20_000
BATCH = 1_000  # draws at a time
SEED = 233


def sign_flip(differences: Sequence[float], units: Sequence[str]) -> float:
    """The two-sided p of the mean difference between two runs' answers to the same questions.

    differences: of each question, the one run's score less the other's. If the runs do not differ, the sum of a unit's
    differences is as likely to have the other sign: their total is compared with that of all choices of signs, or, of
    many units, of 20,000 seeded draws (Fisher 1935, "The design of experiments"). Answers about one unit are flipped
    together, so they need not be independent, as they must be for McNemar's test.
    """
    if not np.all(np.isfinite(differences)):
        raise ValueError("a difference is no number")
    _, unit = np.unique(units, return_inverse=True)
    sums = np.bincount(unit, weights=np.asarray(differences, dtype=float))
    sums = sums[np.abs(sums) > 1e-12]
    if not len(sums):
        return 1.0
    total = abs(sums.sum()) - 1e-9
    if len(sums) <= EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1)
        return float(np.mean(np.abs(signs @ sums) >= total))
    rng = np.random.default_rng(SEED)
    beyond = sum(
        int((np.abs(rng.choice((-1.0, 1.0), size=(BATCH, len(sums))) @ sums) >= total).sum())
        for _ in range(DRAWS // BATCH)
    )
    return (1 + beyond) / (1 + DRAWS)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values corrected for their number, in their order (Holm 1979, "A simple sequentially rejective ...")."""
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected
