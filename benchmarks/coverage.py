"""Measures how often the 95 % intervals cover the truth, and how often the test rejects a true null, on made answers.

Example: python benchmarks/coverage.py --out benchmarks/coverage.json

A simulation draws each picture's own rate from a beta distribution with the rate as its mean and the intra-class
correlation (ICC) as the correlation of two answers about one picture, and then its answers. `coverage` is the share of
simulations whose interval holds the rate; `too_few` the share that `intervals.too_few` marks: a cell is marked where
that is more than half. `bootstrap` is the coverage of the percentile bootstrap by picture. For the tests, two runs
answer the same pictures with the same rates, each picture's own drawn apart, so that a rejection is an error; `mcnemar`
takes every answer as independent. Not measured: scores other than 0 and 1, pictures with unlike numbers of answers.
"""

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from safeeraser.score.intervals import SEED, effective, interval, too_few
from safeeraser.score.significance import sign_flip

PICTURES, ANSWERS, CORRELATIONS, RATES = (12, 24, 96), (4, 16), (0.0, 0.3, 0.7), (0.02, 0.1, 0.3, 0.5, 0.9)
WANTED = 0.93, 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description="How often intervals cover the truth, and tests reject a true null.")
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell")
    parser.add_argument("--tests", type=int, default=1000, help="simulations of each test")
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    cells = [cell(rng, *of, options.simulations) for of in itertools.product(PICTURES, ANSWERS, CORRELATIONS, RATES)]
    print(
        "pictures x answers, ICC | coverage at rates " + ", ".join(map(str, RATES)) + "; * is marked too few pictures"
    )
    for of, row in itertools.groupby(cells, key=lambda one: (one["pictures"], one["answers"], one["icc"])):
        shown = (f"{one['coverage']:.3f}{'*' if one['too_few'] > 0.5 else ' '}" for one in row)
        print("{} x {}, {} | {}".format(*of, "  ".join(shown)))
    outside = [one for one in cells if one["too_few"] <= 0.5 and not WANTED[0] <= one["coverage"] <= WANTED[1]]
    print(f"{len(outside)} of {len(cells)} cells are outside {WANTED} and not marked: {outside}")
    tests = [rejected(rng, icc, options.tests) for icc in CORRELATIONS]
    for row in tests:
        print(row)
    if options.out:
        facts = {"command": "python benchmarks/coverage.py", "date": time.strftime("%Y-%m-%d", time.gmtime())}
        facts |= {"simulations": options.simulations, "tests": options.tests}
        options.out.write_text(json.dumps(facts | {"cells": cells, "rejections": tests}, indent=1) + "\n")


def drawn(rng: np.random.Generator, pictures: int, answers: int, icc: float, rate: float) -> np.ndarray:
    """Answers, [pictures, answers], 0 or 1."""
    scale = (1 - icc) / icc if icc else None
    own = rng.beta(rate * scale, (1 - rate) * scale, pictures) if scale else np.full(pictures, rate)
    return (rng.random((pictures, answers)) < own[:, None]).astype(float)


def cell(
    rng: np.random.Generator, pictures: int, answers: int, icc: float, rate: float, simulations: int
) -> dict[str, Any]:
    """How often the interval covers this rate, and how often the bootstrap by picture does."""
    units = np.repeat(np.arange(pictures).astype(str), answers).tolist()
    covered, marked, boot = 0, 0, 0
    for _ in range(simulations):
        values = drawn(rng, pictures, answers, icc, rate)
        scores = values.ravel().tolist()
        low, high = interval(scores, units)
        covered += low is not None and high is not None and low <= rate <= high
        marked += too_few(float(values.mean()), effective(scores, units))
        means = values.mean(axis=1)[rng.integers(pictures, size=(400, pictures))].mean(axis=1)
        boot += bool(np.quantile(means, 0.025) <= rate <= np.quantile(means, 0.975))
    shares = {"coverage": covered, "too_few": marked, "bootstrap": boot}
    return {"pictures": pictures, "answers": answers, "icc": icc, "rate": rate} | {
        name: round(count / simulations, 4) for name, count in shares.items()
    }


def rejected(rng: np.random.Generator, icc: float, simulations: int) -> dict[str, Any]:
    """How often two runs of one rate, .3, on 24 pictures with 4 answers are told apart at .05, which is an error."""
    units = np.repeat(np.arange(24).astype(str), 4).tolist()
    by_unit, by_answer = 0, 0  # rejections
    for _ in range(simulations):
        one, other = (drawn(rng, 24, 4, icc, 0.3).ravel() for _ in range(2))
        by_unit += sign_flip((one - other).tolist(), units) < 0.05
        gained, lost = int((one > other).sum()), int((one < other).sum())
        by_answer += int(bool(gained + lost) and float(binomtest(gained, gained + lost).pvalue) < 0.05)
    return {"icc": icc, "sign_flip": round(by_unit / simulations, 4), "mcnemar": round(by_answer / simulations, 4)}


if __name__ == "__main__":
    main()
