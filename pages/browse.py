"""Browse: the records of a data set, filtered; one of them with all its questions; the health of the data."""

import streamlit as st

from safeeraser.ui.frame import header, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import record
from safeeraser.ui.views import browsing

view = st.session_state["view"]

header.title("Browse the data")
report = browsing.health(view)
flagged = browsing.flags(view.source.dataset, report) if report else {}

name = state.get("record")
if name and name in browsing.records(view):
    record.draw(view, browsing.records(view)[name], name, flagged.get(name, []))
    st.stop()
if name:
    st.warning(f"There is no record {escape_markdown(name)} in this data set.")

with st.expander("Health of the data set", icon=":material/health_and_safety:"):
    browsing.draw_health(view, report)
rows = browsing.filters(view, flagged)
if rows.empty:
    st.info("No record passes these filters.", icon=":material/filter_alt:")
    st.button("Clear all filters", on_click=state.put, kwargs=dict.fromkeys(browsing.FILTERS))
    st.stop()
browsing.bars(rows)
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    st.markdown(f"**{len(rows):,} records**")
    how = state.select("Shown as", ("grid", "table"), "as", widget=st.segmented_control, required=True)
    browsing.exports(view, rows)
if how == "grid":
    browsing.grid(view, rows, flagged)
else:
    browsing.as_table(rows, flagged)
