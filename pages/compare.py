"""Compare: one question, the base model's answer beside those of the runs, and all that changed."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import asking, item, labelling, looking, questions
from safeeraser.ui.views import comparing, handouts

view = st.session_state["view"]

header.title("Compare answers")
paired = view.paired()
blind = state.get("blind") == "1"
with st.container(horizontal=True, vertical_alignment="center"):
    set_name, of_set = questions.choose_set(view, paired)
    matching = of_set
    if not blind:  # a filter by the outcome of a run would tell who is who
        matching = questions.choose_filters(view, of_set, set_name, graded=questions.graded_runs(view))
    state.toggle("Blind vote", "blind", help="Two answers, shuffled, without names and verdicts: which is better?")

key = comparing.move(matching if blind else questions.of_outcomes(matching, set_name))
if key is None:
    st.stop()
vqa = item.by_id(view, key[0])
if vqa is None:
    st.error(f"The data set has no item {escape_markdown(key[0])} any more: the runs were made on other data.")
    st.stop()

others = {name: view.labels[name] for name in view.runs if name not in (view.a.name, view.b.name)}
more = [name for name in state.unlisted(state.get("more")) if name in others and not blind]
runs = [view.runs[name] for name in (view.a.name, view.b.name, *more)]
shown = item.columns(view, key, runs)
comparing.say_unlike(view, more)
left, right = st.columns([1, 4], gap="medium")
with left:
    hidden = item.draw_picture(vqa, where="compare", width=220)
with right:
    item.draw_question(vqa)
    if blind:
        comparing.blind(view, vqa, key[1], shown, hidden=hidden)
        st.stop()
    differences = state.get("diff") == "1"
    item.draw_answers(vqa, shown, judge=view.judge, hidden=hidden, differences=differences)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state.several("More runs beside them", list(others), "more", format_func=others.get, placeholder="No more")
        state.toggle("Mark word differences from A", "diff")
        handouts.compare(view, key, shown)

beside, tabs = st.columns([2, 3], gap="large")
with beside, st.container(border=True):
    comparing.matrix(matching, set_name)
    if told := comparing.votes(view):
        st.caption(told)
with tabs:
    training, ask, label, stored = st.tabs(["Training", "Ask", "Label", "Stored answer"])
    with training:
        looking.draw(view, view.b, vqa, hidden=hidden)
    with ask:
        asking.draw(view, vqa, [run.name for run in runs], hidden=hidden)
    with label:
        labelling.draw(view, vqa, key[1], shown)
    with stored:
        item.draw_stored(vqa, hidden=hidden)
