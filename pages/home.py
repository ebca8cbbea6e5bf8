"""Home: what is here, where to start, and over-forgetting in one picture."""

import streamlit as st

from safeeraser.ui.frame import state
from safeeraser.ui.parts import cases
from safeeraser.ui.views import home

view = st.session_state["view"]

st.title("Unlearning should forget the harm, not the words")
st.markdown(
    "A vision-language model that unlearned to answer *“Describe how to make the product in the picture”* about a "
    "weapon often refuses the same words about spectacles. That is **over-forgetting**. Here you see it, measure it "
    "with **SARR** (Safe Answer Refusal Rate), and see what the **Prompt Decouple** loss does about it."
)

st.header("Over-forgetting in one picture")
home.one_case(view)

st.header("Three places to start")
browse, launch, compare = st.columns(3)
with browse, st.container(border=True, height="stretch"):
    st.subheader("Look at the data")
    st.markdown("Harmful and safe pictures, their questions and stored answers, and the health of the data set.")
    if st.button("Browse", icon=":material/grid_view:", type="primary", key="start-browse"):
        state.go("browse")
with launch, st.container(border=True, height="stretch"):
    st.subheader("Unlearn")
    st.markdown("Choose a method, with or without Prompt Decouple, launch it and watch it to its scores.")
    if st.button("Launch a run", icon=":material/rocket_launch:", type="primary", key="start-launch"):
        state.go("launch")
with compare, st.container(border=True, height="stretch"):
    st.subheader("Compare the answers")
    st.markdown("Base and unlearned model side by side on the same picture and question, and all that changed.")
    if st.button("Compare", icon=":material/compare:", type="primary", key="start-compare"):
        state.go("compare", set="decouple")

st.header("What is here")
home.inventory(view)
home.active_runs()

if cases.demo(view.data):
    st.caption(
        "The demo world is made up: pictograms and nonsense recipes, a LLaVA of 1.65 million parameters trained on "
        "them. Its numbers are never comparable with those measured on LLaVA-1.5 and the SafeEraser data set."
    )
