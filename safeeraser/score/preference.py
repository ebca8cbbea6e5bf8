"""Who wins in the arena: each run's share of votes, and what Bradley-Terry makes of all pairs together.

evalica is imported by the functions that use it: it is slow.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from safeeraser.score.intervals import LEVEL, SEED, interval
from safeeraser.score.votes import VOTES, Vote

RESAMPLES = 1000
# One tie more in each pair than was voted: without it, a run that never lost would be infinitely strong.
PRIOR = 1.0


@dataclass(frozen=True)
class Standing:
    """A run in the arena. n: its votes, about so many questions; won, lost and the two kinds of tie are counts.

    share: of its votes, a tie is half a win; low, high: its 95 % interval, votes on one question taken together.
    rating: how often it would be preferred to each of the others, in the mean, by Bradley-Terry; rating_low,
    rating_high: its 95 % interval by resampling questions, None for a single one. tags: how often each was given.
    """

    run: str
    n: int
    questions: int
    won: int
    lost: int
    both_fine: int
    both_bad: int
    share: float
    low: float | None
    high: float | None
    rating: float
    rating_low: float | None
    rating_high: float | None
    tags: dict[str, int]


def groups(votes: Iterable[Vote]) -> list[list[Vote]]:
    """The votes that compare: on one data set, between runs that met each other, be it by way of others."""
    found: list[tuple[str, set[str], list[Vote]]] = []
    for vote in votes:
        runs = {vote.left, vote.right}
        near = [group for group in found if group[0] == vote.data and group[1] & runs]
        joined = (vote.data, runs.union(*(group[1] for group in near)), [one for group in near for one in group[2]])
        joined[2].append(vote)
        found = [group for group in found if group not in near] + [joined]
    return [of_group for *_, of_group in found]


def standings(votes: Sequence[Vote]) -> list[Standing]:
    """The runs that were voted on, the best first; votes: of one of `groups`."""
    runs = sorted({run for vote in votes for run in (vote.left, vote.right)})
    ratings = _ratings(votes, runs) if votes else []
    found = [_standing(run, votes, rating) for run, rating in zip(runs, ratings, strict=True)]
    return sorted(found, key=lambda one: (-one.rating, one.run))


def _standing(run: str, votes: Iterable[Vote], rating: tuple[float, float | None, float | None]) -> Standing:
    own = [vote for vote in votes if run in (vote.left, vote.right)]
    scores = [VOTES[vote.vote] if vote.left == run else 1 - VOTES[vote.vote] for vote in own]
    asked = [vote.asked for vote in own]
    kinds = Counter(vote.vote for vote in own)
    tags = Counter(tag for vote in own for tag in (vote.left_tags if vote.left == run else vote.right_tags))
    return Standing(
        run,
        len(own),
        len(set(asked)),
        scores.count(1.0),
        scores.count(0.0),
        kinds["both fine"],
        kinds["both bad"],
        float(np.mean(scores)),
        *interval(scores, asked),
        *rating,
        dict(tags.most_common()),
    )


def _ratings(votes: Sequence[Vote], runs: Sequence[str]) -> list[tuple[float, float | None, float | None]]:
    """Of each run the rating and its interval."""
    pairs = list(combinations(runs, 2))
    asked = sorted({vote.asked for vote in votes})
    counts = np.zeros((len(asked), len(pairs), 3))  # of each question and pair: won by the first, by the second, ties
    places, columns = {name: place for place, name in enumerate(asked)}, {pair: n for n, pair in enumerate(pairs)}
    for vote in votes:
        first = min(vote.left, vote.right)
        score = VOTES[vote.vote] if vote.left == first else 1 - VOTES[vote.vote]
        kind = {1.0: 0, 0.0: 1, 0.5: 2}[score]
        counts[places[vote.asked], columns[first, max(vote.left, vote.right)], kind] += 1
    played = np.asarray(counts.any(axis=(0, 2)))
    values = _bradley_terry(counts.sum(0), pairs, runs, played)
    if len(asked) < 2:
        return [(value, None, None) for value in values]
    rng = np.random.default_rng(SEED)
    drawn = [rng.multinomial(len(asked), np.full(len(asked), 1 / len(asked))) for _ in range(RESAMPLES)]
    resampled = [_bradley_terry(np.tensordot(often, counts, 1), pairs, runs, played) for often in drawn]
    low, high = np.quantile(resampled, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return list(zip(values, low.tolist(), high.tolist(), strict=True))


def _bradley_terry(
    counts: np.ndarray, pairs: Sequence[tuple[str, str]], runs: Sequence[str], played: np.ndarray
) -> list[float]:
    """counts: [pairs, 3] -> how often each run would be preferred to each of the others, in the mean."""
    from evalica import Winner, bradley_terry, pairwise_frame

    kinds = (Winner.X, Winner.Y, Winner.Draw)
    weighted = counts + played[:, None] * (0, 0, PRIOR)
    rows = [(*pairs[pair], kinds[kind], weighted[pair, kind]) for pair, kind in zip(*np.nonzero(weighted), strict=True)]
    first, second, winners, weights = zip(*rows, strict=True)
    scores = bradley_terry(first, second, winners, weights=list(weights), limit=1000).scores
    beats = pairwise_frame(scores).loc[list(runs), list(runs)].to_numpy()
    return ((beats.sum(1) - beats.diagonal()) / (len(runs) - 1)).tolist()
