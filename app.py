"""The Streamlit app: `streamlit run app.py`. Starts it; nothing else."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from safeeraser.ui import frame
from safeeraser.ui.frame.security import Headers

# Streamlit itself checks the host of web sockets only; this refuses a foreign name for pages and pictures too.
trusted = Middleware(TrustedHostMiddleware, allowed_hosts=st.get_option("server.allowedHosts") or ["*"])
app = st.App(Path(frame.__path__[0]) / "main.py", middleware=[trusted, Middleware(Headers)])
