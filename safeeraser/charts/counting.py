"""How many there are of each."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from safeeraser.charts.chart import BAR, BLUE, Chart, filled, frame, note, nothing, shown


def counts(counts: Mapping[str, int], *, what: str) -> Chart:
    """How many there are of each, the most first, as bars whose key is the name; what: `records by category`."""
    heading = f"{what[:1].upper()}{what[1:]}: {sum(counts.values())} in all"
    if not counts:
        return nothing(title=heading, why="There is nothing to count.")
    found = dict(sorted(counts.items(), key=lambda one: -one[1]))
    names = {key: key or "(no name)" for key in found}
    labels = [shown(name) for name in names.values()]
    figure = go.Figure(
        go.Bar(
            orientation="h",
            x=list(found.values()),
            y=labels,
            marker=filled(BLUE),
            customdata=[[key] for key in found],
            hovertext=[f"<b>{label}</b><br>n = {n}" for label, n in zip(labels, found.values(), strict=True)],
            hoverinfo="text",
        )
    )
    for label, number in zip(labels, found.values(), strict=True):
        note(figure, text=str(number), x=number, y=label, xanchor="left", xshift=3)
    frame(figure, title=heading, height=100 + BAR * len(found))
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    # Room for the number beside the longest bar, on a narrow screen too.
    figure.update_xaxes(title_text="Number", range=[0, 1.15 * max(1, *found.values())], zeroline=False)
    table = pd.DataFrame({"Name": list(names.values()), "Number": list(found.values())})
    most = ", ".join(f"{names[key]} {number}" for key, number in found.items())
    return Chart(figure, {name: key for key, name in names.items()}, table, f"{heading}. {most}.")
