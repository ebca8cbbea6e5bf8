"""Verdicts and answers -> the metrics of a run, with 95 % intervals.

Not covered: what the metrics are (`metrics.py`), showing scores (`tables.py`, `charts/`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from safeeraser.data.records import CATEGORIES, VQA, Split
from safeeraser.data.rows import AnswerRow, Score, VerdictRow
from safeeraser.judge.grading import join
from safeeraser.score.answered import Answered
from safeeraser.score.intervals import area, effective, interval
from safeeraser.score.metrics import METRICS, PAPER, Metric, main
from safeeraser.score.units import Units


def trained_concepts(items: Iterable[VQA]) -> frozenset[str | None]:
    """What the safe pictures of train show: the concepts that Prompt Decouple sees. items: the whole data set's."""
    return frozenset(item.concept for item in items if item.set == "decouple" and item.split == "train")


def metrics(
    *,
    answers: Iterable[AnswerRow],
    verdicts: Iterable[VerdictRow],
    items: Mapping[str, VQA],
    judge: str,
    only: frozenset[str] | None = None,
    names: Iterable[str] | None = None,
) -> dict[str, Score]:
    """The metrics of a run by one judge: {NAME: `data.rows.Score`}.

    items: the whole data set by id. only: count answers to these ids alone (the clean val, for example). names: which,
    all by default.
    Verdicts of other judges are ignored. `n` counts scored answers, `unscored` answers without a verdict. Several
    samples of a question count as more answers about the same picture.
    Raises DataError for an answer whose item the data set does not have.
    """
    answered = _answered(answers, verdicts, items, judge)
    kept = [one for one in answered if only is None or one.item.id in only]
    units = Units(items.values())
    return {name: _measure(METRICS[name], kept, judge, units) for name in (METRICS if names is None else names)}


def by_category(
    *, answers: Iterable[AnswerRow], verdicts: Iterable[VerdictRow], items: Mapping[str, VQA], judge: str
) -> dict[str, dict[str, Score]]:
    """The metrics of `main` that have a value, for each category that occurs: {NAME: {CATEGORY: as in `metrics`}}."""
    groups: dict[str, list[Answered]] = {category: [] for category in CATEGORIES}
    for one in _answered(answers, verdicts, items, judge):
        if one.item.category in groups:
            groups[one.item.category].append(one)
    units = Units(items.values())
    measured = {
        name: {category: _measure(METRICS[name], group, judge, units) for category, group in groups.items()}
        for name in main()
    }
    return {
        name: {category: score for category, score in scores.items() if score["n"] or score["unscored"]}
        for name, scores in measured.items()
        if any(score["n"] for score in scores.values())
    }


def answer_scores(
    name: str,
    *,
    answers: Iterable[AnswerRow],
    verdicts: Iterable[VerdictRow],
    items: Mapping[str, VQA],
    judge: str,
) -> dict[tuple[str, int], float]:
    """What each answer that the metric counts scores, 0 to 1, by id and sample; answers without a verdict are left out.

    items: the whole data set by id. Empty for a metric that this judge does not give, and for one without a mean.
    """
    metric = METRICS[name]
    if metric.against or not _gives(metric, judge):
        return {}
    asked = (one for one in _answered(answers, verdicts, items, judge) if _asks(metric, one))
    return {one.key: float(score) for one in asked if (score := metric.score(one)) is not None}


def _gives(metric: Metric, judge: str) -> bool:
    return metric.judge in ("any", "none", judge if judge in ("demo", "rules") else "outside")


def held_out(split: Split) -> bool:
    """Whether nothing of the split is trained on."""
    return split != "train"


def _of_set(metric: Metric, item: VQA) -> bool:
    return item.set == metric.set and held_out(item.split) == held_out(metric.split)


def _asks(metric: Metric, one: Answered) -> bool:
    return _of_set(metric, one.item) and (metric.seen is None or one.seen == metric.seen)


def _answered(
    answers: Iterable[AnswerRow], verdicts: Iterable[VerdictRow], items: Mapping[str, VQA], judge: str
) -> list[Answered]:
    said: dict[tuple[str, int], dict[str, bool | None]] = {}
    for row in verdicts:
        if row["judge"] != judge:
            continue
        said.setdefault((row["id"], row["sample"]), {})[row["check"]] = row["verdict"]
    trained = trained_concepts(items.values())
    decided = frozenset(check for held in said.values() for check, verdict in held.items() if verdict is not None)
    return [
        Answered(
            item,
            row["answer"],
            said.get((row["id"], row["sample"]), {}),
            seen=None if item.concept is None else item.concept in trained,
            sample=row["sample"],
            decided=decided,
        )
        for item, row in join(items, answers)
    ]


def _measure(metric: Metric, answered: Sequence[Answered], judge: str, units: Units) -> Score:
    asked = [one for one in answered if _of_set(metric, one.item)]
    if not _gives(metric, judge):
        return _unknown(metric.otherwise, unscored=len(asked))
    if not asked:
        return _unknown(f"no answers on {metric.split} {metric.set}")
    if metric.seen is not None and all(one.seen is None for one in asked):
        return _unknown("the data set does not name what its safe pictures show", unscored=len(asked))
    asked = [one for one in asked if metric.seen in (None, one.seen)]
    if not asked:
        return _unknown(f"no safe concept is {'seen' if metric.seen else 'unseen'} in training")
    scored = _scored(metric, asked, units)
    unscored = len(asked) - len(scored)
    if not scored:
        return _unknown(_why_unscored(metric, asked, judge), unscored=unscored)
    if metric.against:
        other = replace(metric, set=metric.against, against=None)
        return _told_apart(scored, unscored, other, answered, judge, units)
    scores, of = zip(*scored, strict=True)
    return scored_by(scores, of, units=units, unscored=unscored)


def _scored(metric: Metric, asked: Iterable[Answered], units: Units) -> list[tuple[float, str]]:
    """The score of each answer that has one, and its unit."""
    return [(score, units.of(one.item)) for one in asked if (score := metric.score(one)) is not None]


def _told_apart(
    scored: Sequence[tuple[float, str]],
    unscored: int,
    other: Metric,
    answered: Sequence[Answered],
    judge: str,
    units: Units,
) -> Score:
    """How well the scores of units tell them from those that the other metric asks of."""
    theirs = _measure(other, answered, judge, units)
    if theirs["value"] is None:
        return theirs
    against = _scored(other, [one for one in answered if _asks(other, one)], units)
    value, low, high = area(_means(scored), _means(against))
    n, missing = len(scored) + theirs["n"], unscored + theirs["unscored"]
    return {"value": value, "low": low, "high": high, "n": n, "unscored": missing, "unit": units.name}


def _means(scored: Sequence[tuple[float, str]]) -> list[float]:
    """The mean score of each unit."""
    of_unit: dict[str, list[float]] = {}
    for score, unit in scored:
        of_unit.setdefault(unit, []).append(score)
    return [float(np.mean(scores)) for scores in of_unit.values()]


def _why_unscored(metric: Metric, asked: Sequence[Answered], judge: str) -> str:
    if PAPER in metric.tables and not any(one.answer.strip() for one in asked):
        return "all answers are empty"
    if metric.judge == "none":
        return "no stored answer to compare with"
    return f"the judge {judge!r} gave no verdict{f'; {metric.unknown}' if metric.unknown else ''}"


def _unknown(why: str, *, unscored: int = 0) -> Score:
    return {"value": None, "low": None, "high": None, "n": 0, "unscored": unscored, "why": why}


def scored_by(scores: Sequence[float], of: Sequence[str], *, units: Units, unscored: int) -> Score:
    """The score of answers that have one each, 0 to 1; of: their units."""
    low, high = interval(scores, of)
    return {
        "value": float(np.mean(scores)),
        "low": low,
        "high": high,
        "n": len(scores),
        "unscored": unscored,
        "unit": units.name,
        "effective": effective(scores, of),
    }
