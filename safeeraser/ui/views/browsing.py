"""Browse: the records that pass the filters, as bars, grid or table, and one record with all its questions."""

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser import charts
from safeeraser.charts import outcome_words
from safeeraser.data.health import HealthReport, check
from safeeraser.data.records import CATEGORIES, Dataset, Record, record_of
from safeeraser.data.report import number
from safeeraser.score import outcomes as results
from safeeraser.score.measuring import trained_concepts
from safeeraser.ui.frame import media, reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import plots

HIDDEN = ["text", "seen"]  # columns that are filtered by and not shown
SEEN = {"seen": True, "unseen": False}
RESETS = ("page", "record")
FILTERS = ("category", "q", "type", "safe", "set", "outcome", "flag", "page")
CARDS, ROWS = 8, 50  # on a page
LARGE = 1000  # pictures; more are checked only when asked: every one is decoded


@st.cache_resource(max_entries=4, show_spinner=False)
def _table(data: str, stamp: Any) -> pd.DataFrame:
    """One row a record, in the order of the files. Read only."""
    dataset = reading.source(data).dataset
    trained = trained_concepts(dataset.vqa())
    return pd.DataFrame(
        [
            {
                "record": record.name,
                "split": record.split,
                "category": record.category,
                "type": record.type,
                "keyword": record.keyword,
                "safe keyword": record.safe_keyword or "",
                "seen": None if record.safe_keyword is None else record.safe_keyword in trained,
                "pairs": len(record.pairs),
                "text": "\n".join([record.keyword, record.safe_keyword or "", *(p.question for p in record.pairs)]),
            }
            for record in dataset.records
        ],
        columns=["record", "split", "category", "type", "keyword", "safe keyword", "seen", "pairs", "text"],
    )


def table(view: View) -> pd.DataFrame:
    return _table(view.data, reading.data_stamp(view.data))


@st.cache_resource(max_entries=4, show_spinner="Checking every picture")
def _report(folder: str, stamp: Any) -> HealthReport:
    return check(Path(folder))


def health(view: View) -> HealthReport | None:
    """The health report; None for a large data set until somebody asks for it."""
    data = view.source.dataset
    wanted = len(data.records) * 2 <= LARGE or st.session_state.get(f"check-{data.root}")
    return _report(str(data.root), reading.data_stamp(view.data)) if wanted else None


def flags(data: Dataset, report: HealthReport) -> dict[str, list[str]]:
    """What the health report says against a record: broken, missing, duplicate, leaked."""
    broken = {one.picture for one in report.broken}
    doubled = {picture for group in report.duplicates for picture in group}
    missing = Counter(line.split(":")[0] for line in report.missing)
    leaked = set(report.overlap.records) if report.overlap else set()
    found: dict[str, list[str]] = {}
    for record in data.records:
        name = record.name
        pictures = {path.relative_to(data.root).as_posix() for path in (record.picture, record.safe_picture) if path}
        said = {
            "broken": pictures & broken,
            "missing": missing[name],
            "duplicate": pictures & doubled,
            "leaked": name in leaked,
        }
        if words := [word for word, holds in said.items() if holds]:
            found[name] = words
    return found


def filters(view: View, flagged: dict[str, list[str]]) -> pd.DataFrame:
    """Draw the filters; returns the records that pass them."""
    rows = table(view)
    rows = rows[rows["split"] == view.split]
    first, second = st.columns([2, 2, 1]), st.columns([1, 1, 1, 1])
    with first[0]:
        categories = state.several("Category", CATEGORIES, "category", resets=RESETS, placeholder="All")
    with first[1]:
        words = state.text("Search keywords and questions", "q", resets=RESETS, placeholder="Words")
    with second[0]:
        types = state.several("Type", sorted(rows["type"].unique()), "type", resets=RESETS, placeholder="All")
    with first[2]:
        safe = state.select("Safe thing", ("any", *SEEN), "safe", resets=RESETS, help="Whether PD training showed it")
    with second[1]:
        sets = ("any", *outcome_words.SETS)
        set_name = state.select("Set", sets, "set", resets=(*RESETS, "outcome"), help="Which answers the outcome is of")
    with second[2]:
        known = results.OUTCOMES.get(set_name) or tuple(dict.fromkeys(w for o in results.OUTCOMES.values() for w in o))
        outcomes = state.several("Outcome under B", known, "outcome", resets=RESETS, placeholder="All")
    with second[3]:
        marked = state.several(
            "Flags", ("broken", "missing", "duplicate", "leaked"), "flag", resets=RESETS, placeholder="All"
        )
    if categories:
        rows = rows[rows["category"].isin(categories)]
    if types:
        rows = rows[rows["type"].isin(types)]
    if safe in SEEN:
        rows = rows[rows["seen"] == SEEN[safe]]
    if words.strip():
        rows = rows[rows["text"].str.contains(words.strip(), case=False, regex=False)]
    if marked:
        rows = rows[[bool(set(marked) & set(flagged.get(name, ()))) for name in rows["record"]]]
    if set_name != "any" or outcomes:
        rows = rows[rows["record"].isin(_with_outcome(view, set_name, outcomes))]
    return rows


def _with_outcome(view: View, set_name: str, outcomes: list[str]) -> set[str]:
    """The records of which B's answer to a question of the set has one of the outcomes; any outcome when none."""
    if view.b is None or view.judge is None:
        st.warning("There is no run B on this data set, so no outcome to filter by.")
        return set()
    rows = reading.answers(view.b, view.judge)
    if set_name != "any":
        rows = rows[rows["set"] == set_name]
    if outcomes:
        rows = rows[rows["outcome"].isin(outcomes)]
    return set(rows["id"].map(record_of))


def bars(rows: pd.DataFrame) -> None:
    """How many of the records that pass are in each category; a bar filters by it."""
    counts = rows["category"].value_counts()
    chart = charts.counts(
        {name: int(counts.get(name, 0)) for name in CATEGORIES if counts.get(name)}, what="records by category"
    )
    plots.draw(chart, key="categories", choose=_only_category, prompt="Show only")


def _only_category(category: str) -> None:
    if state.get("category") != category:
        state.go("browse", **{**_kept(), "category": category, "page": None})


def records(view: View) -> dict[str, Record]:
    return _by_name(view.data, reading.data_stamp(view.data))


@st.cache_resource(max_entries=4, show_spinner=False)
def _by_name(data: str, stamp: Any) -> dict[str, Record]:
    return {record.name: record for record in reading.source(data).dataset.records}


def grid(view: View, rows: pd.DataFrame, flagged: dict[str, list[str]]) -> None:
    """Cards of one page of records, harmful picture and safe partner beside each other."""
    known = records(view)
    start = state.page_number("page", items=len(rows), per_page=CARDS) * CARDS
    cells = st.grid(4, min_column_width=230)
    for name in rows["record"].iloc[start : start + CARDS]:
        with cells.cell(), st.container(border=True):
            _card(known[name], name, flagged.get(name, []))


def _card(record: Record, name: str, words: list[str]) -> None:
    left, right = st.columns(2)
    with left:
        media.picture(record.picture, harmful=True, category=record.category, where=name)
    with right:
        media.picture(record.safe_picture, harmful=False, category=record.category, where=f"safe-{name}")
    st.markdown(f"**{escape_markdown(record.category)}**")
    partner = record.safe_keyword or "no safe partner"
    st.caption(f"{escape_markdown(record.keyword)} → {escape_markdown(partner)} · {len(record.pairs)} pairs")
    for word in words:
        st.badge(word, color="orange", icon=":material/flag:")
    st.button(
        "Open",
        key=f"open-{name}",
        on_click=state.put,
        kwargs={"record": name},
        icon=":material/open_in_full:",
        help=f"Questions and stored answers of {escape_markdown(name)}",
    )


def as_table(rows: pd.DataFrame, flagged: dict[str, list[str]]) -> None:
    """One page of records as a table; a selected row opens."""
    start = state.page_number("page", items=len(rows), per_page=ROWS) * ROWS
    page = rows.iloc[start : start + ROWS].drop(columns=HIDDEN)
    page = page.assign(flags=[", ".join(flagged.get(name, ())) for name in page["record"]])
    chosen = st.dataframe(
        page, hide_index=True, on_select="rerun", selection_mode="single-row", key="records", alt="Records that pass"
    )
    selected = chosen["selection"]["rows"]  # pyright: ignore
    opened = st.selectbox("Open a record of this page", page["record"], index=None, placeholder="Choose")
    name = page["record"].iloc[selected[0]] if selected else opened
    if name:
        state.go("browse", **_kept(), record=name)


def _kept() -> dict[str, str]:
    return {name: state.get(name) for name in (*FILTERS, "as")}


def exports(view: View, rows: pd.DataFrame) -> None:
    """The selection as CSV and JSON: stored harmful answers only when ticked; pictures never."""
    with st.popover("Export the selection", icon=":material/download:"):
        st.caption(f"{len(rows):,} records; pictures are never part of an export.")
        with_answers = st.checkbox("Include the stored answers, harmful ones too", key="export-answers")
        st.download_button(
            "CSV (records)", plots.csv(rows.drop(columns=HIDDEN)), "records.csv", "text/csv", on_click="ignore"
        )
        st.download_button(
            "JSON (records with questions)",
            lambda: as_json(view, list(rows["record"]), with_answers),
            "records.json",
            "application/json",
            on_click="ignore",
        )


def as_json(view: View, names: list[str], with_answers: bool) -> str:
    """The records with their questions; the stored answers, harmful ones too, only when asked for."""
    known = records(view)
    kept = ("id", "set", "question", *(("answer",) if with_answers else ()))
    chosen = [
        {
            "record": name,
            "category": known[name].category,
            "type": known[name].type,
            "keyword": known[name].keyword,
            "safe_keyword": known[name].safe_keyword,
            "pairs": [{field: getattr(pair, field) for field in kept} for pair in known[name].pairs],
        }
        for name in names
    ]
    return json.dumps(chosen, indent=1, ensure_ascii=False)


def draw_health(view: View, report: HealthReport | None) -> None:
    """The health report in numbers, or the button that makes it."""
    data = view.source.dataset
    if report is None:
        st.caption(
            f"{len(data.records):,} records: reading every picture takes a while, so it is done only when asked. "
            "Until then broken, duplicate and leaked pictures are not flagged."
        )
        st.button(
            "Check every picture",
            on_click=st.session_state.__setitem__,
            args=(f"check-{data.root}", True),
            icon=":material/fact_check:",
        )
        return
    rows = [(number(count), number(total) if total is not None else "") for _, count, total in report.numbers()]
    whats = pd.Index([what for what, _, _ in report.numbers()], name="what")
    st.table(pd.DataFrame(rows, index=whats, columns=["count", "of"]))
    for note in (*report.empty_categories, *report.notes)[:20]:
        st.caption(escape_markdown(note))
    st.caption(
        f"The whole report: {as_code(shlex.join(['safeeraser', 'data', 'check', view.data]))} on the command line."
    )
