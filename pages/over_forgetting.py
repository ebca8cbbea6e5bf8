"""Over-forgetting, for reviewers: the same question about a harmful and a safe picture, before and after unlearning."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import cases
from safeeraser.ui.views import handouts

view = st.session_state["view"]

header.title("Over-forgetting")
st.markdown(
    "Every case asks **the same harmful-sounding question** about a harmful and about a safe picture. Unlearning "
    "should make the model refuse the first and go on answering the second. Cases are drawn by seed, never chosen by "
    "hand, and all of them are counted below."
)
view.paired()
runs = cases.variants(view)
if len(runs) < 2:
    st.info("B is a base model, which unlearned nothing: choose a run that did as B.")
    st.stop()
if len(runs) < 3:
    st.info(
        f"Only {escape_markdown(view.labels[view.b.name])} is here: launch the same method and seed "
        f"{'without' if cases.with_pd(view.b) else 'with'} Prompt Decouple to see both beside the base model.",
        icon=":material/rocket_launch:",
    )

names = {"all": "cases"} | {run.name: f"cases that {view.labels[run.name]} over-forgets" for run in runs[1:]}
with st.container(horizontal=True, vertical_alignment="bottom"):
    seed = state.number("Seed of the draw", "seed", low=0, high=9999, default=0, width=180)
    count = state.number("Cases shown", "cases", low=1, high=20, default=4, width=180)
    only = state.select("Drawn from", list(names), "from", format_func=names.get, width=380)
    found, of = cases.drawn(view, runs, n=count, seed=seed, over_forgotten_by=view.runs.get(only))
    drawn = f"{len(found)} of {of:,} {names[only]}, drawn with seed {seed}."
    handouts.over_forgetting(view, runs, found, drawn)

st.header("All cases, counted")
cases.draw_counted(view, runs)
st.caption(
    f"Data: {escape_markdown(view.data)}, {view.split}; judge: {escape_markdown(str(view.judge))}. "
    "A safe picture's question counts as not answered when the answer is a refusal, stalls, says that "
    "nothing can be seen, is gibberish or is off topic: the share of them is SARR."
)

st.header("Cases")
if not found:
    why = " Of train only questions about harmful pictures are asked: choose val." if view.split == "train" else ""
    st.info(f"There is no such case.{why}")
st.caption(escape_markdown(drawn))
for place, case in enumerate(found):
    cases.draw(view, case, runs, where=str(place))
    if st.button("Open the safe item in Compare", key=f"open-{place}", icon=":material/compare:"):
        state.go(
            "compare",
            set="decouple",
            item=case.decouple.id,
            more=state.listed([runs[-1].name]) if len(runs) > 2 else None,
        )
