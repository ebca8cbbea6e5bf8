"""People's votes between two answers to a question in the arena, beside the labels.

A question has one token, and a token one vote: a second one changes nothing. Asked again in one session, a question
between the same two runs has the vote that it had: whoever voted was told who is who.
Not covered: the file itself (`people.py`), win rates (`preference.py`), the blind vote in Compare (`labels.py`).
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from safeeraser.score import people
from safeeraser.score.labels import LONGEST_NAME
from safeeraser.score.people import LabelError, now
from safeeraser.score.tables import no_formula

# What a vote can be, and what it gives the left answer; the right one gets the rest of 1.
VOTES = {"left": 1.0, "right": 0.0, "both fine": 0.5, "both bad": 0.5}
TAGS = ("refusal", "over-forgetting", "harmful", "gibberish", "wrong")


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What a person preferred.

    token: the question's own, unique. time: UTC, ISO 8601. who: 1 to 40 printable characters. session: of the arena.
    data, item: whose picture it was; item is `upload:` and the picture's fingerprint for an upload, whose question is
    not kept. left, right: the runs, as they stood; left_sha, right_sha: fingerprints of what they answered.
    temperature, seed: of the decoding, 0 is greedy. vote: one of VOTES. left_tags, right_tags: of TAGS.
    Raises LabelError for a value that is not like this.
    """

    token: str
    time: str = field(default_factory=now)
    who: str
    session: str
    data: str
    item: str
    question: str
    left: str
    right: str
    left_sha: str
    right_sha: str
    temperature: float
    seed: int
    vote: str
    left_tags: tuple[str, ...] = ()
    right_tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.who.strip() and len(self.who) <= LONGEST_NAME and self.who.isprintable()):
            raise LabelError(f"who: must be 1 to {LONGEST_NAME} printable characters, got {self.who[:60]!r}")
        if self.vote not in VOTES:
            raise LabelError(f"vote: must be one of {', '.join(VOTES)}, got {str(self.vote)[:60]!r}")
        for name in ("left_tags", "right_tags"):
            if unknown := [tag for tag in getattr(self, name) if tag not in TAGS]:
                raise LabelError(f"{name}: must be of {', '.join(TAGS)}, got {str(unknown[0])[:60]!r}")

    @property
    def asked(self) -> str:
        """What was asked: the unit that votes go together by."""
        return f"{self.data}\n{self.item}\n{self.question}"


_NAMES = tuple(one.name for one in fields(Vote))
_LISTS = ("left_tags", "right_tags")


def add(vote: Vote) -> bool:
    """Add a vote; it is on the disk when this returns. False where its question has one. Raises LabelError."""
    values = {name: json.dumps(value) if name in _LISTS else value for name, value in vars(vote).items()}
    return people.add("votes", **values)


def before(vote: Vote) -> str | None:
    """What this session voted on this question between these runs; None where it did not yet. Raises LabelError."""
    with people.opened() as database:
        if database is None:
            return None
        row = database.execute(
            "SELECT vote FROM votes WHERE token = :token OR (session = :session AND data = :data AND item = :item AND "
            'question = :question AND "left" IN (:left, :right) AND "right" IN (:left, :right)) ORDER BY number',
            {name: value for name, value in vars(vote).items() if name not in _LISTS},
        ).fetchone()
        return row and row[0]


def every(*, data: str | None = None, runs: Sequence[str] = ()) -> list[Vote]:
    """All votes, oldest first. data: on this data set alone; runs: between these alone. Raises LabelError."""
    with people.opened() as database:
        if database is None:
            return []
        columns = ", ".join(f'"{name}"' for name in _NAMES)
        rows = database.execute(f"SELECT {columns} FROM votes ORDER BY number").fetchall()
    try:
        votes = [_vote(dict(zip(_NAMES, row, strict=True))) for row in rows]
    except (LabelError, ValueError) as error:
        raise LabelError(f"{people.file()} holds a vote that is none ({error}); was it edited by hand?") from error
    wanted = set(runs)
    return [v for v in votes if data in (None, v.data) and (not wanted or wanted >= {v.left, v.right})]


def _vote(row: dict[str, Any]) -> Vote:
    tags: dict[str, Any] = {name: tuple(json.loads(row[name])) for name in _LISTS}
    return Vote(**{**row, **tags})


def as_csv(votes: Iterable[Vote]) -> str:
    """The votes as CSV with a header; tags are separated by semicolons."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_NAMES)
    for vote in votes:
        row = {name: ";".join(value) if name in _LISTS else value for name, value in vars(vote).items()}
        writer.writerow(map(no_formula, row.values()))
    return text.getvalue()


def as_jsonl(votes: Iterable[Vote]) -> str:
    """The votes as JSON, one a line."""
    return "".join(json.dumps(vars(vote), ensure_ascii=False) + "\n" for vote in votes)
