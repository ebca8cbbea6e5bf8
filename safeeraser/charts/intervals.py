"""95 % intervals as error bars."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from safeeraser.charts.chart import CLEAR
from safeeraser.charts.words import Score, percent


def whiskers(scores: Iterable[Score]) -> dict[str, Any]:
    """Error bars in percentage points; none where a score has no interval."""
    up, down = [], []
    for score in scores:
        value, low, high = (percent(score, part) for part in ("value", "low", "high"))
        if value is None or low is None or high is None:
            up.append(None)
            down.append(None)
        else:
            up.append(round(high - value, 2))
            down.append(round(value - low, 2))
    return {"type": "data", "array": up, "arrayminus": down, "color": "#767676", "thickness": 1.5, "width": 3}


def over_bars(
    *, places: Sequence[Any], scores: Sequence[Score], along: Literal["x", "y"], width: int = 4
) -> list[go.Scatter]:
    """Error bars that can be seen on a bar and on any ground: a dark line with a light edge.

    They are no points: they cannot be hovered or clicked. along: the axis of the values.
    """
    across = "y" if along == "x" else "x"
    ends = whiskers(scores)
    edge = {**ends, "color": "#F2F2F2", "thickness": 4, "width": width + 1}
    line = {**ends, "color": "#262626", "thickness": 1.5, "width": width}
    values = [percent(score) for score in scores]
    return [
        go.Scatter(
            {along: values, across: places, f"error_{along}": style},
            mode="markers",
            marker={"color": CLEAR},
            hoverinfo="skip",
            showlegend=False,
        )
        for style in (edge, line)
    ]
