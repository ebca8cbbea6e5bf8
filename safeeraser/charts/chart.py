"""What all charts share: the `Chart`, its colours and its frame.

Figures set no font colour and no background, so that they take those of the app's theme, light or dark.
"""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape, unescape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

# The Okabe-Ito colours with a contrast of 3:1 on white and on Streamlit's dark ground (#0E1117), and a grey.
BLUE, VERMILLION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, GREY)
GRID = "rgba(128, 128, 128, 0.3)"
CLEAR = "rgba(0, 0, 0, 0)"
BAR = 26  # pixels of a horizontal bar with its gap
LINE = 17  # pixels of a line of the title
LETTERS = 52  # of the title in a line that fits on a phone


@dataclass(frozen=True)
class Chart:
    """A figure and what it says in other ways.

    choices: words a person reads -> key of what they select; the same keys as customdata[0] of the points.
    table: the numbers shown, and why one is missing. alt: one or two sentences with the main numbers.
    """

    figure: go.Figure
    choices: dict[str, str]
    table: pd.DataFrame
    alt: str


def shown(text: str) -> str:
    """Text from data as Plotly shows it: a name is never markup."""
    return escape(text, quote=False)


def frame(figure: go.Figure, *, title: str, height: int, legend: bool = False, gap: int = 22) -> go.Figure:
    """Give a figure its title, in lines that fit on a phone, its margins, and a legend below.

    height, gap: in pixels; gap is what lies between the title and the axes.
    """
    lines = textwrap.wrap(title, LETTERS)
    figure.update_layout(
        template="none",
        title={
            "text": "<br>".join(map(shown, lines)),
            "font_size": 14,
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 8 if len(lines) == 1 else 18, "l": 8},  # Plotly moves several lines up by half a line
        },
        height=height,
        margin={"t": LINE * len(lines) + gap, "l": 8, "r": 12, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "bgcolor": CLEAR},
        hoverlabel={"align": "left", "namelength": -1},
        dragmode=False,
    )
    for kind in ("bar", "scatter"):  # what is not selected must still be legible
        figure.update_traces(unselected_marker_opacity=0.5, selector={"type": kind})
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "automargin": True, "title_standoff": 8, "ticklabelstandoff": 3}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def stamped(chart: Chart, badge: str) -> Chart:
    """The chart with what must be said of its numbers wherever it is shown, printed or sent."""
    figure = go.Figure(chart.figure)
    layout: Any = figure.layout
    title, lines = _title(figure)
    small = f'<span style="font-size: 11px">{shown(badge)}</span>'
    # Plotly moves a title of several lines up by half a line.
    figure.update_layout(
        title={"text": f"{title}<br>{small}", "pad_t": 18 if lines == 1 else 26},
        margin_t=layout["margin"]["t"] + LINE,
        height=layout["height"] + LINE,
    )
    return replace(chart, figure=figure, alt=f"{badge}. {chart.alt}")


def title_of(chart: Chart) -> str:
    """The chart's title as text, in one line."""
    return unescape(_title(chart.figure)[0].replace("<br>", " "))


def without_title(chart: Chart) -> go.Figure:
    """The figure for a page that has its title above it."""
    figure, lines = go.Figure(chart.figure), _title(chart.figure)[1]
    layout: Any = figure.layout
    top, height = layout["margin"]["t"] - LINE * lines, layout["height"] - LINE * lines
    return figure.update_layout(title=None, margin_t=top, height=height)


def with_ink(figure: go.Figure, colour: str) -> go.Figure:
    """The figure with its axes, legend and notes written in this colour; a note that has a colour keeps it."""
    figure.update_layout(legend_font_color=colour)
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(tickfont_color=colour, title_font_color=colour)
    figure.for_each_annotation(lambda note: note.update(font_color=note.font.color or colour))
    return figure


def _title(figure: go.Figure) -> tuple[str, int]:
    """The title as Plotly has it, and how many lines it takes."""
    layout: Any = figure.layout
    text = str(layout["title"]["text"] or "")
    return text, text.count("<br>") + 1


def filled(colour: str, pattern: str = "") -> dict[str, Any]:
    """The marker of a bar: colour and pattern, so that neither has to be told apart alone."""
    fill = {"shape": pattern, "fillmode": "overlay", "fgcolor": "white", "fgopacity": 0.85, "size": 8, "solidity": 0.2}
    return {"color": colour, "line": {"width": 0}, "pattern": fill if pattern else None}


def note(figure: go.Figure, *, text: str, x: Any, y: Any, **place: Any) -> None:
    """Write a few words at a place of the chart; they are no point and cannot be clicked."""
    figure.add_annotation(text=text, x=x, y=y, **{"showarrow": False, "font_size": 11, **place})


def nothing(*, title: str, why: str, rows: Iterable[Mapping[str, Any]] = ()) -> Chart:
    """A chart without a single value, which says why."""
    figure = frame(go.Figure(), title=title, height=160)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    lines = textwrap.wrap(why, LETTERS)
    note(figure, text="<br>".join(map(shown, lines)), x=0.5, y=0.5, xref="paper", yref="paper", font_size=13)
    return Chart(figure, {}, pd.DataFrame(list(rows)), f"{title}: nothing to show. {why}")
