"""Keys of the app: j and k for next and previous, r to reveal, h to hide all; and the menu of a narrow window.

Streamlit's own button shortcuts reserve r, so one listener presses the buttons with these keys of their own.
"""

import streamlit as st

KEYS = {"j": "key-next", "k": "key-previous", "r": "key-reveal", "h": "key-hide"}

_LISTENER = """<script>
if (!window.safeeraserKeys) {
  window.safeeraserKeys = true;
  const buttons = %s;
  document.addEventListener("keydown", (event) => {
    const name = buttons[event.key];
    const typing = event.target.closest("input, textarea, select, [contenteditable=true], [role=combobox]");
    if (!name || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = document.querySelector(`[class*="st-key-${name}"] button:not([disabled])`);
    if (!button) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    button.click();
  }, true);
  const fold = (times) => {  // a narrow window is the page's, not the menu's
    const button = document.querySelector('[data-testid="stSidebarCollapseButton"] button');
    if (button) button.click(); else if (times) setTimeout(fold, 100, times - 1);
  };
  if (window.innerWidth < 900) fold(50);
}
</script>"""


def listen() -> None:
    """Called once by the frame."""
    st.html(_LISTENER % str(KEYS), unsafe_allow_javascript=True)
