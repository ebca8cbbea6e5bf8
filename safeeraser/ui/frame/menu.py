"""The menu: a link to each page, to what this session last saw there."""

import streamlit as st

from safeeraser.ui.frame import state
from safeeraser.ui.frame.pages import PAGES, page


def draw() -> None:
    """Called by the frame before a page runs."""
    with st.sidebar, st.container(key="menu", gap=None):
        for name in PAGES:
            st.page_link(page(name), query_params=state.last_seen(name), width="stretch")
