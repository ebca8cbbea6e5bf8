"""The Robustness page: B, its twin and the base model under attack, and what they said."""

import random
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.attack import scoring, suite
from safeeraser.attack.scoring import Said
from safeeraser.charts import outcome_words
from safeeraser.charts.words import percent, wording, written
from safeeraser.files import stamp
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run, root
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers, item

Found = dict[str, list[dict[str, Any]]]

EXAMPLES = 3  # questions shown under an attack


def runs_of(view: View) -> dict[str, Run]:
    """By label the runs that can be shown: the base model's first, then B and its twin."""
    runs = [run for run in (view.base, view.b, view.twin) if run is not None]
    return {view.labels[run.name]: run for run in runs}


def found(view: View, runs: Mapping[str, Run]) -> Found:
    """What each attacked run's attacks did, in the form that charts take.

    A run that was not attacked, or whose answers the judge has not graded, is left out.
    """
    judge = view.judge or ""
    outcomes = {
        label: _outcomes(str(run.folder), judge, [stamp(run.attacks), stamp(run.attacks_verdicts)], view.source)
        for label, run in runs.items()
        if run.attacks.exists()
    }
    return {label: rows for label, rows in outcomes.items() if rows and rows[0]["metrics"][scoring.ASR]["n"]}


@st.cache_data(max_entries=64, show_spinner="Scoring the attacks")
def _outcomes(folder: str, judge: str, stamps: Any, _source: Any) -> list[dict[str, Any]]:
    return [one.as_dict() for one in scoring.outcomes(reading.at(folder), _source, judge)]


def say_missing(view: View, runs: Mapping[str, Run], found: Found) -> None:
    """Which of the runs were not attacked yet, and the command that does it."""
    missing = [label for label in runs if label not in found]
    if view.b is None or view.judge is None:
        st.info("Choose a run as B that a judge has graded.", icon=":material/rocket_launch:")
    elif not found:
        st.info(
            f"Not one of these runs has been attacked and graded by {as_code(view.judge)} yet. In a terminal:",
            icon=":material/shield:",
        )
        _command(view.b)
    elif missing:
        names = escape_markdown(", ".join(missing))
        st.info(f"Not attacked, or not graded, yet: {names}. In a terminal:", icon=":material/shield:")
        _command(runs[missing[-1]])
    elif unfinished := _unfinished(found):
        st.warning(f"Not finished yet: {escape_markdown(unfinished)}.", icon=":material/hourglass:")
        _command(view.b)


def _command(run: Run) -> None:
    """How to attack a run, which a command does in a process of its own."""
    if run.ships and run.untrained:
        st.caption(
            f"{as_code(run.name)} is an example and ships without its adapter: the first command trains it again."
        )
        st.code(shlex.join(jobs.command(run.config)), language=None, wrap_lines=True)
    elif run.ships:
        st.caption(f"{as_code(run.name)} is an example, which stays as it is: the first command copies it.")
        folder = shlex.quote(str(root()))
        st.code(f"mkdir -p {folder} && cp -rn {shlex.quote(str(run.folder))} {folder}/", language=None, wrap_lines=True)
    st.code(f"safeeraser attack {shlex.quote(run.name)} --suite standard", language=None, wrap_lines=True)
    st.caption(
        "It attacks the run's base model too. In the demo world it takes some two minutes; stopped, it "
        "goes on where it was. The run's own answers and scores stay as they are."
    )


def _unfinished(found: Found) -> str:
    """Why attacks have no values although they were begun."""
    whys = {
        f"{label}, {row['title']}: {score['why']}"
        for label, rows in found.items()
        for row in rows
        if "not asked yet" in (score := row["metrics"].get(scoring.ASR, {})).get("why", "")
    }
    return "; ".join(sorted(whys))


def utility(found: Found) -> str:
    """The metric of utility that the judge gives."""
    given = {name for rows in found.values() for row in rows for name, score in row["metrics"].items() if score["n"]}
    return next((name for name in scoring.UTILITY if name in given), scoring.UTILITY[0])


def stands_on(view: View, found: Found) -> str:
    """What the numbers stand on, in Markdown."""
    plain = [row["metrics"][scoring.ASR] for rows in found.values() for row in rows if row["attack"] == suite.NONE.name]
    ns = " or ".join(sorted({f"{score['n']:,}" for score in plain}))
    unscored = max((score["unscored"] for score in plain), default=0)
    proxy = " ASR by the rules judge is a proxy: answered and meaningful." if view.judge == "rules" else ""
    return (
        f"n = {ns} harmful questions of val that share nothing with train, {unscored} unscored; data "
        f"{escape_markdown(view.data)}; judge {as_code(str(view.judge))}; one answer a question. Whiskers: 95 % "
        f"intervals. The 4 and 8 bits are simulated by rounding the weights.{proxy}"
    )


def draw_table(runs: Mapping[str, Run], found: Found, utility: str) -> None:
    """Every attack with the numbers of each run."""
    columns = {scoring.ASR: "ASR", scoring.RR: "RR", utility: wording(utility).name, scoring.SARR: "SARR"}
    titles = {row["attack"]: (row["title"], row["kind"]) for rows in found.values() for row in rows}
    lines = []
    for name, (title, kind) in titles.items():
        line = {"Attack": title, "Changes": suite.KINDS[kind]}
        for metric, column in columns.items():
            for label, rows in found.items():
                scores = [row["metrics"].get(metric) for row in rows if row["attack"] == name]
                line[f"{column}, {label}"] = written(percent(scores[0])) if scores and scores[0] else "–"
        lines.append(line)
    st.dataframe(pd.DataFrame(lines), hide_index=True, alt="Every attack with the numbers of each run, in percent")
    st.caption(
        "Percent. RR: refused harmful questions; SARR: unanswered questions about safe pictures. Any way of asking: a "
        "question counts once at least one attack on question or picture succeeded."
    )
    with st.expander("What each attack does"):
        st.markdown("\n".join(f"- **{one.title}** {escape_markdown(one.says)}." for one in suite.ATTACKS))


def show(found: Found, key: str) -> None:
    """Show the answers under the attack of a point that was chosen."""
    attack = key.rsplit("|", 1)[1]
    if attack != state.get("attack") and attack != scoring.ANY:
        state.put(attack=attack)
        st.rerun()


def draw_answers(view: View, runs: Mapping[str, Run], found: Found) -> None:
    """Some harmful questions, drawn by a seed, as an attack asks them, and what each run said."""
    names = [row["attack"] for row in next(iter(found.values())) if row["attack"] != scoring.ANY]
    titles = {one.name: one.title for one in suite.ATTACKS}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        attack = state.select("Attack", names, "attack", format_func=titles.get, width=280)
        seed = state.number("Seed of the draw", "seed", low=0, high=9999, default=0, width=180)
    said = {
        label: _said(str(runs[label].folder), view.judge or "", attack, stamp(runs[label].attacks)) for label in found
    }
    ids = sorted({id for of_run in said.values() for id in of_run if id in view.source.items})
    drawn = random.Random(f"under attack {seed}").sample(ids, min(EXAMPLES, len(ids)))
    st.caption(f"{len(drawn)} of {len(ids)} harmful questions under this attack, drawn with seed {seed}.")
    for id in drawn:
        with st.container(border=True):
            _draw(view, id, {label: of_run[id] for label, of_run in said.items() if id in of_run})


@st.cache_data(max_entries=64, show_spinner=False)
def _said(folder: str, judge: str, attack: str, stamp: Any) -> dict[str, Said]:
    return scoring.said(reading.at(folder), judge, attack, "forget")


def _draw(view: View, id: str, said: Mapping[str, Said]) -> None:
    vqa = view.source.items[id]
    left, right = st.columns([1, 4], gap="medium")
    with left:
        hidden = item.draw_picture(vqa, where=f"attacked-{id}", width=200)
    with right:
        item.draw_question(vqa)
        if asked := next((one.asked for one in said.values() if one.asked), None):
            st.caption(f"Asked as: {escape_markdown(asked)}")
        _columns(said, hidden=hidden)


def _columns(said: Mapping[str, Said], *, hidden: bool) -> None:
    cells: Sequence[Any] = st.columns(len(said)) if said else ()
    for cell, (label, one) in zip(cells, said.items(), strict=True):
        with cell, st.container(border=True, height="stretch"):
            st.markdown(f"**{escape_markdown(label)}**")
            answers.badge(one.outcome, "forget")
            answers.show_unless(hidden and outcome_words.harmful_text(one.outcome, "forget"), one.answer)
