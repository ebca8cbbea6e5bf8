"""The pages of the app, in the order of the menu. A new page is one file in `pages/` and one line here."""

from typing import Any, Literal

import streamlit as st

from safeeraser.assets import ROOT

# Where a page's view (data set, split, pair of runs, judge) comes from: the header above it, defaults, or it has none.
Header = Literal["shown", "defaults", "none"]

# Name (and file): title, icon, header.
PAGES: dict[str, tuple[str, str, Header]] = {
    "home": ("Home", ":material/home:", "defaults"),
    "browse": ("Browse", ":material/grid_view:", "shown"),
    "launch": ("Launch", ":material/rocket_launch:", "none"),
    "runs": ("Runs", ":material/list_alt:", "none"),
    "samples": ("Samples", ":material/table_rows:", "shown"),
    "compare": ("Compare", ":material/compare:", "shown"),
    "metrics": ("Metrics", ":material/bar_chart:", "shown"),
    "robustness": ("Robustness", ":material/shield:", "shown"),
    "over_forgetting": ("Over-forgetting", ":material/visibility:", "shown"),
    "probes": ("Probes", ":material/contact_support:", "shown"),
    "judge_audit": ("Judge audit", ":material/gavel:", "shown"),
}


def page(name: str) -> Any:
    """The st.Page of this name."""
    title, icon, _ = PAGES[name]
    return st.Page(ROOT / "pages" / f"{name}.py", title=title, icon=icon, default=name == "home")


def header_of(name: str) -> Header:
    return PAGES[name][2]
