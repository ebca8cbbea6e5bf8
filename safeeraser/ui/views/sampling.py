"""Samples: the questions in a table, one column for each run, where a mark says what the run makes of it."""

import base64
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.runs.folder import Run
from safeeraser.score import outcomes
from safeeraser.ui.frame import media, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.parts import questions
from safeeraser.ui.parts.questions import DISAGREEMENT

ROWS = 20  # on a page
SIGNS = {"green": "✓", "red": "✗", "violet": "≈", "orange": "~", "gray": "?"}
# Seen through by the text, so that it keeps its contrast on a light and on a dark ground.
GROUNDS = {
    "green": "rgba(0, 158, 115, 0.22)",
    "red": "rgba(213, 60, 40, 0.30)",
    "violet": "rgba(150, 90, 200, 0.28)",
    "orange": "rgba(213, 130, 0, 0.26)",
    "gray": "",
}
OUTCOMES = tuple(outcomes.CODES)


def runs_of(view: View) -> list[Run]:
    """The runs with a column: A, B and its twin first, then the others that the judge graded."""
    firsts = [run.name for run in (view.a, view.b, view.twin) if run]
    return sorted(questions.graded_runs(view), key=lambda run: [run.name != name for name in firsts])


def mark(outcome: str, set_name: str) -> str:
    """An outcome as a sign and a word; the sign says whether it is good."""
    return f"{SIGNS[outcome_words.look(outcome, set_name).colour]} {outcome}"


def table(view: View, rows: pd.DataFrame, set_name: str, runs: Sequence[Run]) -> pd.DataFrame:
    """One line a question: its picture, its text, how much the runs disagree, and the mark of every run."""
    items = view.source.items
    codes = questions.outcome_codes(view, rows, runs)
    shown: dict[str, list] = {
        "Picture": [_picture(items[id]) if id in items else None for id in rows["id"]],
        "Question": [items[id].question if id in items else id for id in rows["id"]],
        "Disagree": [round(100 * share) for share in outcomes.disagreement(codes)],
    }
    for run, of_run in zip(runs, codes, strict=True):
        shown[view.labels[run.name]] = ["" if code < 0 else mark(OUTCOMES[code], set_name) for code in of_run]
    return pd.DataFrame(shown, index=rows["id"])


def _ground(cell: str, set_name: str) -> str:
    """The style of a mark's cell."""
    outcome = cell.partition(" ")[2]
    return f"background-color: {GROUNDS[outcome_words.look(outcome, set_name).colour] or 'transparent'}"


def _picture(item: VQA) -> str | None:
    harmful = item.set in outcome_words.HARMFUL_PICTURE
    data = media.small(item.picture, harmful=harmful)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}" if data else None


def draw(view: View, rows: pd.DataFrame, set_name: str, runs: Sequence[Run]) -> None:
    """One page of the table; a line, or the select box below it, opens the question in Compare with these filters."""
    start = state.page_number("page", items=len(rows), per_page=ROWS) * ROWS
    page = rows.iloc[start : start + ROWS]
    shown = table(view, page, set_name, runs)
    names = [view.labels[run.name] for run in runs]
    styled = shown.style.map(lambda cell: _ground(str(cell), set_name), subset=list[Hashable](names))
    chosen = st.dataframe(
        styled,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"samples-{start}-{len(rows)}",
        row_height=56,
        height=40 + 56 * len(shown),
        column_config={
            "Picture": st.column_config.ImageColumn(width=70, pinned=True),
            "Question": st.column_config.TextColumn(width=300, pinned=True),
            "Disagree": st.column_config.NumberColumn(
                format="%d %%", width=80, help="Share of the runs whose outcome is not the commonest one"
            ),
            **{name: st.column_config.TextColumn(width=118) for name in names},
        },
        alt=f"{len(shown)} of {len(rows)} questions with the outcome of {len(runs)} runs",
    )
    selected = chosen["selection"]["rows"]  # pyright: ignore
    numbered = enumerate(zip(shown.index, shown["Question"], strict=True), start + 1)
    labels = {f"{number}. {text}": id for number, (id, text) in numbered}
    opened = st.selectbox("Open a question of this page in Compare", list(labels), index=None, placeholder="Choose")
    id = shown.index[selected[0]] if selected else labels.get(opened or "")
    if id:
        kept = {name: state.get(name) for name in questions.FILTERS} | {"sort": state.get("sort") or DISAGREEMENT}
        state.go("compare", set=set_name, item=f"{id}#{int(page.loc[page['id'] == id, 'sample'].iloc[0])}", **kept)


def summary(view: View, rows: pd.DataFrame, runs: Sequence[Run]) -> str:
    """On how many of the questions not all runs have the same outcome."""
    codes = questions.outcome_codes(view, rows, runs)
    split = int(np.count_nonzero(outcomes.disagreement(codes) > 0))
    return f"**{len(rows):,} questions**, {len(runs)} runs; on {split:,} not all runs have the same outcome."
