"""What the pages read, kept as long as the files stay as they are. Filters are never cached, only reads."""

import gc
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.files import stamp
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
    """What changes when a data set's JSON files change; the demo world's never do."""
    return None if name == "demo" else [(path.name, stamp(path)) for path in sorted(Path(name).glob("*.json"))]


@st.cache_resource(max_entries=4, show_spinner="Reading the data set")
def _source(name: str, stamp: Any) -> Source:
    found = Source(name)
    # Streamlit collects garbage after every run of a script: it need not walk through modules and records each time.
    gc.collect()
    gc.freeze()
    return found


def all_runs() -> dict[str, Run]:
    """Every run by name, the user's own before an example run of the same name; one that is broken is named instead."""
    found: dict[str, Run] = {}
    for run in every():
        if why := _damage(run):
            st.warning(f"A run is left out. {escape_markdown(why)}", icon=":material/broken_image:")
        else:
            found.setdefault(run.name, run)
    return found


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
    names = {name: _label(facts(run)) for name, run in found.items()}
    doubled = {label for label in names.values() if list(names.values()).count(label) > 1}
    return {name: f"{label} · {name}" if label in doubled else label for name, label in names.items()}


def _label(facts: dict[str, Any]) -> str:
    config = facts["settings"]
    if not config.trains:
        return "Base model"
    method = f"{config.method.upper()}{' + PD' if config.pd else ''}"
    return f"{method} · seed {config.seed}{' · imported' if facts['imported'] else ''}"
