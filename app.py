"""The Streamlit app: `streamlit run app.py`. Starts it; nothing else."""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from safeeraser.ui import frame
from safeeraser.ui.frame.security import Border, SafeHeaders

app = st.App(Path(frame.__path__[0]) / "main.py", middleware=[Middleware(SafeHeaders), Middleware(Border)])
