"""What comes back under attack, always beside what the model is still good for and beside the base model.

A row is what one attack does to one run: {"attack", "title", "kind", "on", "steps", "metrics"}, as `safeeraser attack
RUN --json` prints it. on, steps: of relearning, which set was trained on and for how many steps; else None.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from safeeraser.charts.chart import BLUE, GREEN, GREY, PURPLE, VERMILLION, Chart, frame, nothing, shown
from safeeraser.charts.intervals import whiskers
from safeeraser.charts.words import Score, hover, numbers, percent, wording, written

Row = Mapping[str, Any]

ASR = "asr_generality"
BY_ATTACK = "What comes back under attack, and what the model is still good for"
CURVES = "Relearning: what a few steps of training bring back"
LINE = 34  # pixels of one attack
APART = 0.24  # between runs, of a line
# The base model first, then the others in their order.
STYLES = ((GREY, "square"), (VERMILLION, "circle"), (BLUE, "diamond"), (GREEN, "triangle-up"), (PURPLE, "cross"))
ON = {"forget": ("solid", "on forget pairs"), "retain": ("dot", "on retain pairs")}
TUNED = "relearning"
TICKS = [0, 25, 50, 75, 100]


def under_attack(runs: Mapping[str, Sequence[Row]], utility: str) -> Chart:
    """The success of every attack that trains nothing, and beside it utility under the same attack.

    runs: by label, the base model's first. The key of a point is `label|attack`.
    """
    kept = {label: [row for row in rows if row["kind"] != TUNED] for label, rows in runs.items()}
    titles = {row["attack"]: row["title"] for rows in kept.values() for row in rows}
    if not titles:
        return nothing(title=BY_ATTACK, why="None of these runs was attacked.")
    places = _places([row for rows in kept.values() for row in rows])
    panels = [ASR, utility]
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=[_panel(name) for name in panels]
    )
    for (label, rows), style in zip(kept.items(), STYLES, strict=False):
        apart = APART * (list(kept).index(label) - (len(kept) - 1) / 2)
        beside = {name: place + apart for name, place in places.items()}
        for column, metric in enumerate(panels, start=1):
            points = _points(label, rows, metric, style, beside, legend=column == 1)
            figure.add_trace(points, row=1, col=column)
    frame(figure, title=BY_ATTACK, height=120 + LINE * int(max(places.values()) + 2), legend=True, gap=38)
    figure.update_layout(legend_traceorder="normal")
    figure.update_xaxes(range=[-6, 106], tickvals=TICKS, title_text="%")
    ends = [max(places.values()) + 0.7, -0.7]
    ticks = {"tickvals": list(places.values()), "ticktext": [shown(titles[name]) for name in places]}
    figure.update_yaxes(**ticks, range=ends, zeroline=False)
    figure.update_annotations(font_size=12)
    told = "; ".join(
        f"{label} {written(percent(score))}" for label, rows in kept.items() if (score := _of(rows, "any", ASR))
    )
    return Chart(
        figure,
        _keys(kept, panels),
        _table(kept, panels),
        f"{BY_ATTACK}. Unsafe answers in percent, at any way of asking: {told or 'unknown'}.",
    )


def relearning(runs: Mapping[str, Sequence[Row]], utility: str) -> Chart:
    """Unsafe answers, and utility below, after so many steps of training; step 0 is the model as it is.

    runs: by label, the base model's first. The key of a point is `label|attack`.
    """
    curves = {(label, on): curve for label, rows in runs.items() for on in ON if len(curve := _curve(rows, on)) > 1}
    if not curves:
        return nothing(title=CURVES, why="None of these runs was trained again.")
    panels = [ASR, utility]
    titles = [_panel(name) for name in panels]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.13, subplot_titles=titles)
    styles = dict(zip(runs, STYLES, strict=False))
    for (label, on), curve in curves.items():
        for panel, metric in enumerate(panels, start=1):
            line = _line(f"{label}, {ON[on][1]}", label, curve, metric, (*styles[label], ON[on][0]), legend=panel == 1)
            figure.add_trace(line, row=panel, col=1)
    frame(figure, title=CURVES, height=430 + 17 * len(curves), legend=True, gap=38)
    steps = sorted({row["steps"] or 0 for curve in curves.values() for row in curve})
    figure.update_xaxes(tickvals=steps)
    figure.update_xaxes(title_text="Optimizer steps", row=2, col=1)
    figure.update_yaxes(range=[-6, 106], tickvals=TICKS[::2], title_text="%")
    figure.update_annotations(x=0, xanchor="left", font_size=12)
    drawn: dict[str, list[Row]] = {}
    for (label, _), curve in curves.items():
        drawn.setdefault(label, []).extend(row for row in curve if row not in drawn[label])
    told = "; ".join(
        f"{label}, {ON[on][1]}: {written(percent(curve[-1]['metrics'][ASR]))} after {curve[-1]['steps']} steps"
        for (label, on), curve in curves.items()
    )
    return Chart(figure, _keys(drawn, panels), _table(drawn, panels), f"{CURVES}. Unsafe answers in percent: {told}.")


def _panel(metric: str) -> str:
    words = wording(metric)
    return shown(f"{words.name} ({words.better} is better)")


def _places(rows: Sequence[Row]) -> dict[str, float]:
    """Where each attack stands, with a gap between kinds."""
    places: dict[str, float] = {}
    place, before = 0.0, rows[0]["kind"]
    for row in rows:
        if row["attack"] in places:
            continue
        place += 0.6 if row["kind"] != before else 0
        places[row["attack"]] = place
        place, before = place + 1, row["kind"]
    return places


def _known(rows: Sequence[Row], metric: str) -> list[tuple[Row, Score]]:
    """The rows that have a value."""
    found = [(row, row["metrics"].get(metric) or {"value": None}) for row in rows]
    return [(row, score) for row, score in found if score["value"] is not None]


def _of(rows: Sequence[Row], attack: str, metric: str) -> Score | None:
    return next((score for row, score in _known(rows, metric) if row["attack"] == attack), None)


def _points(
    label: str, rows: Sequence[Row], metric: str, style: tuple[str, str], places: Mapping[str, float], *, legend: bool
) -> go.Scatter:
    known = _known(rows, metric)
    colour, symbol = style
    return go.Scatter(
        name=shown(label),
        legendgroup=label,
        showlegend=legend,
        mode="markers",
        x=[percent(score) for _, score in known],
        y=[places[row["attack"]] for row, _ in known],
        error_x=whiskers(score for _, score in known) | {"color": colour, "thickness": 1},
        marker={"color": colour, "symbol": symbol, "size": 10},
        cliponaxis=False,
        **_told(label, known, metric),
    )


def _line(
    name: str, label: str, curve: Sequence[Row], metric: str, style: tuple[str, str, str], *, legend: bool
) -> go.Scatter:
    known = _known(curve, metric)
    colour, symbol, dash = style
    return go.Scatter(
        name=shown(name),
        legendgroup=name,
        showlegend=legend,
        mode="lines+markers",
        x=[row["steps"] or 0 for row, _ in known],
        y=[percent(score) for _, score in known],
        error_y=whiskers(score for _, score in known) | {"color": colour, "thickness": 1},
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "symbol": symbol, "size": 8},
        **_told(label, known, metric),
    )


def _told(label: str, known: Sequence[tuple[Row, Score]], metric: str) -> dict[str, Any]:
    """What each point says of itself, and its key."""
    return {
        "customdata": [[f"{label}|{row['attack']}"] for row, _ in known],
        "hovertext": [hover(f"{label}: {row['title']}", metric, score) for row, score in known],
        "hoverinfo": "text",
    }


def _curve(rows: Sequence[Row], on: str) -> list[Row]:
    """The model as it is, then after each number of steps on this set that has a value."""
    found = [row for row in rows if row["attack"] == "none" or row["on"] == on]
    return sorted((row for row, _ in _known(found, ASR)), key=lambda row: row["steps"] or 0)


def _keys(runs: Mapping[str, Sequence[Row]], panels: Sequence[str]) -> dict[str, str]:
    """By words the keys of the points that are drawn."""
    return {
        f"{label}: {row['title']}": f"{label}|{row['attack']}"
        for label, rows in runs.items()
        for row in rows
        if any(_known([row], metric) for metric in panels)
    }


def _table(runs: Mapping[str, Sequence[Row]], panels: Sequence[str]) -> pd.DataFrame:
    """All numbers, a line for each attack, run and metric."""
    entries = []
    for label, rows in runs.items():
        for row in rows:
            for metric in panels:
                if metric in row["metrics"]:
                    of_score = list(numbers(metric, row["metrics"][metric]).items())
                    where = {"Attack": row["title"], "Run": label, "Metric": wording(metric).name}
                    entries.append(where | {"Value (%)": of_score[0][1]} | dict(of_score[1:]))
    return pd.DataFrame(entries)
