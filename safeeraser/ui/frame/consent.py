"""The gate before a data set that does not say that it is harmless: what it can hold, and that the reader agrees."""

import streamlit as st

COOKIE = "safeeraser_consent"
# Streamlit cannot set a cookie, so the page does; it holds nothing but the agreement.
SET_COOKIE = f"<script>document.cookie = '{COOKIE}=1; max-age=2592000; path=/; samesite=strict';</script>"


def given() -> bool:
    """Whether the reader agreed, in this session or within the last 30 days in this browser."""
    return bool(st.session_state.get("consent")) or st.context.cookies.get(COOKIE) == "1"


def ask() -> None:
    """Stop the page here until the reader agreed."""
    if given():
        if st.session_state.pop("consent-is-new", False):
            st.html(SET_COOKIE, unsafe_allow_javascript=True)
        return
    st.title("Before you start")
    st.markdown(
        "This tool studies how models answer **harmful questions about pictures**. A data set opened here may hold "
        "violent, sexual, hateful or otherwise disturbing pictures, questions and answers.\n\n"
        "- Pictures of harmful items stay **blurred on the server** until you reveal them one by one; "
        "**h** hides all of them again.\n"
        "- Harmful stored answers are folded away.\n"
        "- The **demo world** that ships with the project is made up and harmless, and says so: it is not hidden.\n\n"
        "Nothing you see or do here leaves this machine."
    )
    st.button("I understand, continue", type="primary", on_click=_agree)
    st.stop()


def _agree() -> None:
    st.session_state["consent"] = True
    st.session_state["consent-is-new"] = True
