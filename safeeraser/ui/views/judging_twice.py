"""Judge audit: two judges of one run beside each other, and the answers on which they contradict each other."""

from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.files import stamp
from safeeraser.score import agreement, two_judges
from safeeraser.score.units import Units
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import item
from safeeraser.ui.views import audit_results, auditing, scoring
from safeeraser.ui.views.auditing import Sample

ALL = "All disputes"
FIRST, SECOND, UNDECIDED = "Only the first says yes", "Only the second says yes", "Only one decided"
EVERY = "Every category"


def draw(view: View, sample: Sample) -> None:
    """The agreement of the header's judge with another one that graded the run, and their disputes."""
    others = [judge for judge in reading.judges(sample.run) if judge != view.judge]
    if not others:
        how = scoring.how_to_grade(sample.run, "rules")
        st.info(f"Only {as_code(str(view.judge))} has graded this run. For a second one beside it: {how}.")
        return
    other = state.select("Second judge", others, "other", resets=("page",), width=400)
    stamps = [stamp(path) for path in (sample.run.answers, sample.run.verdicts)]
    every = _both(str(sample.run.folder), str(view.judge), other, stamps)
    rows = auditing.of_view(view, sample.audit, every[every["check"] == sample.audit.check])
    st.subheader("How far they agree")
    st.markdown(f"First {as_code(str(view.judge))}, second {as_code(other)}, on {view.split}: {len(rows):,} answers.")
    _measure(view, rows)
    _disputes(view, sample, rows, other)


@st.cache_resource(max_entries=12, show_spinner="Reading verdicts")
def _both(folder: str, a: str, b: str, stamps: Any) -> pd.DataFrame:
    return two_judges.both(reading.at(folder), a, b)


def _measure(view: View, rows: pd.DataFrame) -> None:
    items = view.source.items
    found = two_judges.agree(rows, items, Units(items.values()))
    left, right = st.columns(2, gap="large")
    with left:
        st.dataframe(pd.DataFrame([agreement.cells(found)]), hide_index=True, alt="Agreement of the two judges")
    with right:
        counts = pd.DataFrame(
            {
                "First \\ second": ["Yes", "No"],
                "Yes": [found.both_true, found.second_only],
                "No": [found.first_only, found.both_false],
            }
        )
        st.dataframe(counts, hide_index=True, width=420, alt="How often each of the two judges says yes and no")
    st.caption(
        f"{audit_results.INTERVALS} Kappa is agreement beyond chance, 1 is perfect; – where one judge says one and the "
        "same word only. That two judges agree does not make them right: labels tell, under *Results*."
    )


def _disputes(view: View, sample: Sample, rows: pd.DataFrame, other: str) -> None:
    st.subheader(f"Disputed answers: {len(two_judges.contradicting(rows))}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = (ALL, FIRST, SECOND, UNDECIDED)
        kind = state.select("Show which", kinds, "dispute", resets=("page",), width=200)
        categories = [EVERY, *sorted(set(rows["category"]))]
        category = state.select("Category", categories, "of", resets=("page",), width=200)
    found = _without_blind(sample, chosen(rows, kind=kind, category=category))
    st.caption(f"{len(found):,} pass the filters.")
    start = audit_results.PER_PAGE * state.page_number("page", items=len(found), per_page=audit_results.PER_PAGE)
    for at, (_, row) in enumerate(found.iloc[start : start + audit_results.PER_PAGE].iterrows(), start=start):
        with st.container(border=True):
            said = [
                f"{word} · {audit_results.verdict(judge, row[f'verdict_{side}'], row[f'reply_{side}'])}"
                for word, side, judge in (("First", "a", view.judge), ("Second", "b", other))
            ]
            audit_results.draw_dispute(view, sample.run, row, at, said)


def chosen(rows: pd.DataFrame, *, kind: str, category: str) -> pd.DataFrame:
    """The rows of `two_judges.both` that a filter lets through."""
    a, b = rows["verdict_a"], rows["verdict_b"]
    if kind == UNDECIDED:
        rows = rows[a.isna() != b.isna()]
    else:
        rows = two_judges.contradicting(rows)
        if kind in (FIRST, SECOND):
            rows = rows[rows["verdict_a"] == (kind == FIRST)]
    return rows if category == EVERY else rows[rows["category"] == category]


def _without_blind(sample: Sample, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without what the labeller of this session still has to label, and has to label blind."""
    person = (st.session_state.get("who") or "").strip()
    if not person:
        return rows
    drawn = {item.as_key(row) for _, row in sample.drawn.iterrows()} - auditing.own_labels(sample, person).keys()
    hidden = [item.as_key(row) in drawn for _, row in rows.iterrows()]
    if any(hidden):
        who = escape_markdown(person)
        st.info(
            f"{sum(hidden)} of them are in the sample that {who} labels, and have no label yet: hidden, to stay blind."
        )
    return rows[[not one for one in hidden]]
