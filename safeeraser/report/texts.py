"""A report as Markdown or LaTeX: its tables alone, with what they stand on and the command that makes each again.

Or only examples of what the runs answer, as a Markdown table.
"""

from collections.abc import Iterable, Sequence

from safeeraser.charts.comparable import caveats, unlike
from safeeraser.report import grids
from safeeraser.report.collecting import Group
from safeeraser.report.grids import Cell, Grid
from safeeraser.score.escapes import in_one_line, latex, markdown
from safeeraser.score.metrics import METRICS

BESIDE = 4  # runs that a page has room for


def as_markdown(groups: Sequence[Group], command: str) -> str:
    """The tables; of several groups, each below a heading that says what its runs have in common."""
    parts = [f"# {markdown(title(groups))}", *map(markdown, introduction(groups))]
    for group in groups:
        parts += [f"## {markdown(group.name)}", *map(markdown, badge(group) + warnings(group))]
        parts += [_markdown(grid) for grid in grids.of_group(group, again=command)]
    return "\n\n".join(parts) + "\n"


def as_latex(groups: Sequence[Group], command: str) -> str:
    """The tables for the package booktabs; a caption says what its table stands on."""
    parts = [r"% in the preamble: \usepackage{booktabs} and \usepackage[T1]{fontenc}"]
    for group in groups:
        shared = [f"{group.name}.", *badge(group), *introduction(groups), *warnings(group)]
        parts += [_latex(grid, shared) for grid in grids.of_group(group, again=command, most=BESIDE)]
    return "\n".join(parts)


def as_examples(groups: Sequence[Group], *, n: int, seed: int) -> str:
    """n questions about safe pictures of val, drawn by seed, and what each run answers, as a table of each group."""
    return "\n\n".join(_drawn(group, n=n, seed=seed) for group in groups)


def _drawn(group: Group, *, n: int, seed: int) -> str:
    found, of = group.drawn(n=n, seed=seed)
    named = all(asked.vqa.concept for asked in found)
    head = [*(["Picture"] if named else []), "Question", *group.runs]
    lines = [
        [
            *([str(asked.vqa.concept)] if named else []),
            asked.vqa.question,
            *(f"{answer.text} ({answer.outcome})" for answer in asked.answers),
        ]
        for asked in found
    ]
    table = _table(head, ["---"] * len(head), lines)
    told = f"{len(found):,} of {of:,} questions about safe pictures of val, drawn by seed {seed}: {group.name}."
    return "\n\n".join([table, markdown(" ".join([told, *badge(group)]))])


def title(groups: Sequence[Group]) -> str:
    count = sum(len(group.runs) for group in groups)
    return f"Unlearning and over-forgetting: {count} run{'s' if count > 1 else ''}"


def introduction(groups: Sequence[Group]) -> list[str]:
    """What must be said above several groups."""
    if len(groups) == 1:
        return []
    return [
        "These runs differ in data, judge or decoding, so their numbers do not compare; each kind has its own tables."
    ]


def warnings(group: Group) -> list[str]:
    """What must be said of a group's numbers: which runs do not compare or did nothing, and what is a proxy."""
    found = unlike(group.rows, METRICS)
    flags = [
        f"{label} {flag['name']}: {flag['why']}."
        for label, row in zip(group.runs, group.rows, strict=True)
        for flag in row.get("flags", ())
    ]
    return [*([found.says] if found else []), *flags, *caveats(group.rows, METRICS)]


def badge(group: Group) -> list[str]:
    """What must be said wherever a number of the data set is shown."""
    said = group.source.dataset.about.badge
    return [f"{said}."] if said else []


def _markdown(grid: Grid) -> str:
    rule = ["---" if place < grid.texts else "---:" for place in range(len(grid.head))]
    table = _table(grid.head, rule, ([_plain(cell) for cell in line] for line in grid.rows))
    notes = [*map(markdown, grid.notes), f"Made by: {_code(grid.command)}"]
    return "\n\n".join([f"**{markdown(grid.title)}**", table, *notes])


def _table(head: Iterable[str], rule: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    rows = [map(markdown, head), rule, *(map(markdown, line) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code(command: str) -> str:
    """A command in the look of code, where nothing in it would end that."""
    return markdown(command) if "`" in command or not command.isprintable() else f"`{command}`"


def _plain(cell: Cell) -> str:
    return " ".join([cell.text, *cell.more])


def _latex(grid: Grid, shared: Iterable[str]) -> str:
    columns = "l" * grid.texts + "r" * (len(grid.head) - grid.texts)
    caption = " ".join([f"{grid.title}:", *shared, *grid.notes])
    lines = [map(latex, grid.head), *(map(_small, line) for line in grid.rows)]
    head, *body = (" & ".join(line) + r" \\" for line in lines)
    return "\n".join(
        [
            f"% {in_one_line(grid.command)}",
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
            *(r"\end{tabular}", r"\end{table*}", ""),
        ]
    )


def _small(cell: Cell) -> str:
    return rf"{latex(cell.text)} {{\tiny {latex(' '.join(cell.more))}}}" if cell.more else latex(cell.text)
