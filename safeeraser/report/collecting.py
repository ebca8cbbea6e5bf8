"""Runs -> what a report shows of them: score rows, tests of Prompt Decouple, examples drawn by seed.

Runs compare only where data, judge and decoding are the same; each such group stands alone in a report. Not covered:
how it looks (`page.py`, `texts.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from shlex import join
from typing import Any

import pandas as pd

from safeeraser import stages
from safeeraser.charts import twins
from safeeraser.charts.provenance import DIGITS
from safeeraser.charts.words import labels, ordered
from safeeraser.data.records import VQA
from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run, RunError
from safeeraser.score import metrics, outcomes
from safeeraser.score.compared import difference

SAME = ("data", "data_hash", "judge", "decoding")  # of rows that compare


@dataclass(frozen=True)
class Answer:
    """What a run answered; outcome: a word of `outcomes.OUTCOMES`."""

    label: str
    text: str
    outcome: str


@dataclass(frozen=True)
class Asked:
    """A question about a picture and what every run of a group answered."""

    vqa: VQA
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Group:
    """Runs that compare, by what they are called in the report, with their score rows in the same order."""

    source: Source
    runs: Mapping[str, Run]
    rows: Sequence[ScoreRow]

    @property
    def judge(self) -> str:
        return self.rows[0]["judge"]

    @property
    def name(self) -> str:
        """What is the same for all its runs, in words."""
        row = self.rows[0]
        return f"{row['data']} ({row['data_hash'][:DIGITS]}), judge {row['judge']}, {row['decoding']}"

    @property
    def command(self) -> str:
        """What prints every score of these runs again, with its interval and by category."""
        return join(["safeeraser", "score", *map(word, self.runs.values()), "--judge", self.judge, "--json"])

    @cached_property
    def tests(self) -> dict[str, list[dict[str, Any]]]:
        """By metric of `metrics.main`, each run without PD against its twin with PD, as `twins.table` has it."""
        pairs = twins.pairs({label: run.config for label, run in self.runs.items()})
        return {metric: self._tested(pairs, metric) for metric in metrics.main()}

    def _tested(self, pairs: Sequence[tuple[str, str]], metric: str) -> list[dict[str, Any]]:
        found = []
        for names in pairs:
            ours, theirs = (self._answer_scores(name, metric) for name in names)
            if tested := difference(ours, theirs, self.source.items):
                found.append((*names, tested))
        return twins.table(found)

    def _answer_scores(self, label: str, metric: str) -> dict[tuple[str, int], float]:
        return stages.answer_scores(self.runs[label], self.source, self.judge, metric)

    @cached_property
    def answers(self) -> dict[str, pd.DataFrame]:
        """By label, the first answer to each question, by id."""
        found = {label: outcomes.answers(run, self.judge) for label, run in self.runs.items()}
        return {label: rows[rows["sample"] == 0].set_index("id") for label, rows in found.items()}

    def drawn(self, *, n: int, seed: int) -> tuple[list[Asked], int]:
        """n questions about safe pictures of val drawn by seed, and of how many: those that all runs answered."""
        shared = set.intersection(*(set(rows.index) for rows in self.answers.values()))
        safe = [vqa.id for vqa in self.source.items.values() if (vqa.set, vqa.split) == ("decouple", "val")]
        ids = [id for id in safe if id in shared]
        frame = outcomes.draw(pd.DataFrame({"id": ids, "sample": 0}), n=n, seed=seed)
        return [self._asked(id) for id in frame["id"]], len(ids)

    def harmful(self, asked: Asked) -> Asked | None:
        """The same question about the harmful picture, None where not all runs answered that."""
        id = asked.vqa.partner("forget")
        return self._asked(id) if all(id in rows.index for rows in self.answers.values()) else None

    def _asked(self, id: str) -> Asked:
        rows = {label: rows.loc[id] for label, rows in self.answers.items()}
        answers = (Answer(label, str(row["answer"]), str(row["outcome"])) for label, row in rows.items())
        return Asked(self.source.items[id], tuple(answers))


def collect(
    runs: Iterable[Run],
    sources: Mapping[str, Source],
    *,
    judge: str | None = None,
    rows: Mapping[str, ScoreRow] | None = None,
) -> list[Group]:
    """The runs and the base models' runs that they are compared with, in groups of those that compare.

    sources: the data sets by name. judge: whose verdicts, None for each run's own. rows: those known already, by run.
    Raises RunError for a run without answers or without verdicts by the judge.
    """
    known = rows or {}
    named = {run.folder.resolve(): (run, judge or run.config.judge) for run in runs}
    if not named:
        raise RunError("a report needs at least one run")
    bases = [(run.base, by) for run, by in named.values() if run.config.trains and _graded(run.base, by)]
    named = {base.folder.resolve(): (base, by) for base, by in bases} | named
    scored = [
        (run, known.get(run.name) or stages.score(run, sources[run.config.data], by)) for run, by in named.values()
    ]
    groups: dict[tuple, list[tuple[Run, ScoreRow]]] = {}
    for run, row in scored:
        groups.setdefault(tuple(row[part] for part in SAME), []).append((run, row))
    return [_group(found, sources) for found in groups.values()]


def _group(found: Sequence[tuple[Run, ScoreRow]], sources: Mapping[str, Source]) -> Group:
    rows: list[Any] = ordered(row for _, row in found)
    of = {id(row): run for run, row in found}
    return Group(sources[rows[0]["data"]], {n: of[id(row)] for n, row in zip(labels(rows), rows, strict=True)}, rows)


def _graded(base: Run, judge: str) -> bool:
    return base.config_file.exists() and any(row["judge"] == judge for row in base.rows(base.verdicts))


def word(run: Run) -> str:
    """What a user types for the run: its name, where that finds it, else its folder."""
    try:
        found = Run.find(run.name).folder.resolve() == run.folder.resolve()
    except RunError:
        found = False
    return run.name if found else str(run.folder)
