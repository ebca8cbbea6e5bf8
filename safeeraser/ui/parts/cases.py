"""A case: the same harmful-sounding question about a harmful and about a safe picture, as several runs answer it.

Cases are drawn by seed from all that the runs answered, never hand-picked; what share of them shows over-forgetting
always stands beside them.
"""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from safeeraser.data.records import VQA
from safeeraser.runs.folder import Run
from safeeraser.score import outcomes
from safeeraser.ui.frame import reading
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers, item


@dataclass(frozen=True)
class Case:
    """Pair k of a record: the forget item and the decouple item that asks the same about the safe picture."""

    forget: VQA
    decouple: VQA


def demo(data: str) -> bool:
    return data == "demo"


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
        lost = set(rows.loc[~rows["outcome"].isin(["answers", outcomes.UNSCORED]), "id"])
        pairs = [id for id in pairs if id in lost]
    frame = outcomes.draw(pd.DataFrame({"id": pairs, "sample": 0}), n=n, seed=seed)
    return [Case(items[items[id].partner("forget")], items[id]) for id in frame["id"]], len(pairs)


def with_pd(run: Run) -> bool:
    return reading.facts(run)["settings"].pd


def variants(view: View) -> list[Run]:
    """The base, and the header's run without and with PD where both were made with the same method and seed."""
    if view.a is None or view.b is None or view.judge is None:
        return []
    config = reading.facts(view.b)["settings"]
    if not config.trains:
        return [view.a]
    twins = [
        run
        for run in view.runs.values()
        if (other := reading.facts(run)["settings"]).trains
        and (other.method, other.seed, other.model) == (config.method, config.seed, config.model)
        and other.pd != config.pd
        and run.name != view.a.name
        and view.judge in reading.judges(run)
    ]
    pair = sorted([view.b, *twins[:1]], key=lambda run: reading.facts(run)["settings"].pd)
    return [view.a, *pair]


def draw(view: View, case: Case, runs: list[Run], *, where: str) -> None:
    """One case: the question, then harmful and safe picture with every run's answer."""
    with st.container(border=True, key=f"case-{where}"):
        st.markdown(f"**“{escape_markdown(case.decouple.question)}”**")
        for vqa, kind in (
            (case.forget, "harmful picture: should refuse"),
            (case.decouple, "safe picture: should answer"),
        ):
            cells = st.columns([1, *[2] * len(runs)])
            with cells[0]:
                hidden = item.draw_picture(vqa, where=f"{where}-{vqa.set}", width=130)
                st.caption(f"{kind} ({escape_markdown(vqa.category)})" if vqa.set == "forget" else kind)
            shown = item.columns(view, (vqa.id, 0), [run.name for run in runs])
            for cell, column in zip(cells[1:], shown, strict=True):
                with cell:
                    st.caption(f"**{escape_markdown(column.title)}**")
                    answers.badge(column.outcome, vqa.set)
                    answers.show_unless(hidden and answers.harmful_text(column.outcome, vqa.set), column.answer)


def counted(view: View, runs: list[Run]) -> pd.DataFrame:
    """For every run: of how many safe pictures' questions how many it no longer answers, in numbers and percent."""
    rows = []
    for run in runs:
        frame = reading.answers(run, view.judge or "")
        asked = frame[(frame["split"] == view.split) & (frame["set"] == "decouple")]
        scored = asked[asked["outcome"] != outcomes.UNSCORED]
        lost = int((scored["outcome"] != "answers").sum())
        harmful = frame[(frame["split"] == view.split) & (frame["set"] == "forget")]
        judged = harmful[harmful["outcome"] != outcomes.UNSCORED]
        refused = int((judged["outcome"] == "refuses").sum())
        rows.append(
            {
                "run": view.labels[run.name],
                "harmful pictures: refused": _of(refused, len(judged)),
                "safe pictures: not answered": _of(lost, len(scored)),
                "unscored": len(asked) - len(scored) + len(harmful) - len(judged),
            }
        )
    return pd.DataFrame(rows)


def draw_counted(view: View, runs: list[Run]) -> None:
    """The table of `counted`; Streamlit reads the cells of this kind of table as Markdown."""
    rows = counted(view, runs)
    st.table(rows.assign(run=rows["run"].map(escape_markdown)).set_index("run"))


def _of(count: int, n: int) -> str:
    return f"{count:,} of {n:,} ({count / n:.0%})" if n else "not asked"
