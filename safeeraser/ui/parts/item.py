"""One question with the answers of several runs beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.runs.folder import Run
from safeeraser.ui.frame import media, reading
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers

WIDE = 4  # answers beside each other
PAIR = ("A: ", "B: ")  # what the first two are called in the header and in the matrix


@dataclass(frozen=True)
class Column:
    """What one run answered. name: the run's; title: what stands above the answer."""

    name: str
    title: str
    answer: str
    outcome: str
    reply: str


def columns(view: View, key: tuple[str, int], runs: Sequence[Run]) -> list[Column]:
    """The runs' answers to one question, in their order; a run that was not asked it is left out."""
    found = []
    for run in runs:
        row = reading.answer(run, view.judge or "", key)
        if row is not None:
            found.append(Column(run.name, view.labels[run.name], row["answer"], row["outcome"], row["reply"] or ""))
    return found


def draw_picture(item: VQA, *, where: str, width: int | str = "stretch") -> bool:
    """The item's picture; returns whether what belongs to it is still hidden."""
    if item.text_only:
        st.info("Asked in words alone: the model sees no picture.", icon=":material/notes:")
        return False
    harmful = item.set in outcome_words.HARMFUL_PICTURE
    media.picture(item.picture, harmful=harmful, category=item.category, where=where, width=width)
    return is_hidden(item)


def is_hidden(item: VQA) -> bool:
    """Whether the item's picture is a harmful one that the reader has not revealed."""
    return item.set in outcome_words.HARMFUL_PICTURE and not media.revealed(item.picture)


def draw_question(item: VQA) -> None:
    st.caption(f"{outcome_words.SETS[item.set]} · {escape_markdown(item.category)} · {item.split}")
    st.markdown(f"**{escape_markdown(item.question)}**")


def draw_answers(item: VQA, shown: list[Column], *, judge: str, hidden: bool, differences: bool) -> None:
    """The answers in columns, at most four beside each other; the first is the one that others are compared with."""
    for start in range(0, len(shown), WIDE):
        row = shown[start : start + WIDE]
        for place, (cell, column) in enumerate(zip(st.columns(min(len(shown), WIDE)), row, strict=False), start=start):
            with cell, st.container(border=True):
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    name = f"{PAIR[place] if place < len(PAIR) else ''}{escape_markdown(column.title)}"
                    st.markdown(f"**{name}**", width="content")
                    answers.badge(column.outcome, item.set)
                against = shown[0].answer if differences and column is not shown[0] else None
                against_hidden = hidden and outcome_words.harmful_text(shown[0].outcome, item.set)
                answers.card(
                    column.answer,
                    outcome=column.outcome,
                    reply=column.reply,
                    set_name=item.set,
                    judge=judge,
                    folded=hidden and outcome_words.harmful_text(column.outcome, item.set),
                    against=None if against_hidden else against,
                )


def draw_stored(item: VQA, *, hidden: bool) -> None:
    """The answer that the data set stores: a harmful one stays folded until its picture is revealed."""
    if not item.answer:
        st.caption("The data set stores no answer to this question.")
    else:
        answers.show_unless(hidden and outcome_words.harmful_set(item.set), item.answer)


def by_id(view: View, id: str) -> VQA | None:
    return view.source.items.get(id)


def as_key(row: Any) -> tuple[str, int]:
    """What joins a row of one run with the row of another."""
    return str(row["id"]), int(row["sample"])
