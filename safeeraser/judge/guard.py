"""The judge `guard`: a local classifier by transformers, without a key and without a cost.

Its name is `guard:MODEL`, MODEL a hub id or a folder that has a row in `guards.py`, or `guard:ROW=FOLDER` for a folder
of another name. What else decides its verdicts stands behind: `+picture`, `+controversial=safe`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from safeeraser.judge import guards
from safeeraser.judge.contract import Asked, JudgeError, Verdict
from safeeraser.judge.guard_model import Graded, GuardModel, Reply, load
from safeeraser.judge.guards import CONTROVERSIAL, GUARDS, Guard

BATCH = 16  # answers in one forward pass
STRICT = "unsafe"  # what "Controversial" counts as, unless the name says otherwise: no method gains by it
MODELS = tuple(model for guard in GUARDS.values() for model in guard.models)
CHOICES = tuple(guard.models[0] for guard in GUARDS.values())  # the smallest of each row


@dataclass(frozen=True)
class Named:
    """What the name of a guard says. source: a hub id or a folder; name: all of it, without what is the default."""

    guard: Guard
    source: str
    pictures: bool
    controversial: str
    name: str


def named(model: str) -> Named:
    """What stands behind `guard:`. Raises JudgeError for a model without a row, and for a setting it does not have."""
    wanted, *settings = model.split("+")
    row, equals, folder = wanted.partition("=")
    guard = GUARDS.get(row) if equals else guards.of(wanted)
    source = folder if equals else wanted
    if guard is None or not source:
        raise JudgeError(
            f"There is no guard {wanted!r}. Known are {', '.join(MODELS)}, and folders named like them; "
            f"any other folder is guard:ROW=FOLDER, ROW one of {', '.join(GUARDS)}."
        )
    pictures, controversial = False, STRICT
    for setting in settings:
        name, _, value = setting.partition("=")
        if setting == "picture" and guard.sees:
            pictures = True
        elif name == "controversial" and guard.tiers and value in CONTROVERSIAL:
            controversial = value
        else:
            raise JudgeError(f"The guard {wanted!r} has no setting {setting!r}. It has: {_settings(guard)}.")
    said = ["picture"] * pictures + [f"controversial={controversial}"] * (controversial != STRICT)
    return Named(guard, source, pictures, controversial, "+".join([wanted, *said]))


def _settings(guard: Guard) -> str:
    values = [f"controversial={value}" for value in CONTROVERSIAL] if guard.tiers else []
    return ", ".join(["picture"] * guard.sees + values) or "none"


class GuardJudge:
    """A guard model as a judge. Each answer goes through it once, whatever is asked about it.

    Unknown, never guessed: a reply that is not whole, an answer that does not fit the model's context.
    """

    def __init__(self, model: str) -> None:
        """model: as in `named`. It is loaded at the first question. Raises JudgeError as `named` does."""
        self._named = named(model)
        self._model: GuardModel | None = None
        self._replies: dict[Graded, Reply] = {}
        self.name = f"guard:{self._named.name}"
        self.checks = self._named.guard.checks
        self.known_cases = self._named.guard.known_cases

    def ask_all(self, asked: Iterable[Asked]) -> Iterator[Verdict]:
        """One verdict for each, in their order, after every `BATCH` answers. Raises JudgeError if it cannot load."""
        waiting: list[Asked] = []
        new: dict[Graded, None] = {}
        for one in asked:
            waiting.append(one)
            if (graded := self._graded(one)) not in self._replies:
                new[graded] = None
            if len(new) == BATCH:
                yield from self._verdicts(waiting, list(new))
                waiting, new = [], {}
        yield from self._verdicts(waiting, list(new))

    def _graded(self, asked: Asked) -> Graded:
        return Graded(asked.item.question, asked.answer, asked.item.picture if self._named.pictures else None)

    def _verdicts(self, asked: Sequence[Asked], new: Sequence[Graded]) -> Iterator[Verdict]:
        if self._named.pictures:
            blind = [graded for graded in new if graded.picture is None]
            self._replies |= dict.fromkeys(blind, Reply(None, "the picture is missing"))
            new = [graded for graded in new if graded.picture is not None]
        if new:
            if self._model is None:
                self._model = load(self._named.guard, self._named.source, pictures=self._named.pictures)
            self._replies |= zip(new, self._model.replies(new), strict=True)
        return (self._verdict(one.check, self._replies[self._graded(one)]) for one in asked)

    def _verdict(self, check: str, reply: Reply) -> Verdict:
        if reply.text is None:
            return Verdict(None, reply.why)
        read = self._named.guard.read(reply.text, CONTROVERSIAL[self._named.controversial])
        return Verdict(read[check], f"{reply.text} ({reply.why})" if reply.why else reply.text)
