"""Launch: choose the settings of a run, see what it would take, and start it."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.views import launching, settings_form

if opened := state.get("run"):  # a second click on Launch reruns this page at the address that the first one opened
    state.put(run=None)
    state.go("runs", run=opened)

header.title("Launch")
form, preview = st.columns([3, 2], gap="large")
with form:
    st.header("Settings")
    config, errors = settings_form.draw()
    name, device = launching.name_and_device(config)
with preview:
    st.header("What it takes")
    if config is None:
        launching.refused(errors)
        st.caption("Nothing can be launched before these settings are right.")
        st.stop()
    config = config if config.trains else config.base()  # as the command line does
    told = launching.preview(config, name)
    if told is None:
        st.stop()
    launching.start(config, told, name=name, device=device)
    launching.dry_run(config, device)

st.header("Sweep")
launching.sweep(config, device)
