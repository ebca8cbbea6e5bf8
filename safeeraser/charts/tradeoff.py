"""Forgetting against over-forgetting."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import COLOURS, GREEN, GREY, Chart, frame, note, nothing
from safeeraser.charts.intervals import whiskers
from safeeraser.charts.words import (
    FEW,
    Row,
    Score,
    hover,
    kind_of,
    labels,
    numbers,
    ordered,
    percent,
    score_of,
    shown,
    variant,
    wording,
    written,
)
from safeeraser.losses import UNTRAINED
from safeeraser.score.tables import context

TITLE = "{} against SARR: lower right is good, every arrow adds Prompt Decouple"
SYMBOLS = {"base model": "star", "control": "x", "without PD": "circle-open", "with PD": "diamond-open"}
SAME = 1.5  # percentage points within which points hide each other
NEAR = 6  # percentage points within which names hide each other


@dataclass(frozen=True)
class Point:
    row: Row
    label: str
    x: float
    y: float
    kind: str
    size: int


def against_sarr(rows: Iterable[Row], metric: str = "retain_accuracy") -> Chart:
    """A metric against SARR; the key of a point is its run.

    A metric that should be low is turned round: 100 - ASR generality is forget quality. An arrow leads from a
    method to the same method and seed with Prompt Decouple. Points that coincide become rings.
    """
    runs = ordered(rows)
    names = labels(runs)
    table = [_entry(row, name, metric) for row, name in zip(runs, names, strict=True)]
    points, heading = _points(runs, names, metric), TITLE.format(_short(metric))
    if not points:
        why = f"No run here has both SARR and {wording(metric).name}."
        return nothing(title=heading, why=why, rows=table)
    figure = go.Figure()
    figure.add_shape(
        type="rect", x0=80, x1=104, y0=-4, y1=20, layer="below", line={"color": GREEN, "dash": "dot", "width": 2}
    )
    note(figure, text="good corner", x=80, y=8, xanchor="right", xshift=-4, font={"color": GREEN, "size": 12})
    _arrows(figure, points)
    colours = {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(_methods(points))}
    for kind in SYMBOLS:
        if of_kind := [point for point in points if point.kind == kind]:
            figure.add_trace(_trace(kind, of_kind, colours, metric))
    _names(figure, points, metric)
    frame(figure, title=heading, height=460, legend=True)
    ticks = [0, 25, 50, 75, 100]
    figure.update_xaxes(title_text=_axis(metric), range=[-6, 106], tickvals=ticks)
    figure.update_yaxes(title_text="SARR (%)", range=[-6, 108], tickvals=ticks)
    missing = [name for name in names if name not in {point.label for point in points}]
    absent = f" No value for {', '.join(missing)}." if missing else ""
    return Chart(
        figure,
        {p.label: p.row["run"] for p in points},
        pd.DataFrame(table),
        f"{heading}. In percent: {_told(points, metric)}.{absent}",
    )


def _short(metric: str) -> str:
    """What the horizontal axis is called."""
    return "Forget quality" if metric == "asr_generality" else wording(metric).name


def _axis(metric: str) -> str:
    if wording(metric).better != "lower":
        return f"{_short(metric)} (%)"
    turned = f"100 - {wording(metric).name} (%)"
    return f"{_short(metric)}: {turned}" if _short(metric) != wording(metric).name else turned


def _told(points: Sequence[Point], metric: str) -> str:
    """The chart in words; of many runs, the means of each method."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(variant(point.row) if len(points) > FEW else point.label, []).append(point)
    return "; ".join(
        f"{name} has {_short(metric)} {mean(p.x for p in found):.1f} at SARR {mean(p.y for p in found):.1f}"
        f"{f' (mean of {len(found)} runs)' if len(found) > 1 else ''}"
        for name, found in groups.items()
    )


def _points(runs: Sequence[Row], names: Sequence[str], metric: str) -> list[Point]:
    points: list[Point] = []
    for row, label in zip(runs, names, strict=True):
        x, y = percent(_upwards(row, metric)), percent(score_of(row, "sarr"))
        if x is None or y is None:
            continue
        hidden = {variant(p.row) for p in points if abs(p.x - x) < SAME and abs(p.y - y) < SAME} - {variant(row)}
        points.append(Point(row, label, x, y, kind_of(row), 10 + 6 * len(hidden)))
    return points


def _upwards(row: Row, metric: str) -> Score:
    """The metric so that high is good: 1 - it where it should be low, its interval turned round with it."""
    score = score_of(row, metric)
    if wording(metric).better != "lower":
        return score
    turned = {"value": "value", "low": "high", "high": "low"}
    return {**score, **{part: None if score.get(of) is None else 1 - score[of] for part, of in turned.items()}}


def _entry(row: Row, name: str, metric: str) -> dict:
    upwards, sarr, called = _upwards(row, metric), score_of(row, "sarr"), _short(metric)
    quality = {
        f"{called} (%)": percent(upwards),
        f"{called} 95 % low": percent(upwards, "low"),
        f"{called} 95 % high": percent(upwards, "high"),
        f"{called} n": upwards.get("n"),
    }
    why = "; ".join(score["why"] for score in (upwards, sarr) if score["value"] is None and "why" in score)
    return {"Run": row["run"], "Method": name} | quality | numbers("sarr", sarr) | {"Why no value": why}


def _methods(points: Sequence[Point]) -> list[str]:
    """Methods in order; what trains nothing comes last, in grey."""
    found = list(dict.fromkeys(point.row["method"] for point in points))
    return sorted(found, key=lambda method: method in UNTRAINED)


def _trace(kind: str, points: Sequence[Point], colours: dict[str, str], metric: str) -> go.Scatter:
    scores = [(_upwards(p.row, metric), score_of(p.row, "sarr")) for p in points]
    colour = [GREY if p.row["method"] in UNTRAINED else colours[p.row["method"]] for p in points]
    texts = [
        f"{hover(p.label, 'sarr', sarr)}<br>{_short(metric)}: {written(p.x)} % (n = {other.get('n', 'unknown')})"
        for p, (other, sarr) in zip(points, scores, strict=True)
    ]
    return go.Scatter(
        name=kind,
        mode="markers",
        x=[p.x for p in points],
        y=[p.y for p in points],
        error_x=whiskers(other for other, _ in scores),
        error_y=whiskers(sarr for _, sarr in scores),
        marker={
            "symbol": SYMBOLS[kind],
            "opacity": 1,
            "size": [p.size for p in points],
            "color": colour,
            "line": {"width": 2.5, "color": colour},
        },
        customdata=[[p.row["run"]] for p in points],
        hovertext=texts,
        hoverinfo="text",
        cliponaxis=False,
    )


def _arrows(figure: go.Figure, points: Sequence[Point]) -> None:
    plain = {(context(p.row), p.row["method"], p.row["seed"]): p for p in points if p.kind == "without PD"}
    for end in (p for p in points if p.kind == "with PD"):
        start = plain.get((context(end.row), end.row["method"], end.row["seed"]))
        if start and abs(start.x - end.x) + abs(start.y - end.y) > 2 * NEAR:
            figure.add_annotation(
                x=end.x, y=end.y, ax=start.x, ay=start.y, xref="x", yref="y", axref="x", ayref="y", text="",
                arrowhead=2, arrowwidth=1.5, arrowcolor=GREY, standoff=9, startstandoff=9,
            )  # fmt: skip


def _names(figure: go.Figure, points: Sequence[Point], metric: str) -> None:
    """One name for points that lie together, on the side where there is room."""
    for side in (True, False):
        found = sorted((p for p in points if (p.x > 50) == side), key=lambda p: p.y)
        breaks = [at for at, (a, b) in enumerate(pairwise(found), start=1) if b.y - a.y > NEAR]
        for start, end in pairwise([0, *breaks, len(found)]):
            group = found[start:end]
            if not group:
                continue
            ends = [percent(_upwards(p.row, metric), "low" if side else "high") or p.x for p in group]
            edge = min(ends) if side else max(ends)
            text = ", ".join(dict.fromkeys(variant(p.row) for p in sorted(group, key=lambda p: points.index(p))))
            gap = 8 + max(p.size for p in group) / 2
            note(
                figure,
                text=shown(text),
                x=edge,
                y=sum(p.y for p in group) / len(group),
                xanchor="right" if side else "left",
                xshift=-gap if side else gap,
            )
