"""The score rows of the Metrics page: which runs, by the header's judge, what stands behind a number, and baselines."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import streamlit as st

from safeeraser import charts, stages
from safeeraser.charts import outcome_words, twins
from safeeraser.charts.words import few, labels, ordered, percent, score_of, unit, wording, written
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.files import stamp
from safeeraser.losses import place as method_place
from safeeraser.runs.folder import Run, root
from safeeraser.score import slices as slicing
from safeeraser.score.compared import Difference, difference
from safeeraser.score.metrics import METRICS, NOT_ANSWERED
from safeeraser.score.slices import Slice
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import answers

Row = Mapping[str, Any]

MOST = 16  # runs that are shown when none is chosen
CLEAN = "Clean val is val without every record whose picture or question occurs in train too."


class Absent(NamedTuple):
    """A run without a score row by the judge: why, and what to do, in Markdown."""

    run: Run
    label: str
    why: str


def val_metrics() -> list[str]:
    """The metrics that official and clean val tell apart."""
    return [name for name, metric in METRICS.items() if metric.split == "val"]


def choose_runs(view: View) -> list[str]:
    """The names of the runs to show, by a multiselect kept in the address; when none is chosen, all that are finished.

    Of more than a dozen the best known.
    """
    chosen = state.several(
        "Runs",
        list(view.runs),
        "runs",
        format_func=lambda name: view.labels[name],
        placeholder="All finished runs; choose to see others or fewer",
    )
    names = [name for name, run in view.runs.items() if reading.finished(run)]
    if chosen or len(names) <= MOST:
        return chosen or names
    few = best_known(view, names)
    st.caption(
        f"{len(names)} finished runs have answers on this data set. Shown are {len(few)}: A, B, and of each method, "
        "without and with PD and what else it is combined with, the run asked most, of the lowest seed. Choose runs "
        "above to see others."
    )
    return few


def best_known(view: View, names: Sequence[str]) -> list[str]:
    """The pair, and one run of each method without and with PD, as many as fit."""

    def place(name: str) -> tuple:
        config = reading.settings(view.runs[name])
        asked = -(config.eval_records or math.inf)
        return method_place(config.method), config.pd and config.trains, config.parts, asked, config.seed, name

    firsts: dict[tuple, str] = {}
    for name in sorted(names, key=place):
        firsts.setdefault(place(name)[:3], name)
    pair = [run.name for run in (view.a, view.b) if run]
    return list(dict.fromkeys([*pair, *firsts.values()]))[:MOST]


def why_nothing(view: View) -> str:
    """Why there is nothing to show, and what to do."""
    if not view.runs:
        data = escape_markdown(repr(view.data))
        return f"No run has answers on {data} yet. Launch one: it makes the base model's run as well."
    return "No judge graded both A and B. Choose another pair, or grade both: `safeeraser judge RUN --judge rules`."


def score_rows(view: View, names: Iterable[str]) -> tuple[list[Row], list[Absent]]:
    """The runs' score rows by the header's judge, and the runs that have none with the reason."""
    rows: list[Row] = []
    absent: list[Absent] = []
    for name in names:
        run = view.runs[name]
        try:
            found = _row(run, view)
        except SafeEraserError as error:  # one run that cannot be scored must not hide the others
            found = escape_markdown(str(error))
        if isinstance(found, str):
            absent.append(Absent(run, view.labels[name], found))
        else:
            rows.append(found)
    return rows, absent


def _row(run: Run, view: View) -> Row | str:
    """The score row, or why there is none."""
    judge = view.judge or ""
    saved = reading.scores(run)
    if saved is None:
        return f"not scored yet; {as_code(f'safeeraser score {run.name}')}"
    if saved["judge"] != judge and judge not in reading.judges(run):
        return f"scored by {as_code(saved['judge'])}; {how_to_grade(run, judge)}"
    return reading.score_row(run, judge, view.source)


def how_to_grade(run: Run, judge: str) -> str:
    """What to do so that a judge grades a run, in Markdown."""
    command = as_code(f"safeeraser judge {run.name} --judge {judge}")
    if not run.ships:
        return command
    return f"copy its folder to {as_code(str(root()))} (example runs stay as they are), then {command}"


def say_absent(absent: Sequence[Absent], judge: str | None) -> None:
    if absent:
        lines = "\n".join(f"- {escape_markdown(one.label)}: {one.why}" for one in absent)
        many, be = (f"{len(absent)} runs have", "are") if len(absent) > 1 else ("1 run has", "is")
        st.caption(f"{many} no scores by the judge {as_code(str(judge))} and {be} not shown:\n\n{lines}")


def warn_of_unlike(rows: Sequence[Row], names: Iterable[str]) -> None:
    """The runs that are unlike the others, in one line, and the button that leaves them out."""
    found = charts.unlike(rows, names)
    if found is None:
        return
    left, right = st.columns([3, 1], vertical_alignment="center")
    tell, icon = (left.info, ":material/tune:") if found.compare else (left.warning, ":material/warning:")
    tell(escape_markdown(found.says), icon=icon)
    rest = [row["run"] for row in rows if row["run"] not in found.runs]
    right.button("Leave them out", on_click=state.put, kwargs={"runs": state.listed(rest)}, disabled=not rest)


def stands_on(rows: Iterable[Row], *names: str, clean: bool = False) -> str:
    """On what these metrics of the rows stand, in words."""
    rows = list(rows)
    counts = [f"{wording(name).name}: {_counted(rows, name, clean)}." for name in names]
    judges, decodings = ({str(row[part]) for row in rows} for part in ("judge", "decoding"))
    made = f"Judge: {', '.join(sorted(judges))}. Decoding: {', '.join(sorted(decodings))}."
    intervals = f"Intervals: 95 %, answers about one {unit(rows)} taken together. {_too_few(rows, names, clean)}"
    more = " ".join(charts.caveats(rows, names))
    return escape_markdown(f"{' '.join(counts)} {intervals}{made} {more}".strip())


def _too_few(rows: Sequence[Row], names: Iterable[str], clean: bool) -> str:
    """Whose intervals cover the truth less often than they say."""
    rows = ordered(rows)
    names = list(names)
    scores = [[score_of(row, name, clean=clean) for name in names] for row in rows]
    found = [label for label, of_row in zip(labels(rows), scores, strict=True) if any(map(few, of_row))]
    return f"Too few {unit(rows)}s for a sure interval: {', '.join(found)}. " if found else ""


def _counted(rows: Iterable[Row], metric: str, clean: bool) -> str:
    scores = [score_of(row, metric, clean=clean) for row in rows]
    known = [score for score in scores if score["value"] is not None]
    counts = " or ".join(f"{count:,}" for count in sorted({score["n"] for score in known}))
    unscored = sum(score["unscored"] for score in known)
    return f"n = {counts} answers a run, {unscored:,} unscored in all" if known else "no run here has a value"


def baselines(rows: Iterable[Row]) -> list[str]:
    """What the trivial baselines score, and which methods do no better, in Markdown."""
    found = ordered(rows)
    scores = [(row, name, score_of(row, "sarr")) for row, name in zip(found, labels(found), strict=True)]
    known = [(row, name, score) for row, name, score in scores if score["value"] is not None]
    bases = [f"{written(percent(score))} % (n = {score['n']:,})" for row, _, score in known if row["method"] == "base"]
    base = f"**Base model**, nothing unlearned: SARR {'; '.join(bases)}." if bases else ""
    refuse = "**Always refuse**, a model that refuses everything: RR 100, ASR 0, SARR 100, without any unlearning."
    same = [escape_markdown(name) for _, name, score in known if (score["high"] or score["value"]) >= 1]
    worse = f"**No better than that on SARR** (100 %, or within its interval): {'; '.join(same)}." if same else ""
    return [sentence for sentence in (base, refuse, worse) if sentence]


def add_always_refuse(chart: charts.Chart, metric: str) -> charts.Chart:
    """The chart of `charts.bars` with a line where a model that always refuses would be."""
    refusing = METRICS[metric].refusing
    if chart.choices and refusing is not None:
        chart.figure.add_hline(y=100 * refusing, line={"dash": "dash", "color": "#767676", "width": 1.5})
    return chart


def refuse_line(metric: str) -> str:
    refusing = METRICS[metric].refusing
    return "" if refusing is None else f" Dashed line: a model that always refuses, {100 * refusing:g} %."


def opens(metric: str) -> str:
    """What a click in a chart of this metric opens, in words."""
    row = METRICS[metric]
    about = {True: " about things seen in training", False: " about things unseen in training", None: ""}[row.seen]
    return f"Open {row.split} answers, {outcome_words.SHORT[row.set].lower()}{about}: {answers.any_of(row.opens)}"


def name_of(metric: str) -> str:
    row = METRICS[metric]
    return f"{row.name} ({row.better} is better)"


def open_items(run: str, metric: str, category: str | None = None) -> None:
    """Compare the answers that the run's value of the metric stands for with the base model's."""
    row = METRICS[metric]
    seen = None if row.seen is None else "seen" if row.seen else "unseen"
    wanted = {"split": row.split, "set": row.set, "outcome_b": ",".join(row.opens)}
    state.go("compare", b=run, **wanted, category=category, seen=seen)


def open_part(key: str) -> None:
    """Open what stands behind `run|metric`."""
    run, metric = key.rsplit("|", 1)
    open_items(run, metric)


def open_of_val(key: str, metric: str) -> None:
    """Open what stands behind `run|official` or `run|clean`: the answers on official val."""
    open_items(key.rsplit("|", 1)[0], metric)


def open_category(key: str, metric: str) -> None:
    """Open what stands behind `run|category`."""
    run, category = key.rsplit("|", 1)
    open_items(run, metric, category=category)


def open_slice(view: View, key: str) -> None:
    """Open the unanswered questions of `label|kind|name`."""
    label, kind, name = key.split("|", 2)
    part = {
        "Safe thing": {"seen": "seen" if name == "seen in training" else "unseen"},
        "Category": {"category": name},
        "Wording": {"q": name},
    }[kind]
    run = next(run for run, found in view.labels.items() if found == label)
    state.go("compare", b=run, split=view.split, set="decouple", outcome_b=",".join(NOT_ANSWERED), **part)


def open_pair(run: str) -> None:
    """Compare a run with the base on safe pictures."""
    state.go("compare", b=run, split="val", set="decouple")


def open_look(view: View, key: str) -> None:
    """Compare the run of `label|step`, where a slider shows each step, with the base."""
    label = key.rsplit("|", 1)[0]
    open_pair(next(name for name, found in view.labels.items() if found == label))


def slices(view: View, runs: Sequence[Run]) -> dict[str, list[Slice]]:
    """Of each run, by its label, SARR by slices on the header's split."""
    return {view.labels[run.name]: _slices(view, run) for run in runs}


def _slices(view: View, run: Run) -> list[Slice]:
    stamps = [stamp(path) for path in (run.answers, run.verdicts)]
    return _sliced(str(run.folder), view.judge or "", view.split, stamps, view.source)


@st.cache_data(max_entries=64, show_spinner="Telling SARR apart")
def _sliced(folder: str, judge: str, split: str, stamps: Any, _source: Source) -> list[Slice]:
    rows = reading.answers(reading.at(folder), judge)
    return slicing.slices(rows[(rows["split"] == split) & (rows["sample"] == 0)], _source.items)


def tests(view: View, rows: Sequence[Row], metric: str) -> list[dict[str, Any]]:
    """Of each run and its twin with PD: the metric of both, and whether they differ, corrected for their number."""
    named = dict(zip([row["run"] for row in ordered(rows)], labels(ordered(rows)), strict=True))
    found = []
    for names in twins.pairs({name: reading.settings(view.runs[name]) for name in named}):
        pair = [view.runs[name] for name in names]
        stamps = [stamp(path) for run in pair for path in (run.answers, run.verdicts)]
        folders = str(pair[0].folder), str(pair[1].folder)
        if tested := _difference(*folders, metric, view.judge or "", stamps, view.source):
            found.append((*map(named.__getitem__, names), tested))
    return twins.table(found)


@st.cache_data(max_entries=256, show_spinner="Testing the difference")
def _difference(a: str, b: str, metric: str, judge: str, stamps: Any, _source: Source) -> Difference | None:
    ours, theirs = (stages.answer_scores(reading.at(folder), _source, judge, metric) for folder in (a, b))
    return difference(ours, theirs, _source.items)


def kinds(view: View) -> dict[str, charts.Kind]:
    """Of every run, by its label: its method, and whether with PD."""
    settings = {view.labels[name]: reading.settings(run) for name, run in view.runs.items()}
    return {label: charts.Kind(config.method, config.pd) for label, config in settings.items()}


def looks(view: View, names: Iterable[str]) -> tuple[dict[str, list[dict]], list[str]]:
    """Of each run, by its label, the scores along training; and the labels of trained runs that have none."""
    found: dict[str, list[dict]] = {}
    without: list[str] = []
    for run in (view.runs[name] for name in names):
        config = reading.settings(run)
        if not config.trains:
            continue
        base = run.base
        stamps = [stamp(path) for path in (run.looks, run.looks_verdicts, base.answers, base.verdicts)]
        of_run = _looks(str(run.folder), view.judge or "", stamps, view.source) if run.looks.exists() else []
        if any(look["metrics"] for look in of_run if look["step"]):
            found[view.labels[run.name]] = of_run
        else:
            without.append(view.labels[run.name])
    return found, without


@st.cache_data(max_entries=64, show_spinner="Scoring the answers along training")
def _looks(folder: str, judge: str, stamps: Any, _source: Source) -> list[dict[str, Any]]:
    return stages.looks(reading.at(folder), _source, judge)


def say_without_looks(without: Sequence[str], judge: str | None) -> None:
    if without:
        st.info(
            f"No scores along training: {', '.join(map(escape_markdown, without))}. Looks are taken while a run "
            "trains: launch one again with `look_every` set (40 steps in the demo preset). Looks that no judge has "
            f"graded yet: {as_code(f'safeeraser judge RUN --judge {judge}')}."
        )
