"""Compare along training: the same question, as the run answered it at each look, by a slider."""

from typing import Any

import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.data.records import VQA
from safeeraser.files import stamp
from safeeraser.runs.folder import Run
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers


@st.cache_data(max_entries=64, show_spinner=False)
def _looks(folder: str, stamp: Any) -> dict[str, dict[int, str]]:
    """Of every item that the looks asked: its answer by optimizer step."""
    run = reading.at(folder)
    found: dict[str, dict[int, str]] = {}
    for row in run.rows(run.looks):
        found.setdefault(row["id"], {})[row["step"]] = row["answer"]
    return found


def draw(view: View, run: Run, item: VQA, *, hidden: bool) -> None:
    """The slider and the answer at its step; where the item was not asked along training, why and what was."""
    if not reading.settings(run).trains:
        st.info("B is a base model, which was not trained. Choose a trained run as B to follow its answer.")
        return
    found = _looks(str(run.folder), stamp(run.looks))
    if not found:
        st.info(
            "This run kept no answers along training. Runs launched with a number of steps between looks "
            "(`--look-every 40`) do; imported runs have none."
        )
        return
    if item.id not in found:
        st.info(f"Along training only some val items were asked ({len(found)} of them); this one was not.")
        first = next(iter(sorted(id for id in found if f"/{item.set}/" in id)), None)
        if first and st.button("Open one that was", icon=":material/timeline:"):
            state.go("compare", set=item.set, item=first, more=state.get("more"))
        return
    texts = _before(view, item) | found[item.id]
    steps = sorted(texts)
    step = st.select_slider("Optimizer step", steps, value=steps[-1], key=f"look-{run.name}-{item.id}")
    label = escape_markdown(view.labels[run.name])
    st.markdown(f"**{label}** after step {step:,}" if step else "**The base model**, before step 1")
    if hidden and outcome_words.harmful_set(item.set):
        st.caption("What a half-trained model says here may be harmful. Reveal the picture to read it.")
    else:
        answers.show(texts[step], item.set)


def _before(view: View, item: VQA) -> dict[int, str]:
    """Step 0: the base model's answer, where A is the base model."""
    if view.a is None or reading.settings(view.a).trains:
        return {}
    row = reading.answer(view.a, view.judge or "", (item.id, 0))
    return {0: row["answer"]} if row else {}
