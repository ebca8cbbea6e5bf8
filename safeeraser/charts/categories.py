"""A metric by run and category, as a heat map."""

from collections.abc import Iterable, Sequence

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import CLEAR, Chart, frame, nothing, shown
from safeeraser.charts.words import Row, Score, hover, labels, numbers, ordered, percent, short, title, wording, written

# Light enough for black text everywhere, dark enough to be told from both grounds.
SCALE = ["#FDF3DC", "#F0C766", "#D98B00"]
CELL = 34  # pixels, tall enough for a finger


def category_heatmap(rows: Iterable[Row], metric: str) -> Chart:
    """Run x category, the value printed in each cell, a dash where there is none; a key is `run|category`."""
    runs = ordered(rows)
    names = labels(runs)
    scores: list[dict[str, Score]] = [row.get("by_category", {}).get(metric, {}) for row in runs]
    without = [name for name, found in zip(names, scores, strict=True) if not found]
    why = f"Without scores by category: {', '.join(without)}; score them again." if without else ""
    categories = sorted({category for found in scores for category in found})
    heading = f"{title(metric)}, by category"
    if not categories:
        return nothing(title=heading, why=why or "No run is chosen.", rows=({"Method": name} for name in names))
    values = [[percent(found.get(category, {})) for category in categories] for found in scores]
    cells = [
        (row, name, category, found[category])
        for row, name, found in zip(runs, names, scores, strict=True)
        for category in categories
        if found.get(category, {}).get("value") is not None
    ]
    figure = go.Figure(_heatmap(categories, names, values))
    # A cell of a heat map cannot be selected, so a point without colour lies on each.
    figure.add_scatter(
        mode="markers",
        x=[shown(category) for _, _, category, _ in cells],
        y=[shown(name) for _, name, _, _ in cells],
        marker={"symbol": "square", "size": CELL - 4, "color": CLEAR, "line": {"width": 0}},
        customdata=[[f"{row['run']}|{category}"] for row, _, category, _ in cells],
        hovertext=[hover(f"{name}, {category}", metric, score) for _, name, category, score in cells],
        hoverinfo="text",
    )
    frame(figure, title=heading, height=150 + CELL * len(runs))
    for category in categories:
        for name, found in zip(names, scores, strict=True):
            if found.get(category, {}).get("value") is None:
                figure.add_annotation(x=shown(category), y=shown(name), text="–", showarrow=False)
    figure.update_layout(hoverdistance=-1)
    # Points would widen the axes beyond the cells.
    across, down = [-0.5, len(categories) - 0.5], [len(runs) - 0.5, -0.5]
    unit = f"{wording(metric).name} in percent"
    figure.update_xaxes(type="category", range=across, showgrid=False, title_text=unit)
    figure.update_yaxes(type="category", range=down, showgrid=False)
    table = pd.DataFrame(
        {"Run": row["run"], "Method": name, "Category": category} | numbers(metric, found.get(category) or _absent())
        for row, name, found in zip(runs, names, scores, strict=True)
        for category in categories
    )
    choices = {f"{name}, {category}": f"{row['run']}|{category}" for row, name, category, _ in cells}
    return Chart(figure, choices, table, f"{heading}. {_extremes(cells)}{why}".strip())


def _absent() -> Score:
    return {"value": None, "why": "no score by category"}


def _heatmap(categories: Sequence[str], names: Sequence[str], values: list[list[float | None]]) -> go.Heatmap:
    """The coloured cells with their values, [names][categories] in percent."""
    return go.Heatmap(
        x=list(map(shown, categories)),
        y=list(map(shown, names)),
        z=values,
        text=[[short(value) for value in line] for line in values],
        texttemplate="%{text}",
        zmin=0,
        zmax=100,
        textfont={"color": "black"},
        colorscale=SCALE,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
    )


def _extremes(cells: list[tuple[Row, str, str, Score]]) -> str:
    if not cells:
        return ""
    low, high = (pick(cells, key=lambda cell: cell[3]["value"]) for pick in (min, max))
    lowest, highest = (f"{written(percent(c[3]))} % ({c[1]}, {c[2]})" for c in (low, high))
    return f"From {lowest} to {highest}. "
