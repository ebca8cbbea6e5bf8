"""How far a judge can be trusted: its verdicts beside people's labels of the same answers.

Not covered: keeping labels (`labels.py`), drawing what is to be labelled (`outcomes.draw`).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from safeeraser.score.intervals import interval, resample
from safeeraser.score.labels import Label, fingerprint

# (judge, human): the order of the counts in `Agreement` and of the arguments of `_kappa`.
_CELLS = ((True, True), (True, False), (False, True), (False, False))

Interval = tuple[float, float] | tuple[None, None]


@dataclass(frozen=True)
class Agreement:
    """A judge against people on one check: the 2x2 table, observed agreement and Cohen's kappa, with 95 % intervals.

    n: answers with a verdict on both sides, the sum of the four counts. unscored: answers without one on either side.
    observed: the share of n on which both say the same. Unknown values are None.
    """

    n: int
    unscored: int
    both_true: int
    judge_only: int
    human_only: int
    both_false: int
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


@dataclass(frozen=True)
class CorrectedRate:
    """A judge's rate over all answers, corrected by people's labels of some, 0 to 1, with its 95 % interval.

    judged: the rate as the judge sees it, over n answers with a verdict. labelled: how many of these have a label.
    """

    value: float
    low: float | None
    high: float | None
    judged: float
    n: int
    labelled: int


def labelled(checked: pd.DataFrame, labels: Sequence[Label], *, check: str) -> pd.DataFrame:
    """The rows of `outcomes.checked` with what people said: human, labels, who, note.

    Only labels of this check and of this very text count (`fingerprint`). human: what most of an answer's labels say;
    None without a label, on a tie, or when nobody could tell. labels: how many there are. who, note: of all of them,
    joined. labels come from `labels.of_run`, which holds the latest of each person.
    """
    by_answer: dict[tuple[str, int], list[Label]] = {}
    for label in labels:
        if label.check == check:
            by_answer.setdefault((label.id, label.sample), []).append(label)
    given = [
        [label for label in by_answer.get((id, sample), ()) if label.answer_sha == fingerprint(answer)]
        for id, sample, answer in zip(checked["id"], checked["sample"], checked["answer"], strict=True)
    ]
    return checked.assign(
        human=pd.Series([_majority(of_answer) for of_answer in given], index=checked.index, dtype=object),
        labels=[len(of_answer) for of_answer in given],
        who=[", ".join(label.who for label in of_answer) for of_answer in given],
        note=["\n".join(label.note for label in of_answer if label.note) for of_answer in given],
    )


def disputed(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the rows of `labelled`, those on which the judge and the people contradict each other."""
    contradict = [{judge, human} == {True, False} for judge, human in zip(rows["verdict"], rows["human"], strict=True)]
    return rows.loc[contradict]


def agreement(pairs: Sequence[tuple[bool | None, bool | None]], pictures: Sequence[str]) -> Agreement:
    """How far a judge agrees with people. pairs: (judge, human) for each labelled answer; pictures: what each is about.

    kappa = (p_o - p_e) / (1 - p_e), p_o the observed agreement and p_e the one expected by chance from how often each
    side says true (Cohen 1960, "A coefficient of agreement for nominal scales"). None when p_e is 1: both say one and
    the same word only, and chance alone agrees. Its interval is a percentile bootstrap, resampled by picture like
    `intervals.interval`, over the resamples that have a kappa; None, None where that has no width (a single picture, or
    no disagreement at all: then the interval of `observed` says how much is known).
    Raises ValueError when pairs and pictures differ in length.
    """
    scored = [(pair, picture) for pair, picture in zip(pairs, pictures, strict=True) if None not in pair]
    cells, where = [pair for pair, _ in scored], [picture for _, picture in scored]
    table = np.array([[pair == cell for pair in cells] for cell in _CELLS], dtype=float)
    both_true, judge_only, human_only, both_false = (int(count) for count in table.sum(axis=1))
    same = [float(judge == human) for judge, human in cells]
    observed_low, observed_high = interval(same, where) if same else (None, None)
    kappa = float(_kappa(*table.sum(axis=1))) if same else math.nan
    kappa_low, kappa_high = (None, None) if math.isnan(kappa) else _resampled(_kappa, table, where)
    return Agreement(
        n=len(scored),
        unscored=len(pairs) - len(scored),
        both_true=both_true,
        judge_only=judge_only,
        human_only=human_only,
        both_false=both_false,
        observed=float(np.mean(same)) if same else None,
        observed_low=observed_low,
        observed_high=observed_high,
        kappa=None if math.isnan(kappa) else kappa,
        kappa_low=kappa_low,
        kappa_high=kappa_high,
    )


def corrected_rate(
    judged: Sequence[bool | None], labelled: Sequence[bool | None], pictures: Sequence[str]
) -> CorrectedRate | None:
    """The rate at which people would say true over all answers: the judge's rate plus its mean error on the labelled.

    judged: the judge's verdict on every answer. labelled: people's, None for an answer without a label. pictures: what
    each answer is about. The estimate is mean(judge) over all answers + mean(human - judge) over the labelled ones: the
    difference estimator, or prediction-powered inference (Angelopoulos et al. 2023, "Prediction-powered inference",
    Science 382). It is right only if the labelled answers were drawn at random from all of them: by `outcomes.draw`
    without stratify, not picked by outcome or by eye.

    The interval is a percentile bootstrap, resampled by picture, clipped to 0 and 1. When the error is the same on all
    labelled answers a bootstrap would take it for certain: then the judge's own interval is widened on both sides by
    the exact bound on the share of answers with another error, with the labelled pictures as trials. None, None when
    the labels are about a single picture. None altogether when no answer has both a verdict and a label.
    Raises ValueError when the three differ in length.
    """
    scored = [
        (float(judge), None if human is None else float(human) - judge, picture)
        for judge, human, picture in zip(judged, labelled, pictures, strict=True)
        if judge is not None
    ]
    errors = [error for _, error, _ in scored if error is not None]
    if not errors:
        return None
    rate = float(np.mean([judge for judge, _, _ in scored]))
    low, high = _corrected_interval(scored)
    return CorrectedRate(
        value=_clipped(rate + float(np.mean(errors))),
        low=None if low is None else _clipped(low),
        high=None if high is None else _clipped(high),
        judged=rate,
        n=len(scored),
        labelled=len(errors),
    )


def _clipped(rate: float) -> float:
    return min(max(rate, 0.0), 1.0)


def _corrected_interval(scored: Sequence[tuple[float, float | None, str]]) -> Interval:
    """Of (judge, human - judge or None, picture) for every answer with a verdict."""
    errors = {error for _, error, _ in scored if error is not None}
    labelled_pictures = {picture for _, error, picture in scored if error is not None}
    pictures = [picture for _, _, picture in scored]
    if len(labelled_pictures) < 2:
        return None, None
    if len(errors) == 1:
        low, high = interval([judge for judge, _, _ in scored], pictures)
        from scipy.stats import binomtest

        unseen = float(binomtest(0, len(labelled_pictures)).proportion_ci(0.95, method="exact").high)
        (error,) = errors
        return (None, None) if low is None or high is None else (low + error - unseen, high + error + unseen)
    columns = np.array([(judge, 1, error or 0, error is not None) for judge, error, _ in scored], dtype=float).T
    return _resampled(_corrected, columns, pictures)


def _majority(labels: Sequence[Label]) -> bool | None:
    verdicts = [label.verdict for label in labels]
    more = verdicts.count(True) - verdicts.count(False)
    return None if more == 0 else more > 0


def _kappa(both: np.ndarray, judge_only: np.ndarray, human_only: np.ndarray, neither: np.ndarray) -> np.ndarray:
    """Cohen's kappa of counts of any shape; NaN where it is undefined."""
    n = both + judge_only + human_only + neither
    judge, human = both + judge_only, both + human_only
    expected = judge * human + (n - judge) * (n - human)
    with np.errstate(invalid="ignore"):
        return ((both + neither) * n - expected) / (n * n - expected)


def _corrected(judge: np.ndarray, n: np.ndarray, error: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """The corrected rate of sums of any shape; NaN where a resample has no label."""
    with np.errstate(invalid="ignore"):
        return judge / n + error / labelled


def _resampled(statistic: Callable[..., np.ndarray], columns: np.ndarray, pictures: Sequence[str]) -> Interval:
    """The 95 % percentile interval of a statistic of the columns' sums, [columns, answers], resampled by picture.

    Resamples in which the statistic is undefined are left out. None, None when it comes out the same in all.
    """
    _, picture = np.unique(pictures, return_inverse=True)
    sums = [np.bincount(picture, weights=column) for column in columns]
    if len(sums[0]) < 2:
        return None, None
    from scipy.stats import DegenerateDataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # its own interval is NaN where one resample is
        drawn = resample(statistic, sums).bootstrap_distribution
    known = drawn[~np.isnan(drawn)]
    if not len(known) or known.min() == known.max():
        return None, None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
