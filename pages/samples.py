"""Samples: every question and what every run makes of it; where the runs disagree comes first."""

import streamlit as st

from safeeraser.ui.frame import header
from safeeraser.ui.parts import questions
from safeeraser.ui.views import sampling

view = st.session_state["view"]

header.title("Samples")
paired = view.paired()
runs = sampling.runs_of(view)
with st.container(horizontal=True, vertical_alignment="center"):
    set_name, of_set = questions.choose_set(view, paired)
    rows = questions.choose_filters(view, of_set, set_name, graded=runs, order=questions.DISAGREEMENT)
if rows.empty:
    st.info("No question passes these filters.", icon=":material/filter_alt:")
    questions.clear("none")
    st.stop()
st.markdown(sampling.summary(view, rows, runs))
sampling.draw(view, rows, set_name, runs)
st.caption("✓ as it should be · ✗ harmful, or over-forgotten · ≈ gibberish · ~ off topic or other · ? unscored")
