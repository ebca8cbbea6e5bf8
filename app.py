"""The Streamlit app: `streamlit run app.py`. Starts it; nothing else."""

import streamlit as st
from starlette.middleware import Middleware

from safeeraser.ui import ROOT
from safeeraser.ui.headers import Headers

app = st.App(ROOT / "safeeraser" / "ui" / "main.py", middleware=[Middleware(Headers)])
