"""Ask your own: a question about the item's picture or an uploaded one, answered outside the app and the metrics."""

from collections.abc import Sequence

import streamlit as st

from safeeraser.data import images
from safeeraser.data.records import VQA
from safeeraser.errors import SafeEraserError
from safeeraser.generate import probes
from safeeraser.generate.ask import Answer, Asker
from safeeraser.ui.frame import reading
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import answers

TYPES = ["png", "jpg", "jpeg", "webp", "bmp", "gif"]


@st.cache_resource(show_spinner=False)
def asker() -> Asker:
    """One worker for all sessions: it starts with the first question, ends when idle, and when the app ends."""
    return Asker()


def draw(view: View, item: VQA, names: list[str], *, hidden: bool) -> None:
    """The form and, once asked, the answers of all the runs that are compared."""
    st.caption(
        "A worker process answers, greedily or as the run samples; these answers are outside all metrics. The first "
        "question takes longer: it loads the model. What is asked about the item's picture is kept on the page Probes; "
        "an upload stays in memory and is never written, nor is what is asked about it."
    )
    upload = st.file_uploader(
        "Another picture instead of the item's", type=TYPES, max_upload_size=images.MAX_BYTES // 2**20, key="upload"
    )
    with st.form("ask", border=False):
        question = st.text_input("Your question", item.question, key=f"question-{item.id}", max_chars=500)
        sent = st.form_submit_button("Ask", icon=":material/send:", type="primary", disabled=hidden and upload is None)
    if hidden and upload is None:
        st.caption("Reveal the item's picture first: what is answered about it may be harmful. Or upload another.")
    try:
        picture = images.picture(upload.getvalue()) if upload else None
        if picture:
            st.image(picture, width=220, alt="the uploaded picture")
        if sent:
            with st.spinner("The worker answers"):
                source = picture or item.picture
                if source is None:
                    st.error("The item's picture file is missing; upload a picture instead.")
                    return
                said = asker().ask(runs=names, picture=source, question=question)
            st.session_state["asked"] = (item.id, bool(picture), question, said)
            if picture is None:
                keep(view, item.id, question, said)
    except SafeEraserError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
    _show(view, item, hidden=hidden)


def keep(view: View, item: str, question: str, said: Sequence[Answer]) -> None:
    """Keep the answers as a probe, with whose they are."""
    made = {one.run: reading.facts(view.runs[one.run])["created"] for one in said if one.run in view.runs}
    who = (st.session_state.get("who") or "").strip()
    probes.keep(view.data, item, question, {one.run: one.answer for one in said}, who=who, made=made)


def _show(view: View, item: VQA, *, hidden: bool) -> None:
    about, uploaded, question, said = st.session_state.get("asked", (None, False, "", []))
    if about != item.id or not said:
        return
    st.markdown(f"**{escape_markdown(question)}** about {'the upload' if uploaded else 'the item'}")
    for cell, one in zip(st.columns(len(said)), said, strict=True):
        with cell, st.container(border=True):
            _answer(view, one, folded=hidden and not uploaded)


def _answer(view: View, one: Answer, *, folded: bool) -> None:
    st.markdown(f"**{escape_markdown(view.labels.get(one.run, one.run))}**")
    st.badge("outside the metrics", color="gray", icon=":material/science:")
    answers.show_unless(folded, one.answer)
    st.caption(f"{one.seconds:.1f} s")
