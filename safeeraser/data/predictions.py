"""Importing the prediction files that the published inference script (`ckpt_infer.py`) writes.

Such a file repeats one split's records, with `model_response1..3` in each unsafe pair and the model's answers in place
of the stored `sd_response` and `Prediction`. The script samples without a seed, so `seed` is None in every row.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from safeeraser.data.entries import Entry, read_entries
from safeeraser.data.notes import Notes
from safeeraser.data.official import RETAIN_FIELDS, image_id_of, numbered
from safeeraser.data.records import VQA, DataError, Dataset, Record, SetName, Split
from safeeraser.data.rows import AnswerRow

SAMPLES = ("model_response1", "model_response2", "model_response3")
_NAMED = 5  # a message names the first few rows that join nothing and counts the others


def read(file: Path, dataset: Dataset, *, split: Split | None = None) -> list[AnswerRow]:
    """The answer rows of a prediction file: id, set, split, category, sample, seed, answer.

    A row joins the data set by image_id and place in the record, and only where the question there is the same text.
    `split` is the one whose records and questions the file has; it need only be given where both splits have them all.
    Where the script found no picture it left the stored text in place; that text is no answer and gives no row.

    Raises:
        DataError: the file is no prediction file, or some of its answers join nothing in the data set.
    """
    entries = list(read_entries(file, Notes()))
    if not any(_is_answered(entry) for entry in entries):
        raise DataError(f"{file.name}: no record has {SAMPLES[0]} in unsafe_pairs. Give a file of predictions.")
    splits: tuple[Split, ...] = (split,) if split else ("train", "val")
    joined = {tried: _join(entries, dataset, tried) for tried in splits}
    complete = [tried for tried, (_, unjoined) in joined.items() if not unjoined]
    if len(complete) > 1:
        raise DataError(f"{file.name} fits both splits. Say which of {' and '.join(complete)} was asked.")
    if not complete:
        closest = min(splits, key=lambda tried: len(joined[tried][1]))
        raise DataError(_complaint(file, closest, joined[closest][1]))
    return joined[complete[0]][0]


def _complaint(file: Path, split: Split, unjoined: Sequence[str]) -> str:
    others = len(unjoined) - _NAMED
    return (
        f"{file.name}: {len(unjoined):,} answers join nothing in {split}: {'; '.join(unjoined[:_NAMED])}"
        f"{f'; and {others:,} more' if others > 0 else ''}. Give the data set that these questions are from."
    )


def _join(entries: Sequence[Entry], dataset: Dataset, split: Split) -> tuple[list[AnswerRow], list[str]]:
    """The rows that join this split, and a description of each answer that does not."""
    left = _Left(dataset.train if split == "train" else dataset.val)
    rows: list[AnswerRow] = []
    unjoined: list[str] = []
    for entry in entries:
        record = left.take(entry)
        pairs = {(pair.set, _position(pair)): pair for pair in record.pairs} if record else {}
        for set_name, k, question, sample, answer in _answers(entry):
            pair = pairs.get((set_name, k))
            if pair is None or pair.question.strip() != question.strip():
                why = "another question" if pair else "no such pair" if record else "no such record"
                unjoined.append(f"{entry.where} {set_name}/{k} ({why})")
            elif pair.picture is not None:
                rows.append(_row(pair, sample, answer))
    return rows, unjoined


class _Left:
    """The records of a split that are not joined yet."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = {record.image_id: record for record in records}
        self._joined: set[str] = set()
        # By image_id and by what is asked; groups that became empty are dropped. A record may be in several: what is
        # called `a~2` may be the second of `a` or the first of `a~2`.
        self._groups: dict[str, dict[frozenset[str], deque[Record]]] = {}

    def take(self, entry: Entry) -> Record | None:
        """The first record of this image_id that asks the same; else the first, to say what differs."""
        groups = self._of(image_id_of(entry))
        asked = frozenset(pair.text("question").strip() for pair in entry.items("unsafe_pairs"))
        while groups:
            # A record may ask less than the file: pairs without a stored answer are left out of it.
            same = asked if asked in groups else next((group for group in groups if group <= asked), None)
            chosen = next(iter(groups)) if same is None else same
            record = groups[chosen].popleft()
            if not groups[chosen]:
                del groups[chosen]
            if record.image_id not in self._joined:
                self._joined.add(record.image_id)
                return record
        return None

    def _of(self, image_id: str) -> dict[frozenset[str], deque[Record]]:
        if image_id not in self._groups:
            self._groups[image_id] = groups = {}
            for number in count(1):
                if (record := self._records.get(numbered(image_id, number))) is None:
                    break
                asked = frozenset(pair.question.strip() for pair in record.forget)
                groups.setdefault(asked, deque()).append(record)
        return self._groups[image_id]


def _position(pair: VQA) -> int:
    return int(pair.id.rpartition("/")[2])


def _is_answered(entry: Entry) -> bool:
    return any(name in pair.fields for pair in entry.items("unsafe_pairs") for name in SAMPLES)


def _answers(entry: Entry) -> Iterator[tuple[SetName, int, str, int, str]]:
    """Set, place, question, sample and answer. An empty answer is an answer; a missing or null one is not."""
    for k, pair in enumerate(entry.items("unsafe_pairs")):
        for sample, name in enumerate(SAMPLES):
            if pair.fields.get(name) is not None:
                yield "forget", k, pair.text("question"), sample, pair.text(name)
        # The script asks `question` about the safe picture too, never `sd_question`.
        if entry.text("SDImage_path") and pair.fields.get("sd_response") is not None:
            yield "decouple", k, pair.text("question"), 0, pair.text("sd_response")
    for k, name in enumerate(RETAIN_FIELDS if _is_answered(entry) else ()):
        pair = entry.item(name)
        if pair and pair.fields.get("Prediction") is not None:
            yield "retain", k, pair.text("Question"), 0, pair.text("Prediction")


def _row(pair: VQA, sample: int, answer: str) -> AnswerRow:
    return {
        "id": pair.id,
        "set": pair.set,
        "split": pair.split,
        "category": pair.category,
        "sample": sample,
        "seed": None,
        "answer": answer,
    }
