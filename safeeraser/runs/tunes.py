"""What was tried to choose a method's settings, and what was chosen: a file for each choice, beside the runs.

Not covered: how a choice is made (`score/choosing.py`), and the runs themselves, which are as any others.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from typing_extensions import TypedDict

from safeeraser import files
from safeeraser.data.rows import Flag, Score
from safeeraser.runs import contents, processes
from safeeraser.runs.contents import RunError
from safeeraser.runs.folder import LIBRARIES, root

LAST = "last"  # stands for the newest choice

_OPEN = ConfigDict(extra="allow", strict=True)


class Tried(TypedDict):
    """One configuration: its settings by name, and what came of its run.

    objective: None where it is unknown. error: why its run failed, None if it did not.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    run: str
    settings: dict[str, Any]
    metrics: dict[str, Score]
    flags: list[Flag]
    objective: float | None
    error: str | None


class Origin(TypedDict):
    """When a choice was made (UTC), and by which versions."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    date: str
    versions: dict[str, str]


class Tune(Origin):
    """A choice of settings. Its rows are in the order in which they were tried; the first is of the usual settings.

    command: what makes it again. over: the values that were to be tried, as typed, by setting. combinations: how many
    different ones there are. budget: how many of them were to be tried at most, None for all. seed: of every run, and
    of the drawing. chosen: the run with the best settings, None where no objective is known. report: the command that
    makes the run on val.
    """

    command: str
    method: str
    pd: bool
    data: str
    data_hash: str
    split: str
    judge: str
    seed: int
    goal: str
    says: str
    over: dict[str, list[str]]
    combinations: int
    budget: int | None
    rows: list[Tried]
    chosen: str | None
    report: str | None


def folder() -> Path:
    """Where the choices are; it is made with the first."""
    return root() / "tunes"


def file(runs: Sequence[str], goal: str) -> Path:
    """Where the choice among these runs by this goal is kept: the same command finds the same file."""
    told = hashlib.sha256(json.dumps([goal, *runs]).encode()).hexdigest()[:6]
    return folder() / f"tune-{told}.json"


def origin() -> Origin:
    """Of a choice that is made now."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"date": date, "versions": {library: version(library) for library in LIBRARIES}}


def save(path: Path, tune: Tune) -> None:
    """Write the choice whole. Raises FileError."""
    if processes.is_main():
        files.write(path, json.dumps(tune, indent=1, ensure_ascii=False) + "\n")


def find(name: str) -> Path:
    """A choice by its file, its name, or `last` for the one written last. Raises RunError naming those there are."""
    known = sorted(folder().glob("tune-*.json"), key=lambda path: path.stat().st_mtime_ns)
    if name == LAST and known:
        return known[-1]
    for path in (Path(name), folder() / name, folder() / f"{name}.json"):
        if path.is_file():
            return path
    names = ", ".join(path.stem for path in known) or "none"
    raise RunError(f"--show {name[:200]}: there is no such choice of settings; in {folder()}: {names}")


def within(folder: Path) -> list[Path]:
    """The choices in a folder, in order of name. Raises RunError for none."""
    if found := sorted(folder.glob("*.json")):
        return found
    raise RunError(f"--show {str(folder)[:200]}: there is no choice of settings (*.json) in this folder")


def read(path: Path) -> Tune:
    """Raises DamagedError for a file that holds no choice."""
    return contents.read(path, Tune)
