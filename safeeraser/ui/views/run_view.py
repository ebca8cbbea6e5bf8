"""One run: what it is doing and the buttons for that, live charts and log, scores, settings."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser import charts, files
from safeeraser.charts.words import percent, wording
from safeeraser.config import RunConfig
from safeeraser.data.rows import LogRow
from safeeraser.errors import SafeEraserError
from safeeraser.runs import jobs, tags
from safeeraser.runs.contents import DamagedError, RunError
from safeeraser.runs.folder import Run
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import job_words, plots

LINES = 200  # of the log that are shown


def status(name: str, *, active: bool) -> None:
    """State, progress and the buttons of that state, live while the run is active."""

    @st.fragment(run_every=2 if active else None)
    def live() -> None:
        job = _job(name)
        if active != (job.status in ACTIVE):
            st.rerun()
        run = Run(job.log.parent)
        stopping = job_words.cancelling(job, run)
        job_words.badge(job)
        st.markdown(job_words.sentence(job, run))
        if job.message and job.status in ("failed", "broken"):
            st.error(escape_markdown(job.message), icon=":material/error:")
        elif job.message:
            st.caption(f"It said: {escape_markdown(job.message)}")
        if stopping:
            st.info(
                "Asked to stop: it ends its step and writes a checkpoint. Force stop loses what came after the last."
            )
        if job.step is not None and job.steps:
            st.progress(min(job.step / job.steps, 1.0), text=f"Step {job.step:,} of {job.steps:,}")
        _buttons(job, stopping)

    live()


def _job(name: str) -> Job:
    """What is known about the run; the page starts again when somebody has deleted it meanwhile."""
    try:
        return reading.as_broken(jobs.watch(name))
    except jobs.JobError:
        st.rerun()


def _buttons(job: Job, stopping: bool) -> None:
    with st.container(horizontal=True):
        if job.status in ACTIVE and not stopping:
            words = "Leave the queue" if job.status == "queued" else "Cancel"
            _act(words, "cancel", ":material/stop_circle:", lambda: jobs.cancel(job.name))
        if stopping:
            _act("Force stop", "force", ":material/dangerous:", lambda: jobs.cancel(job.name, force=True))
        if job.status in ("interrupted", "failed", "cancelled", "ready") and not job.ships and job.config:
            _act("Resume", "resume", ":material/play_arrow:", lambda: jobs.resume(job.name))


def _act(words: str, key: str, icon: str, action: Callable[[], str | None]) -> None:
    if not st.button(words, key=key, icon=icon):
        return
    try:
        action()
    except SafeEraserError as error:
        st.error(escape_markdown(str(error)))
    else:
        st.rerun()


def tagged(name: str) -> None:
    """The tags that people gave to this run."""
    with st.container(horizontal=True):
        for tag in tags.every().of(name):
            st.badge(escape_markdown(tag), icon=":material/sell:", color="gray")


def links(job: Job) -> None:
    """Where one can go from this run."""
    with st.container(horizontal=True):
        if job.config and st.button("Clone into Launch", key="clone", icon=":material/content_copy:"):
            state.go("launch", copy=job.name)
        base = _base(job)
        if base and st.button("Compare with base", key="compare", icon=":material/compare:"):
            data = job.config.data if job.config else None
            state.go("compare", data=data, split="val", a=base, b=job.name, judge=None)
        if (
            not job.ships
            and job.status not in ACTIVE
            and st.button("Delete", key="delete", icon=":material/delete_forever:")
        ):
            _ask_to_delete(job.name)


def _base(job: Job) -> str | None:
    """The base model's run to compare with, None unless both have answers."""
    if job.config is None or not job.config.trains or not Run(job.log.parent).answers.exists():
        return None
    base = reading.all_runs().get(job.config.base().run_name())
    return base.name if base and base.answers.exists() else None


@st.dialog("Delete this run?")
def _ask_to_delete(name: str) -> None:
    size = job_words.size(jobs.find(name).size())
    st.markdown(
        f"**{escape_markdown(name)}** and all in its folder ({size}) is gone for good: adapter, checkpoints, answers "
        "and scores."
    )
    with st.container(horizontal=True):
        if st.button("Delete for good", key="delete-really", type="primary"):
            try:
                jobs.delete(name)
            except SafeEraserError as error:
                st.error(escape_markdown(str(error)))
                return
            state.put(run=None)
            st.rerun()
        if st.button("Keep it", key="delete-not"):
            st.rerun()


def training(name: str, *, active: bool) -> None:
    """Loss and speed along the steps, and the end of the log, live while the run is active."""
    held = active and state.toggle(
        "Hold charts and log still", "hold", help="A chart that gets new steps is drawn anew, which undoes a zoom"
    )

    @st.fragment(run_every=2 if active and not held else None)
    def live() -> None:
        run = Run(_job(name).log.parent)
        left, right = st.columns([3, 2], gap="large")
        with left:
            rows = log_rows(run)
            if rows:
                plots.draw(charts.losses(rows), key=f"losses-{name}")
            else:
                st.caption("No optimizer step is logged yet. The base model trains nothing.")
        with right:
            st.subheader("Log")
            _log(run)
            if rows:
                plots.draw(charts.speed(rows), key=f"speed-{name}")

    live()


def log_rows(run: Run) -> list[LogRow]:
    """The rows of the training log, none where it cannot be read, which is said. Read only."""
    try:
        return _log_rows(str(run.folder), files.stamp(run.log))
    except DamagedError as error:
        st.warning(escape_markdown(str(error)), icon=":material/broken_image:")
        return []


@st.cache_resource(max_entries=32, show_spinner=False)
def _log_rows(folder: str, stamp: Any) -> list[LogRow]:
    run = reading.at(folder)
    return run.rows(run.log)


def _log(run: Run) -> None:
    if not run.log_text.exists():
        st.caption("No log: this run was made by a command, which printed into its own terminal.")
        return
    lines = log_tail(run.log_text)
    with st.container(height=420 if len(lines) > 15 else "content", border=False, autoscroll=True):
        st.code("\n".join(lines) or "(nothing printed yet)", language=None)
    if lines:
        st.caption(f"The last {len(lines):,} lines of {escape_markdown(run.log_text.name)}")


def log_tail(path: Path) -> list[str]:
    """The last lines of what a run printed, at most LINES of them; of a line that was overwritten, how it ended."""
    return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in files.end(path) if line.strip()][-LINES:]


def scores(run: Run) -> None:
    """All scores with interval and n, or why there are none."""
    row = reading.scores(run)
    if row is None:
        st.caption("Not scored yet: scores are the last stage of a run.")
        return
    table = [
        {
            "Metric": wording(name).name,
            "%": percent(score),
            "95 % low": percent(score, "low"),
            "95 % high": percent(score, "high"),
            "n": score.get("n"),
            "Unscored": score.get("unscored"),
            "Better": wording(name).better,
            "Says": wording(name).says if score["value"] is not None else score.get("why"),
        }
        for name, score in row["metrics"].items()
    ]
    numbers = {name: st.column_config.NumberColumn(format="%.1f") for name in ("%", "95 % low", "95 % high")}
    st.dataframe(
        pd.DataFrame(table),
        hide_index=True,
        column_config=numbers,
        height="content",
        alt="The scores of this run with n",
    )
    st.caption(f"Official val, judge {escape_markdown(row['judge'])}, answers {escape_markdown(row['decoding'])}.")


def settings(job: Job, found: Sequence[Job]) -> None:
    """The run's settings, or only those in which it differs from another run; and where it comes from."""
    if job.config is None:
        st.caption("Its settings cannot be read: config.json is missing or of another version.")
        return
    others = {other.name: other.config for other in found if other.config and other.name != job.name}
    with_name = state.select("Compare settings with", ["", *others], "with", format_func=lambda name: name or "no run")
    other = others.get(with_name)
    table = differences(job.config, other, names=(job.name, with_name)) if other else _all_settings(job.config)
    if table.empty:
        st.info("The two runs have the same settings.")
    else:
        st.dataframe(
            table, hide_index=True, alt="Settings of this run" + (f" that differ from {with_name}" if other else "")
        )
    if other:
        st.caption(f"Differences only: {len(table)} of {len(RunConfig.model_fields)} settings.")
    _origin(Run(job.log.parent))


def differences(one: RunConfig, other: RunConfig, *, names: tuple[str, str]) -> pd.DataFrame:
    """The settings in which two runs differ: columns `Setting` and the two names."""
    left, right = one.model_dump(), other.model_dump()
    rows = [
        (name, job_words.setting(value), job_words.setting(right[name]))
        for name, value in left.items()
        if value != right[name]
    ]
    return pd.DataFrame(rows, columns=["Setting", *names])


def _all_settings(config: RunConfig) -> pd.DataFrame:
    rows = [
        (name, job_words.setting(value), job_words.setting(field.default), field.description)
        for (name, value), field in zip(config.model_dump().items(), RunConfig.model_fields.values(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["Setting", "Value", "Preset demo", "What it is"])


def _origin(run: Run) -> None:
    """Folder, machine, versions: what it takes to make the run again."""
    st.caption("Folder")
    st.code(str(run.folder.resolve()), language=None, wrap_lines=True)
    with suppress(RunError):  # a launch that has not made its run yet
        facts = reading.facts(run)
        versions = ", ".join(f"{library} {number}" for library, number in facts["versions"].items())
        made = f"Made on {facts['created']}, {facts['machine']}, Python {facts['python']}, {versions}"
        commit = f", commit {facts['commit'][:10]}" if facts["commit"] else ""
        what = "answers" if run.answers_imported else "adapter"
        imported = f"; {what} imported from {facts['imported']}" if facts["imported"] else ""
        st.caption(escape_markdown(f"{made}{commit}; data hash {facts['data_hash'][:10]}{imported}."))
