"""The button "Handout": what a page shows, as one file to hand around.

What the session alone knows (answers, what is hidden, the address) is taken when the page is drawn; files are read,
pictures encoded and charts drawn at the click, in a thread that has no session.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from shlex import join
from typing import Any

import streamlit as st

from safeeraser import stages
from safeeraser.charts import Chart, handout, outcome_words, provenance
from safeeraser.charts.handout import Head, Html, Picture, Said
from safeeraser.charts.provenance import Made
from safeeraser.charts.words import labels, ordered, wording
from safeeraser.data import images
from safeeraser.data.records import VQA
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.report import collecting
from safeeraser.report import page as report_page
from safeeraser.report.page import Choices
from safeeraser.runs.folder import Run
from safeeraser.score import tables
from safeeraser.score.metrics import METRICS, columns
from safeeraser.ui.frame import header
from safeeraser.ui.frame.header import View
from safeeraser.ui.parts import cases, item
from safeeraser.ui.parts.cases import Case
from safeeraser.ui.parts.item import Column

Row = Mapping[str, Any]
Parts = Callable[[Sequence[Row]], list[Html]]  # the score rows of the runs -> what stands above how they were made

SIDE = 320  # pixels of a picture, which is some 3 cm wide on paper
SCORES = ("rr_efficacy", "rr_generality", "sarr")  # that Over-forgetting is about


@dataclass(frozen=True)
class Told:
    """What a handout is about. rows: the score rows that are known already, by the run's name."""

    title: str
    badge: str | None
    address: str
    view: View
    source: Source
    runs: Mapping[str, Run]  # by what they are called here
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class Asked:
    """An item with what the runs say about it, as far as the reader may see it."""

    vqa: VQA
    hidden: bool
    caption: str
    said: list[Said | None]


def over_forgetting(view: View, runs: Sequence[Run], found: Sequence[Case], drawn: str) -> None:
    """The button for the cases found. drawn: how, in words."""
    named = {view.labels[run.name]: run for run in runs}
    counts = cases.tabled(view, cases.counted(view, list(runs)))
    asked = [[_asked(view, vqa, 0, runs, f"{kind}, {wanted}") for vqa, kind, wanted in case.sides] for case in found]
    shown = {wording(name).name: name for name in SCORES if METRICS[name].split == view.split}

    def parts(rows: Sequence[Row]) -> list[Html]:
        return [
            handout.paragraph(
                "Every case asks the same harmful-sounding question about a harmful and about a safe picture. "
                "Unlearning should make the model refuse the first and go on answering the second."
            ),
            handout.heading("All cases, counted"),
            handout.table([name.capitalize() for name in counts[0]], [list(row.values()) for row in counts]),
            handout.scores(rows, list(named), shown),
            handout.heading("Cases"),
            handout.note(drawn),
            *(_question(sides, list(named), of=sides[-1].vqa) for sides in asked),
        ]

    _offer(view, "over-forgetting", "Over-forgetting", named, parts)


def compare(view: View, key: tuple[str, int], shown: Sequence[Column]) -> None:
    """The button for one question, of this id and sample, and the answers shown."""
    vqa = view.source.items[key[0]]
    named = {column.title: view.runs[column.name] for column in shown}
    kind = "Harmful picture" if vqa.set in outcome_words.HARMFUL_PICTURE else "Safe picture"
    asked = [_asked(view, vqa, key[1], list(named.values()), kind, replies=True)]
    of_set = [name for name, row in METRICS.items() if (row.split, row.set) == (vqa.split, vqa.set)]

    def parts(rows: Sequence[Row]) -> list[Html]:
        return [
            _question(asked, list(named), of=vqa),
            handout.heading("All answers of this kind"),
            handout.note(f"{outcome_words.SETS[vqa.set]}; {vqa.split}."),
            handout.scores(rows, list(named), {wording(name).name: name for name in of_set}),
        ]

    _offer(view, "compare", "Compare answers", named, parts)


def metrics(view: View, rows: Sequence[Row], charts: Sequence[Chart]) -> None:
    """The button for the charts shown and all scores of these rows."""
    found = ordered(rows)
    named = {name: view.runs[row["run"]] for name, row in zip(labels(found), found, strict=True)}
    badge = header.about().badge

    def parts(rows: Sequence[Row]) -> list[Html]:
        return [
            *handout.figures(charts, badge=badge),
            *(
                part
                for title in tables.titles(rows)
                for part in (handout.heading(title), handout.scores(rows, list(named), columns(title, rows)))
            ),
        ]

    _offer(view, "metrics", "Metrics", named, parts, rows={row["run"]: row for row in rows})


def report(view: View, rows: Sequence[Row]) -> None:
    """The button for the report of these rows' runs: what `safeeraser report` writes."""
    runs = [view.runs[row["run"]] for row in ordered(rows)]
    known = {row["run"]: row for row in rows}
    st.download_button(
        "Report",
        partial(_report, runs, {view.data: view.source}, view.judge or "", known),
        "report.html",
        "text/html",
        key="report",
        on_click="ignore",
        icon=":material/summarize:",
        help="Figures, all tables, tests, examples and how they were made, as one file; works offline",
    )


def _report(runs: Sequence[Run], sources: Mapping[str, Source], judge: str, rows: Mapping[str, Any]) -> str:
    groups = collecting.collect(runs, sources, judge=judge, rows=rows)
    command = join(["safeeraser", "report", *map(collecting.word, runs), "--judge", judge])
    return report_page.as_html(groups, Choices(command, _now()))


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _offer(
    view: View,
    name: str,
    title: str,
    runs: Mapping[str, Run],
    parts: Parts,
    *,
    rows: Mapping[str, Row] | None = None,
) -> None:
    badge = header.about().badge
    told = Told(title, badge, header.address(view), view, view.source, runs, rows or {})
    st.download_button(
        "Handout",
        partial(_compose, told, parts),
        f"handout-{name}.html",
        "text/html",
        key="handout",
        on_click="ignore",
        icon=":material/print:",
        help="One file to print or to send: works offline",
    )


def _compose(told: Told, parts: Parts) -> str:
    rows = [_row(told, run) for run in told.runs.values()]
    made = [_made(label, run, row) for (label, run), row in zip(told.runs.items(), rows, strict=True)]
    view = told.view
    last = provenance.section(made, data=view.data, data_hash=told.source.hash, split=view.split, judge=view.judge)
    return handout.page(Head(told.title, told.badge, _now(), told.address), [*parts(rows), *last])


def _row(told: Told, run: Run) -> Row:
    """The run's score row by the header's judge; an empty one where there is none."""
    if run.name in told.rows:
        return told.rows[run.name]
    judge = told.view.judge or ""
    try:
        saved = run.scores
        return saved if saved and saved["judge"] == judge else stages.score(run, told.source, judge)
    except SafeEraserError:
        return {}


def _made(label: str, run: Run, row: Row) -> Made:
    config = run.config
    return Made(run.name, label, config, run.facts, row, stages.pd_weight(config), run.ships)


def _asked(view: View, vqa: VQA, sample: int, runs: Sequence[Run], caption: str, *, replies: bool = False) -> Asked:
    hidden = item.is_hidden(vqa)
    by_run = {column.name: column for column in item.columns(view, (vqa.id, sample), runs)}
    said = [_said(by_run[run.name], vqa, hidden, replies) if run.name in by_run else None for run in runs]
    return Asked(vqa, hidden, caption, said)


def _said(column: Column, vqa: VQA, hidden: bool, replies: bool) -> Said:
    look = outcome_words.look(column.outcome, vqa.set)
    folded = hidden and outcome_words.harmful_text(column.outcome, vqa.set)
    return Said(
        look.colour,
        look.words,
        text=None if folded else column.answer,
        mark=None if folded else outcome_words.wrong_refusal(column.answer, vqa.set),
        reply=outcome_words.said_beside(column.reply, column.outcome, vqa.set) if replies else "",
    )


def _question(asked: Sequence[Asked], names: Sequence[str], *, of: VQA) -> Html:
    """The question of an item, with what is said about each of the pictures that it is asked about."""
    note = f"{of.category} · {of.id}"
    return handout.question(of.question, note=note, names=names, rows=[(_picture(one), one.said) for one in asked])


def _picture(asked: Asked) -> Picture:
    vqa = asked.vqa
    kind = "harmful" if vqa.set in outcome_words.HARMFUL_PICTURE else "safe"
    png = images.seen(vqa.picture, hidden=asked.hidden, side=SIDE) if vqa.picture else None
    hidden = ", hidden" if asked.hidden else ""
    return Picture(png, f"{kind} picture, {vqa.category}{hidden}", f"{asked.caption}{hidden}")
