"""Compare: which answers of the pair are shown (the filters and the outcome matrix) and moving between them."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from safeeraser.data.records import CATEGORIES
from safeeraser.score import outcomes
from safeeraser.ui.frame import state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers

FILTERS = ("category", "outcome_a", "outcome_b", "changed", "q")
SETS = ("decouple", "forget", "retain", "general")


def choose(view: View, paired: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Draw all filters but the outcome matrix; returns the set and the rows that pass, in the order of the data."""
    here = paired[paired["split"] == view.split]
    counts = here["set"].value_counts()
    sets = [name for name in SETS if counts.get(name)]
    if not sets:
        st.info(f"The two runs answered no common question of {view.split}. Choose the other split or another pair.")
        st.stop()
    set_name = state.select(
        "Questions",
        sets,
        "set",
        widget=st.segmented_control,
        required=True,
        format_func=lambda name: f"{answers.SETS[name]} ({counts[name]:,})",
        resets=("item", "outcome_a", "outcome_b"),
    )
    cells = st.columns([3, 3, 2], vertical_alignment="bottom")
    with cells[0]:
        categories = state.several("Category", CATEGORIES, "category", resets=("item",), placeholder="All categories")
    with cells[1]:
        words = state.text("Search question and answers", "q", resets=("item",), placeholder="Words")
    with cells[2]:
        changed = state.toggle("Changed answers only", "changed", resets=("item",))
    rows = here[here["set"] == set_name]
    return set_name, _matching(view, rows, categories, words, changed)


def _matching(view: View, rows: pd.DataFrame, categories: list[str], words: str, changed: bool) -> pd.DataFrame:
    if categories:
        rows = rows[rows["category"].isin(categories)]
    if changed:
        rows = rows[rows["changed"]]
    if words.strip():
        items = view.source.items
        asked = [items[id].question if id in items else "" for id in rows["id"]]
        text = pd.Series(asked, index=rows.index) + "\n" + rows["answer_a"] + "\n" + rows["answer_b"]
        rows = rows[text.str.contains(words.strip(), case=False, regex=False)]
    return rows


def of_outcomes(rows: pd.DataFrame, set_name: str) -> pd.DataFrame:
    """The rows with the outcomes that the address asks for."""
    for side, wanted in _asked_outcomes(set_name).items():
        rows = rows[rows[side].isin(wanted)]
    return rows


def _asked_outcomes(set_name: str) -> dict[str, list[str]]:
    known, sides = outcomes.OUTCOMES[set_name], ("outcome_a", "outcome_b")
    asked = {side: [word for word in state.get(side).split(",") if word in known] for side in sides}
    return {side: words for side, words in asked.items() if words}


def matrix(rows: pd.DataFrame, set_name: str) -> None:
    """The outcome matrix of what the other filters let through; a cell is a button that filters."""
    counts = outcomes.matrix(rows, set_name)
    before = [name for name in counts.index if counts.loc[name].sum()]
    after = [name for name in counts.columns if counts[name].sum()]
    st.markdown("**Outcome matrix**: rows are A, columns B; a cell filters")
    if not before:
        st.caption("No answer passes the filters.")
        return
    heads = st.columns([1.4, *[1] * len(after)], vertical_alignment="center")
    heads[0].caption("A \\ B")
    for cell, name in zip(heads[1:], after, strict=True):
        cell.caption(f"B {name}")
    for first in before:
        cells = st.columns([1.4, *[1] * len(after)], vertical_alignment="center")
        cells[0].caption(f"A {first}")
        for cell, second in zip(cells[1:], after, strict=True):
            _cell(cell, first, second, int(counts.loc[first, second]))  # pyright: ignore
    chosen = [f"{side[-1].upper()} {' or '.join(words)}" for side, words in _asked_outcomes(set_name).items()]
    if chosen:
        st.button(
            f"Clear: {' and '.join(chosen)}",
            on_click=state.put,
            kwargs={"outcome_a": None, "outcome_b": None, "item": None},
            icon=":material/filter_alt_off:",
            key="clear-outcomes",
        )


def _cell(cell: DeltaGenerator, first: str, second: str, count: int) -> None:
    on = (state.get("outcome_a"), state.get("outcome_b")) == (first, second)
    wanted = {"outcome_a": None, "outcome_b": None} if on else {"outcome_a": first, "outcome_b": second}
    cell.button(
        f"{count:,}",
        key=f"matrix-{first}-{second}",
        type="primary" if on else "secondary",
        disabled=not count,
        width="stretch",
        on_click=state.put,
        kwargs=wanted | {"item": None},
        help=f"A {first}, B {second}: {count:,} answers",
    )


def move(rows: pd.DataFrame) -> tuple[str, int] | None:
    """Which answer is shown, with buttons for the next and the previous one; None when no answer passes."""
    if rows.empty:
        st.info("No answer passes these filters.", icon=":material/filter_alt:")
        st.button(
            "Clear all filters", on_click=state.put, kwargs=dict.fromkeys(FILTERS), icon=":material/filter_alt_off:"
        )
        return None
    keys = [f"{id}#{sample}" for id, sample in zip(rows["id"], rows["sample"], strict=True)]
    asked = state.get("item")
    asked = asked if "#" in asked or not asked else f"{asked}#0"
    if asked and asked not in keys:
        st.warning(f"{escape_markdown(asked)} does not pass these filters, so the first that does is shown.")
    place = keys.index(asked) if asked in keys else 0
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous (k)", "key-previous", keys, place - 1, ":material/chevron_left:")
        _step("Next (j)", "key-next", keys, place + 1, ":material/chevron_right:")
        st.markdown(f"**{place + 1:,}** of {len(keys):,} answers")
        st.caption(as_code(keys[place].removesuffix("#0")))
    id, _, sample = keys[place].rpartition("#")
    return id, int(sample)


def _step(label: str, key: str, keys: list[str], to: int, icon: str) -> None:
    there = 0 <= to < len(keys)
    target = keys[to] if there else None
    st.button(label, key=key, icon=icon, disabled=not there, on_click=state.put, kwargs={"item": target})
