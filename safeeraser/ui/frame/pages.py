"""The pages of the app, in the order of the menu. A new page is one file in `pages/` and one line here."""

from typing import Any

import streamlit as st

from safeeraser.assets import ROOT

# Name (and file): title, icon, and whether the shared header (data set, split, pair, judge) stands above it.
PAGES: dict[str, tuple[str, str, bool]] = {
    "home": ("Home", ":material/home:", True),
    "browse": ("Browse", ":material/grid_view:", True),
    "launch": ("Launch", ":material/rocket_launch:", False),
    "runs": ("Runs", ":material/list_alt:", False),
    "compare": ("Compare", ":material/compare:", True),
    "metrics": ("Metrics", ":material/bar_chart:", True),
    "over_forgetting": ("Over-forgetting", ":material/visibility:", True),
    "judge_audit": ("Judge audit", ":material/gavel:", True),
}


def page(name: str) -> Any:
    """The st.Page of this name."""
    title, icon, _ = PAGES[name]
    return st.Page(ROOT / "pages" / f"{name}.py", title=title, icon=icon, default=name == "home")


def has_header(name: str) -> bool:
    return PAGES[name][2]
