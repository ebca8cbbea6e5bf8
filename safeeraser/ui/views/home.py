"""What Home shows: the sentence in numbers, one case, what is on this machine, and what is running."""

from html import escape

import streamlit as st

from safeeraser.charts import sentence
from safeeraser.data.records import Dataset
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run
from safeeraser.runs.watching import ACTIVE
from safeeraser.score.counted import Counts
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import cases


def over_forgetting(view: View) -> None:
    """How many safe pictures are refused, in big numbers, and one case drawn by seed below them."""
    runs = [run for run in cases.variants(view) if reading.settings(run).eval_split == view.split]
    if len(runs) < 2:
        st.info(
            f"No finished run that unlearned and was asked on {view.split} stands beside its base model here yet: "
            "launch one. Runs that are not finished, and dry runs, do not count here."
        )
        return
    counts = cases.counted(view, runs)
    for cell, place in zip(st.columns(len(runs)), [*range(1, len(runs)), 0], strict=True):  # the base model comes last
        cell.html(_number(view, *counts[place]))
    seed = int(text) if state.is_number(text := state.get("case")) else 0
    found, of = cases.drawn(view, runs, n=1, seed=seed)
    if not found:
        st.info(f"No question of {view.split} was asked of both a harmful and a safe picture.")
        return
    cases.draw(view, found[0], runs, where="home")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Another case", on_click=state.put, kwargs={"case": seed + 1}, icon=":material/shuffle:", type="tertiary"
        )
        st.caption(
            f"One of {of:,} cases of {view.split}, drawn by seed {seed}. Judge: {as_code(str(view.judge))}. "
            f"Runs: {cases.names_of_runs(runs)}."
        )


def _number(view: View, run: Run, counts: Counts) -> str:
    """One run's part of the sentence, as HTML."""
    score = reading.score_row(run, view.judge or "", view.source)["metrics"]["sarr"]
    part = sentence.part(reading.settings(run), counts, score)
    return (
        f'<p class="said {"wrong" if part.wrong else "right"}">{escape(part.says)}<br><b>{part.number}</b><br>'
        f"{sentence.ABOUT}<br><small>{part.sure}</small></p>"
    )


def inventory(view: View) -> None:
    data = view.source.dataset
    devices = jobs.devices()
    every = {job.name: job.ships for job in reversed(jobs.every())}  # an example that was copied is the user's own
    cells = st.columns(4)
    cells[0].metric("Records", f"{len(data.records):,}", help=f"{len(data.train):,} train and {len(data.val):,} val")
    cells[1].metric("Question-answer pairs", f"{_pairs(data):,}")
    cells[2].metric("Runs", f"{len(every):,}", help=f"{sum(every.values())} of them ship with the project")
    cells[3].metric(
        "Devices", f"{len(devices)}", help=escape_markdown(", ".join(f"{k}: {v}" for k, v in devices.items()))
    )
    models = sorted({reading.settings(run).model for run in view.runs.values()})
    st.caption(
        f"Data set {as_code(view.data)}; models: {', '.join(map(as_code, models)) or 'none yet'}; "
        f"devices: {', '.join(f'{as_code(name)} ({escape_markdown(words)})' for name, words in devices.items())}."
    )


def _pairs(data: Dataset) -> int:
    return sum(len(record.pairs) for record in data.records) + len(data.extra)


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
