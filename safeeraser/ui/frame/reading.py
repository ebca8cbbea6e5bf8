"""What the pages read, kept as long as the files stay as they are. Filters are never cached, only reads."""

import gc
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data import source as data_source
from safeeraser.data.records import About
from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.files import count_lines, stamp
from safeeraser.losses import BASE, variant
from safeeraser.losses import place as method_place
from safeeraser.runs.contents import DamagedError
from safeeraser.runs.folder import Run, every
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.score import outcomes
from safeeraser.ui.frame.text import escape_markdown


def source(name: str) -> Source:
    """A data set, read once; stops the page with the reason when it cannot be read."""
    try:
        return _source(name, data_stamp(name))
    except SafeEraserError as error:
        st.error(escape_markdown(str(error)))
        st.stop()


def data_stamp(name: str) -> Any:
    """What changes when a data set's JSON files change; an embedded world's never do."""
    return (
        None
        if name in data_source.WORLDS
        else tuple((path.name, stamp(path)) for path in sorted(Path(name).glob("*.json")))
    )


def about(name: str) -> About:
    """What a data set says of itself; one that cannot be read has said nothing."""
    world = data_source.WORLDS.get(name)
    if world and not world.folder().is_dir():
        with st.spinner(f"Drawing the {name} world, once"):
            world.ensure()
    try:
        return _about(name, data_stamp(name))
    except SafeEraserError:
        return About()


@lru_cache(maxsize=64)
def _about(name: str, stamp: Any) -> About:
    return data_source.about(name)


@st.cache_resource(max_entries=4, show_spinner="Reading the data set")
def _source(name: str, stamp: Any) -> Source:
    found = Source(name)
    # Streamlit collects garbage after every run of a script: it need not walk through modules and records each time.
    gc.collect()
    gc.freeze()
    return found


def all_runs() -> dict[str, Run]:
    """Every run by name; one that is broken is named instead.

    Of an example run and the user's own of the same name, the user's own once it is finished.
    """
    found: dict[str, Run] = {}
    for run in every():
        if why := _damage(run):
            st.warning(f"A run is left out. {escape_markdown(why)}", icon=":material/broken_image:")
        elif run.name not in found or (run.ships and not finished(found[run.name])):
            found[run.name] = run
    return found


def finished(run: Run) -> bool:
    """Whether all its questions are answered, graded and scored, and it is no dry run: only such a run is a default."""
    return not run.is_dry and _done(str(run.folder), stamp(run.state_file), stamp(run.scores_file))


def steps(run: Run) -> int:
    """After how many optimizer steps the run stopped; 0 for one that trained nothing here or whose log is damaged."""
    return _steps(str(run.log), stamp(run.log))


@lru_cache(maxsize=1024)
def _steps(log: str, stamp: Any) -> int:
    with suppress(SafeEraserError):
        return count_lines(Path(log)) if stamp else 0
    return 0


@lru_cache(maxsize=1024)
def _done(folder: str, state: Any, scores: Any) -> bool:
    try:
        return Run(Path(folder)).done
    except SafeEraserError:
        return False


# What was found to be damaged, by the run's folder, with the stamps of its files then. A table is read only when a page
# needs it, so the damage shows in the middle of a page, which then starts again without that run.
_DAMAGED: dict[str, tuple[tuple, str]] = {}


def leave_out(error: DamagedError) -> bool:
    """Leave a run out until its files change; False if it is left out already: starting again would not help."""
    folder, stamps = str(error.folder), _stamps(Run(error.folder))
    known = _DAMAGED.get(folder, ((), ""))[0] == stamps
    _DAMAGED[folder] = stamps, str(error)
    return not known


def _damage(run: Run) -> str | None:
    """What is wrong with a run's files as they are now, as far as it was found out."""
    try:
        facts(run)
    except SafeEraserError as error:
        return str(error)
    return damaged_table(run)


def damaged_table(run: Run) -> str | None:
    """What is wrong with a table of the run, if a page came upon it and the files are still the same."""
    stamps, why = _DAMAGED.get(str(run.folder), ((), ""))
    return why if stamps == _stamps(run) else None


def as_broken(job: Job) -> Job:
    """The run as broken, where a page came upon a damaged table of it."""
    why = damaged_table(Run(job.log.parent))
    return replace(job, status="broken", message=why) if why and job.status not in ACTIVE else job


def _stamps(run: Run) -> tuple:
    return tuple(stamp(path) for path in vars(run).values() if isinstance(path, Path))


def at(folder: str) -> Run:
    return Run(Path(folder))


def facts(run: Run) -> dict[str, Any]:
    """config.json and, as "settings", the config. Read only: all sessions share it."""
    return _facts(str(run.folder), stamp(run.config_file))


@lru_cache(maxsize=1024)  # asked hundreds of times a rerun: Streamlit's caches take longer than the rest of it
def _facts(folder: str, stamp: tuple[int, int] | None) -> dict[str, Any]:
    run = Run(Path(folder))
    return run.facts | {"settings": run.config}


def settings(run: Run) -> RunConfig:
    return facts(run)["settings"]


def scores(run: Run) -> ScoreRow | None:
    """The run's score row, None until it is scored and where it cannot be read, which is said."""
    try:
        return _scores(str(run.folder), stamp(run.scores_file))
    except SafeEraserError as error:
        st.warning(escape_markdown(f"No scores of {run.name}: {error}"), icon=":material/broken_image:")
        return None


@st.cache_data(max_entries=1024, show_spinner=False)
def _scores(folder: str, stamp: tuple[int, int] | None) -> ScoreRow | None:
    return Run(Path(folder)).scores


def score_row(run: Run, judge: str, source: Source) -> ScoreRow:
    """The run's score row by this judge, who graded it; a run's folder keeps the scores by its own judge only."""
    saved = scores(run)
    if saved is not None and saved["judge"] == judge:
        return saved
    return _scored(str(run.folder), judge, [stamp(path) for path in (run.answers, run.verdicts)], source)


@st.cache_data(max_entries=64, show_spinner="Scoring the verdicts")
def _scored(folder: str, judge: str, stamps: Any, _source: Source) -> ScoreRow:
    return stages.score(at(folder), _source, judge)


def answers(run: Run, judge: str) -> pd.DataFrame:
    """The run's answers with what the judge says of each. Read only: all sessions share it."""
    return _answers(str(run.folder), judge, stamp(run.answers), stamp(run.verdicts))


@st.cache_resource(max_entries=12, show_spinner="Reading answers")
def _answers(folder: str, judge: str, answers: Any, verdicts: Any) -> pd.DataFrame:
    return outcomes.answers(Run(Path(folder)), judge)


def answer(run: Run, judge: str, key: tuple[str, int]) -> dict[str, Any] | None:
    """One answer of a run by (id, sample), as in `outcomes.answers`; None when the run was not asked."""
    rows = answers(run, judge)
    places = _places(str(run.folder), judge, stamp(run.answers), stamp(run.verdicts))
    return dict(zip(rows.columns, rows.iloc[places[key]], strict=True)) if key in places else None


@st.cache_resource(max_entries=12, show_spinner=False)
def _places(folder: str, judge: str, *stamps: Any) -> dict[tuple[str, int], int]:
    rows = answers(Run(Path(folder)), judge)
    return {key: place for place, key in enumerate(zip(rows["id"], rows["sample"], strict=True))}


def codes(run: Run, judge: str, data: str) -> np.ndarray:
    """Of each item of the data set, the outcome of the run's first answer as `outcomes.CODES`; -1 where not asked.

    In the order of `places_of_items`, with one more -1 at the end. Read only.
    """
    stamps = [stamp(path) for path in (run.answers, run.verdicts)]
    return _codes(str(run.folder), judge, stamps, data, data_stamp(data))


@st.cache_resource(max_entries=512, show_spinner="Reading the outcomes of all runs")
def _codes(folder: str, judge: str, stamps: Any, data: str, data_stamp: Any) -> np.ndarray:
    places = places_of_items(data)
    found = np.full(len(places) + 1, -1, dtype=np.int8)
    rows = outcomes.answers(at(folder), judge)
    for id, sample, outcome in zip(rows["id"], rows["sample"], rows["outcome"], strict=True):
        if sample == 0 and id in places:
            found[places[id]] = outcomes.CODES[outcome]
    return found


def places_of_items(data: str) -> dict[str, int]:
    """The place of every item of the data set, by its id. Read only."""
    return _places_of_items(data, data_stamp(data))


@st.cache_resource(max_entries=4, show_spinner=False)
def _places_of_items(data: str, stamp: Any) -> dict[str, int]:
    return {id: place for place, id in enumerate(source(data).items)}


def place(run: Run) -> tuple:
    """Where a run stands among others: the base first, methods in their order, without and then with PD, by seed."""
    config = settings(run)
    made = config.pd and config.trains, config.parts
    return config.trains, method_place(config.method), *made, config.seed, run.name


def pair(a: Run, b: Run, judge: str) -> outcomes.Paired:
    """Two runs' answers to the same questions, joined by id. Read only."""
    stamps = [stamp(path) for run in (a, b) for path in (run.answers, run.verdicts)]
    return _pair(str(a.folder), str(b.folder), judge, stamps)


@st.cache_resource(max_entries=8, show_spinner=False)
def _pair(a: str, b: str, judge: str, stamps: Any) -> outcomes.Paired:
    return outcomes.pair(answers(Run(Path(a)), judge), answers(Run(Path(b)), judge))


def judges(run: Run) -> list[str]:
    return _judges(str(run.folder), stamp(run.verdicts))


@st.cache_data(max_entries=1024, show_spinner=False)
def _judges(folder: str, verdicts: Any) -> list[str]:
    return outcomes.judges_of(Run(Path(folder)))


def labels(found: dict[str, Run]) -> dict[str, str]:
    """What people call each run: method, PD, seed; with what tells it apart where two would be called the same."""
    names = {name: _label(run) for name, run in found.items()}
    apart = {name: settings(run).other_flags() for name, run in found.items()}
    return _told_apart(_told_apart(names, apart), {name: name for name in names})


def _told_apart(names: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """The names, with more behind those that several runs share."""
    times = Counter(names.values())
    shared = {name for name, label in names.items() if times[label] > 1 and more[name]}
    return {name: f"{label} · {more[name]}" if name in shared else label for name, label in names.items()}


def _label(run: Run) -> str:
    config = settings(run)
    imported = " · imported" if facts(run)["imported"] else ""
    state = " · dry run" if run.is_dry else "" if finished(run) else " · unfinished"
    if not config.trains:
        return f"{'Base model' if config.method == BASE else config.method}{imported}{state}"
    made = variant(config.method, pd=config.pd, parts=config.parts).replace("+", " + ")
    return f"{made} · seed {config.seed}{imported}{state}"
