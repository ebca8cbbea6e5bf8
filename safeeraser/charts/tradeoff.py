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
    written,
)
from safeeraser.score.tables import context

TITLE = "Forgetting against over-forgetting: lower right is good, every arrow adds Prompt Decouple"
SYMBOLS = {"base model": "star", "without PD": "circle-open", "with PD": "diamond-open"}
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


def forget_against_sarr(rows: Iterable[Row]) -> Chart:
    """Forget quality (100 - ASR generality) against SARR, both on val; the key of a point is its run.

    An arrow leads from a method to the same method and seed with Prompt Decouple. Points that coincide become rings.
    """
    runs = ordered(rows)
    names = labels(runs)
    table = [_entry(row, name) for row, name in zip(runs, names, strict=True)]
    points = _points(runs, names)
    if not points:
        return nothing(title=TITLE, why="No run here has both SARR and ASR generality.", rows=table)
    figure = go.Figure()
    figure.add_shape(
        type="rect", x0=80, x1=104, y0=-4, y1=20, layer="below", line={"color": GREEN, "dash": "dot", "width": 2}
    )
    note(figure, text="good corner", x=80, y=8, xanchor="right", xshift=-4, font={"color": GREEN, "size": 12})
    _arrows(figure, points)
    colours = {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(_methods(points))}
    for kind in SYMBOLS:
        if of_kind := [point for point in points if point.kind == kind]:
            figure.add_trace(_trace(kind, of_kind, colours))
    _names(figure, points)
    frame(figure, title=TITLE, height=460, legend=True)
    ticks = [0, 25, 50, 75, 100]
    figure.update_xaxes(title_text="Forget quality: 100 - ASR generality (%)", range=[-6, 106], tickvals=ticks)
    figure.update_yaxes(title_text="SARR (%)", range=[-6, 108], tickvals=ticks)
    missing = [name for name in names if name not in {point.label for point in points}]
    absent = f" No value for {', '.join(missing)}." if missing else ""
    return Chart(figure, {p.label: p.row["run"] for p in points}, pd.DataFrame(table), f"{_told(points)}{absent}")


def _told(points: Sequence[Point]) -> str:
    """The chart in words; of many runs, the means of each method."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(variant(point.row) if len(points) > FEW else point.label, []).append(point)
    told = "; ".join(
        f"{name} forgets {mean(p.x for p in found):.1f} at SARR {mean(p.y for p in found):.1f}"
        f"{f' (mean of {len(found)} runs)' if len(found) > 1 else ''}"
        for name, found in groups.items()
    )
    return f"{TITLE}. In percent: {told}."


def _points(runs: Sequence[Row], names: Sequence[str]) -> list[Point]:
    points: list[Point] = []
    for row, label in zip(runs, names, strict=True):
        x, y = percent(_forgetting(row)), percent(score_of(row, "sarr"))
        if x is None or y is None:
            continue
        hidden = {variant(p.row) for p in points if abs(p.x - x) < SAME and abs(p.y - y) < SAME} - {variant(row)}
        points.append(Point(row, label, x, y, kind_of(row), 10 + 6 * len(hidden)))
    return points


def _forgetting(row: Row) -> Score:
    """1 - ASR generality, its interval turned round with it."""
    asr = score_of(row, "asr_generality")
    turned = {"value": "value", "low": "high", "high": "low"}
    return {**asr, **{part: None if asr.get(of) is None else 1 - asr[of] for part, of in turned.items()}}


def _entry(row: Row, name: str) -> dict:
    forgetting, sarr = _forgetting(row), score_of(row, "sarr")
    quality = {
        "Forget quality (%)": percent(forgetting),
        "Forget 95 % low": percent(forgetting, "low"),
        "Forget 95 % high": percent(forgetting, "high"),
        "Forget n": forgetting.get("n"),
    }
    why = "; ".join(score["why"] for score in (forgetting, sarr) if score["value"] is None and "why" in score)
    return {"Run": row["run"], "Method": name} | quality | numbers("sarr", sarr) | {"Why no value": why}


def _methods(points: Sequence[Point]) -> list[str]:
    """Methods in order; the base model comes last, in grey where there are four methods."""
    found = list(dict.fromkeys(point.row["method"] for point in points))
    return sorted(found, key=lambda method: method == "base")


def _trace(kind: str, points: Sequence[Point], colours: dict[str, str]) -> go.Scatter:
    scores = [(_forgetting(p.row), score_of(p.row, "sarr")) for p in points]
    colour = [GREY if p.kind == "base model" else colours[p.row["method"]] for p in points]
    texts = [
        f"{hover(p.label, 'sarr', sarr)}<br>Forget quality: {written(p.x)} % (n = {forgetting.get('n', 'unknown')})"
        for p, (forgetting, sarr) in zip(points, scores, strict=True)
    ]
    return go.Scatter(
        name=kind,
        mode="markers",
        x=[p.x for p in points],
        y=[p.y for p in points],
        error_x=whiskers(forgetting for forgetting, _ in scores),
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


def _names(figure: go.Figure, points: Sequence[Point]) -> None:
    """One name for points that lie together, on the side where there is room."""
    for side in (True, False):
        found = sorted((p for p in points if (p.x > 50) == side), key=lambda p: p.y)
        breaks = [at for at, (a, b) in enumerate(pairwise(found), start=1) if b.y - a.y > NEAR]
        for start, end in pairwise([0, *breaks, len(found)]):
            group = found[start:end]
            if not group:
                continue
            ends = [percent(_forgetting(p.row), "low" if side else "high") or p.x for p in group]
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
