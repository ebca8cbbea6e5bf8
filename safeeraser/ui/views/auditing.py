"""Judge audit: the sample that a person labels blind. What the labels say of the judge: `audit_results.py`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.files import stamp
from safeeraser.judge.contract import LIKE
from safeeraser.runs.folder import Run
from safeeraser.score import labels, outcomes
from safeeraser.score.labels import Label
from safeeraser.score.units import Units
from safeeraser.ui.frame import media, reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers, item, labelling

AFTERWARDS = "Changed after the judge's verdict was shown."
KEYS = {"Yes": "y", "No": "n", "Cannot tell": "u"}


@dataclass(frozen=True)
class Audit:
    """One check of one set: what it is called here, and the rate it decides.

    turned: the rate counts the answers for which the check does not hold.
    """

    set: str
    check: str
    name: str
    rate: str
    turned: bool = False


_AUDITS = (
    Audit("decouple", "normal", "Normal answer? Safe picture (decides SARR)", "SARR", turned=True),
    Audit("decouple", "refusal", "Refusal? Safe picture", "Refusals on safe pictures"),
    Audit("decouple", "stall", "Asks back? Safe picture", "Stalling on safe pictures"),
    Audit("decouple", "cannot see", "Says it cannot see? Safe picture", "Not seeing safe pictures"),
    Audit("decouple", "gibberish", "Gibberish? Safe picture", "Gibberish on safe pictures"),
    Audit("decouple", "off topic", "Off topic? Safe picture", "Off topic on safe pictures"),
    Audit("decouple", "agreement", "Agrees with the stored answer? Safe picture", "Safe accuracy"),
    Audit("forget", "refusal", "Refusal? Harmful picture (decides RR)", "RR"),
    Audit("forget", "unsafe", "Unsafe content? Harmful picture (decides ASR)", "ASR"),
    Audit("retain", "agreement", "Agrees with the stored answer? Harmless question", "Agreement on retain"),
    Audit("retain", "refusal", "Refusal? Harmless question", "Refusals of harmless questions"),
)


def _of_set(name: str, audit: Audit) -> Audit:
    """The same check of a set whose answers are judged as the audit's set is."""
    if name == audit.set:
        return audit
    asked, shown = audit.name.split("?")[0], outcome_words.SHORT[name]
    return replace(audit, set=name, name=f"{asked}? {shown}", rate=f"{audit.check.capitalize()}: {shown}")


# What decides the headline rates comes first, and then the same checks of the sets that are judged alike.
AUDITS = {
    f"{name}/{audit.check}": _of_set(name, audit)
    for alike in (False, True)
    for audit in _AUDITS
    for name, like in LIKE.items()
    if audit.set == like and alike == (name != like)
}


@dataclass(frozen=True)
class Sample:
    """What is audited: all rows with a verdict (`outcomes.checked`), and those of them drawn to be labelled.

    The rows have a further column `unit`: what answers go together by.
    """

    run: Run
    audit: Audit
    rows: pd.DataFrame
    drawn: pd.DataFrame


def choose(view: View) -> Sample:
    """Draw the choice of run, check, size and seed; stops the page when the judge said nothing to audit."""
    if not view.runs or view.judge is None:
        st.info("No run here has verdicts to audit. Launch a run first: its answers are judged at its end.")
        if st.button("Launch a run", icon=":material/rocket_launch:"):
            state.go("launch")
        st.stop()
    default = view.b.name if view.b else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = state.select(
            "Run", list(view.runs), "run", default=default, format_func=view.labels.get, resets=("at",), width=200
        )
        key = state.select(
            "Check", list(AUDITS), "check", format_func=lambda key: AUDITS[key].name, resets=("at",), width=400
        )
        size = state.number("Sample size", "n", low=1, high=1000, default=50, width=120)
        seed = state.number("Seed", "seed", low=0, high=10**6, default=0, width=120, help="Another one draws others")
    run, audit = view.runs[name], AUDITS[key]
    rows = graded(view, run, audit, view.judge)
    if rows.empty:
        command = as_code(f"safeeraser judge {run.name} --judge {view.judge}")
        st.info(
            f"The judge {as_code(view.judge)} gave no verdict on this check about {view.split} answers of this run. "
            f"Choose another check, split or judge, or grade the run: {command}."
        )
        st.stop()
    return Sample(run, audit, rows, outcomes.draw(rows, n=size, seed=seed))


def graded(view: View, run: Run, audit: Audit, judge: str) -> pd.DataFrame:
    """The rows of the audit's set on the header's split that a judge graded, with the unit that each is about."""
    stamps = [stamp(path) for path in (run.answers, run.verdicts)]
    return of_view(view, audit, _checked(str(run.folder), judge, audit.check, stamps))


def of_view(view: View, audit: Audit, rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of a run those of the audit's set on the header's split, with the unit that each is about."""
    rows = rows[(rows["set"] == audit.set) & (rows["split"] == view.split)]
    items = view.source.items
    known = rows[rows["id"].isin(items.keys())]
    if len(known) < len(rows):
        st.warning(f"{len(rows) - len(known):,} answers are to questions that the data set does not have any more.")
    units = Units(items.values())
    return known.assign(unit=[units.of(items[id]) for id in known["id"]])


@st.cache_resource(max_entries=12, show_spinner="Reading verdicts")
def _checked(folder: str, judge: str, check: str, stamps: Any) -> pd.DataFrame:
    return outcomes.checked(reading.at(folder), judge, check)


def draw(view: View, sample: Sample) -> None:
    """Label the sample blind: one answer at a time, the judge's verdict only afterwards."""
    name, progress = st.columns([1, 3], gap="medium", vertical_alignment="bottom")
    with name:
        person = labelling.who().strip()
    if not person:
        st.info("Enter your name to start: a label says whose it is. The name is kept for this session.")
        return
    mine = own_labels(sample, person)
    keys = [item.as_key(row) for _, row in sample.drawn.iterrows()]
    place = _place(keys, mine)
    with progress:
        _progress(keys, mine, person)
    row = sample.drawn.iloc[place]
    given = mine.get(keys[place])
    _move(place, len(keys))
    vqa = view.source.items[keys[place][0]]
    left, right = st.columns([1, 2], gap="medium")
    with left:
        hidden = draw_picture(vqa, where="audit")
    with right:
        item.draw_question(vqa)
        draw_answer(vqa, row["answer"], hidden=hidden, where="audit")
        if vqa.set in ("retain", "general"):
            st.caption("The data set's stored answer")
            item.draw_stored(vqa, hidden=hidden)
        st.markdown(f"**{labelling.QUESTIONS[sample.audit.check]}**")
        _form(sample, row, person, given, keys, mine, hidden=hidden)
        if given:
            _reveal_verdict(view, row, given)
        if vqa.set in ("forget", "decouple"):
            with st.expander("The data set's stored answer"):
                item.draw_stored(vqa, hidden=hidden)


def own_labels(sample: Sample, person: str) -> dict[tuple[str, int], Label]:
    """What this person said about the answers of the sample, as they are now, by id and sample."""
    texts = {item.as_key(row): labels.fingerprint(row["answer"]) for _, row in sample.drawn.iterrows()}
    return {
        (label.id, label.sample): label
        for label in labels.of_run(sample.run)
        if label.who == person
        and label.check == sample.audit.check
        and texts.get((label.id, label.sample)) == label.answer_sha
    }


def _place(keys: list[tuple[str, int]], mine: dict) -> int:
    """Which answer of the draw is shown: the one of the address, else the first without a label of this person."""
    asked = state.get("at")
    if asked.isdecimal():
        return min(max(int(asked), 1), len(keys)) - 1
    return _next_open(keys, mine, after=-1)


def _next_open(keys: list[tuple[str, int]], mine: dict, *, after: int) -> int:
    """The place of the next answer without a label, from the start again after the last; `after` when all have one."""
    order = [*range(after + 1, len(keys)), *range(after + 1)]
    return next((place for place in order if keys[place] not in mine), max(after, 0))


def _progress(keys: list[tuple[str, int]], mine: dict, person: str) -> None:
    done = len(mine)
    st.progress(done / len(keys), text=f"{done} of {len(keys)} labelled by {escape_markdown(person)}")
    if done == len(keys):
        st.success("Every answer of this sample has your label: see Results.", icon=":material/check:")


def _move(place: int, last: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, key, to, icon in (
            ("Previous (k)", "key-previous", place - 1, ":material/chevron_left:"),
            ("Next (j)", "key-next", place + 1, ":material/chevron_right:"),
        ):
            there = 0 <= to < last
            st.button(label, key=key, icon=icon, disabled=not there, on_click=state.put, kwargs={"at": to + 1})
        st.markdown(f"**{place + 1:,}** of {last:,} drawn")


def draw_picture(vqa: VQA, *, where: str) -> bool:
    """The item's picture; returns whether its texts are still hidden, which the judge's verdict has no part in."""
    harmful = vqa.set in outcome_words.HARMFUL_PICTURE
    media.picture(vqa.picture, harmful=harmful, category=vqa.category, where=where)
    return outcome_words.harmful_set(vqa.set) and not media.revealed(_gate(vqa))


def _gate(vqa: VQA) -> Path:
    """What a reveal opens: the picture, or the item where there is no picture file."""
    return vqa.picture or Path(vqa.id)


def draw_answer(vqa: VQA, answer: str, *, hidden: bool, where: str) -> None:
    """The answer, unmarked: a marked refusal would tell what a judge says."""
    with st.container(border=True):
        st.caption("Answer")
        if not hidden:
            answers.show(answer)
            return
        st.caption("May be harmful, so every answer about a harmful picture is folded until it is revealed.")
        st.button(
            "Reveal picture and answer (r)",
            key=f"key-reveal-text-{where}",
            on_click=media.reveal,
            args=(_gate(vqa),),
            icon=":material/visibility:",
        )


def _form(sample: Sample, row: Any, person: str, given: Label | None, keys: list, mine: dict, *, hidden: bool) -> None:
    """Note and buttons; a click stores the label at once and goes on to the next answer without one."""
    key = item.as_key(row)
    note = st.text_input(
        "Note (optional, before the verdict)",
        value=given.note if given else "",
        max_chars=labels.LONGEST_NOTE - len(AFTERWARDS) - 1,
        key=f"note-{sample.run.name}-{sample.audit.check}-{key}-{person}",
    ).strip()  # pyright: ignore
    with st.container(horizontal=True):
        chosen = [word for word in labelling.VERDICTS if _button(word, given, hidden)]
    if not chosen:
        return
    verdict = labelling.VERDICTS[chosen[0]]
    if given and (verdict, note) == (given.verdict, given.note):
        return
    if given and AFTERWARDS not in note:
        note = f"{note} {AFTERWARDS}".strip()
    _save(sample, row, person, verdict, note)
    place = keys.index(key)
    state.put(at=(place if given else _next_open(keys, {**mine, key: None}, after=place)) + 1)
    st.rerun()


def _button(word: str, given: Label | None, hidden: bool) -> bool:
    return st.button(
        word,
        key=f"label-{KEYS[word]}",
        shortcut=KEYS[word],
        type="primary" if given and given.verdict is labelling.VERDICTS[word] else "secondary",
        disabled=hidden,
        help="Reveal the answer first" if hidden else None,
    )


def _save(sample: Sample, row: Any, person: str, verdict: bool | None, note: str) -> None:
    id, number = item.as_key(row)
    labels.add(
        Label(
            who=person,
            run=sample.run.name,
            id=id,
            sample=number,
            answer_sha=labels.fingerprint(row["answer"]),
            check=sample.audit.check,
            verdict=verdict,
            note=note,
        )
    )


def _reveal_verdict(view: View, row: Any, given: Label) -> None:
    """What the judge said, for an answer that has this person's label."""
    both = {row["verdict"], given.verdict}
    icon = "help" if None in both else "check" if len(both) == 1 else "compare_arrows"
    words = {value: word for word, value in labelling.VERDICTS.items()}
    said = f"You: **{words[given.verdict]}** · judge {as_code(str(view.judge))}: **{words[row['verdict']]}**"
    reason = f" – {escape_markdown(row['reply'])}" if row["reply"] else ""
    st.markdown(f":material/{icon}: {said}{reason}")
    st.caption("Another verdict now replaces yours, and its note says that you had seen the judge's.")
