"""How a chart is shown: it is a filter, it has a select box that does the same, its numbers, and downloads."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser import charts
from safeeraser.charts import Chart
from safeeraser.charts.exports import Form
from safeeraser.score import tables
from safeeraser.ui.frame import header
from safeeraser.ui.frame.text import escape_markdown

# What axes are written in: as in the theme's greyTextColor, with a contrast of more than 4.5 on its ground.
INK = {"light": "#4D5661", "dark": "#B7C0CC"}
FORMS: dict[Form, str] = {"png": "image/png", "svg": "image/svg+xml", "html": "text/html"}


def draw(chart: Chart, *, key: str, choose: Callable[[str], None] | None = None, prompt: str = "Open") -> None:
    """Draw a chart. choose: what happens with the key of a point that is clicked, or chosen in the select box.

    Its title stands above it, where it folds by itself, with what must be said of the data set's numbers.
    """
    title, badge = f"**{escape_markdown(charts.title_of(chart))}**", header.about().badge
    if badge:
        title, chart = f"{title} :violet-badge[{escape_markdown(badge)}]", charts.stamped(chart, badge)
    st.markdown(title)
    picked = st.plotly_chart(
        charts.with_ink(charts.without_title(chart), INK[st.context.theme.type or "light"]),
        key=f"chart-{key}",
        on_select="rerun" if choose else "ignore",
        selection_mode="points",
        config={"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]},
        alt=chart.alt,
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if choose and chart.choices:
            _twin(chart, key, choose, prompt)
        _downloads(chart, key)
    points = picked["selection"]["points"] if choose and picked else []  # pyright: ignore
    chosen = next((str(point["customdata"][0]) for point in points if point.get("customdata")), None)
    if choose and chosen:
        choose(chosen)


def _twin(chart: Chart, key: str, choose: Callable[[str], None], prompt: str) -> None:
    chosen = st.selectbox(
        prompt, list(chart.choices), index=None, placeholder="Choose, or click in the chart", key=f"twin-{key}"
    )
    if chosen:
        choose(chart.choices[chosen])


def _downloads(chart: Chart, key: str) -> None:
    with st.popover("Numbers and downloads", icon=":material/download:"):
        shown: Any = {
            name: st.column_config.NumberColumn(format="%.1f")
            for name in chart.table.select_dtypes("float")
            if "%" in str(name)
        }
        st.dataframe(chart.table, hide_index=True, column_config=shown, alt=f"The numbers of the chart. {chart.alt}")
        st.download_button("CSV", csv(chart.table), f"{key}.csv", "text/csv", key=f"csv-{key}", on_click="ignore")
        for form, mime in FORMS.items():
            st.download_button(
                form.upper(),
                partial(charts.export, chart, form),
                f"{key}.{form}",
                mime,
                key=f"{form}-{key}",
                on_click="ignore",
                help="Drawn by a browser on this machine; takes some seconds" if form != "html" else "Works offline",
            )


def csv(table: pd.DataFrame) -> str:
    """A table for a spreadsheet; a cell that a spreadsheet would run as a formula gets a quote in front."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    safe = table.assign(**{name: table[name].map(tables.no_formula) for name in texts})
    return safe.to_csv(index=False)
