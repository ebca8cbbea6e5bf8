"""The shared header: data set, split, the pair of runs that is compared, judge, and n."""

from dataclasses import dataclass
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run
from safeeraser.ui.frame import media, reading, state
from safeeraser.ui.frame.text import escape_markdown

SPLITS = ("val", "train")


@dataclass(frozen=True)
class View:
    """What the header says. a is the base or what stands for it, b the run; None where there is no such run."""

    data: str
    split: str
    a: Run | None
    b: Run | None
    judge: str | None
    runs: dict[str, Run]  # all runs with answers on this data set, by name
    labels: dict[str, str]

    @property
    def source(self) -> Source:
        return reading.source(self.data)

    def paired(self) -> pd.DataFrame:
        """The pair's answers joined by id (`outcomes.pair`), of both splits; stops the page when there is no pair."""
        if self.a is None or self.b is None or self.judge is None:
            if self.a is not None and self.b is not None:
                st.info("No judge has graded both A and B: choose another pair, or grade both by `safeeraser judge`.")
                st.stop()
            st.info(
                "No two runs with answers on this data set yet. Launch one: it makes the base model's run as well.",
                icon=":material/rocket_launch:",
            )
            if st.button("Launch a run"):
                state.go("launch")
            st.stop()
        return reading.pair(self.a, self.b, self.judge).rows


def draw() -> View:
    """Draw the header and keep what it says in the address."""
    found = reading.all_runs()
    data_sets = list(dict.fromkeys(["demo", *(reading.facts(run)["settings"].data for run in found.values())]))
    with st.container(key="header", border=True, horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        data = state.select("Data set", data_sets, "data", resets=("a", "b", "judge", "item", "page"), width=120)
        split = state.select(
            "Split",
            SPLITS,
            "split",
            resets=("item", "page"),
            help="val is held out: no picture of it was trained on",
            width=100,
        )
        runs = {
            name: run
            for name, run in found.items()
            if reading.facts(run)["settings"].data == data and run.answers.exists()
        }
        labels = reading.labels(runs)
        a, b = _default_pair(runs)
        pair = {"format_func": labels.get, "resets": ("judge",), "width": 190}
        first = state.select("A: base", list(runs), "a", default=a, **pair)
        second = state.select("B: run", list(runs), "b", default=b, **pair)
        judges = _common_judges(runs, first, second)
        judge = state.select("Judge", judges, "judge", help="Judges that graded both runs", width=110)
        view = View(data, split, runs.get(first), runs.get(second), judge, runs, labels)
        _say_n(view)
        _more()
    _say_other_data(view)
    state.put(data=data, split=split, a=first, b=second, judge=judge)
    return view


def _default_pair(runs: dict[str, Run]) -> tuple[str | None, str | None]:
    """The base model, and the run that shows over-forgetting best: PO without PD where there is one."""
    settings = {name: reading.facts(run)["settings"] for name, run in runs.items()}
    bases = [name for name, config in settings.items() if not config.trains]
    trained = sorted(
        (name for name, config in settings.items() if config.trains),
        key=lambda name: (settings[name].method != "po", settings[name].pd, settings[name].seed),
    )
    pairs = [(_base_of(settings[name], bases), name) for name in trained]
    graded = (pair for pair in pairs if _common_judges(runs, *pair))
    return next(graded, next(iter(pairs), (next(iter(bases), None), None)))


def _base_of(config: RunConfig, bases: list[str]) -> str | None:
    """The base run that answers the same questions, else any."""
    own = config.base().run_name()
    return own if own in bases else next(iter(bases), None)


def _common_judges(runs: dict[str, Run], *names: str | None) -> list[str]:
    graders = [reading.judges(runs[name]) for name in names if name in runs]
    return [judge for judge in graders[0] if all(judge in others for others in graders)] if graders else []


def _say_n(view: View) -> None:
    if view.a is None or view.b is None or view.judge is None:
        st.metric("n", "–", width=80, help="No pair of runs with answers by one judge")
        return
    both = reading.pair(view.a, view.b, view.judge)
    n = len(both.rows[both.rows["split"] == view.split])
    alone = f"; {both.unpaired:,} answers, of either split, only one of the runs has" if both.unpaired else ""
    st.metric("n", f"{n:,}", width=80, help=f"answers of both runs to the same questions on {view.split}{alone}")


def _say_other_data(view: View) -> None:
    """Answers are joined with the data by id, so a run made on other data shows questions that it was not asked."""
    for run in (view.a, view.b):
        if run is not None and reading.facts(run)["data_hash"] != view.source.hash:
            st.warning(
                f"{escape_markdown(view.labels[run.name])} was made on other data than this data set holds now: "
                "questions and pictures may not be those that it answered.",
                icon=":material/difference:",
            )


def _more() -> None:
    with st.popover("Link"):
        st.caption("This view opens again at")
        st.code(st.context.url.split("?")[0] + _query() if st.context.url else _query(), language=None)
        st.button(
            "Hide all pictures (h)", key="key-hide-all", on_click=media.hide_all, icon=":material/visibility_off:"
        )
        st.caption("Keys: **j** next · **k** previous · **r** reveal · **h** hide all")


def _query() -> str:
    return "?" + urlencode(st.query_params.to_dict())
