"""The tables of the Metrics page: every run's scores with interval and n, methods over their seeds, downloads."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import streamlit as st

from safeeraser import tables
from safeeraser.charts.words import labels, method_name, numbers, ordered, percent, score_of, wording, written
from safeeraser.ui import plots
from safeeraser.ui.scoring import Row

FORMS: dict[str, tuple[str, str, Callable[[Sequence[dict]], str]]] = {
    "CSV": ("scores.csv", "text/csv", tables.as_csv),
    "Markdown": ("scores.md", "text/markdown", tables.as_markdown),
    "LaTeX": ("scores.tex", "application/x-tex", tables.as_latex),
}


def by_run(rows: Sequence[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    """One line a run; a cell is `31.8 [22.7, 41.1]` in percent, and n stands in the column's name where all share it."""
    runs = ordered(rows)
    table = {"Method": labels(runs), "PD weight": [row["pd"] or None for row in runs], "Seed": [r["seed"] for r in runs]}
    for title, metric in columns.items():
        scores = [score_of(row, metric) for row in runs]
        counts = {score["n"] for score in scores if score["value"] is not None}
        shared = f" (n = {counts.pop():,})" if len(counts) == 1 else ""
        table[f"{title}{shared}"] = [_cell(score, with_n=not shared) for score in scores]
    return pd.DataFrame(table)


def _cell(score: Mapping, *, with_n: bool) -> str:
    if score["value"] is None:
        return "–"
    text = written(percent(score))
    if score["low"] is not None and score["high"] is not None:
        text += f" [{written(percent(score, 'low'))}, {written(percent(score, 'high'))}]"
    if with_n:
        text += f", n = {score['n']:,}"
    return f"{text}, {score['unscored']:,} unscored" if score["unscored"] else text


def by_method(rows: Sequence[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    """One line a method and PD weight: mean ± sample standard deviation over its runs, in percent."""
    found = tables.summarise(map(dict, rows))
    varying = [at for at in range(len(tables.CONTEXT)) if len({one.context[at] for one in found}) > 1]
    return pd.DataFrame(
        {tables.CONTEXT[at].capitalize(): one.context[at] for at in varying}
        | {"Method": method_name(one.method), "PD weight": one.pd or None, "Runs": one.runs}
        | {title: _mean(one.cells.get(metric), one.runs) for title, metric in columns.items()}
        for one in found
    )


def _mean(cell: tables.Cell | None, runs: int) -> str:
    if cell is None:
        return "–"
    text = f"{100 * cell.mean:.1f}" + ("" if cell.spread is None else f" ± {100 * cell.spread:.1f}")
    return text if cell.runs == runs else f"{text} ({cell.runs} of {runs} runs)"


def every_number(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a run and metric, official and clean val: value, interval, n, unscored, and why there is no value."""
    lines = []
    for row, label in zip(ordered(rows), labels(ordered(rows)), strict=True):
        facts = {name: row[name] for name in ("run", *tables.CONTEXT, "data_hash", "method", "pd", "seed")}
        for val, group in (("official", "metrics"), ("clean", "metrics_clean_val")):
            for metric in row[group]:
                value, *rest = numbers(metric, score_of(row, metric, clean=val == "clean")).items()
                where = {"label": label, "val": val, "metric": wording(metric).name}
                lines.append(facts | where | {"value (%)": value[1]} | dict(rest))
    return pd.DataFrame(lines)


def draw(table: pd.DataFrame, *, what: str) -> None:
    """Show a table whose method stays in sight while the rest scrolls."""
    pinned = {"Method": st.column_config.TextColumn(pinned=True), "PD weight": st.column_config.NumberColumn()}
    st.dataframe(table, hide_index=True, column_config=pinned, alt=f"{what}: {len(table)} lines, in percent.")


def downloads(rows: Sequence[Row]) -> None:
    """Methods over their seeds in three forms, and every number of every run."""
    plain = [dict(row) for row in rows]
    with st.container(horizontal=True):
        for form, (file, mime, write) in FORMS.items():
            st.download_button(f"Methods: {form}", write(plain), file, mime, on_click="ignore", icon=":material/download:")
        every = plots.csv(every_number(rows))
        st.download_button(
            "Every number: CSV", every, "every-score.csv", "text/csv", on_click="ignore", icon=":material/download:"
        )
