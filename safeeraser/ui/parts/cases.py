"""A case: the same harmful-sounding question about a harmful and about a safe picture, as several runs answer it.

Cases are drawn by seed from all that the runs answered, never hand-picked; what share of them shows over-forgetting
always stands beside them.
"""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.runs.folder import Run
from safeeraser.score import counted as counting
from safeeraser.score import outcomes
from safeeraser.score.counted import Counts
from safeeraser.score.metrics import NOT_ANSWERED
from safeeraser.ui.frame import reading
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers, item

PICTURE = 160  # pixels


@dataclass(frozen=True)
class Case:
    """Pair k of a record: the forget item and the decouple item that asks the same about the safe picture."""

    forget: VQA
    decouple: VQA

    @property
    def sides(self) -> tuple[tuple[VQA, str, str], ...]:
        """Both items, each with what its picture is and what a model should do about it."""
        return (self.forget, "Harmful picture", "should refuse"), (self.decouple, "Safe picture", "should answer")


def drawn(
    view: View, runs: list[Run], *, n: int, seed: int, over_forgotten_by: Run | None = None
) -> tuple[list[Case], int]:
    """n cases of the view's split drawn by seed, and of how many: those that all the runs answered both sides of.

    over_forgotten_by: only cases whose safe side this run does not answer (and a judge says so).
    """
    items = view.source.items
    asked = None
    for run in runs:
        rows = reading.answers(run, view.judge or "")
        here = set(rows.loc[(rows["split"] == view.split) & (rows["sample"] == 0), "id"])
        asked = here if asked is None else asked & here
    here = [items[id] for id in sorted(asked or ()) if id in items]
    pairs = [item.id for item in here if item.set == "decouple" and item.partner("forget") in (asked or ())]
    if over_forgotten_by:
        rows = reading.answers(over_forgotten_by, view.judge or "")
        lost = set(rows.loc[rows["outcome"].isin(NOT_ANSWERED), "id"])
        pairs = [id for id in pairs if id in lost]
    frame = outcomes.draw(pd.DataFrame({"id": pairs, "sample": 0}), n=n, seed=seed)
    return [Case(items[items[id].partner("forget")], items[id]) for id in frame["id"]], len(pairs)


def with_pd(run: Run) -> bool:
    return reading.settings(run).pd


def variants(view: View) -> list[Run]:
    """The base, and the header's run and its twin, which differs from it in PD alone; without PD first."""
    if view.base is None or view.b is None or view.judge is None:
        return []
    if not reading.settings(view.b).trains:
        return [view.base]
    pair = [view.b, *([view.twin] if view.twin else [])]
    return [view.base, *sorted(pair, key=with_pd)]


def draw(view: View, case: Case, runs: list[Run], *, where: str) -> None:
    """One case: the question, both pictures, and under one row of names what every run answers about each."""
    with st.container(border=True, key=f"case-{where}", gap="xsmall"):
        hidden = {}
        with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
            for vqa, kind, wanted in case.sides:
                with st.container(width=PICTURE, gap="xsmall"):
                    hidden[vqa.set] = item.draw_picture(vqa, where=f"{where}-{vqa.set}", width=PICTURE)
                    st.caption(f"**{kind}**, {wanted}")
            with st.container(width="stretch"):
                st.caption("The same question about both pictures")
                st.markdown(f"**“{escape_markdown(case.decouple.question)}”**")
        widths = [0.7, *[2] * len(runs)]
        for cell, run in zip(st.columns(widths)[1:], runs, strict=True):
            cell.markdown(f"**{escape_markdown(view.labels[run.name])}**")
        for vqa, kind, _ in case.sides:
            cells = st.columns(widths)
            cells[0].caption(kind)
            for cell, column in zip(cells[1:], item.columns(view, (vqa.id, 0), runs), strict=True):
                with cell, st.container(gap="xxsmall"):
                    answers.badge(column.outcome, vqa.set)
                    folded = hidden[vqa.set] and outcome_words.harmful_text(column.outcome, vqa.set)
                    answers.show_unless(folded, column.answer, vqa.set)


def counted(view: View, runs: list[Run]) -> list[tuple[Run, Counts]]:
    """For every run, all its answers about harmful and safe pictures of the split, by outcome."""
    return [(run, counting.counted(reading.answers(run, view.judge or ""), view.split)) for run in runs]


def tabled(view: View, counts: list[tuple[Run, Counts]]) -> list[dict[str, str | int]]:
    """The counts in words, a row a run."""
    return counting.tabled({view.labels[run.name]: of_run for run, of_run in counts})


def draw_counted(view: View, runs: list[Run]) -> None:
    """The counts as a table; Streamlit reads the cells of this kind of table as Markdown."""
    rows = [row | {"run": escape_markdown(str(row["run"]))} for row in tabled(view, counted(view, runs))]
    st.table(pd.DataFrame(rows).set_index("run"))


def names_of_runs(runs: list[Run]) -> str:
    """The runs by their own names, in Markdown, with those that ship told apart."""
    return ", ".join(f"{as_code(run.name)}{' (example)' if run.ships else ''}" for run in runs)
