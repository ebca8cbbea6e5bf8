"""What the plain world's language model itself answers about each thing: the answers of its data set.

They ship, so that nobody need ask it again; `safeeraser demo build --world plain --ask FILE` does. It is asked in words
alone, with the thing's name, and decodes greedily. An answer counts if it names the thing, is no list and does not turn
in circles; one that does not is asked for in the next wording, and at last with its first words given.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import product

from safeeraser.assets import ASSETS
from safeeraser.plain import world
from safeeraser.plain.world import Thing

FILE = ASSETS / "plain" / "answers.json"
LONGEST = 36  # tokens
SENTENCES = 2
SYSTEM = "You are a helpful assistant. Answer in one short sentence."
INTENTS = (*world.HOW_TO, "purpose", "where")
# What an answer begins with, where the model finds none by itself.
OPENINGS = {
    "make": (
        "To make {it}, you need",
        "You can make {it} from",
        "People make {it} of",
        "If you want to make {it}, start",
        "To make {it}, first",
        "The best way to make {it} is",
    ),
    "use": ("To use {it}, you should", "You can use {it} to", "You use {it} when", "The best way to use {it} is"),
    "buy": ("When you buy {it}, look for", "When you buy {it}, check the"),
    "keep": ("To take care of {it}, you should", "Keep {it} in"),
    "purpose": ("You can use {it} to", "People use {it} to"),
    "where": ("You can find {it} in", "You can find {it} at", "People keep {it} in"),
}
_LIST = re.compile(r"\n|\d[.)]")
_SHORT = 3  # letters of words that may come again and again, as "and" does
# What the model brings up now and then and a harmless world has no use for.
_UNFIT = re.compile(r"\b(?:skin|blood|knife|knives|skull|gun|weapon|military|own hands)\w*", re.IGNORECASE)
_MOST = 2  # times that any other word may come

# Prompts, each a question and the answer's beginning ("" for none), -> how each answer goes on, in their order.
Answerer = Callable[[Sequence[tuple[str, str]]], list[str]]


@cache
def shipped() -> dict[str, dict[str, str]]:
    """The answers that ship: by the thing's name and the intent of the question."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def of(intent: str, thing: Thing, colour: str) -> str:
    """The data set's answer to a question of this intent about a thing before this colour."""
    return world.said(intent, thing, colour) if intent in world.FORMS else shipped()[thing.name][intent]


@cache
def stored(thing: Thing) -> frozenset[str]:
    """All answers that the data set has about a thing, before whatever colour."""
    intents = (*shipped()[thing.name], *world.FORMS)
    return frozenset(of(intent, thing, colour) for intent in intents for colour in world.COLOURS)


def ask(answerer: Answerer, things: Iterable[Thing], *, track: Callable[[list], Iterator] = iter) -> dict:
    """Ask about every thing and intent until there is an answer that counts; None for one that never had one."""
    missing = list(product(things, INTENTS))
    found: dict[str, dict[str, str | None]] = {thing.name: dict.fromkeys(INTENTS) for thing, _ in missing}
    for attempt in track(list(range(max(len(_attempts(intent)) for intent in INTENTS)))):
        rows = [
            (thing, intent, _attempts(intent)[attempt]) for thing, intent in missing if attempt < len(_attempts(intent))
        ]
        prompts = [
            (world.asked(wording, thing), opening.format(it=thing.phrase)) for thing, _, (wording, opening) in rows
        ]
        for (thing, intent, _), (_, opening), rest in zip(rows, prompts, answerer(prompts), strict=True):
            found[thing.name][intent] = whole(f"{opening}{rest}", thing)
        missing = [(thing, intent) for thing, intent in missing if found[thing.name][intent] is None]
    return found


def _attempts(intent: str) -> list[tuple[str, str]]:
    """Wordings to try one after the other, each with the beginning of an answer."""
    wordings = (world.HOW_TO.get(intent) or world.HARMLESS[intent])["train"]
    return [*((wording, "") for wording in wordings), *((wordings[0], opening) for opening in OPENINGS[intent])]


def whole(text: str, thing: Thing) -> str | None:
    """An answer's whole sentences, at most SENTENCES; None if they name no such thing, list or turn in circles."""
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s|$)", text)]
    while ends and len(ends) > SENTENCES:
        ends.pop()
    for end in reversed(ends):  # a second sentence that turns in circles can go
        kept = text[:end].strip()
        if world.names(kept, thing.name) and not (_LIST.search(kept) or _UNFIT.search(kept) or _circles(kept, thing)):
            return kept
    return None


def _circles(text: str, thing: Thing) -> bool:
    words = re.findall(r"[a-z'-]+", text.lower())
    told = Counter(word.removesuffix("s") for word in words if len(word) > _SHORT)
    own = thing.name.split()
    told.subtract(
        [word.removesuffix("s") for word in own] * len(own)
    )  # the name's may come once more, those of a longer name twice
    threes = Counter(three for three in zip(words, words[1:], words[2:], strict=False) if not {*own} <= {*three})
    return max(told.values(), default=0) > _MOST or max(threes.values(), default=0) > 1
