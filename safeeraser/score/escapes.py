"""Text from data sets, runs and models as text in Markdown and LaTeX: never a link, a picture, a command or a new cell.

Not covered: HTML (`html.escape`), and Streamlit's own Markdown (`ui/frame/text.py`).
"""

import re

# Signs of CommonMark and of GitHub's additions, and what would make an address a link.
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|&$~#!@] | (?<=www)\. | :(?=//)", re.IGNORECASE | re.VERBOSE)
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # after the end of a line they would belong to it
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "–": "--",
    "—": "---",
}


def markdown(text: str) -> str:
    """The text for a Markdown table or paragraph, in one line."""
    return _MARKDOWN.sub(r"\\\g<0>", in_one_line(text))


def latex(text: str) -> str:
    """The text for a LaTeX table or caption, in one line."""
    return in_one_line(text).translate(str.maketrans(_LATEX))


def in_one_line(text: str) -> str:
    """The text without ends of lines, and with a question mark for each character that shows nothing or turns others.

    Such are control characters and those that turn the order of letters round.
    """
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
