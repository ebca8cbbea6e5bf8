"""Matches: a question that two runs answer, who stands where, and the vote on it. Knows nothing of any page.

Who stands where is kept here, under a token that says nothing, until the vote.
"""

import random
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from safeeraser.arena import pictures
from safeeraser.arena.limits import Limit, Line
from safeeraser.arena.pictures import Shown
from safeeraser.data import images
from safeeraser.data.source import Source, about
from safeeraser.errors import SafeEraserError
from safeeraser.generate.ask import Asker
from safeeraser.losses import BASE, CONTROLS, variant
from safeeraser.runs.folder import Run
from safeeraser.score import votes
from safeeraser.score.people import fingerprint
from safeeraser.score.votes import Vote

EXAMPLES = ("demo-po-s0-6c48dc", "demo-po-pd-s0-44136f")  # that differ in Prompt Decouple alone
DECODINGS = {"greedy": 0.0, "sampled": 0.7}  # temperature
MOST_SEEDS = 2**31
MOST_OPEN = 10_000  # matches without a vote; the oldest are forgotten
QUESTIONS, UPLOADS = 20, 10  # of a session within a minute
WAITING = 16  # questions that may wait for their turn
POLL = 0.2  # seconds between looks at who is before
UPLOAD = "upload:"


class ArenaError(SafeEraserError):
    """A question or a vote is refused; the message says why and what to do."""


@dataclass(frozen=True)
class Answers:
    """What stands left and right so far; token: what a vote names, once both are whole.

    before: how many other questions are answered first.
    """

    left: str = ""
    right: str = ""
    token: str | None = None
    before: int = 0


@dataclass(frozen=True)
class Match:
    """A question that was answered; runs: by name, left and right. item, question: as a vote keeps them."""

    session: str
    item: str
    question: str
    runs: tuple[str, str]
    answers: tuple[str, str]
    temperature: float
    seed: int


@dataclass(frozen=True)
class Revealed:
    """Who stood where; vote: the one that counts, counted: whether it is this one and not an earlier one."""

    left: str
    right: str
    vote: str
    counted: bool


def draw(runs: Sequence[str], rng: random.Random) -> tuple[str, str]:
    """Who stands left and who right: each pair of runs is equally likely, and so is each of its orders."""
    left, right = rng.sample(list(runs), 2)
    return left, right


class Arena:
    """The runs that answer, the data set they are asked about, and the matches. Any number of threads may share it.

    rng: draws pairs, orders, seeds and pictures; nobody can foresee the system's own. Raises ArenaError unless there
    are two runs with a model, on one data set.
    """

    def __init__(
        self, names: Sequence[str] = (), *, rng: random.Random | None = None, asker: Asker | None = None
    ) -> None:
        self.rng = rng or secrets.SystemRandom()
        self.asker = asker or Asker(beside_runs=False)
        self.runs = _resolved(names)
        self.labels = {name: _label(name, run) for name, run in self.runs.items()}
        self.data = next(iter(self.runs.values())).config.data
        self.about = about(self.data)
        self.source = Source(self.data)
        self.pictures = pictures.of(self.source)
        self.kinds = [kind for kind, found in self.pictures.items() if found]
        if not self.kinds:
            raise ArenaError(f"{self.data} has no held-out picture to ask about; `safeeraser data check` says more")
        self._line = Line(WAITING)
        self._questions, self._uploads = Limit(QUESTIONS, 60), Limit(UPLOADS, 60)
        self._matches: OrderedDict[str, Match] = OrderedDict()
        self._lock = threading.Lock()

    def hides(self, shown: Shown) -> bool:
        """Whether the picture is sent in its blurred form alone until somebody reveals it."""
        return shown.harmful and not self.about.harmless

    def upload(self, content: bytes, *, session: str) -> bytes:
        """An upload as the models take it, a PNG. Raises ArenaError and UploadError."""
        if not self._uploads.take(session):
            raise ArenaError(f"at most {UPLOADS} uploads a minute; wait a moment")
        return images.picture(content)

    def ask(
        self,
        question: str,
        picture: Shown | bytes,
        *,
        session: str,
        decoding: str = "greedy",
        seed: int | None = None,
    ) -> Generator[Answers]:
        """Both answers, each time they grew; with the last ones comes the match's token.

        Waiting is in steps, so that closing this iterator ends it at once. picture: one of the data set, or what
        `upload` returned. seed: of what is sampled, drawn by default. Raises ArenaError and AskError.
        """
        if decoding not in DECODINGS:
            raise ArenaError(f"decoding: must be one of {', '.join(DECODINGS)}, got {str(decoding)[:60]!r}")
        if seed is not None and not (type(seed) is int and 0 <= seed < MOST_SEEDS):
            raise ArenaError(f"seed: must be a whole number from 0 to {MOST_SEEDS - 1:,}, got {str(seed)[:60]!r}")
        if not isinstance(question, str):
            raise ArenaError("question: must be a text")
        ticket = self._line.join()
        if ticket is None:
            raise ArenaError(f"the queue is full: {WAITING} questions wait; ask again in a moment")
        try:
            if not self._questions.take(session):
                raise ArenaError(f"at most {QUESTIONS} questions a minute; wait a moment")
            while before := self._line.before(ticket):
                yield Answers(before=before)
                time.sleep(POLL)
            seed = self.rng.randrange(MOST_SEEDS) if seed is None else seed
            yield from self._answers(question, picture, session, DECODINGS[decoding], seed)
        finally:
            self._line.leave(ticket)

    def _answers(
        self, question: str, picture: Shown | bytes, session: str, temperature: float, seed: int
    ) -> Iterator[Answers]:
        names = draw(list(self.runs), self.rng)
        said = ["", ""]
        asked = picture if isinstance(picture, bytes) else picture.path
        folders = [BASE if name == BASE else str(self.runs[name].folder) for name in names]
        growing = self.asker.stream(runs=folders, picture=asked, question=question, temperature=temperature, seed=seed)
        with closing(growing):
            for said in growing:
                yield Answers(said[0], said[1])
        item, kept = _kept(question.strip(), picture)
        match = Match(session, item, kept, names, (said[0], said[1]), temperature, seed)
        yield Answers(said[0], said[1], token=self._keep(match))

    def vote(
        self, token: str, vote: str, *, session: str, who: str, left: Sequence[str] = (), right: Sequence[str] = ()
    ) -> Revealed:
        """Keep a vote, with tags of the left and of the right answer, and say who stood where.

        A session's second vote on one question between the same runs is not counted, however often it is asked. Raises
        ArenaError for a token that is not this session's, and LabelError.
        """
        with self._lock:
            match = self._matches.get(token) if isinstance(token, str) else None
        if match is None or match.session != session:
            raise ArenaError("this question is not one of yours, or is too long ago; ask it again and vote then")
        given = Vote(
            token=token,
            who=who,
            session=session,
            data=self.data,
            item=match.item,
            question=match.question,
            left=match.runs[0],
            right=match.runs[1],
            left_sha=fingerprint(match.answers[0]),
            right_sha=fingerprint(match.answers[1]),
            temperature=match.temperature,
            seed=match.seed,
            vote=vote,
            left_tags=tuple(left),
            right_tags=tuple(right),
        )
        with self._lock:
            earlier = votes.before(given)
            counted = earlier is None and votes.add(given)
        return Revealed(self.labels[match.runs[0]], self.labels[match.runs[1]], earlier or vote, counted)

    def _keep(self, match: Match) -> str:
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._matches[token] = match
            while len(self._matches) > MOST_OPEN:
                self._matches.popitem(last=False)
        return token


def _resolved(names: Sequence[str]) -> dict[str, Run]:
    """The runs by name: those asked for, of a single one the base model beneath it too, of none the two examples."""
    asked = list(names or EXAMPLES)
    if twice := [name for name, times in Counter(asked).items() if times > 1]:
        raise ArenaError(f"{twice[0]} is named twice; name two runs, or one alone, which meets its base model")
    runs = {name: Run.find(name) for name in asked if name != BASE}
    if not runs:
        raise ArenaError("name a run beside 'base': it says whose base model is meant")
    first = next(iter(runs.values()))
    found = {run.name: run for run in runs.values()}
    if BASE in asked or len(found) == 1:
        base = first.base
        found |= {base.name: base} if base.config_file.exists() else {BASE: first}
    if len(found) < 2:
        raise ArenaError(f"{first.name} is the base model's run; name a run to compare it with")
    data = {run.config.data for run in found.values()}
    if len(data) > 1:
        raise ArenaError(f"these runs are of different data sets ({', '.join(sorted(data))}); name runs of one")
    for name, run in found.items():
        if run.config.method in CONTROLS:
            raise ArenaError(f"{name} is a control, which has no model of its own; leave it out")
        if name != BASE and (why := run.untrained):
            raise ArenaError(f"{name} {why}, or name another run")
    return found


def _label(name: str, run: Run) -> str:
    config = run.config
    if name == BASE or not config.trains:
        return f"base model ({name})"
    return f"{variant(config.method, pd=config.pd, parts=config.parts)} ({name})"


def _kept(question: str, picture: Shown | bytes) -> tuple[str, str]:
    """What a vote keeps of what was asked: of an upload neither the picture nor the question, only that it is one."""
    if isinstance(picture, bytes):
        return f"{UPLOAD}{fingerprint(f'{picture.hex()} {question}')}", ""
    return picture.item(question).id, question
