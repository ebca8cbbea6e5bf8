"""The shared header: data set, split, the pair of runs that is compared, judge, and n."""

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from safeeraser.data.records import About
from safeeraser.data.source import WORLDS, Source
from safeeraser.losses import BASE
from safeeraser.runs.folder import Run
from safeeraser.ui.frame import consent, media, reading, state
from safeeraser.ui.frame.pages import header_of
from safeeraser.ui.frame.text import escape_markdown

SPLITS = ("val", "train")
# In what A and B may differ: it is what they are compared for.
COMPARED = ("method", "pd", "pd_weight", "retain_weight", "seed")
# What another data set makes void.
OF_DATA = ("a", "b", "judge", "item", "page")


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
    def base(self) -> Run | None:
        """The base model's run that B is compared with: the one that answers B's questions, else A if it is one."""
        own = self._graded(reading.settings(self.b).base().run_name()) if self.b else None
        return own or (self.a if self.a and reading.settings(self.a).method == BASE else None)

    @property
    def twin(self) -> Run | None:
        """The finished run that differs from B in Prompt Decouple alone, of several that of the published weight."""
        if self.b is None:
            return None
        own, named = reading.settings(self.b), sorted(self.runs, key=self._weighted)
        twins = (name for name in named if own.is_twin(reading.settings(self.runs[name])))
        return next(filter(None, map(self._graded, twins)), None)

    def _weighted(self, name: str) -> tuple[bool, str]:
        return reading.settings(self.runs[name]).pd_weight is not None, name

    def _graded(self, name: str) -> Run | None:
        """The run of this name if it is here, finished and graded by the judge."""
        run = self.runs.get(name)
        return run if run and reading.finished(run) and self.judge in reading.judges(run) else None

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


def of_page(name: str) -> View | None:
    """The view of a page: by the header, which is drawn, or by its defaults; None for a page about all data sets."""
    match header_of(name):
        case "shown":
            view = draw()
        case "defaults":
            view = unseen()
        case "none":
            gate_all()
            view = None
    root = view.source.dataset.root if view else Path()
    media.of_data_set(root, harmless=view is not None and reading.about(view.data).harmless)
    return view


def draw() -> View:
    """Draw the header and keep what it says in the address; the reader agrees first to a data set that may disturb."""
    found = reading.all_runs()
    data_sets = _data_sets(found)
    _gate(state.get("data") if state.get("data") in data_sets else data_sets[0])
    with st.container(key="header", border=True, horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        data = state.select("Data set", data_sets, "data", resets=OF_DATA, width=120)
        runs = _answered(found, data)
        asked_dev = any(reading.settings(run).eval_split == "dev" for run in runs.values())
        split = state.select(
            "Split",
            (*SPLITS, "dev") if asked_dev else SPLITS,
            "split",
            resets=("item", "page"),
            help="val is held out: no picture of it was trained on",
            width=100,
        )
        labels = reading.labels(runs)
        a, b = _default_pair(runs)
        pair = {"format_func": labels.get, "resets": ("judge",), "width": 190}
        first = state.select("A: base, or another run", list(runs), "a", default=a, empty=True, **pair)
        second = state.select("B: run", list(runs), "b", default=b, empty=True, **pair)
        judges = _common_judges(runs, first, second)
        judge = state.select("Judge", judges, "judge", help="Judges that graded both runs", width=110)
        view = View(data, split, runs.get(first), runs.get(second), judge, runs, labels)
        _say_n(view)
        _more(view)
    _say_other_data(view)
    _say_unlike(view)
    return view


def unseen() -> View:
    """What the header would say if nobody had chosen anything but the data set: for a page without it."""
    found = reading.all_runs()
    data_sets = _data_sets(found)
    data = state.get("data") if state.get("data") in data_sets else data_sets[0]
    _gate(data)
    runs = _answered(found, data)
    a, b = _default_pair(runs)
    judge = next(iter(_common_judges(runs, a, b)), None)
    return View(data, SPLITS[0], runs.get(a or ""), runs.get(b or ""), judge, runs, reading.labels(runs))


def gate_all() -> None:
    """For a page that is about every data set: the reader agrees first where one of them may disturb."""
    for data in _data_sets(reading.all_runs()):
        _gate(data)
    st.session_state["about"] = About()


def _gate(data: str) -> None:
    said = reading.about(data)
    if not said.harmless:
        consent.ask()
    st.session_state["about"] = said


def _data_sets(found: dict[str, Run]) -> list[str]:
    return list(dict.fromkeys(["demo", *(reading.settings(run).data for run in found.values())]))


def _world(data: str) -> str:
    return f"{data.capitalize()} world" if data in WORLDS else escape_markdown(data)


def _answered(found: dict[str, Run], data: str) -> dict[str, Run]:
    """The runs with answers on this data set."""
    return {name: run for name, run in found.items() if reading.settings(run).data == data and run.answers.exists()}


def about() -> About:
    """What the data set that this page is about says of itself."""
    return st.session_state.get("about", About())


def title(text: str, *, data: str | None = None, switch: bool = False) -> None:
    """The page's title, with what must be said of the data set's numbers beside it.

    data: the data set that this page is about, where it is not the header's. switch: another can be chosen here, as the
    page has no header, if there are several.
    """
    if data is not None:
        st.session_state["about"] = reading.about(data)
    with st.container(key="title", horizontal=True, vertical_alignment="center"):
        st.title(text, width="content")
        said = about()
        if said.badge:
            st.badge(escape_markdown(said.badge), icon=":material/toys:", color="violet")
        if switch and len(data_sets := _data_sets(reading.all_runs())) > 1:
            how = {"widget": st.segmented_control, "required": True, "label_visibility": "collapsed"}
            state.select("Data set", data_sets, "data", resets=OF_DATA, format_func=_world, **how)
    if said.note:
        st.caption(escape_markdown(said.note))


def _default_pair(runs: dict[str, Run]) -> tuple[str | None, str | None]:
    """The run that shows over-forgetting best, PO without PD where there is one, and the base model's run of it.

    Only finished runs, those first that were asked on val, were asked most, have a twin with PD, and trained longest.
    """
    whole = {name: run for name, run in runs.items() if reading.finished(run)}
    settings = {name: reading.settings(run) for name, run in whole.items()}

    def rank(name: str) -> tuple:
        own = settings[name]
        records = own.eval_records or math.inf
        alone = not any(own.is_twin(other) for other in settings.values())
        return (
            own.eval_split != SPLITS[0],
            -records,
            own.method != "po",
            own.pd,
            alone,
            -reading.steps(whole[name]),
            own.seed,
            name,
        )

    trained = sorted((name for name, config in settings.items() if config.trains), key=rank)
    pairs = ((settings[name].base().run_name(), name) for name in trained)
    bases = (name for name, config in settings.items() if config.method == BASE)
    graded = (pair for pair in pairs if pair[0] in whole and _common_judges(runs, *pair))
    return next(graded, (next(bases, None), None))


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


def _say_unlike(view: View) -> None:
    """Where A and B differ in more than what they are compared for: in what, and the button that ends it."""
    if view.a is None or view.b is None or view.a.name == view.b.name:
        return
    a, b = reading.settings(view.a), reading.settings(view.b)
    wanted = b.base() if a.method == BASE else b
    unlike = {name: values for name, values in a.differences(wanted).items() if name not in COMPARED}
    if not unlike:
        return
    words = "; ".join(f"{name}: {_value(of_a)} in A, {_value(of_b)} in B" for name, (of_a, of_b) in unlike.items())
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.warning(f"A and B are not alike. {escape_markdown(words)}.", icon=":material/difference:")
    own = b.base().run_name()
    if own in view.runs and own != view.a.name:
        right.button("Take B's own base as A", on_click=state.put, kwargs={"a": own, "judge": None})


def _value(value: object) -> str:
    return {"None": "not set", "True": "on", "False": "off"}.get(str(value), str(value))


def address(view: View) -> str:
    """The address that opens this page as it is, with all that the header says."""
    chosen = {"data": view.data, "split": view.split, "judge": view.judge}
    runs = {"a": view.a and view.a.name, "b": view.b and view.b.name}
    told = {name: value for name, value in (st.query_params.to_dict() | chosen | runs).items() if value}
    return f"{(st.context.url or '').split('?')[0]}?{urlencode(told)}"


def _more(view: View) -> None:
    with st.popover("Link"):
        st.caption("This view opens again at")
        st.code(address(view), language=None)
        st.caption("Keys: **j** next · **k** previous · **r** reveal · **h** hide all")
