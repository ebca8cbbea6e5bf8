"""Judge audit: people label a random sample blind, and their labels say how far the judge can be trusted."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import as_code
from safeeraser.ui.views import audit_results, auditing, judging_twice

view = st.session_state["view"]
header.title("Judge audit")
sample = auditing.choose(view)
st.caption(
    f"Label {len(sample.drawn):,} of {len(sample.rows):,} {view.split} answers graded by "
    f"{as_code(str(view.judge))}, without seeing its verdicts. Drawn by seed: a larger sample adds to a smaller one."
)
match state.select("Show", ("Label", "Results", "Two judges"), "show", widget=st.segmented_control, required=True):
    case "Label":
        auditing.draw(view, sample)
    case "Results":
        st.header("Results")
        audit_results.draw(view, sample)
    case _:
        st.header("Two judges")
        judging_twice.draw(view, sample)
