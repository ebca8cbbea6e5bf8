"""How far a judge can be trusted: its verdicts beside people's labels, or another judge's, of the same answers.

Not covered: keeping labels (`labels.py`), drawing what is to be labelled (`outcomes.draw`), what two judges said
(`two_judges.py`).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from safeeraser.score.intervals import interval, resample
from safeeraser.score.labels import Label, fingerprint

# (first, second): the order of the counts in `Agreement` and of the arguments of `_kappa`.
_CELLS = ((True, True), (True, False), (False, True), (False, False))

UNKNOWN = "–"
Interval = tuple[float, float] | tuple[None, None]


@dataclass(frozen=True)
class Agreement:
    """A judge and people, or two judges, on one check: the 2x2 table, observed agreement, Cohen's kappa, intervals.

    n: answers with a verdict on both sides, the sum of the four counts. unscored: answers without one on either side.
    observed: the share of n on which both say the same. Unknown values are None.
    """

    n: int
    unscored: int
    both_true: int
    first_only: int
    second_only: int
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


def agreement(pairs: Sequence[tuple[bool | None, bool | None]], units: Sequence[str]) -> Agreement:
    """How far two sides agree. pairs: what each said of every answer, a judge first and people second, or two judges;
    units: the picture or thing (`units.Units`) that each answer is about.

    kappa = (p_o - p_e) / (1 - p_e), p_o the observed agreement and p_e the one expected by chance from how often each
    side says true (Cohen 1960, "A coefficient of agreement for nominal scales"). None when p_e is 1: both say one and
    the same word only, and chance alone agrees. Its interval is a percentile bootstrap, resampled by unit like
    `intervals.interval`, over the resamples that have a kappa; None, None where that has no width (a single unit, or
    no disagreement at all: then the interval of `observed` says how much is known).
    Raises ValueError when pairs and units differ in length.
    """
    scored = [(pair, unit) for pair, unit in zip(pairs, units, strict=True) if None not in pair]
    cells, where = [pair for pair, _ in scored], [unit for _, unit in scored]
    table = np.array([[pair == cell for pair in cells] for cell in _CELLS], dtype=float)
    both_true, first_only, second_only, both_false = (int(count) for count in table.sum(axis=1))
    same = [float(first == second) for first, second in cells]
    observed_low, observed_high = interval(same, where) if same else (None, None)
    kappa = float(_kappa(*table.sum(axis=1))) if same else math.nan
    kappa_low, kappa_high = (None, None) if math.isnan(kappa) else _resampled(_kappa, table, where)
    return Agreement(
        n=len(scored),
        unscored=len(pairs) - len(scored),
        both_true=both_true,
        first_only=first_only,
        second_only=second_only,
        both_false=both_false,
        observed=float(np.mean(same)) if same else None,
        observed_low=observed_low,
        observed_high=observed_high,
        kappa=None if math.isnan(kappa) else kappa,
        kappa_low=kappa_low,
        kappa_high=kappa_high,
    )


def written(value: float | None, low: float | None, high: float | None, *, scale: float = 1, digits: int = 1) -> str:
    """A number with its interval, as "60.0 [48.1, 70.9]"; a dash for what is unknown."""
    if value is None:
        return UNKNOWN
    text = f"{scale * value:.{digits}f}"
    return text if low is None or high is None else f"{text} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def cells(found: Agreement) -> dict[str, str | int]:
    """The columns of a table of agreements: n, without a verdict, agreement in percent, kappa, with intervals."""
    return {
        "n": found.n,
        "No verdict": found.unscored,
        "Same verdict (%)": written(found.observed, found.observed_low, found.observed_high, scale=100),
        "Cohen's kappa": written(found.kappa, found.kappa_low, found.kappa_high, digits=2),
    }


def corrected_rate(
    judged: Sequence[bool | None], labelled: Sequence[bool | None], units: Sequence[str]
) -> CorrectedRate | None:
    """The rate at which people would say true over all answers: the judge's rate plus its mean error on the labelled.

    judged: the judge's verdict on every answer. labelled: people's, None for an answer without a label. units: what
    each answer is about. The estimate is mean(judge) over all answers + mean(human - judge) over the labelled ones: the
    difference estimator, or prediction-powered inference (Angelopoulos et al. 2023, "Prediction-powered inference",
    Science 382). It is right only if the labelled answers were drawn at random from all of them: by `outcomes.draw`
    without stratify, not picked by outcome or by eye.

    The interval is a percentile bootstrap, resampled by unit, clipped to 0 and 1. When the error is the same on all
    labelled answers a bootstrap would take it for certain: then the judge's own interval is widened on both sides by
    the exact bound on the share of answers with another error, with the labelled units as trials. None, None when
    the labels are about a single unit. None altogether when no answer has both a verdict and a label.
    Raises ValueError when the three differ in length.
    """
    scored = [
        (float(judge), None if human is None else float(human) - judge, unit)
        for judge, human, unit in zip(judged, labelled, units, strict=True)
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
    """Of (judge, human - judge or None, unit) for every answer with a verdict."""
    errors = {error for _, error, _ in scored if error is not None}
    labelled_units = {unit for _, error, unit in scored if error is not None}
    units = [unit for _, _, unit in scored]
    if len(labelled_units) < 2:
        return None, None
    if len(errors) == 1:
        low, high = interval([judge for judge, _, _ in scored], units)
        from scipy.stats import binomtest

        unseen = float(binomtest(0, len(labelled_units)).proportion_ci(0.95, method="exact").high)
        (error,) = errors
        return (None, None) if low is None or high is None else (low + error - unseen, high + error + unseen)
    columns = np.array([(judge, 1, error or 0, error is not None) for judge, error, _ in scored], dtype=float).T
    return _resampled(_corrected, columns, units)


def _majority(labels: Sequence[Label]) -> bool | None:
    verdicts = [label.verdict for label in labels]
    more = verdicts.count(True) - verdicts.count(False)
    return None if more == 0 else more > 0


def _kappa(both: np.ndarray, first_only: np.ndarray, second_only: np.ndarray, neither: np.ndarray) -> np.ndarray:
    """Cohen's kappa of counts of any shape; NaN where it is undefined."""
    n = both + first_only + second_only + neither
    first, second = both + first_only, both + second_only
    expected = first * second + (n - first) * (n - second)
    with np.errstate(invalid="ignore"):
        return ((both + neither) * n - expected) / (n * n - expected)


def _corrected(judge: np.ndarray, n: np.ndarray, error: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """The corrected rate of sums of any shape; NaN where a resample has no label."""
    with np.errstate(invalid="ignore"):
        return judge / n + error / labelled


def _resampled(statistic: Callable[..., np.ndarray], columns: np.ndarray, units: Sequence[str]) -> Interval:
    """The 95 % percentile interval of a statistic of the columns' sums, [columns, answers], resampled by unit.

    Resamples in which the statistic is undefined are left out. None, None when it comes out the same in all.
    """
    _, unit = np.unique(units, return_inverse=True)
    sums = [np.bincount(unit, weights=column) for column in columns]
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
