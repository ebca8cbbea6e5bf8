"""What a view shows is its address: every widget that decides it writes a query parameter and reads it back.

What nobody chose is not in the address, so that a page that opens adds one step to the browser's history; "Link" in the
header has the address of all of it. The menu's links bring back what this session last saw on a page. Nothing is
pickled, and whether a picture is revealed is never in an address.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import streamlit as st

from safeeraser.ui.frame.pages import page
from safeeraser.ui.frame.text import escape_markdown

SHARED = ("data", "split", "a", "b", "judge")


def enter(name: str) -> None:
    """Called by the frame before a page runs."""
    st.session_state["page"] = name
    _remember()


def last_seen(name: str) -> dict[str, str]:
    """What this session last saw on a page, and what all pages have in common."""
    return st.session_state.get(f"view-{name}", {}) | st.session_state.get("shared", {})


def _remember() -> None:
    st.session_state[f"view-{st.session_state['page']}"] = st.query_params.to_dict()
    st.session_state["shared"] = st.session_state.get("shared", {}) | shared()


def shared() -> dict[str, str]:
    """The part of the address that all pages have in common."""
    return {name: value for name, value in st.query_params.to_dict().items() if name in SHARED}


def get(name: str, default: str = "") -> str:
    return st.query_params.get(name, default)


def put(**values: Any) -> None:
    """Set parameters of the address; None and "" remove one.

    All at once: each change of the address is a step that the browser's "Back" goes back.
    """
    before = st.query_params.to_dict()
    after = {name: value for name, value in before.items() if values.get(name, value) not in (None, "")}
    after |= {name: str(value) for name, value in values.items() if value not in (None, "")}
    if after != before:
        st.query_params.from_dict(after)
    _remember()


def go(name: str, **values: Any) -> None:
    """Open a page with the shared view and these parameters."""
    wanted = shared() | {key: str(value) for key, value in values.items() if value not in (None, "")}
    st.switch_page(page(name), query_params=wanted)


def _changed(name: str, resets: Sequence[str], to_text: Callable[[Any], str]) -> None:
    put(**{name: to_text(st.session_state[f"widget-{name}"])}, **dict.fromkeys(resets))


def _bound(name: str, value: Any, resets: Sequence[str], to_text: Callable[[Any], str] = str) -> dict[str, Any]:
    """What ties a widget to the parameter: its value now, and writing it when it changes."""
    st.session_state[f"widget-{name}"] = value
    return {"key": f"widget-{name}", "on_change": _changed, "args": (name, resets, to_text)}


def select(
    label: str,
    options: Sequence[str],
    name: str,
    *,
    default: str | None = None,
    empty: bool = False,
    resets: Sequence[str] = (),
    widget: Callable[..., Any] = st.selectbox,
    **how: Any,
) -> Any:
    """One of the options, by a select box or another widget that takes options. Warns of an address that names none.

    empty: without a default nothing is chosen, instead of the first.
    """
    asked = get(name)
    first = None if empty else next(iter(options), None)
    fallback = default if default in options else first
    if empty:
        how = {"index": None, **how}
    if asked and asked not in options:
        said = escape_markdown(f"{asked!r} is not here any more, so {fallback!r} is shown.")
        st.warning(f"{label}: {said}")
        put(**{name: None})
    value = asked if asked in options else fallback
    return widget(label, options, **_bound(name, value, resets, lambda chosen: chosen or ""), **how)


def several(label: str, options: Sequence[str], name: str, *, resets: Sequence[str] = (), **how: Any) -> list[str]:
    """Any number of the options."""
    wanted = unlisted(get(name))
    asked = [value for value in dict.fromkeys(wanted) if value in options][: how.get("max_selections")]
    if absent := [value for value in wanted if value not in options]:
        st.warning(f"{label}: {escape_markdown(', '.join(absent))} is not one of these and is left out.")
        put(**{name: listed(asked)})
    return st.multiselect(label, options, **_bound(name, asked, resets, listed), **how)


def listed(values: Iterable[str]) -> str:
    """Several values as one parameter; a comma inside a value is told from those between them."""
    return ",".join(value.replace("%", "%25").replace(",", "%2C") for value in values)


def unlisted(text: str) -> list[str]:
    """The values of `listed`."""
    return [value.replace("%2C", ",").replace("%25", "%") for value in text.split(",") if value]


def text(label: str, name: str, *, resets: Sequence[str] = (), **how: Any) -> str:
    return st.text_input(label, **_bound(name, get(name), resets), **how) or ""


def toggle(label: str, name: str, *, resets: Sequence[str] = (), **how: Any) -> bool:
    return st.toggle(label, **_bound(name, get(name) == "1", resets, lambda on: "1" if on else ""), **how)


def number(label: str, name: str, *, low: int, high: int, default: int, **how: Any) -> int:
    asked = get(name)
    if asked and not is_number(asked):
        st.warning(f"{label}: {escape_markdown(asked[:40])} is no whole number, so {default} is taken.")
        put(**{name: None})
    value = min(max(int(asked), low), high) if is_number(asked) else default
    return int(st.number_input(label, low, high, **_bound(name, value, ()), **how))


def is_number(text: str) -> bool:
    """Whether the text is a whole number that a person would type."""
    return text.isdecimal() and len(text) < 10


def page_number(name: str, *, items: int, per_page: int) -> int:
    """The page that is shown, from 0; draws the pager when there is more than one."""
    pages = max(1, -(-items // per_page))
    asked = get(name)
    now = min(max(int(asked), 1), pages) if is_number(asked) else 1
    if pages > 1:
        now = st.pagination(pages, **_bound(name, now, ()))
    return now - 1
