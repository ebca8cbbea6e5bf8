"""Where commands speak: results on `out`, everything else on `err`. Text is text: no name is read as markup."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from safeeraser.data.rows import ScoreRow
from safeeraser.runs import processes

_PLAIN: dict[str, Any] = {"markup": False, "highlight": False}
# Piped output keeps its columns whatever the terminal is.
out = Console(width=None if sys.stdout.isatty() else 160, quiet=not processes.is_main(), **_PLAIN)
err = Console(stderr=True, soft_wrap=True, quiet=not processes.is_main(), **_PLAIN)


def say(line: str) -> None:
    """Print a line of results as it is, so that a path in it can be copied whole."""
    out.print(line, soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table whose cells are folded, never cut, in a narrow terminal."""
    made = Table(box=SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show_scores(rows: Sequence[ScoreRow], form: str = "text", output: Path | None = None) -> None:
    """Print the tables of score rows, or write them to a file; form: text, markdown or csv."""
    from safeeraser.score import tables  # large

    if form == "text" and output is None:
        for found in tables.as_text(rows):
            out.print(found)
        return
    text = {"markdown": tables.as_markdown, "csv": tables.as_csv}[form](rows)
    if output is None:
        print(text)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"table: {output}")
