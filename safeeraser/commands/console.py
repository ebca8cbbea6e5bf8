"""Where commands speak: results on `out`, everything else on `err`.

Text is text: no name, message or answer is read as markup, and none steers the terminal.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from safeeraser import files
from safeeraser.data.rows import ScoreRow
from safeeraser.runs import processes

# Control characters but tab and the end of a line, other ends of lines, what turns the order of letters round, and what
# stands for bytes of a file name that are no text.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Plain(Console):
    """A console that shows a question mark for each character with which a text could steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def printable(text: str) -> str:
    """The text with a question mark for each character that steers a terminal."""
    return _STEERING.sub("?", text)


_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False, "quiet": not processes.is_main()}
# Piped output keeps its columns whatever the terminal is.
out = Plain(width=None if sys.stdout.isatty() else 160, **_PLAIN)
err = Plain(stderr=True, soft_wrap=True, **_PLAIN)


def say(line: str) -> None:
    """Print a line of results as it is, so that a path in it can be copied whole."""
    out.print(line, soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table whose cells are folded, never cut, in a narrow terminal."""
    made = Table(box=SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show_scores(
    rows: Sequence[ScoreRow],
    form: str = "text",
    output: Path | None = None,
    *,
    paper: bool = False,
    short: bool = False,
) -> None:
    """Print the tables of score rows, or write them to a file; form: text, markdown or csv.

    paper: also the scores as the published code counts them, as text. short: one table of few columns, not as csv.
    """
    from safeeraser.score import metrics, tables  # large

    of, only = (tables.TITLES[:1], tables.SHORT) if short else (tables.TITLES, None)
    if form == "text" and output is None:
        for found in tables.as_text(rows, (*of, metrics.PAPER) if paper else of, only):
            out.print(found)
        return
    text = tables.as_csv(rows) if form == "csv" else tables.as_markdown(rows, of, only)
    if output is None:
        print(printable(text))
    else:
        files.write(output, text)
        say(f"table: {output}")
