"""Compare: moving between the answers of the pair, the outcome matrix beside them, and the blind vote."""

import random

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.score import labels, outcomes
from safeeraser.score.labels import PREFERRED
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import COMPARED, View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers, labelling, questions
from safeeraser.ui.parts.item import Column

# What a blind vote can be, and which of the two answers it prefers.
VOTES = {
    "Answer 1": (True, False),
    "Answer 2": (False, True),
    "Both are good": (True, True),
    "Neither is": (False, False),
}


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
    chosen = [
        f"{side[-1].upper()} {answers.any_of(words)}" for side, words in questions.asked_outcomes(set_name).items()
    ]
    if chosen:
        st.button(
            f"Clear the filter: {' and '.join(chosen)}",
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
        questions.clear("none")
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
        st.markdown(f"**{place + 1:,}** of {len(keys):,} answers", width="content")
        st.caption(as_code(keys[place].removesuffix("#0")))
    id, _, sample = keys[place].rpartition("#")
    return id, int(sample)


def _step(label: str, key: str, keys: list[str], to: int, icon: str) -> None:
    there = 0 <= to < len(keys)
    target = keys[to] if there else None
    st.button(label, key=key, icon=icon, disabled=not there, on_click=state.put, kwargs={"item": target})


def say_unlike(view: View, more: list[str]) -> None:
    """Which of the further runs differ from B in more than what they are compared for, and a button that drops them."""
    if view.b is None or not reading.settings(view.b).trains:
        return
    own = reading.settings(view.b)
    odd = {}
    for name in more:
        unlike = reading.settings(view.runs[name]).differences(own)
        if named := [setting for setting in unlike if setting not in COMPARED]:
            odd[name] = ", ".join(named)
    if not odd:
        return
    told = "; ".join(f"{view.labels[name]} ({settings})" for name, settings in odd.items())
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.warning(f"Not like B in more than the method: {escape_markdown(told)}.", icon=":material/difference:")
    rest = state.listed(name for name in more if name not in odd)
    right.button("Leave them out", on_click=state.put, kwargs={"more": rest})


def shuffled(item: VQA, shown: list[Column]) -> list[Column]:
    """The answers of A and B in an order drawn by the item, so that a place says nothing of the run."""
    return random.Random(f"blind {item.id}").sample(shown[:2], len(shown[:2]))


def blind(view: View, item: VQA, sample: int, shown: list[Column], *, hidden: bool) -> None:
    """Both answers without names and verdicts, four buttons to vote, and, once voted, who was who."""
    order = shuffled(item, shown)
    for number, (cell, column) in enumerate(zip(st.columns(len(order)), order, strict=True), start=1):
        with cell, st.container(border=True):
            st.markdown(f"**Answer {number}**")
            # Folding only some answers would tell them apart.
            answers.show_unless(hidden and outcome_words.harmful_set(item.set), column.answer)
    st.markdown("Which answer is better? Nothing on this page tells whose it is before you vote.")
    voted = f"vote {item.id} {sample} {' '.join(column.name for column in order)}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        person = labelling.who().strip()
        pressed = [word for word in VOTES if st.button(word, key=f"vote-{word}", disabled=hidden or len(order) < 2)]
    if pressed and not person:
        st.error("Enter your name first: a vote says whose it is.")
    elif pressed:
        # A vote is a label on each of the two answers: whether it is preferred.
        for column, preferred in zip(order, VOTES[pressed[0]], strict=True):
            labelling.keep(column, item, sample, who=person, check=PREFERRED, verdict=preferred)
        st.session_state[voted] = pressed[0]
    if vote := st.session_state.get(voted):
        names = "; ".join(f"Answer {n}: **{escape_markdown(one.title)}**" for n, one in enumerate(order, start=1))
        st.success(f"You voted: {vote}. {names}.", icon=":material/how_to_vote:")


def votes(view: View) -> str:
    """How the blind votes on A and on B went so far, in Markdown; empty where there are none."""
    told = []
    for run in (view.a, view.b):
        given = [label.verdict for label in labels.of_run(run) if label.check == PREFERRED] if run else []
        if run and given:
            name = escape_markdown(view.labels[run.name])
            told.append(f"{name} was preferred in {sum(map(bool, given))} of {len(given)}")
    return f"Blind votes: {'; '.join(told)}." if told else ""
