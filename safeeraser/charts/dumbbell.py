"""Without -> with Prompt Decouple: one line a method, from its runs without to their twins with it."""

from collections.abc import Iterable, Mapping
from statistics import mean

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import BLUE, GREY, VERMILLION, Chart, frame, note, nothing, shown
from safeeraser.charts.intervals import whiskers
from safeeraser.charts.words import Row, apart, hover, labels, numbers, ordered, percent, score_of, wording
from safeeraser.losses import BASE, UNTRAINED, method_name
from safeeraser.score.tables import context, differing

BAR = 52  # pixels of one method
STYLES = {"without PD": (VERMILLION, "circle"), "with PD": (BLUE, "diamond")}


def dumbbell(rows: Iterable[Row], metric: str) -> Chart:
    """A metric without and with Prompt Decouple by method; only runs that have a twin count, the key of a point.

    Twins agree in all but PD: method, seed, settings, data, judge and decoding. A line joins the means over the seeds.
    """
    runs = ordered(rows)
    heading = f"{wording(metric).name} without and with Prompt Decouple ({wording(metric).better} is better)"
    pairs = _pairs(runs, metric)
    names = dict(zip([row["run"] for row in runs], labels(runs), strict=True))
    entries = [
        {"Run": row["run"], "Method": names[row["run"]], "PD": kind} | numbers(metric, score_of(row, metric))
        for sides in pairs.values()
        for kind, found in sides.items()
        for row in found
    ]
    if not pairs:
        why = "No method has a run without and one with Prompt Decouple that agree in all else."
        return nothing(title=heading, why=why)
    figure = go.Figure()
    for place, sides in enumerate(pairs.values()):
        ends = [_mean(found, metric) for found in sides.values()]
        figure.add_scatter(
            x=ends, y=[place, place], mode="lines", line={"color": GREY, "width": 4}, hoverinfo="skip", showlegend=False
        )
        for end, side in zip(ends, ("right", "left"), strict=True):
            lower = (end <= min(ends)) if side == "right" else (end < max(ends))
            anchor = "right" if lower else "left"
            note(figure, text=f"{end:.0f}", x=end, y=place, xanchor=anchor, xshift=-10 if lower else 10, yshift=13)
    for kind in STYLES:
        figure.add_trace(_points(kind, pairs, metric, names))
    _base(figure, runs, metric)
    frame(figure, title=heading, height=120 + BAR * len(pairs), legend=True)
    ticks = list(map(shown, pairs))
    figure.update_yaxes(
        tickvals=list(range(len(pairs))), ticktext=ticks, range=[len(pairs) - 0.5, -0.7], zeroline=False
    )
    figure.update_xaxes(title_text=f"{wording(metric).name} (%)", range=[-6, 108], tickvals=[0, 25, 50, 75, 100])
    told = "; ".join(
        f"{name} from {_mean(sides['without PD'], metric):.1f} to {_mean(sides['with PD'], metric):.1f}"
        for name, sides in pairs.items()
    )
    choices = {names[entry["Run"]]: entry["Run"] for entry in entries}
    return Chart(figure, choices, pd.DataFrame(entries), f"{heading}. In percent: {told}.")


def _pairs(runs: list[Row], metric: str) -> dict[str, dict[str, list[Row]]]:
    """By method in words: the runs without PD and those with it, of which each has its twin on the other side."""
    known = [row for row in runs if row["method"] not in UNTRAINED and score_of(row, metric)["value"] is not None]
    sides: dict[tuple, dict[str, list[Row]]] = {}
    for row in known:
        key = (context(row), row["method"], row["seed"])
        sides.setdefault(key, {}).setdefault("with PD" if row["pd"] else "without PD", []).append(row)
    twins = [both for both in sides.values() if len(both) == len(STYLES)]
    varying = differing(row for both in twins for found in both.values() for row in found)
    found: dict[str, dict[str, list[Row]]] = {}
    for both in twins:
        first = both["without PD"][0]
        name = ", ".join([method_name(first["method"]), *apart(first, varying)])
        for kind in STYLES:
            found.setdefault(name, {}).setdefault(kind, []).extend(both[kind])
    return found


def _mean(rows: list[Row], metric: str) -> float:
    return 100 * mean(score_of(row, metric)["value"] for row in rows)


def _points(
    kind: str, pairs: Mapping[str, Mapping[str, list[Row]]], metric: str, names: Mapping[str, str]
) -> go.Scatter:
    """All runs of one kind, each on the line of its method."""
    colour, symbol = STYLES[kind]
    placed = [(place, row) for place, sides in enumerate(pairs.values()) for row in sides[kind]]
    scores = [score_of(row, metric) for _, row in placed]
    return go.Scatter(
        name=kind,
        mode="markers",
        x=[percent(score) for score in scores],
        y=[place for place, _ in placed],
        error_x=whiskers(scores),
        marker={"color": colour, "symbol": symbol, "size": 14},
        customdata=[[row["run"]] for _, row in placed],
        hovertext=[hover(names[row["run"]], metric, s) for (_, row), s in zip(placed, scores, strict=True)],
        hoverinfo="text",
        cliponaxis=False,
    )


def _base(figure: go.Figure, runs: list[Row], metric: str) -> None:
    """A dotted line where the base model is."""
    values = {percent(score_of(row, metric)) for row in runs if row["method"] == BASE} - {None}
    if len(values) == 1:
        figure.add_vline(x=values.pop(), line={"dash": "dot", "color": GREY, "width": 1.5})
