"""Score rows -> tables for the terminal, Markdown, LaTeX and CSV: one row per method, over its seeds.

Not covered: computing a score (`metrics.py`).
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from safeeraser.data.rows import Score, ScoreRow

# What makes two numbers comparable. It gets columns of its own where rows differ in it.
CONTEXT = ("model", "data", "judge", "decoding")
METHOD_ORDER = ("base", "ga", "gd", "kl", "po")

SCORES = {
    "ASR eff.": "asr_efficacy",
    "RR eff.": "rr_efficacy",
    "ASR gen.": "asr_generality",
    "RR gen.": "rr_generality",
    "SARR": "sarr",
    "SARR seen": "sarr_seen",
    "SARR unseen": "sarr_unseen",
    "Retain acc.": "retain_accuracy",
    "ROUGE-L": "rouge_l",
    "Specificity": "specificity",
}
SARR_SPLIT = {
    "SARR": "sarr",
    "Refusal": "sarr_refusal",
    "Gibberish": "sarr_gibberish",
    "Off topic": "sarr_off_topic",
}
TABLES = {"Scores": SCORES, "What SARR is made of": SARR_SPLIT}
UNKNOWN = "–"
LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}
)


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
    """One row of a table. `cells` has the metrics that at least one run could compute."""

    context: tuple[str, ...]
    method: str
    pd: float
    runs: int
    cells: dict[str, Cell]


def summarise(rows: Iterable[ScoreRow]) -> list[Summary]:
    """Score rows, one per method and PD weight, in the paper's order; rows of another context are never averaged."""
    groups: dict[tuple, list[Mapping[str, Score]]] = {}
    for row in rows:
        context = tuple(str(row[name]) for name in CONTEXT)
        groups.setdefault((context, row["method"], row["pd"]), []).append(row["metrics"])
    return [
        Summary(context, method, pd, len(runs), _cells(runs))
        for (context, method, pd), runs in sorted(groups.items(), key=lambda group: _place(*group[0]))
    ]


def _place(context: tuple[str, ...], method: str, pd: float) -> tuple:
    known = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)
    return context, known, method, pd


def _cells(runs: Sequence[Mapping[str, Score]]) -> dict[str, Cell]:
    names = dict.fromkeys(name for run in runs for name in run)
    scores = {name: [run[name] for run in runs if run.get(name, {}).get("value") is not None] for name in names}
    return {name: _cell(found, alone=len(runs) == 1) for name, found in scores.items() if found}


def _cell(scores: Sequence[Score], *, alone: bool) -> Cell:
    values = [score["value"] for score in scores]
    low, high = (scores[0]["low"], scores[0]["high"]) if alone else (None, None)
    return Cell(mean(values), stdev(values) if len(values) > 1 else None, low, high, len(values))


def as_text(rows: Iterable[ScoreRow]) -> list[Table]:
    """The tables for a terminal."""
    summaries = summarise(rows)
    return [_rich(title, *_grid(summaries, columns), _caption(summaries)) for title, columns in TABLES.items()]


def as_markdown(rows: Iterable[ScoreRow]) -> str:
    """The tables as Markdown, with their titles in bold."""
    summaries = summarise(rows)
    parts = [f"**{title}**\n\n{_markdown(*_grid(summaries, columns))}" for title, columns in TABLES.items()]
    return "\n\n".join([*parts, _caption(summaries)]) + "\n"


def as_latex(rows: Iterable[ScoreRow]) -> str:
    """The tables as LaTeX, for the package booktabs; the captions say how the numbers were made."""
    rows = list(rows)
    summaries = summarise(rows)
    tables = (
        _latex(*_grid(summaries, columns), f"{title}. {_caption(summaries)} {_making(rows, columns)}")
        for title, columns in TABLES.items()
    )
    return "\n".join([r"% in the preamble: \usepackage{booktabs}", *tables])


def as_csv(rows: Iterable[ScoreRow]) -> str:
    """One table for a spreadsheet: percent as bare numbers, spread and interval in own columns, unknown empty."""
    columns = SCORES | SARR_SPLIT
    numbers = ("%", "spread", "low", "high")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [*CONTEXT, "method", "pd", "runs", *(f"{title} {number}" for title in columns for number in numbers)]
    )
    for summary in summarise(rows):
        writer.writerow(
            [*summary.context, summary.method, f"{summary.pd:g}", summary.runs, *_numbers(summary, columns)]
        )
    return file.getvalue()


def no_formula(cell: object) -> object:
    """A cell for a spreadsheet: a text that it would run as a formula gets a quote in front."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _numbers(summary: Summary, columns: Mapping[str, str]) -> list[str]:
    cells = [summary.cells.get(name) for name in columns.values()]
    quads = [(cell.mean, cell.spread, cell.low, cell.high) if cell else (None,) * 4 for cell in cells]
    return ["" if number is None else f"{100 * number:.2f}" for quad in quads for number in quad]


def _grid(summaries: Sequence[Summary], columns: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Header and body of a table, as text."""
    varying = [place for place in range(len(CONTEXT)) if len({summary.context[place] for summary in summaries}) > 1]
    header = [*(CONTEXT[place].capitalize() for place in varying), "Method", "PD", "Runs", *columns]
    alone = len(summaries) == 1
    body = [
        [
            *(summary.context[place] for place in varying),
            summary.method,
            f"{summary.pd:g}" if summary.pd else UNKNOWN,
            str(summary.runs),
            *(_percent(summary.cells.get(name), runs=summary.runs, interval=alone) for name in columns.values()),
        ]
        for summary in summaries
    ]
    return header, body


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


def _caption(summaries: Sequence[Summary]) -> str:
    parts = ["Percent."]
    if any(summary.runs > 1 for summary in summaries):
        parts.append("Mean ± sample standard deviation over runs.")
    elif len(summaries) == 1:
        parts.append("With 95 % intervals.")
    if any(summary.context[CONTEXT.index("judge")] == "rules" for summary in summaries):
        parts.append("ASR by the rules judge is a proxy: answered and meaningful.")
    return " ".join(parts)


def _rich(title: str, header: list[str], body: list[list[str]], caption: str) -> Table:
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    first_number = header.index("PD")
    for place, name in enumerate(header):
        # A narrow terminal folds a number, it never cuts one.
        table.add_column(name, justify="right" if place >= first_number else "left", overflow="fold")
    for row in body:
        table.add_row(*map(Text, row))
    return table


def _markdown(header: list[str], body: list[list[str]]) -> str:
    first_number = header.index("PD")
    rule = ["---:" if place >= first_number else "---" for place in range(len(header))]
    lines = [header, rule, *([cell.replace("|", "\\|") for cell in row] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex(header: list[str], body: list[list[str]], caption: str) -> str:
    first_number = header.index("PD")
    columns = "l" * first_number + "r" * (len(header) - first_number)
    lines = [" & ".join(cell.translate(LATEX) for cell in line) + r" \\" for line in (header, *body)]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{caption.translate(LATEX)}}}",
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


def _making(rows: Sequence[ScoreRow], columns: Mapping[str, str]) -> str:
    """How the numbers were made: `Judge: demo. Decoding: greedy. n: 384 (SARR), 960 (ASR eff.).`"""
    parts = [f"{name.capitalize()}: {', '.join(sorted({str(row[name]) for row in rows}))}." for name in CONTEXT]
    stands_on: dict[str, list[str]] = {}
    for title, name in columns.items():
        scores = [row["metrics"].get(name, {}) for row in rows]
        counts = sorted({score["n"] for score in scores if score.get("value") is not None})
        if counts:
            stands_on.setdefault(" or ".join(map(str, counts)), []).append(title)
    found = "; ".join(f"{number} ({', '.join(titles)})" for number, titles in stands_on.items())
    return " ".join([*parts, *([f"n: {found}."] if found else [])])
