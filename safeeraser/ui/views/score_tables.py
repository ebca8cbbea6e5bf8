"""The tables of the Metrics page: runs with intervals and n, methods over their seeds, downloads, the paper's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pandas as pd
import streamlit as st

from safeeraser.charts.words import labels, numbers, ordered, percent, score_of, wording, written
from safeeraser.data.rows import ScoreRow
from safeeraser.losses import method_name
from safeeraser.score import paper, tables
from safeeraser.score.metrics import PAPER, SCORES, columns
from safeeraser.ui.frame import state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import plots
from safeeraser.ui.views import scoring
from safeeraser.ui.views.scoring import Row

FORMS: dict[str, tuple[str, str, Callable[[Sequence[Any]], str]]] = {
    "CSV": ("scores.csv", "text/csv", tables.as_csv),
    "Markdown": ("scores.md", "text/markdown", tables.as_markdown),
    "LaTeX": ("scores.tex", "application/x-tex", tables.as_latex),
}


def by_run(rows: Sequence[Row], table: str) -> pd.DataFrame:
    """One line a run; a cell is `31.8 [22.7, 41.1]` in percent, and a column's name has the n that all share."""
    runs = ordered(rows)
    found = {
        "Method": labels(runs),
        "PD weight": [_weight(row["pd"]) for row in runs],
        "Seed": [r["seed"] for r in runs],
    }
    for title, metric in columns(table, runs).items():
        scores = [score_of(row, metric) for row in runs]
        counts = {score["n"] for score in scores if score["value"] is not None}
        shared = f" (n = {counts.pop():,})" if len(counts) == 1 else ""
        found[f"{title}{shared}"] = [_cell(score, with_n=not shared) for score in scores]
    if table == SCORES and tables.flags_of(runs):
        found[tables.FLAGS] = [", ".join(tables.flags_of([row])) for row in runs]
    return pd.DataFrame(found)


def _weight(pd: float) -> str:
    return f"{pd:g}" if pd else "–"


def _cell(score: Mapping, *, with_n: bool) -> str:
    if score["value"] is None:
        return "–"
    text = written(percent(score))
    if score["low"] is not None and score["high"] is not None:
        text += f" [{written(percent(score, 'low'))}, {written(percent(score, 'high'))}]"
    if with_n:
        text += f", n = {score['n']:,}"
    return f"{text}, {score['unscored']:,} unscored" if score["unscored"] else text


def by_method(rows: Sequence[Row], table: str) -> pd.DataFrame:
    """One line a method and PD weight, as `tables.summary` has it."""
    found = tables.summary(cast("Sequence[ScoreRow]", rows), table)
    return found.assign(Method=found["Method"].map(method_name))


def every_number(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a run and metric, official and clean val: value, interval, n, unscored, and why there is no value."""
    lines = []
    for row, label in zip(ordered(rows), labels(ordered(rows)), strict=True):
        made = dict(zip(tables.CONTEXT, tables.context(row), strict=True))
        facts = {"run": row["run"]} | made | {name: row[name] for name in ("data_hash", "method", "pd", "seed")}
        for val, group in (("official", "metrics"), ("clean", "metrics_clean_val")):
            for metric in row[group]:
                value, *rest = numbers(metric, score_of(row, metric, clean=val == "clean")).items()
                where = {"label": label, "val": val, "metric": wording(metric).name}
                lines.append(facts | where | {"value (%)": value[1]} | dict(rest))
    return pd.DataFrame(lines)


def draw_all(rows: Sequence[Row]) -> None:
    """The tables of `tables.titles` and that of the published code's, by run or by method, and their downloads."""
    means = state.toggle("Mean over seeds", "means", help="One line a method: mean ± sample standard deviation")
    for title in tables.titles(rows, (*tables.TITLES, PAPER)):
        st.subheader(title)
        if title in tables.NOTES:
            st.caption(tables.NOTES[title])
        _draw((by_method if means else by_run)(rows, title), what=title)
        if title == SCORES:
            _explain_flags(rows)
    how = "Mean ± sample standard deviation over runs" if means else "With 95 % intervals"
    st.caption(f"In percent, official val. {how}. {scoring.stands_on(rows, 'sarr')}")
    _downloads(rows)


def _explain_flags(rows: Sequence[Row]) -> None:
    found = ordered(rows)
    for row, label in zip(found, labels(found), strict=True):
        for flag in row.get("flags", ()):
            st.caption(
                f"**{escape_markdown(label)}: {escape_markdown(flag['name'])}.** {escape_markdown(flag['why'])}."
            )


def draw_paper() -> None:
    """The published numbers, on their own."""
    st.warning(
        "Measured on LLaVA-1.5 with the SafeEraser data set and GPT-4o as judge. **Never comparable with the demo "
        "world**, nor with other data, another judge or other decoding.",
        icon=":material/warning:",
    )
    table = paper.paper_table()
    first = ["Method", "Model", "SARR (%)"]
    _draw(
        table[[*first, *table.columns.difference(first, sort=False)]], what="The published numbers, with their source"
    )
    st.caption(
        f"In percent. Source: {escape_markdown(paper.SOURCE)}. \\[N\\]: read in a note about the paper, one step "
        "removed from it; no n and no intervals there."
    )


def _draw(table: pd.DataFrame, *, what: str) -> None:
    """Show a table whose method stays in sight while the rest scrolls."""
    columns: Any = {name: st.column_config.NumberColumn(format="%.1f") for name in table.select_dtypes("float")}
    columns["Method"] = st.column_config.TextColumn(pinned=True)
    st.dataframe(
        table,
        hide_index=True,
        column_config=columns,
        height="content",
        alt=f"{what}: {len(table)} lines, in percent.",
    )


def _downloads(rows: Sequence[Row]) -> None:
    """Methods over their seeds in three forms, and every number of every run."""
    plain = [dict(row) for row in rows]
    with st.container(horizontal=True):
        for form, (file, mime, write) in FORMS.items():
            st.download_button(
                f"Methods: {form}", write(plain), file, mime, on_click="ignore", icon=":material/download:"
            )
        every = plots.csv(every_number(rows))
        st.download_button(
            "Every number: CSV", every, "every-score.csv", "text/csv", on_click="ignore", icon=":material/download:"
        )
