"""People's labels and notes on answers, in one SQLite file beside the runs.

Labels are only ever added; the latest of a person on an answer's check counts.
Not covered: comparing them with a judge (`agreement.py`).
"""

import csv
import fcntl
import hashlib
import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from safeeraser.errors import SafeEraserError
from safeeraser.judge.contract import EVERY_CHECK
from safeeraser.runs.folder import Run, root
from safeeraser.score.tables import no_formula

VERSION = 1
LONGEST_NAME = 40  # characters
LONGEST_NOTE = 2000
BUSY_SECONDS = 20.0  # how long to wait for another process's writing

PREFERRED = "preferred"  # what only people are asked: a vote between two answers, blind
_CHECKS = (*EVERY_CHECK, PREFERRED)
_TABLE = """
CREATE TABLE labels (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, run TEXT NOT NULL, id TEXT NOT NULL,
    sample INTEGER NOT NULL, answer_sha TEXT NOT NULL, "check" TEXT NOT NULL,
    verdict INTEGER CHECK (verdict IN (0, 1)), note TEXT NOT NULL
) STRICT;
CREATE INDEX of_run ON labels (run, id, sample);
"""
_MOVE = "move it away, with the -wal and -shm files beside it if there are any, to start a new one"
_VERDICTS = {0: False, 1: True, None: None}
_FIELDS = 'time, who, run, id, sample, answer_sha, "check", verdict, note'


class LabelError(SafeEraserError):
    """A label or the file of labels cannot be used; the message names the field or the file and says what to do."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a person said about one check of one answer.

    time: UTC, ISO 8601. who: 1 to 40 printable characters. run: the run's name. id, sample: which answer.
    answer_sha: `fingerprint` of the text that was labelled, so that a label never counts for another text after a
    rerun. check: one of the judges' checks, or PREFERRED. verdict: None for "cannot tell". note: at most 2,000
    characters.
    Raises LabelError for a value that is not like this.
    """

    time: str = field(default_factory=_now)
    who: str
    run: str
    id: str
    sample: int
    answer_sha: str
    check: str
    verdict: bool | None
    note: str = ""

    def __post_init__(self) -> None:
        if not (self.who.strip() and len(self.who) <= LONGEST_NAME and self.who.isprintable()):
            raise LabelError(f"who: must be 1 to {LONGEST_NAME} printable characters, got {self.who[:60]!r}")
        if len(self.note) > LONGEST_NOTE:
            raise LabelError(f"note: must be at most {LONGEST_NOTE:,} characters, got {len(self.note):,}")
        if self.check not in _CHECKS:
            raise LabelError(f"check: must be one of {', '.join(_CHECKS)}, got {self.check!r}")
        if not _is_utc(self.time):
            raise LabelError(f"time: must be an ISO 8601 time in UTC, got {self.time!r}")


def _is_utc(time: str) -> bool:
    try:
        return datetime.fromisoformat(time).utcoffset() == timedelta(0)
    except ValueError:
        return False


def fingerprint(answer: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of an answer's text in UTF-8."""
    return hashlib.sha256(answer.encode()).hexdigest()[:16]


def file() -> Path:
    """Where the labels of all runs are; it is made when the first label is added."""
    return root() / "labels.sqlite"


def add(label: Label) -> None:
    """Add a label; it is on the disk when this returns. Other processes may write at the same time.

    Raises LabelError for a file that is damaged, not one of labels or of a newer version.
    """
    path = file()
    values = astuple(label)
    _create(path)
    with _opened(path) as database, database:
        database.execute(f"INSERT INTO labels ({_FIELDS}) VALUES ({', '.join('?' * len(values))})", values)


def of_run(run: Run) -> list[Label]:
    """The labels that count: of each person, answer and check the one added last, in the order they were added.

    Raises LabelError like `add`.
    """
    latest = 'SELECT max(number) FROM labels WHERE run = ? GROUP BY who, id, sample, "check"'
    return _read(f"WHERE number IN ({latest})", run.name)


def history(run: Run, *, id: str, sample: int) -> list[Label]:
    """All labels ever given to an answer of the run, oldest first. Raises LabelError like `add`."""
    return _read("WHERE run = ? AND id = ? AND sample = ?", run.name, id, sample)


def export() -> str:
    """All labels of all runs, oldest first, as CSV with a header; verdict is true, false or empty.

    Raises LabelError like `add`.
    """
    words = {True: "true", False: "false", None: ""}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(one.name for one in fields(Label))
    for label in _read(""):
        writer.writerow(words[value] if name == "verdict" else no_formula(value) for name, value in vars(label).items())
    return text.getvalue()


def _read(where: str, *values: str | int) -> list[Label]:
    path = file()
    if not path.exists():
        return []
    with _opened(path) as database:
        rows = database.execute(f"SELECT {_FIELDS} FROM labels {where} ORDER BY number", values).fetchall()
    names = [one.name for one in fields(Label)]
    try:
        labels = [dict(zip(names, row, strict=True)) for row in rows]
        return [Label(**{**label, "verdict": _VERDICTS[label["verdict"]]}) for label in labels]
    except LabelError as error:
        raise LabelError(f"{path} holds a label that is none ({error}); was it edited by hand?") from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    # Readers open it for writing too: whoever closes last can then tidy up SQLite's files beside it.
    address = f"{path.resolve().as_uri()}?mode=rw"
    with _named(path), closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise LabelError(
                f"{path} was written by a newer SafeEraser (it has version {version}, known are up to {VERSION}); "
                f"update SafeEraser, or {_MOVE}"
            )
        if version < VERSION:
            raise LabelError(f"{path} is not a file of labels; {_MOVE}")
        yield database


def _create(path: Path) -> None:
    """Put a whole empty file in place, unless there is one: switching a file that others open to WAL would fail."""
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not path.exists():
                scratch = path.with_name(f".{path.name}.new")
                for left in (scratch, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))):
                    left.unlink(missing_ok=True)  # of a kill, or of a file moved away: SQLite would mix them in
                with closing(sqlite3.connect(scratch)) as database:
                    database.execute("PRAGMA journal_mode = WAL")
                    database.executescript(f"{_TABLE} PRAGMA user_version = {VERSION};")
                scratch.replace(path)
        finally:
            os.close(folder)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in SQLite's errors."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise LabelError(f"{path} cannot be opened or written: {error}; is another process holding it?") from error
    except sqlite3.DatabaseError as error:
        raise LabelError(f"{path} is damaged or not a file of labels: {error}; {_MOVE}") from error
