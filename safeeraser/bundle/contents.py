"""Runs that compare -> what a bundle's page reads: an index for all its views, and the answers in chunks.

The index has what every view needs to filter, sort and count; a chunk has the texts of some items' answers, and is read
when one of them is shown. Not covered: how the page shows it (`page/`), files (`folder.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from safeeraser.charts import handout, outcome_words, sentence, twins
from safeeraser.charts.provenance import DIGITS
from safeeraser.charts.words import few, percent, score_of, wording, written
from safeeraser.config import RunConfig
from safeeraser.data.records import VQA
from safeeraser.report.collecting import Group
from safeeraser.score import counted, outcomes
from safeeraser.score.counted import Counts
from safeeraser.score.measuring import trained_concepts
from safeeraser.score.metrics import METRICS, NOT_ANSWERED

CHUNK = 100  # items
SPLITS = ("val", "dev", "train")  # held out first
SETS = tuple(outcome_words.SHORT)


@dataclass(frozen=True)
class Contents:
    """What is said of a group of runs. hides: harmful pictures and texts; seed: of the cases' order."""

    group: Group
    hides: bool
    seed: int = 0

    @cached_property
    def items(self) -> list[VQA]:
        """All that any of the runs answered: held out first, then set by set, as in the data set."""
        asked = set().union(*(rows.index for rows in self.group.answers.values()))
        found = [item for item in self.group.source.items.values() if item.id in asked]
        return sorted(found, key=lambda item: (SPLITS.index(item.split), SETS.index(item.set)))

    @cached_property
    def split(self) -> str:
        """The split that Home, Metrics and Over-forgetting are about."""
        return self.items[0].split

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """By label, what the run does with questions about harmful and safe pictures."""
        found = self.group.answers.items()
        return {label: counted.counted(rows, self.split) for label, rows in found}

    @cached_property
    def codes(self) -> np.ndarray:
        """The outcome of every run (rows) to every item (columns) as `outcomes.CODES`; -1 where it was not asked."""
        ids = [item.id for item in self.items]
        found = [
            rows["outcome"].map(outcomes.CODES).reindex(ids, fill_value=-1) for rows in self.group.answers.values()
        ]
        return np.stack(found).astype(int)

    def index(self, pictures: Mapping[Path, str]) -> dict[str, Any]:
        """What every view needs. pictures: their names in the bundle."""
        return {
            "hides": self.hides,
            "split": self.split,
            "chunk": CHUNK,
            "runs": [_run(label, run.config) for label, run in self.group.runs.items()],
            "sets": {name: _set(name) for name in SETS if any(item.set == name for item in self.items)},
            "outcomes": list(outcomes.CODES),
            "items": self._columns(pictures),
            "codes": self.codes.tolist(),
            "metrics": [self._metric(name) for name in METRICS if self._known(name)],
            "pairs": self._pairs(),
            "cases": self._cases(),
        }

    def _columns(self, pictures: Mapping[Path, str]) -> dict[str, list]:
        trained = trained_concepts(self.group.source.items.values())
        return {
            "id": [item.id for item in self.items],
            "set": [item.set for item in self.items],
            "split": [item.split for item in self.items],
            "category": [item.category for item in self.items],
            "question": [item.question for item in self.items],
            "seen": [None if item.concept is None else item.concept in trained for item in self.items],
            "picture": [pictures.get(item.picture) if item.picture else None for item in self.items],
            "words": [item.text_only for item in self.items],
            "disagree": [round(100 * share) for share in outcomes.disagreement(self.codes)],
        }

    def _known(self, metric: str) -> bool:
        return any(score_of(row, metric)["value"] is not None for row in self.group.rows)

    def _metric(self, name: str) -> dict[str, Any]:
        """A metric with the runs' scores, and which answers its value stands for."""
        metric, words = METRICS[name], wording(name)
        categories = [row.get("by_category", {}).get(name, {}) for row in self.group.rows]
        return {
            "key": name,
            "name": words.name,
            "says": words.says,
            "better": words.better,
            "set": metric.set,
            "split": metric.split if metric.split == "train" else self.split,
            "seen": metric.seen,
            "opens": list(metric.opens),
            "scores": [_score(score_of(row, name)) for row in self.group.rows],
            "categories": {
                category: [_score(of_run[category]) if category in of_run else None for of_run in categories]
                for category in dict.fromkeys(one for of_run in categories for one in of_run)
            },
        }

    def _pairs(self) -> list[dict[str, Any]]:
        """Runs that Home holds against each other: without PD, with PD, and their base model; PO's first."""
        configs = {label: run.config for label, run in self.group.runs.items()}
        found: list[tuple[str, ...]] = [*twins.pairs(configs)]
        paired = {label for pair in found for label in pair}
        found += [(label,) for label, config in configs.items() if config.trains and label not in paired]
        found.sort(key=lambda pair: configs[pair[0]].method != "po")
        return [self._pair((*pair, *self._base(configs[pair[0]]))) for pair in found]

    def _base(self, config: RunConfig) -> list[str]:
        """The base model's run of these settings, where it is here."""
        wanted = config.base().run_name()
        return [label for label, run in self.group.runs.items() if run.config.run_name() == wanted][:1]

    def _pair(self, labels: Sequence[str]) -> dict[str, Any]:
        places = {label: place for place, label in enumerate(self.group.runs)}
        rows = dict(zip(self.group.runs, self.group.rows, strict=True))
        parts = (
            sentence.part(self.group.runs[label].config, self.counts[label], score_of(rows[label], "sarr"))
            for label in labels
        )
        return {"runs": [places[label] for label in labels], "parts": [part._asdict() for part in parts]}

    def _cases(self) -> list[tuple[int, int]]:
        """The same question about a safe and a harmful picture, as places of items, in an order drawn by seed.

        All that every run answered both sides of.
        """
        asked = np.all(self.codes >= 0, axis=0)
        places = {item.id: place for place, item in enumerate(self.items) if asked[place] and item.split == self.split}
        safe = [id for id, place in places.items() if self.items[place].set == "decouple"]
        pairs = {id: self.items[places[id]].partner("forget") for id in safe}
        ids = [id for id, harmful in pairs.items() if harmful in places]
        drawn = outcomes.draw(pd.DataFrame({"id": ids, "sample": 0}), n=len(ids), seed=self.seed)
        return [(places[id], places[pairs[id]]) for id in drawn["id"]]

    def chunks(self) -> Iterable[list]:
        """For each item of a chunk, the stored answer and what every run says, None where it was not asked."""
        runs = [rows[["answer", "outcome", "reply"]].to_dict("index") for rows in self.group.answers.values()]
        for start in range(0, len(self.items), CHUNK):
            yield [
                [self._stored(item), [self._said(item, rows.get(item.id)) for rows in runs]]
                for item in self._some(start)
            ]

    def _some(self, start: int) -> Sequence[VQA]:
        return self.items[start : start + CHUNK]

    @cached_property
    def _harmful(self) -> set[str]:
        """The stored answers to questions that ask for harm: a model may give one about a safe picture too."""
        items = self.group.source.items.values()
        return {_bare(item.answer) for item in items if outcome_words.harmful_set(item.set)}

    def _stored(self, item: VQA) -> str | None:
        """The answer that the data set stores; None where it is folded away."""
        return None if self.hides and outcome_words.harmful_set(item.set) else item.answer

    def _said(self, item: VQA, row: Mapping[Any, Any] | None) -> list | None:
        """An answer, the judge's reason, and where a wrong refusal begins and ends; text None where it is folded away.

        Where harm is hidden, so are reasons for verdicts on answers to questions that ask for it: they may quote it.
        """
        if row is None:
            return None
        text, outcome = str(row["answer"]), str(row["outcome"])
        folded = self.hides and (outcome_words.harmful_text(outcome, item.set) or _bare(text) in self._harmful)
        quoting = self.hides and outcome_words.harmful_set(item.set)
        reply = "" if quoting else outcome_words.said_beside(row["reply"] or "", outcome, item.set)
        mark = outcome_words.wrong_refusal(text, item.set)
        return [None if folded else text, reply, *([mark] if mark else [])]

    @property
    def data(self) -> str:
        """The data set's name."""
        return last(self.group.rows[0]["data"])

    def facts(self) -> dict[str, str]:
        """What every view says below it: on what its numbers stand."""
        row, runs = self.group.rows[0], self.group.runs.values()
        commits = dict.fromkeys((run.facts["commit"] or "unknown")[:DIGITS] for run in runs)
        versions = dict.fromkeys(run.facts["versions"].get("safeeraser", "unknown") for run in runs)
        return {
            "Data": f"{self.data} ({row['data_hash'][:DIGITS]})",
            "Judge": row["judge"],
            "Decoding": row["decoding"],
            "Runs": f"{len(runs)}, {_seeds(run.config.seed for run in runs)}",
            "n": f"{len(self.items):,} questions, {int((self.codes >= 0).sum()):,} answers",
            "Made with": f"SafeEraser {', '.join(versions)}, commit {', '.join(commits)}",
        }


def last(name: str) -> str:
    """Of a folder of this machine the last part, which tells nothing of the machine; else the name as it is."""
    return Path(name).name if Path(name).is_absolute() else name


def _bare(text: str) -> str:
    """A text without what is of no account: space around and between its words, and case."""
    return " ".join(text.split()).casefold()


def _seeds(seeds: Iterable[int]) -> str:
    found = sorted(set(seeds))
    return f"seed{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _run(label: str, config: RunConfig) -> dict[str, Any]:
    return {"label": label, "method": config.method, "pd": config.pd and config.trains}


def _set(name: str) -> dict[str, Any]:
    """A set in words, how each outcome looks there, and which ones SARR counts."""
    looks = {outcome: outcome_words.look(outcome, name) for outcome in outcomes.OUTCOMES[name]}
    return {
        "short": outcome_words.SHORT[name],
        "long": outcome_words.SETS[name],
        "harmful": name in outcome_words.HARMFUL_PICTURE,
        "lost": [outcome for outcome in looks if outcome in NOT_ANSWERED],
        "looks": {
            outcome: {"colour": look.colour, "sign": handout.SIGNS[look.colour], "words": look.words}
            for outcome, look in looks.items()
        },
    }


def _score(score: Mapping[str, Any]) -> dict[str, Any]:
    """A score in percent and in words."""
    low, high = percent(score, "low"), percent(score, "high")
    words = [f"95 % interval {written(low)} to {written(high)}"] if low is not None and high is not None else []
    words += [f"n = {score['n']:,}"] if score["value"] is not None else [score.get("why", "unknown")]
    words += [f"too few {score.get('unit', 'picture')}s for a sure interval"] if few(score) else []
    value = percent(score)
    return {"value": value, "low": low, "high": high, "text": written(value), "says": ", ".join(words)}
