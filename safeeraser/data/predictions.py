"""Importing the prediction files that the published inference script (`ckpt_infer.py`) writes.

Such a file repeats one split's records, with `model_response1..3` in each unsafe pair and the model's answers in place
of the stored `sd_response` and `Prediction`. The script samples without a seed, so `seed` is None in every row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from safeeraser.data.entries import Entry, Notes, read_entries
from safeeraser.data.official import RETAIN_FIELDS, distinct, image_id_of
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
    entries = read_entries(file, Notes())
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
    left = {record.image_id: record for record in (dataset.train if split == "train" else dataset.val)}
    known = set(left)
    rows: list[AnswerRow] = []
    unjoined: list[str] = []
    for entry in entries:
        record = _partner(entry, left, known)
        if record:
            del left[record.image_id]
        pairs = {(pair.set, _position(pair)): pair for pair in record.pairs} if record else {}
        for set_name, k, question, sample, answer in _answers(entry):
            pair = pairs.get((set_name, k))
            if pair is None or pair.question.strip() != question.strip():
                why = "another question" if pair else "no such pair" if record else "no such record"
                unjoined.append(f"{entry.where} {set_name}/{k} ({why})")
            elif pair.picture is not None:
                rows.append(_row(pair, sample, answer))
    return rows, unjoined


def _partner(entry: Entry, left: dict[str, Record], known: set[str]) -> Record | None:
    """The record of this image_id that is not joined yet and asks the same; else the first, to say what differs."""
    asked = {pair.text("question").strip() for pair in entry.items("unsafe_pairs")}
    names: list[str] = []
    while (name := distinct(image_id_of(entry), names)) in known:
        names.append(name)
    candidates = [left[name] for name in names if name in left]
    same = [record for record in candidates if {pair.question.strip() for pair in record.forget} <= asked]
    return next(iter(same or candidates), None)


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
