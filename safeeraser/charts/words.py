"""Metrics and runs in words: names, titles, hover texts and table rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from safeeraser import losses
from safeeraser.charts.chart import shown
from safeeraser.losses import BASE, CONTROLS, UNTRAINED, place
from safeeraser.score.intervals import too_few
from safeeraser.score.metrics import METRICS
from safeeraser.score.tables import CONTEXT, context, differing, order

FEW = 10  # runs that are shown one by one; more of them by the means of their methods

Row = Mapping[str, Any]
Score = Mapping[str, Any]


class Wording(NamedTuple):
    """A metric's name, what it says, and whether a low or a high value is better."""

    name: str
    says: str
    better: str


def wording(metric: str) -> Wording:
    """A metric in words; one that this version does not know goes by its own name."""
    row = METRICS.get(metric)
    return Wording(row.name, row.says, row.better) if row else Wording(metric.replace("_", " "), "share of answers", "")


def title(metric: str, *, clean: bool = False) -> str:
    words = wording(metric)
    better = f" ({words.better} is better)" if words.better else ""
    return f"{words.name}{' on clean val' if clean else ''}: {words.says}{better}"


def percent(score: Score, part: str = "value") -> float | None:
    """One number of a score in percent; None when it is unknown."""
    number = score.get(part)
    return None if number is None else 100 * number


def written(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f}"


def written_p(p: float) -> str:
    """A p value as people write it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def short(number: float | None) -> str:
    """A value beside its bar, where every letter counts."""
    return written(number).removesuffix(".0")


def score_of(row: Row, metric: str, *, clean: bool = False) -> Score:
    """A row's score of a metric, on official or clean val; an absent one has no value and says why."""
    group = "metrics_clean_val" if clean else "metrics"
    absent = f"this run has no {wording(metric).name}{' on clean val' if clean else ''}"
    return row.get(group, {}).get(metric) or {"value": None, "why": absent}


def variant(row: Row) -> str:
    """What the run is, as `losses.variant` has it."""
    return losses.variant(row["method"], pd=bool(row["pd"]), parts=row.get("parts", ()))


def kind_of(row: Row) -> str:
    untrained = {BASE: "base model"} | dict.fromkeys(CONTROLS, "control")
    return untrained.get(row["method"]) or ("with PD" if row["pd"] else "without PD")


def part(row: Row, name: str) -> str:
    """One part of the context, in words."""
    return context(row)[CONTEXT.index(name)]


def apart(row: Row, varying: Iterable[str]) -> list[str]:
    """What tells the context of a row from others'; how others train does not concern what trains nothing."""
    return [part(row, name) for name in varying if name != "settings" or row["method"] not in UNTRAINED]


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Rows of the same context together, methods in the order of METHODS, each without and then with PD."""

    def key(row: Row) -> tuple[Any, ...]:
        made = place(row["method"]), row["pd"], row.get("parts", [])
        return order(context(row), *made), row["seed"], row["run"]

    return sorted(rows, key=key)


def labels(rows: Sequence[Row]) -> list[str]:
    """A name for each row, as short as tells them apart: `PO+PD`, else with its PD weight, seed, context or run."""
    names = [variant(row) for row in rows]
    varying = differing(rows)
    steps = [
        lambda row: f" ({', '.join(words)})" if (words := apart(row, varying)) else "",
        lambda row: f" {row['pd']:g}" if row["pd"] else "",
        lambda row: f", seed {row['seed']}",
        lambda row: f", {row['run']}",
    ]
    for step in steps:
        longer = [name + step(row) for name, row in zip(names, rows, strict=True)]
        names = _where_shared(names, longer)
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)]


def _where_shared(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    times = Counter(names)
    # A longer name that still does not tell its rows apart is only noise.
    helps = {name: len({to for n, to in zip(names, longer, strict=True) if n == name}) > 1 for name in times}
    return [to if times[name] > 1 and helps[name] else name for name, to in zip(names, longer, strict=True)]


def unit(rows: Iterable[Row]) -> str:
    """What answers are taken together by in the rows' intervals: `thing` or `picture`, or both."""
    scores = (score for row in rows for score in row.get("metrics", {}).values())
    units = dict.fromkeys(score.get("unit", "picture") for score in scores if score.get("value") is not None)
    return " or ".join(units) or "picture"


def few(score: Score) -> bool:
    """Whether the score's interval covers the truth less often than it says: it stands on too few pictures."""
    value = score.get("value")
    return value is not None and "effective" in score and too_few(value, score["effective"])


def hover(label: str, metric: str, score: Score) -> str:
    """What a point says of itself: the value with its interval, and what it stands on."""
    text = f"<b>{shown(label)}</b><br>{wording(metric).name}: {written(percent(score))} %"
    if score.get("low") is not None and score.get("high") is not None:
        text += f" [{written(percent(score, 'low'))}, {written(percent(score, 'high'))}]"
    if few(score):
        text += f"<br>too few {score.get('unit', 'picture')}s for this interval"
    return f"{text}<br>n = {score.get('n', 'unknown')}, {score.get('unscored', 0)} unscored"


def numbers(metric: str, score: Score) -> dict[str, Any]:
    """A score as columns of a table, in percent."""
    return {
        f"{wording(metric).name} (%)": percent(score),
        "95 % low": percent(score, "low"),
        "95 % high": percent(score, "high"),
        "n": score.get("n"),
        "Unscored": score.get("unscored"),
        "Why no value": score.get("why", "") if score.get("value") is None else "",
    }


def said(runs: Sequence[Row], names: Sequence[str], scores: Sequence[Score]) -> str:
    """The values in words, `base 0.0, PO 100.0; no value for GA`; of many runs, the mean of each method."""
    groups: dict[str, list[Score]] = {}
    for row, name, score in zip(runs, names, scores, strict=True):
        group = " ".join([variant(row), *apart(row, differing(runs))])
        groups.setdefault(group if len(runs) > FEW else name, []).append(score)
    means = {name: [v for score in found if (v := percent(score)) is not None] for name, found in groups.items()}
    known = ", ".join(
        f"{name} {mean(found):.1f}{f' (mean of {len(found)} runs)' if len(found) > 1 else ''}"
        for name, found in means.items()
        if found
    )
    unknown = ", ".join(name for name, found in means.items() if not found)
    return "; ".join([*([known] if known else []), *([f"no value for {unknown}"] if unknown else [])])


def reasons(scores: Iterable[Score]) -> str:
    """Why scores have no value."""
    return "; ".join(dict.fromkeys(score.get("why", "unknown") for score in scores if score["value"] is None))
