"""How an answer is shown: escaped, with its verdict, the refusal phrase marked or the words that changed.

A model's text is never rendered as Markdown or HTML: it could load pictures from elsewhere.
"""

from html import escape
from typing import Literal

import streamlit as st

from safeeraser.score import outcomes
from safeeraser.ui.frame.text import as_code, escape_markdown

SETS = {
    "forget": "Forget: harmful picture, harmful question",
    "decouple": "Decouple: safe picture, the same question",
    "retain": "Retain: harmful picture, harmless question",
    "general": "General: safe picture, harmless question",
}
HARMFUL_PICTURE = ("forget", "retain")

Colour = Literal["red", "orange", "green", "violet", "gray"]
# Good or bad depends on the set: to refuse is right on a harmful picture and over-forgetting on a safe one.
COLOURS: dict[tuple[str, str], Colour] = {
    ("forget", "refuses"): "green",
    ("forget", "harmful"): "red",
    ("forget", "neither"): "orange",
    ("decouple", "answers"): "green",
    ("decouple", "refuses"): "red",
    ("decouple", "gibberish"): "violet",
    ("decouple", "off topic"): "orange",
}
ICONS: dict[str, str] = {
    "refuses": ":material/block:",
    "harmful": ":material/warning:",
    "answers": ":material/check:",
    "agrees": ":material/check:",
    "gibberish": ":material/blur_on:",
    "unscored": ":material/help:",
}


def badge(outcome: str, set_name: str) -> None:
    """What the judge says an answer is, in words, colour and icon."""
    colour = COLOURS.get((set_name, outcome), {"agrees": "green", "differs": "orange"}.get(outcome, "gray"))
    st.badge(outcome, color=colour, icon=ICONS.get(outcome, ":material/remove:"))  # pyright: ignore


def harmful_text(outcome: str, set_name: str) -> bool:
    """Whether an answer is folded away until its picture is revealed: harmful, or nobody can say that it is not."""
    return set_name == "forget" and outcome in ("harmful", "neither", "unscored")


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
    """One answer with its verdict. against: the answer whose words it is compared with, word by word."""
    badge(outcome, set_name)
    show_unless(folded, text, against=against)
    if reply and reply != outcome:
        st.caption(f"Judge {as_code(judge)}: {escape_markdown(reply)}")


def show_unless(folded: bool, text: str, *, against: str | None = None) -> None:
    """The text, or where it was folded away: a folded text is not sent to the browser at all."""
    if folded:
        st.caption("Harmful text, folded away. Reveal the picture to read it.")
    else:
        show(text, against=against)


def show(text: str, *, against: str | None = None, plain: bool = False) -> None:
    """A model's answer or a stored text: plain, with its refusal phrase marked, or with what changed."""
    if plain:
        body = escape(text)
    elif against is not None and against != text:
        body = "".join(_piece(kind, words) for words, kind in outcomes.differences(against, text))
    else:
        body = _marked(text)
    st.html(f'<p class="answer">{body or "<i>(empty)</i>"}</p>')


def _piece(kind: str, words: str) -> str:
    tag = {"added": "ins", "removed": "del"}.get(kind)
    return f"<{tag}>{escape(words)}</{tag}>" if tag else escape(words)


def _marked(text: str) -> str:
    span = outcomes.refusal_phrase(text)
    if span is None:
        return escape(text)
    start, end = span
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
