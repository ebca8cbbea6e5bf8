"""Every picture of the app is drawn here. A harmful one is sent as 24 grey, blurred pixels until it is revealed.

A blur by style sheet would protect nothing: the original would be one request away. So the preview is another, smaller
picture made on the server, and the original is sent only after the reveal, which lasts for this session.
"""

from pathlib import Path

import streamlit as st

from safeeraser.data import images
from safeeraser.ui.frame.text import escape_markdown

SMALL = 96  # pixels of a picture in a table


def picture(path: Path | None, *, harmful: bool, category: str, where: str, width: int | str = "stretch") -> None:
    """Draw a picture of an item, with its button to reveal it where it is harmful.

    where: what makes this place on the page unique. The alternative text names the category, never the scene.
    """
    hidden = harmful and path is not None and not revealed(path)
    stamp = _stamp(path) if path else None
    data = (_preview if hidden else _original)(str(path), stamp) if stamp else None
    kind = "harmful" if harmful else "safe"
    if path is None:
        st.info("The picture file is missing.", icon=":material/image_not_supported:")
    elif data is None:
        st.info("The picture file cannot be read.", icon=":material/broken_image:")
    else:
        st.image(data, width=width, alt=f"{kind} picture, {category}{', hidden' if hidden else ''}")  # pyright: ignore
    if hidden:  # also where the file cannot be read: the texts that belong to it are folded with it
        st.button(
            "Reveal",
            key=f"key-reveal-{where}",
            on_click=reveal,
            args=(path,),
            help=f"Show this {escape_markdown(category)} picture (key r)",
        )


def small(path: Path | None, *, harmful: bool) -> bytes | None:
    """The picture as a small PNG for a table, blurred as `picture` does where it is hidden; None without a picture."""
    stamp = _stamp(path) if path else None
    if path is None or stamp is None:
        return None
    return (_preview if harmful and not revealed(path) else _small)(str(path), stamp)


def revealed(path: Path | None) -> bool:
    """Whether the reader revealed this picture, or the data set it is of says that it is harmless.

    An item without a picture has nothing to press, so nothing is hidden.
    """
    return path is None or _harmless(path) or str(path) in st.session_state.get("revealed", set())


def of_data_set(root: Path, *, harmless: bool) -> None:
    """Say, for this run of the page, whether the pictures under this folder are harmless; no others are."""
    st.session_state["harmless"] = str(root) if harmless else None


def _harmless(path: Path) -> bool:
    root = st.session_state.get("harmless")
    return root is not None and not st.session_state.get("hiding") and path.is_relative_to(root)


def controls() -> None:
    """What hides pictures, for every page: the button that `h` presses, and the switch of a harmless data set."""
    st.button("Hide all (h)", key="key-hide", on_click=hide_all, icon=":material/visibility_off:", width="stretch")
    if st.session_state.get("harmless"):
        st.toggle(
            "Hide as for real data",
            key="hiding",
            help="This data set says that it is harmless, so nothing of it is hidden; the switch shows what hiding is",
        )


def reveal(path: Path) -> None:
    st.session_state["revealed"] = st.session_state.get("revealed", set()) | {str(path)}


def hide_all() -> None:
    st.session_state["revealed"] = set()
    st.session_state["hiding"] = True


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@st.cache_data(max_entries=4096, show_spinner=False)
def _preview(path: str, stamp: tuple[int, int]) -> bytes | None:
    return images.seen(Path(path), hidden=True)


@st.cache_data(max_entries=256, show_spinner=False)
def _original(path: str, stamp: tuple[int, int]) -> bytes | None:
    return images.seen(Path(path), hidden=False)


@st.cache_data(max_entries=4096, show_spinner=False)
def _small(path: str, stamp: tuple[int, int]) -> bytes | None:
    return images.seen(Path(path), hidden=False, side=SMALL)
