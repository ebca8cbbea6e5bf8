"""The list of all runs: what is active on top, then the newest; filters and the chosen rows in the address."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.charts.words import percent
from safeeraser.losses import method_name, with_parts
from safeeraser.runs import jobs, tags
from safeeraser.runs.folder import Run
from safeeraser.runs.tags import Tags
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import job_words
from safeeraser.ui.views import chosen_runs

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
    """The filters, the select box that opens a run, the live table, and what can be done with the rows chosen in it."""
    if not found:
        st.info("No run yet: launch one, and it shows here from its place in the queue to its scores.")
        return
    cells = st.columns([2, 2, 2, 2])
    with cells[0]:
        here = [status for status in job_words.STATES if any(job.status == status for job in found)]
        statuses = state.several("State", here, "states", placeholder="All states")
    with cells[1]:
        methods = sorted({job.config.method for job in found if job.config})
        wanted = state.several("Method", methods, "methods", placeholder="All methods")
    with cells[2]:
        words = state.text("Search runs", "find", placeholder="Name, tag, model, data")
    with cells[3]:
        st.session_state["open-run"] = None
        st.selectbox(
            "Open a run", [job.name for job in found], key="open-run", placeholder="Choose one", on_change=_opened
        )
    by_name = {job.name: job for job in found}
    names = state.several("Chosen runs", list(by_name), "chosen", placeholder="Tick rows of the table, or choose here")
    chosen = [by_name[name] for name in names]
    known = tags.every()
    if known.damage:
        st.warning(f"Some tags are missing. {escape_markdown(known.damage)}", icon=":material/label_off:")
    chosen_runs.actions(chosen, known)
    active, before = any(job.status in ACTIVE for job in found), state.get("chosen")

    @st.fragment(run_every=2 if active else None)
    def live() -> None:
        now, tagged = every(), tags.every()
        ended = active and not any(job.status in ACTIVE for job in now)
        if ended or state.get("run") or state.get("chosen") != before:
            st.rerun()
        shown = matching(now, statuses=statuses, methods=wanted, words=words, known=tagged)
        _table(shown, names, tagged, of=len(now))

    live()
    if len(chosen) > 1:
        chosen_runs.compare(chosen)


def matching(
    found: Sequence[Job], *, statuses: Sequence[str], methods: Sequence[str], words: str, known: Tags
) -> list[Job]:
    """The runs that pass all filters; an empty one lets everything through."""

    def passes(job: Job) -> bool:
        config = job.config
        text = " ".join([job.name, *known.of(job.name), *([config.model, config.data] if config else [])]).lower()
        return (
            (not statuses or job.status in statuses)
            and (not methods or (config is not None and config.method in methods))
            and all(word in text for word in words.lower().split())
        )

    return [job for job in found if passes(job)]


def _opened() -> None:
    state.put(run=st.session_state["open-run"])


def _chosen(shown: list[str], chosen: list[str]) -> None:
    """The rows that are ticked now; what is chosen and filtered away stays chosen."""
    ticked = [shown[row] for row in st.session_state["runs-table"]["selection"]["rows"]]
    kept = [name for name in chosen if name in ticked or name not in shown]
    state.put(chosen=state.listed(dict.fromkeys([*kept, *ticked])))


def _table(shown: list[Job], chosen: list[str], known: Tags, *, of: int) -> None:
    if not shown:
        st.info("No run passes these filters.", icon=":material/filter_alt:")
        if st.button("Clear all filters", icon=":material/filter_alt_off:"):
            state.put(states=None, methods=None, find=None)
            st.rerun()
        return
    names = [job.name for job in shown]
    table = pd.DataFrame([row(job, known.of(job.name)) for job in shown])
    ticked = [place for place, name in enumerate(names) if name in chosen]
    st.session_state["runs-table"] = {"selection": {"rows": ticked}}
    st.dataframe(
        table.dropna(axis="columns", how="all"),
        hide_index=True,
        placeholder="",
        key="runs-table",
        selection_mode="multi-row",
        on_select=partial(_chosen, names, chosen),
        height=min(38 + 35 * len(shown), 640),
        column_config={
            "Stage": st.column_config.TextColumn(width=130),
            "Tags": st.column_config.ListColumn(width=170),
            **{f"{name} (%)": st.column_config.NumberColumn(format="%.1f") for name in SCORES},
            **{f"n of {name}": st.column_config.NumberColumn("n", help=f"answers behind {name}") for name in SCORES},
        },
        alt=f"{len(shown)} runs with their state, method, step and scores",
    )
    st.caption(
        f"{len(shown):,} of {of:,} runs. SARR: unanswered safe pictures, lower is better; RR generality: refused "
        "harmful questions of val, higher is better; both on official val by each run's own judge. Tick rows to open, "
        "compare, tag or delete their runs."
    )


def row(job: Job, tagged: list[str]) -> dict[str, Any]:
    """A run as a line of the table; what is unknown is None."""
    config, scores = job.config, (reading.scores(Run(job.log.parent)) or {}).get("metrics", {})
    told: dict[str, Any] = {
        "State": job_words.in_table(job.status),
        "Queue": job.place,
        "Run": job.name,
        "Tags": tagged or None,
        "Method": method_name(with_parts(config.method, config.parts)) if config else None,
        "PD": ("with" if config.pd else "without") if config and config.trains else None,
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
