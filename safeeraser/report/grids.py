"""Score rows -> the tables of a report, as text in percent; every form of a report writes the same ones.

Each metric of `METRICS` is in them without being named here. Unknown is a dash, and the notes below say why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safeeraser.charts.words import few, score_of, wording
from safeeraser.data.rows import Benchmarked, Score, ScoreRow
from safeeraser.losses import method_name
from safeeraser.report.collecting import Group
from safeeraser.score import tables
from safeeraser.score.metrics import METRICS, PAPER, SCORES, columns
from safeeraser.score.specificity import BY_TASK

UNKNOWN = "—"
ALL, CLEAN, TESTS = "All metrics", "All metrics on clean val", "Without and with Prompt Decouple"
BENCHMARKS = "General benchmarks"


@dataclass(frozen=True)
class Cell:
    """What stands in a table; more: smaller, beside or below it."""

    text: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table. texts: how many columns hold text, before those that hold numbers. command: what makes it again."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: int
    notes: tuple[str, ...]
    command: str


def of_group(group: Group, *, again: str, most: int | None = None) -> list[Grid]:
    """All tables of a group. again: the report's command; most: runs beside each other in a table, None for all."""
    summaries = [_summary(group, title) for title in tables.titles(group.rows, (*tables.TITLES, PAPER))]
    return [*summaries, *_all_metrics(group, most or len(group.rows)), *_benchmarks(group), *_tests(group, again)]


def _summary(group: Group, title: str) -> Grid:
    """One line a method and PD weight: the mean and spread over runs that differ in the seed alone."""
    found, shown = tables.summarise(group.rows), columns(title, group.rows)
    varying = list(tables.differing(group.rows))
    flagged = title == SCORES and any(one.flags for one in found)
    head = [*map(str.capitalize, varying), "Method", "PD", "Runs", *shown, *([tables.FLAGS] if flagged else [])]
    lines = []
    for one in found:
        context = [Cell(one.context[tables.CONTEXT.index(name)]) for name in varying]
        made = [Cell(method_name(one.method)), Cell(f"{one.pd:g}" if one.pd else "none"), Cell(str(one.runs))]
        values = [_mean(one.cells.get(name), one.runs) for name in shown.values()]
        lines.append((*context, *made, *values, *([Cell(", ".join(one.flags))] if flagged else [])))
    spread = "Mean ± sample standard deviation over seeds. " if any(one.runs > 1 for one in found) else ""
    making = tables.making(group.rows, shown)
    caveat = [tables.NOTES[title]] if title in tables.NOTES else []
    notes = (f"Percent; in brackets 95 % intervals. {spread}{making}", *caveat, *_reasons(group, shown.values()))
    return Grid(title, tuple(head), tuple(lines), len(varying) + 1, notes, group.command)


def _mean(cell: tables.Cell | None, runs: int) -> Cell:
    if cell is None:
        return Cell(UNKNOWN)
    spread = "" if cell.spread is None else f" ± {100 * cell.spread:.1f}"
    more = [_interval(cell.low, cell.high), "" if cell.runs == runs else f"{cell.runs} of {runs} runs"]
    return Cell(f"{100 * cell.mean:.1f}{spread}", tuple(filter(None, more)))


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"


def _all_metrics(group: Group, most: int) -> list[Grid]:
    """One line a metric, one column a run; clean val too, where its numbers are others."""
    names = list(dict.fromkeys([*METRICS, *(name for row in group.rows for name in row["metrics"])]))
    of_val = [name for name in names if name in METRICS and METRICS[name].split == "val"]
    numbered = list(zip(group.runs, group.rows, strict=True))
    parts = [numbered[start : start + most] for start in range(0, len(numbered), most)]
    clean = any(_differs(row, name) for row in group.rows for name in of_val)
    told = [(ALL, names, False), *([(CLEAN, of_val, True)] if clean else [])]
    return [_metrics(group, title, rows, part, clean=clean) for title, rows, clean in told for part in parts]


def _differs(row: ScoreRow, name: str) -> bool:
    clean = row.get("metrics_clean_val", {}).get(name)
    return clean is not None and clean["value"] != score_of(row, name)["value"]


def _metrics(
    group: Group, title: str, names: Sequence[str], runs: Sequence[tuple[str, ScoreRow]], *, clean: bool
) -> Grid:
    lines = []
    for name in names:
        scores: list[Any] = [score_of(row, name, clean=clean) for _, row in runs]
        counts = {score["n"] for score in scores if score["value"] is not None}
        units = {score.get("unit") for score in scores if score["value"] is not None} - {None}
        n = Cell(f"{min(counts):,}" if len(counts) == 1 else "" if counts else UNKNOWN)
        of = Cell(" or ".join(sorted(map(str, units))) or UNKNOWN)
        cells = (_scored(score, with_n=len(counts) > 1) for score in scores)
        lines.append((Cell(wording(name).name, (f"{wording(name).better} is better",)), of, n, *cells))
    notes = (
        "Percent; in brackets 95 % intervals, answers about one unit taken together. n: answers with a verdict. "
        f"{tables.making(group.rows, {})}",
        *_reasons(group, names, clean=clean),
    )
    return Grid(title, ("Metric", "Unit", "n", *(label for label, _ in runs)), tuple(lines), 2, notes, group.command)


def _scored(score: Score, *, with_n: bool) -> Cell:
    if score["value"] is None:
        return Cell(UNKNOWN)
    more = [
        _interval(score["low"], score["high"]),
        f"n = {score['n']:,}" if with_n else "",
        f"{score['unscored']:,} unscored" if score["unscored"] else "",
        f"too few {score.get('unit', 'picture')}s" if few(score) else "",
    ]
    return Cell(f"{100 * score['value']:.1f}", tuple(filter(None, more)))


def _reasons(group: Group, names: Iterable[str], *, clean: bool = False) -> list[str]:
    """Why metrics have no value, each reason once, with the runs where they are not all."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        for label, row in zip(group.runs, group.rows, strict=True):
            score = score_of(row, name, clean=clean)
            if score["value"] is None:
                found.setdefault(score.get("why", "unknown"), {}).setdefault(wording(name).name, []).append(label)
    return [f"{UNKNOWN} {_whose(of, len(group.rows))}: {why}." for why, of in found.items()]


def _whose(of: Mapping[str, Sequence[str]], runs: int) -> str:
    return ", ".join(name if len(labels) == runs else f"{name} of {', '.join(labels)}" for name, labels in of.items())


def _benchmarks(group: Group) -> list[Grid]:
    """What lmms-eval measured, one line a task; nothing where it did not run."""
    tasks = [score_of(row, "specificity").get("tasks", {}) for row in group.rows]
    names = list(dict.fromkeys(name for of_run in tasks for name in of_run))
    if not names:
        return []
    lines = [(Cell(name), *(_benchmarked(name, of_run.get(name)) for of_run in tasks)) for name in names]
    note = (
        "By lmms-eval on the merged model; the seven benchmarks of Specificity in percent, in brackets lmms-eval's "
        f"standard error. {UNKNOWN}: not run."
    )
    return [Grid(BENCHMARKS, ("Task", *group.runs), tuple(lines), 1, (note,), "safeeraser specificity RUN")]


def _benchmarked(task: str, found: Benchmarked | None) -> Cell:
    if found is None:
        return Cell(UNKNOWN)
    scale = 100 if task in BY_TASK else 1
    error = "" if found["stderr"] is None else f"[{scale * found['stderr']:.2f}]"
    limit = "" if found["limit"] is None else f"--limit {found['limit']}"
    return Cell(f"{scale * found['value']:.2f}", tuple(filter(None, (error, f"n = {found['n']:,}", limit))))


def _tests(group: Group, again: str) -> list[Grid]:
    """Does Prompt Decouple make a difference? Nothing where no two runs differ in it alone."""
    lines: list[tuple[str, dict[str, Any]]] = [
        (wording(name).name, row) for name, tested in group.tests.items() for row in tested
    ]
    if not lines:
        return []
    head = tuple(dict.fromkeys(column for _, row in lines for column in row))
    rows = tuple(
        (Cell(name), *(Cell(UNKNOWN if row.get(column) is None else str(row[column])) for column in head))
        for name, row in lines
    )
    note = (
        "Percent. p: how often runs that do not differ would look at least as different, by flipping the sign of whole "
        "pictures or things; Holm: corrected for the number of pairs of one metric. "
        f"{tables.making(group.rows, {})}"
    )
    return [Grid(TESTS, ("Metric", *head), rows, 3, (note,), again)]
