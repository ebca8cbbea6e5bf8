"""Runs: what every run is doing, several compared, tagged or deleted; one run with its charts, log and scores."""

import streamlit as st

from safeeraser.runs.folder import Run
from safeeraser.runs.watching import ACTIVE
from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.views import run_list, run_view

found = run_list.every()
asked = state.get("run")
job = next((job for job in found if job.name == asked), None)
header.title("Runs", data=job.config.data if job and job.config else None)
if job is None:
    if asked:
        st.warning(f"There is no run {escape_markdown(asked)} any more, so all runs are shown.")
        state.put(run=None)
    if st.button("Launch a run", icon=":material/rocket_launch:", type="primary"):
        state.go("launch")
    run_list.draw(found)
    st.stop()

st.button(
    "All runs", icon=":material/arrow_back:", on_click=state.put, kwargs={"run": None, "with": None, "hold": None}
)
run, active = Run(job.log.parent), job.status in ACTIVE
st.header(escape_markdown(run.name))
run_view.tagged(run.name)
if job.ships:
    st.caption("An example run of the project: it stays as it is.")
run_view.status(run.name, active=active)
run_view.links(job)
st.header("Training")
run_view.training(run.name, active=active)
st.header("Scores")
run_view.scores(run)
st.header("Settings")
run_view.settings(job, found)
