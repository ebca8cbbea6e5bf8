"""The frame of every page: consent, menu, shared header, keys. Run by Streamlit on every interaction."""

import sys

import streamlit as st

from safeeraser.assets import ASSETS

st.set_page_config(page_title="SafeEraser", page_icon=str(ASSETS / "logo.png"), layout="wide")
starting = st.empty()
with starting:
    if "safeeraser.ui.frame.header" not in sys.modules:  # said at once, where a spinner would wait half a second
        st.caption("Starting: loading the app's libraries, once")
    from safeeraser.errors import SafeEraserError
    from safeeraser.runs.contents import DamagedError
    from safeeraser.ui.frame import header, history, keys, media, menu, reading, state, style
    from safeeraser.ui.frame.pages import PAGES, page
    from safeeraser.ui.frame.text import escape_markdown
starting.empty()

st.logo(str(ASSETS / "logo.svg"), icon_image=str(ASSETS / "logo.png"))
style.apply()
keys.listen()
history.one_step_a_gesture()
pages = {name: page(name) for name in PAGES}
current = st.navigation(list(pages.values()), position="hidden")
name = next(name for name, candidate in pages.items() if candidate.title == current.title)
state.enter(name)
menu.draw()
try:
    view = header.of_page(name)
    with st.sidebar:
        media.controls()
    st.session_state["view"] = view
    current.run()
except SafeEraserError as error:  # a folder or file that cannot be used: the message says what to do
    if isinstance(error, DamagedError) and reading.leave_out(error):
        st.rerun()
    st.error(escape_markdown(str(error)))
