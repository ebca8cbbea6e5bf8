"""The Streamlit app: `streamlit run app.py`. Starts it; nothing else."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from safeeraser.ui import ROOT
from safeeraser.ui.headers import Headers

# Streamlit itself checks the host of web sockets only; this refuses a foreign name for pages and pictures too.
trusted = Middleware(TrustedHostMiddleware, allowed_hosts=st.get_option("server.allowedHosts") or ["*"])
app = st.App(ROOT / "safeeraser" / "ui" / "main.py", middleware=[trusted, Middleware(Headers)])
