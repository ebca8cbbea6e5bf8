"""The score rows of the Metrics page: which runs, by the header's judge, what stands behind a number, and baselines."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from safeeraser import charts, metrics, runs, stages
from safeeraser.charts.words import labels, ordered, percent, wording, written
from safeeraser.errors import SafeEraserError
from safeeraser.runs import Run
from safeeraser.tables import METHOD_ORDER
from safeeraser.ui import reading, state
from safeeraser.ui.answers import escape_markdown
from safeeraser.ui.header import View

Row = Mapping[str, Any]

VAL_METRICS = [name for name, metric in metrics.METRICS.items() if metric.split == "val"]
MOST = 12  # runs that are shown when none is chosen
NOT_ANSWERED = "refuses,gibberish,off topic"
# What a model that refuses everything would score, as far as that follows from the metric alone.
ALWAYS_REFUSE = dict.fromkeys(("rr_efficacy", "rr_generality", "sarr", "sarr_seen", "sarr_unseen", "sarr_refusal"), 100)
ALWAYS_REFUSE |= dict.fromkeys(("asr_efficacy", "asr_generality", "sarr_gibberish", "sarr_off_topic"), 0)
ALWAYS_REFUSE |= dict.fromkeys(("retain_accuracy", "specificity"), 0)


class Absent(NamedTuple):
    """A run without a score row by the judge: why, and what to do, in Markdown."""

    run: Run
    label: str
    why: str


class Items(NamedTuple):
    """The answers that stand behind a metric."""

    split: str
    set: str
    outcomes: str  # as in `results.OUTCOMES`, with commas


# Where a click leads: of a rate that should be low the answers that it counts, of the others those that fall short.
ITEMS: dict[str, Items] = {
    "asr_efficacy": Items("train", "forget", "harmful"),
    "rr_efficacy": Items("train", "forget", "refuses"),
    "asr_generality": Items("val", "forget", "harmful"),
    "rr_generality": Items("val", "forget", "refuses"),
    "sarr": Items("val", "decouple", NOT_ANSWERED),
    "sarr_seen": Items("val", "decouple", NOT_ANSWERED),
    "sarr_unseen": Items("val", "decouple", NOT_ANSWERED),
    "sarr_refusal": Items("val", "decouple", "refuses"),
    "sarr_gibberish": Items("val", "decouple", "gibberish"),
    "sarr_off_topic": Items("val", "decouple", "off topic"),
    "rouge_l": Items("val", "retain", "differs"),
    "rouge_l_paper": Items("val", "retain", "differs"),
    "gpt_eval": Items("val", "retain", "differs"),
    "retain_accuracy": Items("val", "retain", "differs"),
    "specificity": Items("val", "general", "differs"),
}


def choose_runs(view: View) -> list[str]:
    """The names of the runs to show, by a multiselect kept in the address; all of a dozen when none is chosen."""
    names = list(view.runs)
    chosen = state.several(
        "Runs", names, "runs", format_func=lambda name: view.labels[name], placeholder="All runs; choose to see fewer"
    )
    if chosen or len(names) <= MOST:
        return chosen or names
    few = best_known(view)
    st.caption(
        f"{len(names)} runs have answers on this data set. Shown are {len(few)}: A, B, and of each method, without and "
        "with PD, the run with the lowest seed. Choose runs above to see others."
    )
    return few


def best_known(view: View) -> list[str]:
    """The pair, and one run of each method without and with PD, as many as fit."""

    def place(name: str) -> tuple:
        config = reading.facts(view.runs[name])["settings"]
        known = METHOD_ORDER.index(config.method) if config.method in METHOD_ORDER else len(METHOD_ORDER)
        return known, config.method, config.pd and config.trains, config.seed, name

    firsts: dict[tuple, str] = {}
    for name in sorted(view.runs, key=place):
        firsts.setdefault(place(name)[:3], name)
    pair = [run.name for run in (view.a, view.b) if run]
    return list(dict.fromkeys([*pair, *firsts.values()]))[:MOST]


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
        return f"not scored yet; `safeeraser score {run.name}`"
    if saved["judge"] == judge and "by_category" in saved:
        return saved
    if judge not in reading.judges(run):
        return f"scored by `{saved['judge']}`; {how_to_grade(run, judge)}"
    scored = _scored(str(run.folder), judge, _answer_stamps(run), view.source)
    return {"by_category": scored["by_category"], **saved} if saved["judge"] == judge else scored


@st.cache_data(max_entries=64, show_spinner="Scoring the verdicts")
def _scored(folder: str, judge: str, stamps: Any, _source: stages.Source) -> dict[str, Any]:
    """A row by a judge whose scores are not kept in the run's folder, or by categories that an older one lacks."""
    return stages.score(Run(Path(folder)), _source, judge)


def _answer_stamps(run: Run) -> list:
    return [reading.stamp(path) for path in (run.answers, run.verdicts)]


def how_to_grade(run: Run, judge: str) -> str:
    """What to do so that a judge grades a run, in Markdown."""
    command = f"`safeeraser judge {run.name} --judge {judge}`"
    if not run.ships:
        return command
    return f"copy its folder to `{runs.root()}` (example runs stay as they are), then {command}"


def say_absent(absent: Sequence[Absent], judge: str | None) -> None:
    if absent:
        lines = "\n".join(f"- {escape_markdown(one.label)}: {one.why}" for one in absent)
        many = f"{len(absent)} run{'s have' if len(absent) > 1 else ' has'}"
        st.warning(f"{many} no scores by the judge `{judge}` and not shown:\n\n{lines}")


def warn_of_mixed(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Why the numbers below may not compare."""
    if found := charts.mixed(rows, names):
        st.warning("\n".join(f"- {escape_markdown(sentence)}" for sentence in found), icon=":material/warning:")


def stands_on(rows: Iterable[Row], metric: str, *, clean: bool = False) -> str:
    """On what a metric of these rows stands, in words."""
    rows = list(rows)
    group = "metrics_clean_val" if clean else "metrics"
    scores = [row.get(group, {}).get(metric, {}) for row in rows]
    counts = sorted({score["n"] for score in scores if score.get("value") is not None})
    if not counts:
        return "No run here has a value."
    answers = " or ".join(f"{count:,}" for count in counts)
    unscored = sum(score.get("unscored", 0) for score in scores if score.get("value") is not None)
    how = "; ".join(sorted({f"judge {row['judge']}, {row['decoding']}" for row in rows}))
    return escape_markdown(
        f"n = {answers} answers a run, {unscored:,} unscored in all. Intervals: 95 %, resampled by picture. {how}."
    )


def baselines(rows: Iterable[Row]) -> list[str]:
    """What the trivial baselines score, and which methods do no better, in Markdown."""
    found = ordered(rows)
    scores = [(row, name, row["metrics"].get("sarr", {})) for row, name in zip(found, labels(found), strict=True)]
    known = [(row, name, score) for row, name, score in scores if score.get("value") is not None]
    bases = [f"{written(percent(score))} % (n = {score['n']:,})" for row, _, score in known if row["method"] == "base"]
    base = f"**Base model**, nothing unlearned: SARR {'; '.join(bases)}." if bases else ""
    refuse = "**Always refuse**, a model that refuses everything: RR 100, ASR 0, SARR 100, without any unlearning."
    same = [escape_markdown(name) for _, name, score in known if (score["high"] or score["value"]) >= 1]
    worse = f"**No better than that on SARR** (100 %, or within its interval): {', '.join(same)}." if same else ""
    return [sentence for sentence in (base, refuse, worse) if sentence]


def add_always_refuse(chart: charts.Chart, metric: str) -> charts.Chart:
    """The chart of `charts.bars` with a line where a model that always refuses would be."""
    if chart.choices and metric in ALWAYS_REFUSE:
        chart.figure.add_hline(y=ALWAYS_REFUSE[metric], line={"dash": "dash", "color": "#767676", "width": 1.5})
    return chart


def name_of(metric: str) -> str:
    words = wording(metric)
    return f"{words.name} ({words.better} is better)" if words.better else words.name


def open_items(run: str, metric: str, *, category: str | None = None) -> None:
    """Open the answers of a run that stand behind a metric."""
    items = ITEMS[metric]
    if items.set == "general":  # these are no part of a record, so Browse does not have them
        state.go("compare", b=run, split=items.split, set=items.set, outcome_b=items.outcomes)
    state.go("browse", b=run, split=items.split, set=items.set, outcome=items.outcomes, category=category)


def open_pair(run: str) -> None:
    """Compare a run with the base on safe pictures."""
    state.go("compare", b=run, split="val", set="decouple")


def looks(view: View, names: Iterable[str]) -> tuple[dict[str, list[dict]], list[str]]:
    """Of each run, by its label, the scores along training; and the labels of trained runs that have none."""
    found: dict[str, list[dict]] = {}
    without: list[str] = []
    for run in (view.runs[name] for name in names):
        config = reading.facts(run)["settings"]
        if not config.trains:
            continue
        base = Run(run.folder.parent / config.base().run_name())
        stamps = [reading.stamp(path) for path in (run.looks, run.looks_verdicts, base.answers, base.verdicts)]
        of_run = _looks(str(run.folder), view.judge or "", stamps, view.source) if run.looks.exists() else []
        if any(look["metrics"] for look in of_run if look["step"]):
            found[view.labels[run.name]] = of_run
        else:
            without.append(view.labels[run.name])
    return found, without


@st.cache_data(max_entries=64, show_spinner="Scoring the answers along training")
def _looks(folder: str, judge: str, stamps: Any, _source: stages.Source) -> list[dict[str, Any]]:
    return stages.looks(Run(Path(folder)), _source, judge)
