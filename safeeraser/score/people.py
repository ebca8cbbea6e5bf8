"""The one SQLite file of what people said of answers, beside the runs: labels (`labels.py`) and votes (`votes.py`).

Rows are only ever added. Several processes may read and write at the same time.
"""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from safeeraser.errors import SafeEraserError
from safeeraser.runs.folder import root

VERSION = 2
BUSY_SECONDS = 20.0  # how long to wait for another process's writing

_LABELS = """
CREATE TABLE labels (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, run TEXT NOT NULL, id TEXT NOT NULL,
    sample INTEGER NOT NULL, answer_sha TEXT NOT NULL, "check" TEXT NOT NULL,
    verdict INTEGER CHECK (verdict IN (0, 1)), note TEXT NOT NULL
) STRICT;
CREATE INDEX of_run ON labels (run, id, sample);
"""
_VOTES = """
CREATE TABLE votes (
    number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, time TEXT NOT NULL, who TEXT NOT NULL,
    session TEXT NOT NULL, data TEXT NOT NULL, item TEXT NOT NULL, question TEXT NOT NULL,
    "left" TEXT NOT NULL, "right" TEXT NOT NULL, left_sha TEXT NOT NULL, right_sha TEXT NOT NULL,
    temperature REAL NOT NULL, seed INTEGER NOT NULL, vote TEXT NOT NULL,
    left_tags TEXT NOT NULL, right_tags TEXT NOT NULL
) STRICT;
"""
_TABLES = (_LABELS, _VOTES)  # what each version added
_MOVE = "move it away, with the -wal and -shm files beside it if there are any, to start a new one"


class LabelError(SafeEraserError):
    """What a person said, or its file, cannot be used; the message names the field or the file and says what to do."""


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def fingerprint(answer: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of an answer's text in UTF-8."""
    return hashlib.sha256(answer.encode()).hexdigest()[:16]


def file() -> Path:
    """Where it is; it is made when the first label or vote is added."""
    return root() / "labels.sqlite"


def parts() -> tuple[Path, Path]:
    """The files that change when something is added: SQLite keeps the latest rows apart."""
    return file(), file().with_name(f"{file().name}-wal")


@contextmanager
def opened() -> Iterator[sqlite3.Connection | None]:
    """The file, brought up to date; None where there is none.

    Raises LabelError for a file that is damaged, not one of labels or of a newer version.
    """
    path = file()
    if not path.exists():
        yield None
        return
    # Readers open it for writing too: whoever closes last can then tidy up SQLite's files beside it.
    address = f"{path.resolve().as_uri()}?mode=rw"
    with _named(path), closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
        _update(database, path)
        yield database


def add(table: str, **values: object) -> bool:
    """Add a row; it is on the disk when this returns. False where the row is there already. Raises LabelError."""
    _create(file())
    columns, places = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
    with opened() as database:
        assert database is not None
        with database:
            how = f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"
            return database.execute(how, tuple(values.values())).rowcount == 1


def _version(database: sqlite3.Connection) -> int:
    return database.execute("PRAGMA user_version").fetchone()[0]


def _update(database: sqlite3.Connection, path: Path) -> None:
    """Give the file of an older version the tables that it lacks."""
    version = _version(database)
    if version > VERSION:
        raise LabelError(
            f"{path} was written by a newer SafeEraser (it has version {version}, known are up to {VERSION}); "
            f"update SafeEraser, or {_MOVE}"
        )
    if version < 1:
        raise LabelError(f"{path} is not a file of labels; {_MOVE}")
    if version < VERSION:
        database.execute("BEGIN IMMEDIATE")
        with database:
            for table in _TABLES[_version(database) :]:  # another process may have been faster
                database.execute(table)
            database.execute(f"PRAGMA user_version = {VERSION}")


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
                    database.executescript(f"{''.join(_TABLES)} PRAGMA user_version = {VERSION};")
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
