"""Which questions are shown, and in which order: what Samples and Compare have in common, kept in the address.

A question is one that both A and B answered; how all runs answer it decides the disagreement.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import CATEGORIES
from safeeraser.runs.folder import Run
from safeeraser.score import outcomes
from safeeraser.score.measuring import trained_concepts
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View

SETS = ("decouple", "forget", "retain", "general", "outside", "holes", "text_decouple", "text_forget")
SEEN = {"seen": True, "unseen": False}
DISAGREEMENT = "disagreement"
SORTS = ("as in the data", DISAGREEMENT)
ANY = "any run"
FILTERS = ("category", "seen", "q", "outcome", "of", "changed", "outcome_a", "outcome_b")
RESETS = ("item", "page")


def choose_set(view: View, paired: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The set of questions, by buttons with their counts, and its rows on the header's split."""
    here = paired[paired["split"] == view.split]
    counts = here["set"].value_counts()
    sets = [name for name in SETS if counts.get(name)]
    if not sets:
        st.info(f"The two runs answered no common question of {view.split}. Choose the other split or another pair.")
        st.stop()
    name = state.select(
        "Questions",
        sets,
        "set",
        widget=st.segmented_control,
        required=True,
        label_visibility="collapsed",
        format_func=lambda name: f"{outcome_words.SHORT[name]} ({counts[name]:,})",
        resets=(*RESETS, "outcome", "outcome_a", "outcome_b"),
    )
    return name, here[here["set"] == name]


def choose_filters(
    view: View, rows: pd.DataFrame, set_name: str, *, graded: Sequence[Run], order: str = SORTS[0]
) -> pd.DataFrame:
    """The filters but those of the outcome matrix, in a popover; returns the rows that pass, in the chosen order.

    graded: the runs whose outcomes are compared. order: what nobody chose is sorted by.
    """
    active = sum(bool(state.get(name)) and state.get(name) != "any" for name in FILTERS if name != "of")
    with st.popover(f"Filters ({active})" if active else "Filters", icon=":material/filter_alt:"):
        rows = _filtered(view, rows, set_name, graded=graded, order=order)
        clear("popover")
    return rows


def _filtered(view: View, rows: pd.DataFrame, set_name: str, *, graded: Sequence[Run], order: str) -> pd.DataFrame:
    labels = {run.name: view.labels[run.name] for run in graded}
    cells = st.grid(3, min_column_width=200)
    with cells.cell():
        categories = state.several("Category", CATEGORIES, "category", resets=RESETS, placeholder="All categories")
    with cells.cell():
        words = state.text("Search question and answers of A and B", "q", resets=RESETS, placeholder="Words")
    with cells.cell():
        seen = state.select("Safe thing", ("any", *SEEN), "seen", resets=RESETS, help="Whether PD training showed it")
    with cells.cell():
        known = outcomes.OUTCOMES[set_name]
        wanted = state.several("Outcome", known, "outcome", resets=RESETS, placeholder="All outcomes")
    with cells.cell():
        options = [ANY, *labels]
        of = state.select("Outcome of", options, "of", resets=RESETS, format_func=lambda one: labels.get(one, one))
    with cells.cell():
        sort = state.select(
            "Order", SORTS, "sort", default=order, resets=RESETS, help="Disagreement: the runs' outcomes differ most"
        )
    changed = state.toggle("Only where A and B answer differently", "changed", resets=RESETS)
    rows = _matching(view, rows, categories=categories, words=words, changed=changed, seen=seen)
    if wanted:
        asked = outcome_codes(view, rows, [run for run in graded if of in (ANY, run.name)])
        codes = [outcomes.CODES[word] for word in wanted]
        rows = rows[[bool(set(of_question) & set(codes)) for of_question in asked.T.tolist()]]
    if sort == DISAGREEMENT:
        places = np.argsort(-outcomes.disagreement(outcome_codes(view, rows, graded)), kind="stable")
        rows = rows.iloc[list(places)]
    return rows


def clear(where: str) -> None:
    """The button that drops all filters; where: what makes this place on the page unique."""
    st.button(
        "Clear all filters",
        on_click=state.put,
        kwargs=dict.fromkeys((*FILTERS, *RESETS)),
        icon=":material/filter_alt_off:",
        key=f"clear-{where}",
    )


def of_outcomes(rows: pd.DataFrame, set_name: str) -> pd.DataFrame:
    """The rows with the outcomes of A and of B that the address asks for."""
    for side, wanted in asked_outcomes(set_name).items():
        rows = rows[rows[side].isin(wanted)]
    return rows


def asked_outcomes(set_name: str) -> dict[str, list[str]]:
    known, sides = outcomes.OUTCOMES[set_name], ("outcome_a", "outcome_b")
    asked = {side: [word for word in state.get(side).split(",") if word in known] for side in sides}
    return {side: words for side, words in asked.items() if words}


def graded_runs(view: View) -> list[Run]:
    """The finished runs that the judge graded: the base first, then by method, without and with PD, and seed."""
    found = [run for run in view.runs.values() if reading.finished(run) and view.judge in reading.judges(run)]
    return sorted(found, key=lambda run: reading.place(run))


def outcome_codes(view: View, rows: pd.DataFrame, runs: Sequence[Run]) -> np.ndarray:
    """The outcome of every run (rows) to every question (columns) as `outcomes.CODES`; -1 where it was not asked."""
    places = reading.places_of_items(view.data)
    at = np.fromiter((places.get(id, -1) for id in rows["id"]), dtype=np.int64, count=len(rows))
    found = [np.where(at < 0, -1, reading.codes(run, view.judge or "", view.data)[at]) for run in runs]
    return np.stack(found) if found else np.empty((0, len(rows)), dtype=np.int8)


def _matching(
    view: View, rows: pd.DataFrame, *, categories: list[str], words: str, changed: bool, seen: str
) -> pd.DataFrame:
    if categories:
        rows = rows[rows["category"].isin(categories)]
    if changed:
        rows = rows[rows["changed"]]
    items = view.source.items
    if seen in SEEN:
        trained = trained_concepts(items.values())
        concepts = [items[id].concept if id in items else None for id in rows["id"]]
        rows = rows[[concept is not None and (concept in trained) == SEEN[seen] for concept in concepts]]
    if words.strip():
        asked = [items[id].question if id in items else "" for id in rows["id"]]
        text = pd.Series(asked, index=rows.index) + "\n" + rows["answer_a"] + "\n" + rows["answer_b"]
        rows = rows[text.str.contains(words.strip(), case=False, regex=False)]
    return rows
