"""One metric by method, without and with Prompt Decouple side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import BLUE, GREY, VERMILLION, Chart, filled, frame, note, nothing, shown
from safeeraser.charts.intervals import over_bars
from safeeraser.charts.words import (
    FEW,
    Row,
    Score,
    apart,
    hover,
    kind_of,
    labels,
    numbers,
    ordered,
    percent,
    reasons,
    said,
    score_of,
    short,
    title,
    wording,
)
from safeeraser.losses import method_name, with_parts
from safeeraser.score.tables import context, differing

WIDTH = 0.92  # of a bar
GAP = 0.8  # between methods
STYLES = {
    "base model": filled(GREY),
    "control": filled(GREY, "x"),
    "without PD": filled(VERMILLION),
    "with PD": filled(BLUE, "/"),
}


@dataclass(frozen=True)
class Point:
    """One run: its row, its name here, and its score."""

    row: Row
    name: str
    score: Score


@dataclass(frozen=True)
class Mark:
    """One bar and where it stands; several runs share it when it is their mean. `known`: those with a value."""

    place: float
    kind: str
    known: tuple[Point, ...]

    @property
    def mean(self) -> float:
        return mean(100 * point.score["value"] for point in self.known)

    @property
    def spread(self) -> str:
        """Mean and sample standard deviation in words, nothing for one run."""
        if len(self.known) < 2:
            return ""
        deviation = stdev(100 * point.score["value"] for point in self.known)
        return f"<br>mean of {len(self.known)} runs: {self.mean:.1f} ± {deviation:.1f} %"


def bars(rows: Iterable[Row], metric: str, *, clean: bool = False) -> Chart:
    """One metric by method, without and with PD side by side, with intervals; the key of a point is its run.

    Up to ten runs get a bar each; of more, a bar is the mean of its seeds, each of them a point on it.
    clean: on clean val instead of official val.
    """
    runs = ordered(rows)
    names = labels(runs)
    scores = [score_of(row, metric, clean=clean) for row in runs]
    points = [Point(*one) for one in zip(runs, names, scores, strict=True)]
    entries = [{"Run": p.row["run"], "Method": p.name} | numbers(metric, p.score) for p in points]
    heading = title(metric, clean=clean)
    known = [point for point in points if point.score["value"] is not None]
    if not known:
        return nothing(title=heading, why=reasons(scores) or "No run is chosen.", rows=entries)
    marks, slots = _marks(points)
    figure = go.Figure([*_bars(marks, metric), *_seeds(marks, metric)])
    for mark in marks:
        _value(figure, mark)
    frame(figure, title=heading, height=420, legend=True)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickvals=list(slots),
        ticktext=list(slots.values()),
        range=[-0.5 - GAP / 2, marks[-1].place + 0.5 + GAP / 2],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(title_text=f"{wording(metric).name} (%)", range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    choices = {point.name: point.row["run"] for point in known}
    return Chart(figure, choices, pd.DataFrame(entries), f"{heading}. In percent: {said(runs, names, scores)}.")


def _marks(points: Sequence[Point]) -> tuple[list[Mark], dict[float, str]]:
    """Where each bar stands, one unit apart with a gap between methods, and the methods' names below them."""
    varying = differing([point.row for point in points])
    methods: dict[tuple, dict[tuple, list[Point]]] = {}
    for point in points:
        row = point.row
        bar = (row["pd"],) if len(points) > FEW else (row["pd"], point.name)
        method = with_parts(row["method"], row.get("parts", ()))
        methods.setdefault((context(row), method), {}).setdefault(bar, []).append(point)
    marks: list[Mark] = []
    slots: dict[float, str] = {}
    place = 0.0
    for (_, method), groups in methods.items():
        first = next(iter(groups.values()))[0].row
        words = [method_name(method), *apart(first, varying)]
        slots[place + (len(groups) - 1) / 2] = "<br>".join(map(shown, words))
        for group in groups.values():
            known = tuple(point for point in group if point.score["value"] is not None)
            marks.append(Mark(place, kind_of(group[0].row), known))
            place += 1
        place += GAP
    return marks, slots


def _bars(marks: Sequence[Mark], metric: str) -> list[go.Bar | go.Scatter]:
    """A bar of one run can be clicked; a mean is no run, its seeds can be clicked."""
    traces: list[go.Bar | go.Scatter] = []
    alone = all(len(mark.known) <= 1 for mark in marks)
    for kind, style in STYLES.items():
        of_kind = [mark for mark in marks if mark.kind == kind and mark.known]
        if not of_kind:
            continue
        bar = go.Bar(
            name=kind if alone else f"{kind}, mean",
            x=[mark.place for mark in of_kind],
            y=[round(mark.mean, 2) for mark in of_kind],
            width=WIDTH,
            marker=style,
            hoverinfo="skip",
        )
        if alone:
            points = [mark.known[0] for mark in of_kind]
            bar.update(
                customdata=[[point.row["run"]] for point in points],
                hovertext=[hover(point.name, metric, point.score) for point in points],
                hoverinfo="text",
            )
            scores = [point.score for point in points]
            traces += over_bars(places=[mark.place for mark in of_kind], scores=scores, along="y")
        traces.append(bar)
    return traces


def _seeds(marks: Sequence[Mark], metric: str) -> list[go.Scatter]:
    """The runs behind the means, side by side on their bar; none where every bar is one run."""
    if all(len(mark.known) <= 1 for mark in marks):
        return []
    placed = [
        (mark.place + (number - (len(mark.known) - 1) / 2) * WIDTH / len(mark.known), point, mark.spread)
        for mark in marks
        for number, point in enumerate(mark.known)
    ]
    places, points, spreads = zip(*placed, strict=True)
    return [
        *over_bars(places=places, scores=[point.score for point in points], along="y", width=0),
        go.Scatter(
            name="one run",
            mode="markers",
            x=places,
            y=[percent(point.score) for point in points],
            marker={"size": 8, "color": "#F2F2F2", "line": {"color": "#262626", "width": 1.5}},
            customdata=[[point.row["run"]] for point in points],
            hovertext=[hover(p.name, metric, p.score) + spread for p, spread in zip(points, spreads, strict=True)],
            hoverinfo="text",
        ),
    ]


def _value(figure: go.Figure, mark: Mark) -> None:
    """The value above a bar and its intervals; a dash where there is none."""
    ends = [percent(point.score, part) or 0 for point in mark.known for part in ("value", "high")]
    text = short(round(mark.mean, 2)) if mark.known else "–"
    note(figure, text=text, x=mark.place, y=max(ends, default=0), yanchor="bottom", yshift=4)
