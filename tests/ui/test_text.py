"""What `escape_markdown` promises, held by Streamlit's own renderer in a real browser: text is text."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser import Server, needs_chromium, still, visit
from playwright.sync_api import Browser

from safeeraser.ui.frame.text import as_code, escape_markdown

TEXTS = [
    *("https://evil.example/a?b=c", "HTTP://evil.example", "www.evil.example", "(WWW.evil.example/x)", "a://b.example"),
    *(
        "me@evil.example",
        "mailto:a.b-c+d@evil.example",
        "xmpp:a@evil.example",
        "a@b.c@d.e",
        "https:////www.evil.example",
    ),
    *("![x](https://evil.example/p.png)", "[l](//evil.example)", "[l][r]", "[r]: https://evil.example", "![x][r]"),
    *("<https://evil.example>", "<img src=//evil.example>", "<a href='//evil.example'>x</a>", "&lt;b&gt; &amp;"),
    *(":smile:", ":+1:", "12:30:45 :smile:", ":material/home:", ":material_home:", ":streamlit:", ":x:material/home:"),
    *(":red[x]", ":red-background[x]", ':color[x]{foreground="red"}', ":blue-badge[x]", ":small[x]", ":help[x]"),
    *("::leaf[x]", ":::box", "$a$", "$$a$$", "\\(a\\)", "**b** __i__ ~~s~~ `c` ``d``", "[^1]", "[^1]: note"),
    *("# h", "1. one", "1) one", "- a", "+ a", "* a", "> q", "---", "===", "[x] task", "- [ ] task", "~~~", "|", "\\"),
    *("a\n\nb", "a\n# b", "a\r\n- b", "a\n===", "    code", "\tcode", "a\n\n    code", "```\ncode\n```", "a\\\nb"),
    *("a | b\n--|--\n1 | 2", "a -- b", "a -> b <- c <-> d >= e <= f ~= g", "--", "->", ":-- x", "a --@b", " a ", "a\\"),
    "x" * 300,
]
AT_ONCE = 79
# Every way in which the app hands text to Streamlit's Markdown; a text is `e`, and each has a container of its own.
APP = """
import json, pandas as pd, streamlit as st
from safeeraser.ui.frame.text import escape_markdown

def show(e, key):
    st.markdown(e)
    st.markdown(f"**{e}** :material/home: :smile: $x$")  # what Markdown of the page's own switches on
    st.caption(e)
    st.header(e)
    st.info(e)
    st.warning(f"- {e}")
    st.error(f"{e}\\n\\n{e}")
    st.badge(e)
    st.caption(f":red[{e}]")
    st.progress(0.5, text=e)
    st.metric(e, "1", help=e)
    st.button(e, help=e, key=f"button-{key}")
    st.toggle(e, key=f"toggle-{key}")
    st.selectbox(e, ["1"], key=f"selectbox-{key}")
    st.radio(e, [e], key=f"radio-{key}")
    st.segmented_control(e, [e], key=f"segments-{key}")
    st.table(pd.DataFrame({e: [e]}, index=pd.Index([e], name=e)))
    with st.expander(e):
        st.write(e)

for key, text in enumerate(json.loads(st.query_params["texts"])):
    with st.container(key=f"text-{key}"):
        show(escape_markdown(text), key)
st.container(key="end").write("shown")
"""
PLACES = 24  # that show the text
SEEN = """() => [...document.querySelectorAll('.stMain [class*=st-key-text-]')].map((shown) => {
  const all = (selector) => [...shown.querySelectorAll(selector)];
  const made = 'a, img, del, code, pre, ol, blockquote, hr, [type=checkbox][disabled], h4, table table, em';
  return {
    texts: all('[data-testid=stMarkdownContainer], [data-testid=stCaptionContainer]').map((one) => one.textContent),
    made: all(made).map((element) => element.outerHTML),
    lists: all('li').length,
    icons: all('[role=img][aria-label$=icon]').length,
    formulas: all('.katex').length,
    colours: all('.stMarkdownColoredText').length,
  };
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    needs_chromium()
    folder = tmp_path_factory.mktemp("text")
    (folder / "shown.py").write_text(APP, encoding="utf-8")
    server = Server(folder / "runs", script=folder / "shown.py").start()
    yield server
    server.stop()


@pytest.mark.slow
def test_streamlit_shows_every_text_as_it_is(browser: Browser, server: Server):
    reader = visit(browser, server)
    page = reader.page()
    page.goto(f"{server.url}/?texts={quote(json.dumps(TEXTS))}")
    page.locator(".st-key-end").get_by_text("shown").wait_for()
    still(page)
    for text, seen in zip(TEXTS, page.evaluate(SEEN), strict=True):
        same = [shown for shown in seen["texts"] if squeezed(text) in squeezed(shown)]
        assert len(same) >= PLACES, (text, seen["texts"])
        made = [element for element in seen["made"] if not element.startswith('<a href="#')]
        assert made == [], text
        # Those of the page's own words: a list of one item, an icon, a formula, a colour.
        assert (seen["lists"], seen["icons"], seen["formulas"], seen["colours"]) == (1, 1, 1, 1), text
    assert reader.outside == []
    reader.context.close()


def squeezed(text: str) -> str:
    """As HTML shows spaces."""
    return " ".join(text.split())


@pytest.mark.parametrize("text", ["PO, seed 0", "0.1", "Describe the product.", "a/b c", "über 5 %", "日本語"])
def test_what_is_copied_is_the_text(text: str):
    """Nothing that cannot be seen is put into a text: without its backslashes it is what it was."""
    assert escape_markdown(text).replace("\\", "") == text


def test_code_that_would_end_early_is_escaped_instead():
    assert as_code("safeeraser score demo") == "`safeeraser score demo`"
    for text in ("a ` ![x](y) ` b", "``", "a\n\n# b", ":material/home:", ""):
        assert as_code(text) == escape_markdown(text)
