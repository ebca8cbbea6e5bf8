"""One record: its two pictures, and its questions with the stored answer and what the pair of runs answers."""

import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA, Record
from safeeraser.ui.frame import media, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers, item


def draw(view: View, record: Record, name: str, words: list[str]) -> None:
    """The record, with a way back to the list and a link into Compare for every question."""
    st.button("Back to the list", icon=":material/arrow_back:", on_click=state.put, kwargs={"record": None})
    st.header(escape_markdown(name))
    st.caption(
        f"{escape_markdown(record.category)} · {escape_markdown(record.type)} · "
        f"keyword: {escape_markdown(record.keyword)}"
    )
    for word in words:
        st.badge(word, color="orange", icon=":material/flag:")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Harmful picture")
        media.picture(record.picture, harmful=True, category=record.category, where="record", width=260)
    with right:
        st.subheader("Safe partner")
        media.picture(record.safe_picture, harmful=False, category=record.category, where="record-safe", width=260)
        st.caption(escape_markdown(record.safe_keyword or "no keyword"))
    hidden = not media.revealed(record.picture)
    for set_name in ("forget", "decouple", "retain"):
        pairs: tuple[VQA, ...] = getattr(record, set_name)
        st.subheader(f"{outcome_words.SETS[set_name]} ({len(pairs)})")
        if not pairs:
            st.caption("The record has no pair of this set.")
        for pair in pairs:
            _pair(view, pair, hidden)


def _pair(view: View, pair: VQA, hidden: bool) -> None:
    with st.expander(escape_markdown(pair.question)):
        st.caption("Stored answer")
        item.draw_stored(pair, hidden=hidden)
        shown = item.columns(view, (pair.id, 0), [run for run in (view.a, view.b) if run is not None])
        if not shown:
            st.caption("The runs were not asked this question: only forget questions of train are.")
            return
        for column in shown:
            st.caption(f"**{escape_markdown(column.title)}**")
            answers.badge(column.outcome, pair.set)
            answers.show_unless(
                hidden and outcome_words.harmful_text(column.outcome, pair.set), column.answer, pair.set
            )
        if st.button("Open in Compare", key=f"compare-{pair.id}", icon=":material/compare:"):
            state.go("compare", set=pair.set, item=pair.id)
