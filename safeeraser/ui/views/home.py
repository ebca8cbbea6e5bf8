"""What Home shows: the sentence in numbers, one case, what is on this machine, and what is running."""

from html import escape

import streamlit as st

from safeeraser.data.records import Dataset
from safeeraser.losses import BASE, method_name
from safeeraser.runs import jobs
from safeeraser.runs.watching import ACTIVE
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import cases
from safeeraser.ui.parts.cases import Count


def over_forgetting(view: View) -> None:
    """How many safe pictures are refused, in big numbers, and one case drawn by seed below them."""
    runs = cases.variants(view)
    if len(runs) < 2:
        st.info(
            "No finished run that unlearned stands beside its base model here yet: launch one. Runs that are not "
            "finished, and dry runs, do not count here."
        )
        return
    counts = cases.counted(view, runs)
    for cell, place in zip(st.columns(len(runs)), [*range(1, len(runs)), 0], strict=True):  # the base model comes last
        cell.html(_number(view, counts[place]))
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


def _number(view: View, count: Count) -> str:
    """One run's share of the sentence, as HTML: what it does, to how many safe pictures, and how sure that is."""
    settings, (lost, of) = reading.settings(count.run), count.lost
    method = escape(method_name(settings.method))
    name = "The base model" if settings.method == BASE else f"{method} with Prompt Decouple" if settings.pd else method
    score = reading.score_row(count.run, view.judge or "", view.source)["metrics"]["sarr"]
    share = f"{100 * lost / of:.0f} %" if of else "not asked"
    known = score["low"] is not None and score["high"] is not None
    sure = f", 95 % interval {100 * score['low']:.0f}–{100 * score['high']:.0f} %" if known else ""  # pyright: ignore
    kind = "wrong" if settings.trains and not settings.pd else "right"
    return (
        f'<p class="said {kind}">{name} {count.does}<br><b>{lost:,} of {of:,}</b><br>questions about safe pictures<br>'
        f"<small>{share}{sure}</small></p>"
    )


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
