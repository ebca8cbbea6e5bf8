"""Text is text: what a model, a data set, a person or an address says is shown as it is, never read as markup.

Everything that is not written in this package goes through `escape_markdown` wherever Streamlit reads Markdown: texts,
headings, labels, help, and the cells of `st.table`. Options of select boxes, cells of `st.dataframe` and `st.code` are
plain text already. Not covered: HTML (`parts/answers.py`) and Plotly's texts (`charts/chart.py`).
"""

import re

# As references: what would begin or end a block or be no part of the words around it, and brackets, of which an escape
# does not survive inside the brackets of a badge or a colour.
_REFERENCE = r"[\n\r\[\]] | \A\s | \s\Z"
_SIGN = r"[\\`*_{}()#+\-.!|<>~$:&=]"
# Streamlit looks for these in finished text, where no escape is left: addresses, the shortcodes of emoji and icons, and
# arrows and dashes that stand alone. It finds none of them where two pieces of text meet.
_JOINT = r"(?<=:)(?=[\w+/-]) | (?<=www)(?=\.) | (?<=[\w.+-])(?=@)"
_ARROW = r"(?<![^\s:])(?:<->|->|<-|--|>=|<=|~=)(?![^\s@])"
_FOUND = re.compile(
    f"(?P<joint>{_JOINT}) | (?P<arrow>{_ARROW}) | (?P<reference>{_REFERENCE}) | (?P<sign>{_SIGN})",
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN = ":color{}"  # an element without words or look: what is copied is the text alone


def escape_markdown(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is, in one line: no link, picture, icon, formula or block."""
    return _FOUND.sub(_written, text)


def as_code(text: str) -> str:
    """The text in the look of code, for names and commands; escaped alone where that look would change it."""
    if not text.strip() or any(sign in text for sign in ("`", ":material/", "\n", "\r")):
        return escape_markdown(text)
    return f"`{text}`"


def _written(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "joint":
            return _BETWEEN
        case "arrow":
            return _BETWEEN.join(f"\\{sign}" for sign in found[0])
        case "reference":
            return f"&#{ord(found[0])};"
        case _:
            return f"\\{found[0]}"
