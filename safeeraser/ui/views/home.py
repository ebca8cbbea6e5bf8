"""What Home shows: one case, what is on this machine, and what is running."""

import streamlit as st

from safeeraser.data.records import Dataset
from safeeraser.runs import jobs
from safeeraser.runs.watching import ACTIVE
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import cases


def one_case(view: View) -> None:
    """A case drawn by seed, with the count beside it."""
    runs = cases.variants(view)
    if len(runs) < 2:
        st.info("No unlearned run that the base's judge graded is chosen as B. Choose another, or launch one.")
        return
    seed = state.number("Draw", "case", low=0, high=9999, default=0, help="Another seed draws another case", width=140)
    found, of = cases.drawn(view, runs, n=1, seed=seed)
    if not found:
        st.info(f"No question of {view.split} was asked of both a harmful and a safe picture. Try the other split.")
        return
    cases.draw(view, found[0], runs, where="home")
    judge = escape_markdown(str(view.judge))
    st.caption(f"One of {of:,} cases of {view.split}, drawn by seed. All of them, counted (judge: {judge}):")
    cases.draw_counted(view, runs)


def inventory(view: View) -> None:
    data = view.source.dataset
    every, devices = jobs.every(), jobs.devices()
    cells = st.columns(4)
    cells[0].metric("Records", f"{len(data.records):,}", help=f"{len(data.train):,} train and {len(data.val):,} val")
    cells[1].metric("Question-answer pairs", f"{_pairs(data):,}")
    cells[2].metric("Runs", f"{len(every):,}", help=f"{sum(job.ships for job in every)} of them ship with the project")
    cells[3].metric(
        "Devices", f"{len(devices)}", help=escape_markdown(", ".join(f"{k}: {v}" for k, v in devices.items()))
    )
    models = sorted({reading.facts(run)["settings"].model for run in view.runs.values()})
    st.caption(
        f"Data set {as_code(view.data)}; models: {', '.join(map(as_code, models)) or 'none yet'}; "
        f"devices: {', '.join(f'{as_code(name)} ({escape_markdown(words)})' for name, words in devices.items())}."
    )


def _pairs(data: Dataset) -> int:
    return sum(len(record.pairs) for record in data.records) + len(data.general)


def active_runs() -> None:
    """The runs that wait or work, live."""
    active = any(job.status in ACTIVE for job in jobs.every())

    @st.fragment(run_every=2 if active else None)
    def live() -> None:
        now = [job for job in jobs.every() if job.status in ACTIVE]
        if active and not now:
            st.rerun()
        if not now:
            st.caption("No run is working or waiting.")
        for job in now:
            place = f", place {job.place} in the queue" if job.place else ""
            at = f", {escape_markdown(str(job.stage))} {job.step} of {job.steps}" if job.step and job.steps else ""
            st.markdown(f"**{escape_markdown(job.name)}**: {job.status}{place}{at}")
            if job.step and job.steps:
                st.progress(min(job.step / job.steps, 1.0))

    live()
    if active and st.button("Open Runs", icon=":material/list_alt:"):
        state.go("runs")
