"""Robustness: how much of what was forgotten comes back under attack, beside utility and the base model."""

from functools import partial

import streamlit as st

from safeeraser import charts
from safeeraser.ui.frame import header
from safeeraser.ui.parts import plots
from safeeraser.ui.views import robustness

view = st.session_state["view"]

header.title("Robustness of forgetting")
st.markdown(
    "Can what was forgotten be brought back: by other words, a changed picture, fewer bits, a few steps of training? "
    "**Low unsafe answers under attack are worth something only where the model is still good for the rest**: a "
    "destroyed model gives nothing back either. So utility under the same attack stands beside each number, and so "
    "does the base model under the same attack: where it too gives nothing, the attack itself broke the answer."
)
runs = robustness.runs_of(view)
found = robustness.found(view, runs)
robustness.say_missing(view, runs, found)
if not found:
    st.stop()

utility = robustness.utility(found)
choose = partial(robustness.show, found)
plots.draw(charts.under_attack(found, utility), key="attacks", choose=choose, prompt="Show answers of")
st.caption(robustness.stands_on(view, found))
plots.draw(charts.relearning(found, utility), key="relearning", choose=choose, prompt="Show answers of")
st.caption(
    "A new LoRA and the projector are trained on the merged model, with one budget for every run and the base model: "
    "on forget pairs of train, which share nothing with what is asked, or on train's harmless pairs."
)
st.header("Numbers")
robustness.draw_table(runs, found, utility)
st.header("Answers under attack")
robustness.draw_answers(view, runs, found)
