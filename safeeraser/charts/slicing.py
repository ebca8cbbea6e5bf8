"""SARR told apart by slices, for a few runs side by side."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import BLUE, GREY, VERMILLION, Chart, frame, nothing, shown
from safeeraser.charts.intervals import whiskers
from safeeraser.charts.words import hover, numbers, percent, written
from safeeraser.score.slices import Slice

TITLE = "Where SARR comes from: unanswered questions about safe pictures, by part"
LINE = 32  # pixels of one slice, whose name may take two lines
WIDTH = 46  # letters of a line
STYLES = ((VERMILLION, "circle"), (BLUE, "diamond"), (GREY, "square"))


def by_slice(slices: Mapping[str, Sequence[Slice]]) -> Chart:
    """slices: of each run, by its label. The key of a point is `label|kind|name`."""
    kinds = list(dict.fromkeys((one.kind, one.name) for found in slices.values() for one in found))
    if not kinds:
        return nothing(title=TITLE, why="No run here has graded answers about safe pictures.")
    places = _places(kinds)
    figure = go.Figure()
    for (label, found), (colour, symbol) in zip(slices.items(), STYLES, strict=False):
        known = [one for one in found if one.score["value"] is not None]
        figure.add_scatter(
            name=shown(label),
            mode="markers",
            x=[percent(one.score) for one in known],
            y=[places[one.kind, one.name] for one in known],
            error_x=whiskers(one.score for one in known),
            marker={"color": colour, "symbol": symbol, "size": 11},
            customdata=[[f"{label}|{one.kind}|{one.name}"] for one in known],
            hovertext=[hover(f"{label}: {one.name}", "sarr", one.score) for one in known],
            hoverinfo="text",
            cliponaxis=False,
        )
    frame(figure, title=TITLE, height=150 + LINE * int(max(places.values()) + 1), legend=True)
    figure.update_xaxes(title_text="SARR (%)", range=[-4, 104], tickvals=[0, 25, 50, 75, 100])
    figure.update_yaxes(
        tickvals=list(places.values()),
        ticktext=[_named(kind, slices.values()) for kind in kinds],
        range=[max(places.values()) + 0.7, -0.7],
        zeroline=False,
    )
    entries = [
        {"Run": label, "Slice": one.kind, "Part": one.name} | numbers("sarr", one.score)
        for label, found in slices.items()
        for one in found
    ]
    first = kinds[0][0]
    told = "; ".join(
        f"{label}, {one.name}: {written(percent(one.score))}"
        for label, found in slices.items()
        for one in found
        if one.kind == first
    )
    keys = {
        f"{label}: {one.name}": f"{label}|{one.kind}|{one.name}" for label, found in slices.items() for one in found
    }
    return Chart(figure, keys, pd.DataFrame(entries), f"{TITLE}. SARR in percent: {told}.")


def _places(kinds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Where each slice stands, with a gap between kinds."""
    places, place, before = {}, 0.0, kinds[0][0]
    for kind, name in kinds:
        place += 0.8 if kind != before else 0
        places[kind, name] = place
        place, before = place + 1, kind
    return places


def _named(kind: tuple[str, str], slices: Iterable[Sequence[Slice]]) -> str:
    """A slice's name, in two lines if it is long, with the number of questions that it has in the runs."""
    asked = sorted({one.score["n"] for found in slices for one in found if (one.kind, one.name) == kind})
    many = "\u00a0to\u00a0".join(f"{n:,}" for n in dict.fromkeys((asked[0], asked[-1])))
    lines = textwrap.wrap(f"{kind[1]} (n\u00a0=\u00a0{many})", WIDTH, max_lines=2, placeholder=" …")
    return "<br>".join(map(shown, lines))
