"""Probes: people's own questions about pictures of the data set, asked of every run; outside all metrics."""

from collections.abc import Sequence

import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.errors import SafeEraserError
from safeeraser.generate import probes
from safeeraser.generate.probes import Probe
from safeeraser.runs.folder import Run
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers, asking, item, job_words

PER_PAGE = 5
WIDE = 3  # answers beside each other
FAILED = "probe-errors"  # in the session: of each probe, the runs that did not answer, and why


def draw(view: View) -> None:
    """All probes of the header's data set, the newest first."""
    st.caption(
        "Questions that people asked under Ask in Compare, about pictures of this data set; uploads are not among "
        "them. A worker process answers. These answers are outside all metrics: no judge grades them."
    )
    found = probes.of(view.data)
    if found.damage:
        st.warning(f"Some probes are missing. {escape_markdown(found.damage)}", icon=":material/broken_image:")
    if not found.kept:
        st.info("No question of your own is kept for this data set yet: ask one under Ask in Compare.")
        if st.button("Open Compare", icon=":material/compare:"):
            state.go("compare")
        return
    start = state.page_number("page", items=len(found.kept), per_page=PER_PAGE) * PER_PAGE
    for probe in found.kept[start : start + PER_PAGE]:
        with st.container(border=True):
            _probe(view, probe)


def _probe(view: View, probe: Probe) -> None:
    vqa = item.by_id(view, probe.item)
    left, right = st.columns([1, 4], gap="medium")
    hidden = True
    with left:
        if vqa:
            hidden = item.draw_picture(vqa, where=probe.key, width=200)
    with right:
        _question(probe, vqa)
        waiting = unanswered(view, probe)
        with st.container(horizontal=True):
            pressed = st.button(
                f"Ask all runs ({len(waiting)} to go)" if waiting else "All runs have answered",
                key=f"ask-{probe.key}",
                icon=":material/send:",
                disabled=not waiting or hidden or not (vqa and vqa.picture),
                help="Those without an answer yet, one after the other",
            )
            removed = st.button("Remove", key=f"remove-{probe.key}", icon=":material/delete:")
        if removed:
            probes.remove(probe)
            st.rerun()
        if vqa and hidden:
            st.caption("Reveal the picture first: what is answered about it may be harmful.")
        elif vqa and pressed:
            _ask(view, probe, vqa, waiting)
        for run, why in _failed(probe, waiting).items():
            st.error(escape_markdown(f"{view.labels.get(run, run)}: {why}"), icon=":material/error:")
        if vqa:
            _answers(view, probe, hidden=hidden)


def _question(probe: Probe, vqa: VQA | None) -> None:
    about = f"{outcome_words.SETS[vqa.set]} · {escape_markdown(vqa.category)} · {vqa.split} · " if vqa else ""
    by = f" by {escape_markdown(probe.who)}" if probe.who else ""
    st.caption(f"{about}asked {job_words.moment(probe.time)}{by}")
    st.markdown(f"**{escape_markdown(probe.question)}**")
    if vqa is None:
        st.warning(f"The data set has no item {escape_markdown(probe.item)} any more.", icon=":material/difference:")
    elif vqa.picture is None:
        st.caption("Its picture file is missing, so no run can be asked.")


def unanswered(view: View, probe: Probe) -> list[str]:
    """The runs of the data set that have a model here and no answer to the probe, in the order of the charts."""
    runs = sorted(view.runs.values(), key=reading.place)
    return [run.name for run in runs if not run.answers_imported and not _answered(probe, run)]


def _answered(probe: Probe, run: Run) -> bool:
    """Whether the run has answered, as it is now: one that was made anew since is another."""
    created = reading.facts(run)["created"]
    return run.name in probe.answers and probe.made.get(run.name, created) == created


def _ask(view: View, probe: Probe, vqa: VQA, names: Sequence[str]) -> None:
    """Ask the runs, each answer kept as it comes; one that fails is told and stops no other."""
    if vqa.picture is None:
        return
    failed: dict[str, str] = {}
    bar = st.progress(0.0)
    for done, name in enumerate(names):
        bar.progress(done / len(names), text=escape_markdown(f"{done} of {len(names)} asked; now {view.labels[name]}"))
        try:
            said = asking.asker().ask(runs=[name], picture=vqa.picture, question=probe.question)
            asking.keep(view, probe.item, probe.question, said)
        except SafeEraserError as error:
            failed[name] = str(error)
    st.session_state[FAILED] = st.session_state.get(FAILED, {}) | {probe.key: failed}
    st.rerun()


def _failed(probe: Probe, waiting: Sequence[str]) -> dict[str, str]:
    """Of the runs without an answer, those that gave none when this session asked last, and why."""
    told = st.session_state.get(FAILED, {}).get(probe.key, {})
    return {run: why for run, why in told.items() if run in waiting}


def _answers(view: View, probe: Probe, *, hidden: bool) -> None:
    """What each run answered, in the order of the charts; those that are gone come last."""
    here = [run.name for run in sorted(view.runs.values(), key=reading.place) if run.name in probe.answers]
    names = [*here, *sorted(probe.answers.keys() - here)]
    for start in range(0, len(names), WIDE):
        for cell, name in zip(st.columns(WIDE), names[start : start + WIDE], strict=False):
            with cell, st.container(border=True, height="stretch"):
                st.markdown(f"**{escape_markdown(view.labels.get(name, name))}**{_standing(view, probe, name)}")
                answers.show_unless(hidden, probe.answers[name])


def _standing(view: View, probe: Probe, name: str) -> str:
    """What must be said of the run that answered, where it is not the one that is here."""
    if name not in view.runs:
        return " · no longer here"
    return "" if _answered(probe, view.runs[name]) else " · before it was made anew"
