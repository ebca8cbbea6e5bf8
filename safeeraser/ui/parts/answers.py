"""How an answer is shown: escaped, with its verdict, the refusal phrase marked or the words that changed.

A model's text is never rendered as Markdown or HTML: it could load pictures from elsewhere.
"""

from collections.abc import Sequence
from html import escape

import streamlit as st

from safeeraser.charts import outcome_words
from safeeraser.score import outcomes
from safeeraser.ui.frame.text import as_code, escape_markdown


def any_of(outcomes: Sequence[str]) -> str:
    """Several outcomes in words: `refuses, gibberish or off topic`."""
    *others, last = outcomes
    return f"{', '.join(others)} or {last}" if others else last


def badge(outcome: str, set_name: str) -> None:
    """What the judge says an answer is, in words, colour and icon."""
    shown = outcome_words.look(outcome, set_name)
    st.badge(shown.words, color=shown.colour, icon=f":material/{shown.icon}:")


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
    if words := outcome_words.said_beside(reply, outcome, set_name):
        st.caption(f"Judge {as_code(judge)}: {escape_markdown(words)}")


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
        body = _marked(text, outcome_words.wrong_refusal(text, set_name))
    st.html(f'<p class="answer">{body or "<i>(empty)</i>"}</p>')


def _piece(kind: str, words: str) -> str:
    tag = {"added": "ins", "removed": "del"}.get(kind)
    return f"<{tag}>{escape(words)}</{tag}>" if tag else escape(words)


def _marked(text: str, span: tuple[int, int] | None) -> str:
    if span is None:
        return escape(text)
    start, end = span
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
