"""The list of all runs: what is active on top, then the newest; filters in the address; a row opens its run."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.charts.words import percent
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.ui.frame import reading, state
from safeeraser.ui.parts import job_words

ORDER = ("running", "stalled", "queued")
SCORES = {"SARR": "sarr", "RR generality": "rr_generality"}


def every() -> list[Job]:
    """All runs, active ones first and queued ones by place, then the newest; of a name, the user's own run."""
    found: dict[str, Job] = {}
    for job in jobs.every():
        found.setdefault(job.name, reading.as_broken(job))
    return sorted(found.values(), key=_place)


def _place(job: Job) -> tuple[int, int, float, str]:
    rank = ORDER.index(job.status) if job.status in ORDER else len(ORDER)
    return rank, job.place or 0, -(job.created or 0), job.name


def draw(found: Sequence[Job]) -> None:
    """The filters, the live table and the select box that opens a run as a row does."""
    if not found:
        st.info("No run yet: launch one, and it shows here from its place in the queue to its scores.")
        return
    cells = st.columns([2, 2, 2, 2])
    with cells[0]:
        here = [status for status in job_words.STATES if any(job.status == status for job in found)]
        statuses = state.several("State", here, "states", placeholder="All states")
    with cells[1]:
        methods = sorted({job.config.method for job in found if job.config})
        chosen = state.several("Method", methods, "methods", placeholder="All methods")
    with cells[2]:
        words = state.text("Search names, models, data", "find", placeholder="Words")
    with cells[3]:
        st.session_state["open-run"] = None
        st.selectbox(
            "Open a run", [job.name for job in found], key="open-run", placeholder="Or choose a row", on_change=_opened
        )
    active = any(job.status in ACTIVE for job in found)

    @st.fragment(run_every=2 if active else None)
    def live() -> None:
        now = every()
        if state.get("run") or (active and not any(job.status in ACTIVE for job in now)):
            st.rerun()
        _table(matching(now, statuses=statuses, methods=chosen, words=words), of=len(now))

    live()


def matching(found: Sequence[Job], *, statuses: Sequence[str], methods: Sequence[str], words: str) -> list[Job]:
    """The runs that pass all filters; an empty one lets everything through."""

    def passes(job: Job) -> bool:
        config = job.config
        text = " ".join([job.name, *([config.model, config.data] if config else [])]).lower()
        return (
            (not statuses or job.status in statuses)
            and (not methods or (config is not None and config.method in methods))
            and all(word in text for word in words.lower().split())
        )

    return [job for job in found if passes(job)]


def _opened() -> None:
    state.put(run=st.session_state["open-run"])


def _chosen(names: list[str]) -> None:
    if rows := st.session_state["runs-table"]["selection"]["rows"]:
        state.put(run=names[rows[0]])


def _table(shown: list[Job], *, of: int) -> None:
    if not shown:
        st.info("No run passes these filters.", icon=":material/filter_alt:")
        if st.button("Clear all filters", icon=":material/filter_alt_off:"):
            state.put(states=None, methods=None, find=None)
            st.rerun()
        return
    table = pd.DataFrame([row(job) for job in shown])
    st.dataframe(
        table.dropna(axis="columns", how="all"),
        hide_index=True,
        placeholder="",
        key="runs-table",
        selection_mode="single-row",
        on_select=partial(_chosen, [job.name for job in shown]),
        height=min(38 + 35 * len(shown), 640),
        column_config={
            "Stage": st.column_config.TextColumn(width=130),
            **{f"{name} (%)": st.column_config.NumberColumn(format="%.1f") for name in SCORES},
            **{f"n of {name}": st.column_config.NumberColumn("n", help=f"answers behind {name}") for name in SCORES},
        },
        alt=f"{len(shown)} runs with their state, method, step and scores",
    )
    st.caption(
        f"{len(shown):,} of {of:,} runs. SARR: unanswered safe pictures, lower is better; RR generality: refused "
        "harmful questions of val, higher is better; both on official val by each run's own judge. A row opens its run."
    )


def row(job: Job) -> dict[str, Any]:
    """A run as a line of the table; what is unknown is None."""
    config, scores = job.config, (reading.scores(Run(job.log.parent)) or {}).get("metrics", {})
    told: dict[str, Any] = {
        "State": job_words.in_table(job.status),
        "Queue": job.place,
        "Run": job.name,
        "Method": job_words.method(config) if config else None,
        "PD": ("with" if config.pd and config.trains else "without") if config else None,
        "Seed": config.seed if config else None,
        "Stage": _stage(job),
    }
    for name, metric in SCORES.items():
        told[f"{name} (%)"] = percent(scores[metric]) if metric in scores else None
        told[f"n of {name}"] = scores[metric]["n"] if metric in scores else None
    left = job_words.duration(job.seconds_left) + " left" if job.seconds_left is not None else None
    return told | {
        "Time": left or (job_words.duration(seconds) if (seconds := job_words.took(job)) is not None else None),
        "Device": job.device,
        "Made": job_words.moment(job.created),
        "Example": "example" if job.ships else None,
    }


def _stage(job: Job) -> str | None:
    if job.status in ("queued", "done"):
        return None
    doing = job_words.doing(job) if job.status in ACTIVE else job_words.STAGES.get(job.stage or "")
    return f"{doing} {job.step:,} / {job.steps:,}" if job.step is not None and job.steps else doing
