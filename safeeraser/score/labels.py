"""People's labels and notes on answers, in one SQLite file beside the runs.

Labels are only ever added; the latest of a person on an answer's check counts.
Not covered: the file itself (`people.py`), comparing them with a judge (`agreement.py`).
"""

import csv
import io
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from safeeraser.judge.contract import EVERY_CHECK
from safeeraser.runs.folder import Run
from safeeraser.score import people
from safeeraser.score.people import LabelError, file, fingerprint, now
from safeeraser.score.tables import no_formula

__all__ = ["LabelError", "file", "fingerprint"]

LONGEST_NAME = 40  # characters
LONGEST_NOTE = 2000

PREFERRED = "preferred"  # what only people are asked: a vote between two answers, blind
_CHECKS = (*EVERY_CHECK, PREFERRED)
_VERDICTS = {0: False, 1: True, None: None}
_FIELDS = 'time, who, run, id, sample, answer_sha, "check", verdict, note'


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a person said about one check of one answer.

    time: UTC, ISO 8601. who: 1 to 40 printable characters. run: the run's name. id, sample: which answer.
    answer_sha: `fingerprint` of the text that was labelled, so that a label never counts for another text after a
    rerun. check: one of the judges' checks, or PREFERRED. verdict: None for "cannot tell". note: at most 2,000
    characters.
    Raises LabelError for a value that is not like this.
    """

    time: str = field(default_factory=now)
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


def add(label: Label) -> None:
    """Add a label; it is on the disk when this returns. Other processes may write at the same time.

    Raises LabelError like `people.opened`.
    """
    people.add("labels", **vars(label))


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
    with people.opened() as database:
        if database is None:
            return []
        rows = database.execute(f"SELECT {_FIELDS} FROM labels {where} ORDER BY number", values).fetchall()
    names = [one.name for one in fields(Label)]
    try:
        labels = [dict(zip(names, row, strict=True)) for row in rows]
        return [Label(**{**label, "verdict": _VERDICTS[label["verdict"]]}) for label in labels]
    except LabelError as error:
        raise LabelError(f"{file()} holds a label that is none ({error}); was it edited by hand?") from error
