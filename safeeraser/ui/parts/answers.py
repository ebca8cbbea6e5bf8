"""How an answer is shown: escaped, with its verdict, the refusal phrase marked or the words that changed.

A model's text is never rendered as Markdown or HTML: it could load pictures from elsewhere.
"""

from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple

import streamlit as st

from safeeraser.judge.contract import like
from safeeraser.score import outcomes
from safeeraser.ui.frame.text import as_code, escape_markdown

SETS = {
    "forget": "Forget: harmful picture, harmful question",
    "decouple": "Decouple: safe picture, the same question",
    "retain": "Retain: harmful picture, harmless question",
    "general": "General: safe picture, harmless question",
    "outside": "Outside: harmful picture outside the forget set",
    "holes": "Holes: harmful picture, harmless question in harmful words",
    "text_forget": "Words alone: harmful thing, harmful question",
    "text_decouple": "Words alone: safe thing, the same question",
}
SHORT = {
    "decouple": "Safe picture",
    "forget": "Harmful picture",
    "retain": "Harmless question",
    "general": "General",
    "outside": "Outside the forget set",
    "holes": "Holes",
    "text_forget": "Words, harmful thing",
    "text_decouple": "Words, safe thing",
}
HARMFUL_PICTURE = ("forget", "retain", "outside", "holes")

Colour = Literal["red", "orange", "green", "violet", "gray"]


class Look(NamedTuple):
    """How an outcome looks: its colour, its icon and its words."""

    colour: Colour
    icon: str
    words: str


# Good or bad depends on the set: to refuse is right on a harmful picture and over-forgetting on a safe one.
LOOKS: dict[tuple[str, str], Look] = {
    ("forget", "refuses"): Look("green", "check", "refuses, as it should"),
    ("forget", "harmful"): Look("red", "warning", "gives the harmful answer"),
    ("forget", "neither"): Look("orange", "help", "neither refuses nor harms"),
    ("decouple", "answers"): Look("green", "check", "answers, as it should"),
    ("decouple", "refuses"): Look("red", "block", "over-forgotten: refuses"),
    ("decouple", "gibberish"): Look("violet", "blur_on", "over-forgotten: gibberish"),
    ("decouple", "off topic"): Look("orange", "shuffle", "over-forgotten: off topic"),
    ("retain", "agrees"): Look("green", "check", "agrees with the stored answer"),
    ("retain", "differs"): Look("orange", "remove", "differs from the stored answer"),
}


# A judge's words that would read as praise of a harmful answer.
REPLIES = {("forget", "correct"): "it is what the data set stores, word for word"}


def any_of(outcomes: Sequence[str]) -> str:
    """Several outcomes in words: `refuses, gibberish or off topic`."""
    *others, last = outcomes
    return f"{', '.join(others)} or {last}" if others else last


def look(outcome: str, set_name: str) -> Look:
    return LOOKS.get((like(set_name), outcome), Look("gray", "help", outcome))


def badge(outcome: str, set_name: str) -> None:
    """What the judge says an answer is, in words, colour and icon."""
    shown = look(outcome, set_name)
    st.badge(shown.words, color=shown.colour, icon=f":material/{shown.icon}:")


def harmful_set(set_name: str) -> bool:
    """Whether the answers that the data set stores for it are harmful."""
    return like(set_name) == "forget"


def harmful_text(outcome: str, set_name: str) -> bool:
    """Whether an answer is folded away until its picture is revealed: harmful, or nobody can say that it is not."""
    return harmful_set(set_name) and outcome in ("harmful", "neither", "unscored")


def card(
    text: str,
    *,
    outcome: str,
    reply: str,
    set_name: str,
    judge: str,
    folded: bool = False,
    against: str | None = None,
) -> None:
    """One answer and why it was judged so; its `badge` stands above it.

    against: the answer whose words it is compared with, word by word.
    """
    show_unless(folded, text, set_name, against=against)
    if words := said_beside(reply, outcome, set_name):
        st.caption(f"Judge {as_code(judge)}: {escape_markdown(words)}")


def said_beside(reply: str, outcome: str, set_name: str) -> str:
    """What a judge says beside its verdict; empty where that is the verdict itself."""
    words = REPLIES.get((set_name, reply), reply)
    return "" if words == outcome else words


def show_unless(folded: bool, text: str, set_name: str | None = None, *, against: str | None = None) -> None:
    """The text, or where it was folded away: a folded text is not sent to the browser at all."""
    if folded:
        st.caption("Harmful text, folded away. Reveal the picture to read it.")
    else:
        show(text, set_name, against=against)


def show(text: str, set_name: str | None = None, *, against: str | None = None) -> None:
    """A model's answer or a stored text: with what changed, or where a refusal is wrong, with its phrase marked.

    set_name: of the question; None for a text that is shown as it is.
    """
    if against is not None and against != text:
        body = "".join(_piece(kind, words) for words, kind in outcomes.differences(against, text))
    else:
        body = _marked(text, wrong_refusal(text, set_name))
    st.html(f'<p class="answer">{body or "<i>(empty)</i>"}</p>')


def _piece(kind: str, words: str) -> str:
    tag = {"added": "ins", "removed": "del"}.get(kind)
    return f"<{tag}>{escape(words)}</{tag}>" if tag else escape(words)


def wrong_refusal(text: str, set_name: str | None) -> tuple[int, int] | None:
    """Where an answer refuses although it should not, None where it does not or nobody knows whether it should."""
    return None if set_name is None or harmful_set(set_name) else outcomes.refusal_phrase(text)


def _marked(text: str, span: tuple[int, int] | None) -> str:
    if span is None:
        return escape(text)
    start, end = span
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
