"""One gesture of the reader is one step of the browser's history.

Streamlit adds a step for each change of the address, and opening a page with parameters is two: the parameters on the
page it came from, then the page. What the server makes of an address after a gesture's first step replaces that step.
"""

import streamlit as st

_SCRIPT = """<script>
if (!window.safeeraserHistory) {
  window.safeeraserHistory = true;
  const push = history.pushState.bind(history);
  let gesture = false;
  const begin = () => { gesture = true; };
  for (const kind of ["pointerdown", "keydown", "click"]) window.addEventListener(kind, begin, true);
  window.addEventListener("popstate", () => { gesture = false; }, true);
  history.pushState = (state, unused, url) => {
    (gesture ? push : history.replaceState.bind(history))(state, unused, url);
    gesture = false;
  };
  // Streamlit leaves the path out of the link to the first page: in a new tab it would open the page that is shown.
  const home = (event) => {
    const link = event.target.closest?.('a[href=""], a[href^="?"]');
    if (link) link.setAttribute("href", `/${link.getAttribute("href")}`);
  };
  for (const kind of ["pointerover", "focusin"]) window.addEventListener(kind, home, true);
}
</script>"""


def one_step_a_gesture() -> None:
    """Called once by the frame."""
    st.html(_SCRIPT, unsafe_allow_javascript=True)
