"""What stands in the files of a run, and what is said of one that is damaged.

A file may be empty, cut short, of another program, or a folder: whoever reads it gets a `DamagedError`, never another.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from safeeraser import files
from safeeraser.data.rows import (
    AnswerRow,
    AttackRow,
    AttackVerdictRow,
    Benchmarked,
    LogRow,
    LookRow,
    LookVerdictRow,
    Stage,
    Status,
    VerdictRow,
)
from safeeraser.errors import SafeEraserError

_OPEN = ConfigDict(extra="allow", strict=True)
Content = TypeVar("Content")

# What can be done about a damaged file, by its name; nothing that is named here is lost by it.
_MENDING = {
    "config.json": "Put a copy of it back, or move the folder away and give the run's command again.",
    "state.json": "Delete it: the run's command goes on from its last checkpoint.",
    "specificity.json": "Delete it and give `safeeraser specificity` again.",
    "scores.json": "Delete it and give `safeeraser score` again.",
    "job.json": "Delete it: the run can then be launched again.",
    "log.jsonl": "Mend or remove that line; it is needed for charts only.",
    "answers": "Mend or remove that line; `safeeraser generate` asks its question again.",
    "verdicts.jsonl": "Mend or remove that line; `safeeraser judge` grades its answer again.",
    "looks.jsonl": "Mend or remove that line; it is needed for the charts along training only.",
    "looks-verdicts.jsonl": "Mend or remove that line; `safeeraser judge` grades its answer again.",
    "attacks.jsonl": "Mend or remove that line; `safeeraser attack` asks its question again.",
    "attacks-verdicts.jsonl": "Mend or remove that line; `safeeraser attack` grades its answer again.",
}


_ROWS = {
    "verdicts.jsonl": VerdictRow,
    "looks.jsonl": LookRow,
    "looks-verdicts.jsonl": LookVerdictRow,
    "attacks.jsonl": AttackRow,
    "attacks-verdicts.jsonl": AttackVerdictRow,
    "log.jsonl": LogRow,
}


class RunError(SafeEraserError):
    """A run folder cannot be used; the message names the file and says what to do."""


class DamagedError(RunError):
    """A file of a run is not what was written there; folder: of the run, for those who show the others meanwhile."""

    def __init__(self, path: Path, why: str, *, line: int | None = None) -> None:
        place = f"{path}, line {line}" if line else str(path)
        name = "answers" if path.name.startswith("answers.") else path.name
        super().__init__(f"{place}: {why}. {_MENDING.get(name, 'Put a copy of it back.')}")
        self.folder = path.parent


class Facts(TypedDict):
    """config.json. imported: the file that the answers or the adapter come from, None for a run made here."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    config: dict[str, Any]
    created: str
    versions: dict[str, str]
    python: str
    machine: str
    commit: str | None
    data_hash: str
    imported: str | None


class Process(TypedDict):
    """A process as `folder.identity` tells of it."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    host: str
    boot: float
    pid: int
    born: float


class State(Process):
    """state.json: where the run is, and the process that wrote so; time: seconds since the epoch."""

    status: Status
    time: float
    stage: NotRequired[Stage]
    step: NotRequired[int]
    steps: NotRequired[int]
    message: NotRequired[str]


class Benchmarks(TypedDict):
    """specificity.json: what lmms-eval measured, by its names of the tasks."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    tasks: dict[str, Benchmarked]


class Launched(TypedDict):
    """job.json: command, device, place in the queue and process of a launched run; times in seconds since the epoch."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    command: list[str]
    config: dict[str, Any]
    device: str
    ticket: int
    created: float
    queued: float
    started: float | None
    ended: float | None
    exit: int | None
    process: Process | None


def read(path: Path, kind: type[Content]) -> Content:
    """What a JSON file holds. Raises DamagedError, also where there is no such file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing; is {path.parent} a run folder?") from None
    except OSError as error:
        raise DamagedError(path, f"it cannot be read ({error.strerror})") from error
    try:
        return _adapter(kind).validate_json(content)
    except ValidationError as error:
        raise DamagedError(path, "it is empty" if not content.strip() else first(error)) from error


def rows(path: Path) -> list[Any]:
    """The rows of a table of a run, none where there is no file; a last line without its end does not count."""
    try:
        lines = files.lines(path)
    except files.FileError as error:
        raise DamagedError(path, f"it cannot be read ({error.reason})") from error
    validate = _adapter(row_of(path)).validator.validate_json
    found: list[Any] = []
    try:
        for line in lines:
            found.append(validate(line))
    except ValidationError as error:
        raise DamagedError(path, first(error), line=len(found) + 1) from error
    return found


def last_rows(path: Path) -> list[Any]:
    """The rows at the end of a table, as far as they can be read: of a run at work, whose file grows meanwhile."""
    validate = _adapter(row_of(path)).validator.validate_json
    found: list[Any] = []
    with suppress(files.FileError):
        for line in files.last_lines(path):
            with suppress(ValidationError):
                found.append(validate(line))
    return found


def row_of(path: Path) -> Any:
    """What a row of a table of a run is, by the file's name."""
    return _ROWS.get(path.name, AnswerRow)  # each of several processes has an `answers.N.jsonl`


def first(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, found["loc"]))
    if found["type"] == "json_invalid":
        return f"not valid JSON ({found.get('ctx', {}).get('error', '').replace(' at line 1 column', ' at column')})"
    return f"{where}: {found['msg']}" if where else found["msg"]


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)
