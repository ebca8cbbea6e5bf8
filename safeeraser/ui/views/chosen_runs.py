"""What can be done with the runs that are chosen in the list: open, compare, tag and delete them."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from safeeraser import charts
from safeeraser.charts import TOTAL
from safeeraser.errors import SafeEraserError
from safeeraser.runs import jobs, tags
from safeeraser.runs.folder import Run
from safeeraser.runs.tags import Tags
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.ui.frame import state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import job_words, plots
from safeeraser.ui.views import run_view

BESIDE = 4  # runs that Compare shows beside each other


def actions(chosen: Sequence[Job], known: Tags) -> None:
    """The buttons above the table, for as many runs as are chosen."""
    if not chosen:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(chosen) == 1:
            st.button(
                "Open",
                key="open-chosen",
                icon=":material/open_in_new:",
                type="primary",
                on_click=state.put,
                kwargs={"run": chosen[0].name},
            )
        else:
            _compare_answers(chosen)
        with st.popover("Tag", icon=":material/sell:"):
            _tags([job.name for job in chosen], known)
        if st.button(
            "Delete",
            key="delete-chosen",
            icon=":material/delete_forever:",
            disabled=not deletable(chosen)[0],
            help="Your own runs that are not active; examples stay as they are",
        ):
            _ask_to_delete(chosen)
        st.button("Choose none", icon=":material/deselect:", on_click=state.put, kwargs={"chosen": None})


def _compare_answers(chosen: Sequence[Job]) -> None:
    """The button to Compare, with the base model's run as A if it is among them."""
    beside = comparable(chosen)
    left_out = len(chosen) - len(beside)
    why = f"Without {left_out} of them: Compare shows {BESIDE} runs at most, with answers on one data set"
    pressed = st.button(
        "Compare answers",
        key="compare-chosen",
        icon=":material/compare:",
        type="primary",
        disabled=len(beside) < 2,
        help=why if left_out else "The same questions, the answers of these runs beside each other",
    )
    if pressed:
        a, b, *more = [job.name for job in beside]
        data = next(job.config.data for job in beside if job.config)
        state.go("compare", data=data, split="val", a=a, b=b, more=state.listed(more), judge=None)


def comparable(chosen: Sequence[Job]) -> list[Job]:
    """The runs whose answers can stand beside each other: of the first one's data set, the base model's first."""
    answered = [job for job in chosen if job.config and Run(job.log.parent).answers.exists()]
    of_one = [job for job in answered if job.config.data == answered[0].config.data]  # pyright: ignore
    return sorted(of_one, key=lambda job: job.config.trains)[:BESIDE]  # pyright: ignore


def _tags(names: list[str], known: Tags) -> None:
    """The form that gives a tag to the runs, and a button for each tag that takes it away."""
    count = _count(names)
    with st.form("tag", border=False, clear_on_submit=True):
        text = st.text_input("A tag", max_chars=tags.LONGEST, placeholder="Such as: for the talk", key="tag-text")
        sent = st.form_submit_button(f"Tag {count}", icon=":material/new_label:")
    if sent:
        _keep(lambda: tags.give(names, text))
    for tag in dict.fromkeys(tag for name in names for tag in known.of(name)):
        tagged = [name for name in names if tag in known.of(name)]
        words = f"Remove {escape_markdown(tag)} from {_count(tagged)}"
        if st.button(words, key=f"untag-{tag}", icon=":material/label_off:"):
            _keep(lambda tag=tag: tags.take(names, tag))


def _keep(act) -> None:
    try:
        act()
    except SafeEraserError as error:
        st.error(escape_markdown(str(error)))
    else:
        st.rerun()


def deletable(chosen: Sequence[Job]) -> tuple[list[str], dict[str, str]]:
    """The names of the runs that may be deleted, and why each of the others stays."""
    stay = {job.name: "an example of the project, which stays as it is" for job in chosen if job.ships}
    stay |= {job.name: f"{job.status}: cancel it first" for job in chosen if job.status in ACTIVE}
    return [job.name for job in chosen if job.name not in stay], stay


@st.dialog("Delete these runs?")
def _ask_to_delete(chosen: Sequence[Job]) -> None:
    names, stay = deletable(chosen)
    sizes = {name: job_words.size(jobs.find(name).size()) for name in names}
    st.markdown("Gone for good, with adapter, checkpoints, answers, scores and tags:")
    st.markdown("\n".join(f"- **{escape_markdown(name)}** ({sizes[name]})" for name in names))
    if stay:
        st.markdown("These stay:\n" + "\n".join(f"- {escape_markdown(f'{name}: {why}')}" for name, why in stay.items()))
    with st.container(horizontal=True):
        sure = st.button(f"Delete {_count(names)} for good", key="delete-chosen-really", type="primary")
        if st.button("Keep them", key="delete-chosen-not"):
            st.rerun()
    if sure and not _failed_to_delete(names):
        state.put(chosen=state.listed(stay))
        st.rerun()


def _failed_to_delete(names: Sequence[str]) -> bool:
    """Delete the runs; one that cannot be says why and keeps none of the others."""
    failed = False
    for name in names:
        try:
            jobs.delete(name)
        except SafeEraserError as error:
            failed = True
            st.error(escape_markdown(f"{name}: {error}"))
    return failed


def compare(chosen: Sequence[Job]) -> None:
    """In what the settings of several runs differ, and their losses in one chart."""
    st.header(f"{len(chosen)} runs compared")
    st.subheader("Settings that differ")
    _settings(chosen)
    st.subheader("Losses")
    _losses(chosen)


def _settings(chosen: Sequence[Job]) -> None:
    table = differences(chosen)
    unread = [job.name for job in chosen if job.config is None]
    if unread:
        st.caption(f"Left out, as their settings cannot be read: {escape_markdown(', '.join(unread))}.")
    if table.empty:
        st.info("All settings that decide a result are the same.", icon=":material/equal:")
        return
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={"Setting": st.column_config.TextColumn(pinned=True)},
        alt=f"The {len(table)} settings in which {len(chosen)} runs differ",
    )


def differences(chosen: Sequence[Job]) -> pd.DataFrame:
    """The settings in which the runs differ, a column each; those that are the same in all are left out."""
    settings = {job.name: job.config for job in chosen if job.config}
    first = next(iter(settings.values()), None)
    if first is None:
        return pd.DataFrame()
    unlike = {name for other in settings.values() for name in first.differences(other)}
    names = [name for name in type(first).model_fields if name in unlike]
    values = {run: [job_words.setting(getattr(config, name)) for name in names] for run, config in settings.items()}
    return pd.DataFrame({"Setting": names, **values})


def _losses(chosen: Sequence[Job]) -> None:
    logs = {job.name: run_view.log_rows(Run(job.log.parent)) for job in chosen}
    logs = {name: rows for name, rows in logs.items() if rows}
    terms = dict.fromkeys(term for rows in logs.values() for row in rows[-1:] for term in row["terms"])
    if not logs:
        st.caption("None of these runs has logged an optimizer step.")
        return
    term = state.select("Loss", [TOTAL, *terms], "loss", width=220, format_func=_named)
    plots.draw(charts.overlaid_losses(logs, term), key="overlaid-losses")
    if term == TOTAL and len({job.config.method for job in chosen if job.config and job.name in logs}) > 1:
        st.caption("Methods minimise different sums: compare how the lines move, not how high they lie.")


def _named(term: str) -> str:
    return "total of all terms" if term == TOTAL else term


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} run{'s' if len(names) != 1 else ''}"
