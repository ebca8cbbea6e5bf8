"""Compare: one question, the base model's answer beside those of the runs, and all that changed."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import asking, item, labelling, looking
from safeeraser.ui.views import comparing, handouts

view = st.session_state["view"]

header.title("Compare answers")
paired = view.paired()
set_name, matching = comparing.choose(view, paired)
with st.container(border=True):
    comparing.matrix(matching, set_name)

key = comparing.move(comparing.of_outcomes(matching, set_name))
if key is None:
    st.stop()
vqa = item.by_id(view, key[0])
if vqa is None:
    st.error(f"The data set has no item {escape_markdown(key[0])} any more: the runs were made on other data.")
    st.stop()

others = [name for name in view.runs if name not in (view.a.name, view.b.name)]
with st.container(horizontal=True, vertical_alignment="bottom"):
    more = state.several(
        "More runs beside them",
        others,
        "more",
        format_func=view.labels.get,
        max_selections=2,
        placeholder="Up to two",
    )
    differences = state.toggle("Mark word differences from A", "diff")
    blind = state.toggle("Blind", "blind", help="Shuffled, without names and verdicts")
names = [view.a.name, view.b.name, *more]

left, right = st.columns([1, 4], gap="medium")
with left:
    hidden = item.draw_picture(vqa, where="compare")
with right:
    item.draw_question(vqa)
    shown = item.columns(view, key, [view.runs[name] for name in names])
    item.draw_answers(vqa, shown, judge=view.judge, hidden=hidden, blind=blind, differences=differences)
    handouts.compare(view, key, shown, blind=blind)
    with st.expander("The data set's stored answer"):
        item.draw_stored(vqa, hidden=hidden)

training, ask, label = st.tabs(["Along training", "Ask your own", "Label and note"])
with training:
    looking.draw(view, view.b, vqa, hidden=hidden)
with ask:
    asking.draw(view, vqa, names, hidden=hidden)
with label:
    if blind:
        st.info("Labels name the run: turn Blind off to label here, or label blind on the Judge audit page.")
    else:
        labelling.draw(view, vqa, key[1], shown)
