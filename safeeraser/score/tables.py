"""Score rows -> tables for the terminal, Markdown, LaTeX and CSV: one row per method, over its seeds.

Not covered: computing a score (`measuring.py`).
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from safeeraser.data.rows import Score, ScoreRow
from safeeraser.losses import UNTRAINED, place, with_parts
from safeeraser.score import escapes
from safeeraser.score.metrics import METRICS, PAPER, REFUSALS, SARR_SPLIT, SCORES, columns

# What makes two numbers comparable. It gets columns of its own where rows differ in it.
CONTEXT = ("model", "data", "judge", "decoding", "settings")
TITLES = (SCORES, SARR_SPLIT, REFUSALS)
# What is forgotten, what is over-forgotten, and what is kept: the columns of a table that is looked at once.
SHORT = (
    *("asr_generality", "rr_generality", "sarr", "sarr_seen", "sarr_unseen"),
    *("safe_accuracy_unseen", "rr_unseen", "auroc_unseen", "retain_accuracy"),
)
# What a table's numbers are good for, where that is not plain.
NOTES = {
    PAPER: "As the published code counts: empty answers are left out, a failed judge call stays and counts for "
    "nothing. To be set beside published numbers only."
}
UNKNOWN, DEFAULTS = "–", "defaults"
FLAGS = "Flags"  # the column of what must be said before the numbers are read


@dataclass(frozen=True)
class Cell:
    """One metric over a method's runs, 0 to 1: its mean and its spread, the sample standard deviation.

    runs: how many of the runs have a value. spread: None for one run. low, high: the 95 % interval, of one run only.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    runs: int


@dataclass(frozen=True)
class Summary:
    """One row of a table. `cells` has the metrics that at least one run could compute, `flags` those of any run."""

    context: tuple[str, ...]
    method: str
    pd: float
    runs: int
    cells: dict[str, Cell]
    flags: tuple[str, ...] = ()


def context(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes a row comparable, in words: only rows of one context that differ in the seed alone are averaged."""
    return tuple(str(row.get(name) or DEFAULTS) for name in CONTEXT)


def differing(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The parts of the context in which rows differ, with their values; training concerns the trained alone."""
    rows = list(rows)
    trained = [row for row in rows if row["method"] not in UNTRAINED]
    values = {
        name: list(dict.fromkeys(context(row)[at] for row in (trained if name == "settings" else rows)))
        for at, name in enumerate(CONTEXT)
    }
    return {name: found for name, found in values.items() if len(found) > 1}


def summarise(rows: Iterable[ScoreRow]) -> list[Summary]:
    """Score rows, one per method (with its parts) and PD weight, in the order of METHODS.

    Rows of another context are never averaged.
    """
    groups: dict[tuple, list[ScoreRow]] = {}
    for row in rows:
        method = with_parts(row["method"], row.get("parts", ()))
        groups.setdefault((context(row), method, row["pd"]), []).append(row)
    return [
        Summary(of, method, pd, len(runs), _cells([row["metrics"] for row in runs]), flags_of(runs))
        for (of, method, pd), runs in sorted(groups.items(), key=lambda group: _place(*group[0]))
    ]


def titles(rows: Iterable[Mapping[str, Any]], of: Sequence[str] = TITLES) -> list[str]:
    """The tables of which at least one row has a metric that stands in no other; the first is always there."""
    known = {name for row in rows for name, score in row["metrics"].items() if score["value"] is not None}
    own = {metric.tables[0] for name, metric in METRICS.items() if name in known and len(metric.tables) == 1}
    return [title for title in of if title in own or title == of[0]]


def flags_of(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of all flags that the rows have, each once; of several rows, how many have it if not all do."""
    rows = list(rows)
    times = Counter(name for row in rows for name in dict.fromkeys(flag["name"] for flag in row.get("flags", ())))
    return tuple(name if count == len(rows) else f"{name} ({count} of {len(rows)})" for name, count in times.items())


def order(context: tuple[str, ...], *made: Any) -> tuple:
    """A key to sort by: the context without the settings, how it was made, then the settings, the usual first."""
    *same, settings = context
    return same, made, settings != DEFAULTS, settings


def _place(context: tuple[str, ...], method: str, pd: float) -> tuple:
    return order(context, place(method), pd)


def _cells(runs: Sequence[Mapping[str, Score]]) -> dict[str, Cell]:
    names = dict.fromkeys(name for run in runs for name in run)
    found = {name: [run[name] for run in runs if name in run] for name in names}
    cells = {name: _cell(scores, alone=len(runs) == 1) for name, scores in found.items()}
    return {name: cell for name, cell in cells.items() if cell}


def _cell(scores: Sequence[Score], *, alone: bool) -> Cell | None:
    values = [value for score in scores if (value := score["value"]) is not None]
    if not values:
        return None
    low, high = (scores[0]["low"], scores[0]["high"]) if alone else (None, None)
    return Cell(mean(values), stdev(values) if len(values) > 1 else None, low, high, len(values))


def as_text(rows: Iterable[ScoreRow], of: Sequence[str] = TITLES, only: Collection[str] | None = None) -> list[Table]:
    """The tables for a terminal, those of these that say something; only: with these metrics alone."""
    rows = list(rows)
    captions = {title: " ".join([_caption(rows), *filter(None, [NOTES.get(title)])]) for title in titles(rows, of)}
    return [_rich(title, summary(rows, title, only), caption) for title, caption in captions.items()]


def as_markdown(rows: Iterable[ScoreRow], of: Sequence[str] = TITLES, only: Collection[str] | None = None) -> str:
    """The tables as Markdown, with their titles in bold; only: with these metrics alone."""
    rows = list(rows)
    parts = [f"**{title}**\n\n{_markdown(summary(rows, title, only))}" for title in titles(rows, of)]
    return "\n\n".join([*parts, _caption(rows)]) + "\n"


def as_latex(rows: Iterable[ScoreRow]) -> str:
    """The tables as LaTeX, for the package booktabs; the captions say how the numbers were made."""
    rows = list(rows)
    tables = (
        _latex(summary(rows, title), f"{title}. {_caption(rows)} {making(rows, columns(title, rows))}")
        for title in titles(rows)
    )
    return "\n".join([r"% in the preamble: \usepackage{booktabs}", *tables])


def as_csv(rows: Iterable[ScoreRow]) -> str:
    """One table for a spreadsheet: percent as bare numbers, spread and interval in own columns, unknown empty."""
    rows = list(rows)
    titles = {title: name for table in TITLES for title, name in columns(table, rows).items()}
    numbers = ("%", "spread", "low", "high")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [*CONTEXT, "method", "pd", "runs", *(f"{title} {number}" for title in titles for number in numbers)]
    )
    for one in summarise(rows):
        writer.writerow([*one.context, one.method, f"{one.pd:g}", one.runs, *_numbers(one, titles)])
    return file.getvalue()


def no_formula(cell: object) -> object:
    """A cell for a spreadsheet: a text that it would run as a formula gets a quote in front."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _numbers(summary: Summary, columns: Mapping[str, str]) -> list[str]:
    cells = [summary.cells.get(name) for name in columns.values()]
    quads = [(cell.mean, cell.spread, cell.low, cell.high) if cell else (None,) * 4 for cell in cells]
    return ["" if number is None else f"{100 * number:.2f}" for quad in quads for number in quad]


def summary(rows: Iterable[ScoreRow], table: str, only: Collection[str] | None = None) -> pd.DataFrame:
    """A table as text, in percent: one line a method and PD weight, its mean and spread over runs.

    table: one of those that a `Metric` names. The columns: the parts of the context in which rows differ, Method, PD,
    Runs, the metrics (of these `only` those named, unless it is None).
    """
    rows = list(rows)
    found = summarise(rows)
    varying = list(map(CONTEXT.index, differing(rows)))
    metrics = {title: name for title, name in columns(table, rows).items() if only is None or name in only}
    lines = [
        {CONTEXT[at].capitalize(): one.context[at] for at in varying}
        | {"Method": one.method, "PD": f"{one.pd:g}" if one.pd else UNKNOWN, "Runs": str(one.runs)}
        | {
            title: _percent(one.cells.get(name), runs=one.runs, interval=len(found) == 1)
            for title, name in metrics.items()
        }
        | {FLAGS: ", ".join(one.flags)}
        for one in found
    ]
    flagged = [FLAGS] if table == SCORES and any(one.flags for one in found) else []
    header = [*(CONTEXT[at].capitalize() for at in varying), "Method", "PD", "Runs", *metrics, *flagged]
    return pd.DataFrame(lines, columns=header)


def _percent(cell: Cell | None, *, runs: int, interval: bool) -> str:
    """A cell in percent: `97.2`, `97.2 ± 0.4`, `97.2 [95.1, 98.4]`; with `(2 of 3)` where runs lack the value."""
    if cell is None:
        return UNKNOWN
    text = f"{100 * cell.mean:.1f}"
    if cell.spread is not None:
        text += f" ± {100 * cell.spread:.1f}"
    if interval and cell.low is not None and cell.high is not None:
        text += f" [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    return text if cell.runs == runs else f"{text} ({cell.runs} of {runs})"


def _caption(rows: Sequence[ScoreRow]) -> str:
    summaries = summarise(rows)
    parts = ["Percent."]
    if any(summary.runs > 1 for summary in summaries):
        parts.append("Mean ± sample standard deviation over runs.")
    elif len(summaries) == 1:
        parts.append("With 95 % intervals.")
    if any(summary.context[CONTEXT.index("judge")] == "rules" for summary in summaries):
        parts.append("ASR by the rules judge is a proxy: answered and meaningful.")
    return " ".join(parts)


def _rich(title: str, frame: pd.DataFrame, caption: str) -> Table:
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    first_number = list(frame.columns).index("PD")
    for number, name in enumerate(frame.columns):
        # A narrow terminal folds a number, it never cuts one.
        table.add_column(name, justify="right" if number >= first_number else "left", overflow="fold")
    for row in frame.to_numpy().tolist():
        table.add_row(*map(Text, row))
    return table


def _markdown(frame: pd.DataFrame) -> str:
    header, body = list(frame.columns), frame.to_numpy().tolist()
    first_number = header.index("PD")
    rule = ["---:" if number >= first_number else "---" for number in range(len(header))]
    lines = [header, rule, *([*map(escapes.markdown, row[:first_number]), *row[first_number:]] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex(frame: pd.DataFrame, caption: str) -> str:
    header, body = list(frame.columns), frame.to_numpy().tolist()
    first_number = header.index("PD")
    columns = "l" * first_number + "r" * (len(header) - first_number)
    lines = [" & ".join(escapes.latex(cell) for cell in line) + r" \\" for line in (header, *body)]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escapes.latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def making(rows: Sequence[ScoreRow], columns: Mapping[str, str]) -> str:
    """How the numbers were made: `Judge: demo. Decoding: greedy. n: 384 (SARR), 960 (ASR eff.).`"""
    parts = [
        f"{name.capitalize()}: {', '.join(sorted({context(row)[at] for row in rows}))}."
        for at, name in enumerate(CONTEXT)
    ]
    stands_on: dict[str, list[str]] = {}
    for title, name in columns.items():
        scores = [row["metrics"].get(name, {}) for row in rows]
        counts = sorted({score["n"] for score in scores if score.get("value") is not None})
        if counts:
            stands_on.setdefault(" or ".join(map(str, counts)), []).append(title)
    found = "; ".join(f"{number} ({', '.join(titles)})" for number, titles in stands_on.items())
    return " ".join([*parts, *([f"n: {found}."] if found else [])])
