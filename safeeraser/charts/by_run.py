"""Bars by run: what SARR is made of, and official beside clean val."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import (
    BAR,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    Chart,
    filled,
    frame,
    note,
    nothing,
    shown,
)
from safeeraser.charts.intervals import over_bars
from safeeraser.charts.words import (
    Row,
    Score,
    hover,
    labels,
    numbers,
    ordered,
    percent,
    reasons,
    said,
    score_of,
    short,
    wording,
)
from safeeraser.score.metrics import SARR_SPLIT, columns

PARTS = (filled(PURPLE), filled(GREY, "/"), filled(GREEN, "x"), filled(BLUE, "."), filled(VERMILLION, "-"))
VALS = {"official": (-0.2, filled(GREEN)), "clean": (0.2, filled(PURPLE, "/"))}
NO_RUNS = "No run is chosen."


def sarr_parts(rows: Iterable[Row]) -> Chart:
    """SARR split into the kinds of answers that it counts, stacked by run; a key is `run|metric`."""
    runs = ordered(rows)
    names = labels(runs)
    heading = "What SARR is made of: how questions about safe pictures go unanswered (lower is better)"
    parts = {metric: part for part, metric in columns(SARR_SPLIT, runs).items() if metric != "sarr"}
    scores = {metric: [score_of(row, metric) for row in runs] for metric in ("sarr", *parts)}
    entries = [
        {"Run": row["run"], "Method": name}
        | numbers("sarr", scores["sarr"][at])
        | {f"{part} (%)": percent(scores[metric][at]) for metric, part in parts.items()}
        for at, (row, name) in enumerate(zip(runs, names, strict=True))
    ]
    if all(score["value"] is None for of_metric in scores.values() for score in of_metric):
        return nothing(title=heading, why=reasons(scores["sarr"]) or NO_RUNS, rows=entries)
    figure, choices = go.Figure(), {}
    for (metric, part), style in zip(parts.items(), cycle(PARTS), strict=False):
        keys = [f"{row['run']}|{metric}" for row in runs]
        of_part = [f"{name}: {part.lower()}" for name in names]
        choices |= _add(figure, part, metric, keys, of_part, scores[metric], marker=style)
    _intervals(figure, scores["sarr"])
    frame(figure, title=heading, height=140 + BAR * len(runs), legend=True)
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    _axes(figure, names, "sarr")
    return Chart(
        figure, choices, pd.DataFrame(entries), f"{heading}. SARR in percent: {said(runs, names, scores['sarr'])}."
    )


def official_against_clean(rows: Iterable[Row], metric: str) -> Chart:
    """A metric on official and on clean val, side by side per run; a key is `run|official` or `run|clean`."""
    runs = ordered(rows)
    names = labels(runs)
    heading = f"{wording(metric).name} on official val and on clean val (without what occurs in train)"
    scores = {val: [score_of(row, metric, clean=val == "clean") for row in runs] for val in VALS}
    entries = [
        {"Run": row["run"], "Method": name, "Val": val} | numbers(metric, scores[val][at])
        for at, (row, name) in enumerate(zip(runs, names, strict=True))
        for val in VALS
    ]
    if all(score["value"] is None for of_val in scores.values() for score in of_val):
        return nothing(title=heading, why=reasons(scores["official"]) or NO_RUNS, rows=entries)
    figure, choices = go.Figure(), {}
    for val, (side, style) in VALS.items():
        keys = [f"{row['run']}|{val}" for row in runs]
        of_val = [f"{name}, {val} val" for name in names]
        choices |= _add(figure, f"{val} val", metric, keys, of_val, scores[val], side=side, marker=style, width=0.36)
    for val, (side, _) in VALS.items():
        _intervals(figure, scores[val], side=side)
    frame(figure, title=heading, height=140 + 2 * BAR * len(runs), legend=True)
    figure.update_layout(barmode="overlay")
    _axes(figure, names, metric)
    told = "; ".join(f"{val}: {said(runs, names, scores[val])}" for val in VALS)
    return Chart(figure, choices, pd.DataFrame(entries), f"{heading}. In percent, {told}.")


def _add(
    figure: go.Figure,
    name: str,
    metric: str,
    keys: Sequence[str],
    words: Sequence[str],
    scores: Sequence[Score],
    *,
    side: float = 0.0,
    **look: Any,
) -> dict[str, str]:
    """One trace of horizontal bars, one line of the chart each; returns its choices."""
    known = [at for at, score in enumerate(scores) if score["value"] is not None]
    figure.add_bar(
        name=name,
        orientation="h",
        x=[percent(scores[at]) for at in known],
        y=[at + side for at in known],
        customdata=[[keys[at]] for at in known],
        hovertext=[hover(words[at], metric, scores[at]) for at in known],
        hoverinfo="text",
        **look,
    )
    return {words[at]: keys[at] for at in known}


def _intervals(figure: go.Figure, scores: Sequence[Score], *, side: float = 0.0) -> None:
    """Intervals, and the values beside them; a dash where there is none."""
    known = [at for at, score in enumerate(scores) if score["value"] is not None]
    places = [at + side for at in known]
    figure.add_traces(over_bars(places=places, scores=[scores[at] for at in known], along="x"))
    for at, score in enumerate(scores):
        end = max(percent(score, "high") or 0, percent(score) or 0)
        note(figure, text=short(percent(score)), x=end, y=at + side, xanchor="left", xshift=5)


def _axes(figure: go.Figure, names: Sequence[str], metric: str) -> None:
    figure.update_xaxes(title_text=f"{wording(metric).name} (%)", range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=list(map(shown, names)),
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
