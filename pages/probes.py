"""Probes: the questions that people asked about pictures of the data set, and what the runs answer."""

import streamlit as st

from safeeraser.ui.frame import header
from safeeraser.ui.views import probing

header.title("Probes")
probing.draw(st.session_state["view"])
