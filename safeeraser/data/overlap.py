"""What val shares with train, pictures by their bytes and forget questions by their words, and which val pairs do not.

`hashes` are always those of `health.picture_hashes`. What a missing picture hides is unknown, and no number.
"""

from collections.abc import Mapping
from pathlib import Path

from safeeraser.data.records import Dataset, Record
from safeeraser.data.report import Overlap

Hashes = Mapping[Path, str]


def clean(dataset: Dataset, hashes: Hashes) -> frozenset[str]:
    """The ids of the val pairs that share nothing with train, as `health.clean_val` describes them."""
    seen, asked = _seen_pictures(dataset, hashes), _asked_in_train(dataset)
    extra = [pair for pair in dataset.extra if pair.split == "val"]
    found = [
        pair
        for pair in extra
        if (same_text(pair.question) not in asked if pair.text_only else _is_new(pair.picture, hashes, seen))
    ]
    for record in dataset.val:
        if _is_new(record.picture, hashes, seen) and not _asks_any(record, asked):
            found += [*record.forget, *record.retain]
            found += record.decouple if _is_new(record.safe_picture, hashes, seen) else ()
    return frozenset(pair.id for pair in found)


def compare(dataset: Dataset, hashes: Hashes) -> Overlap:
    """What val shares with train, counted over the pictures that are there; None where none is."""
    seen, asked = _seen_pictures(dataset, hashes), _asked_in_train(dataset)
    harmful = [record.picture for record in dataset.val if record.picture]
    safe = {record.safe_picture for record in dataset.val if record.safe_picture}
    train_missing = sum(len(missing(record)) for record in dataset.train)
    safe_missing = sum("safe picture" in missing(record) for record in dataset.val)
    harmful_known = bool(seen or not train_missing) and bool(harmful or not dataset.val)
    safe_known = bool(seen or not train_missing) and bool(safe or not safe_missing)
    new = clean(dataset, hashes)
    clean_records = sum(any(pair.id in new for pair in record.pairs) for record in dataset.val)
    clean_decouple = sum(pair.id in new for record in dataset.val for pair in record.decouple)
    records, undecided = _in_both(dataset, hashes)
    return Overlap(
        records=records,
        undecided_records=undecided,
        harmful_pictures=sum(hashes[picture] in seen for picture in harmful) if harmful_known else None,
        questions=sum(_asks_any(record, asked) for record in dataset.val),
        safe_pictures=sum(hashes[picture] in seen for picture in safe) if safe_known else None,
        val_records=len(dataset.val),
        val_pictures=len(harmful),
        val_safe_pictures=len(safe),
        val_safe_missing=safe_missing,
        train_missing=train_missing,
        clean_records=clean_records if harmful_known else None,
        clean_decouple_pairs=clean_decouple if harmful_known and safe_known else None,
    )


def missing(record: Record) -> list[str]:
    """Which of the record's pictures are missing."""
    harmful = ["harmful picture"] if record.picture is None else []
    return [*harmful, "safe picture"] if record.decouple and record.safe_picture is None else harmful


def same_text(text: str) -> str:
    """A text without what may differ in texts that count as one: case and spacing."""
    return " ".join(text.casefold().split())


def _seen_pictures(dataset: Dataset, hashes: Hashes) -> set[str]:
    return {hashes[path] for record in dataset.train for path in (record.picture, record.safe_picture) if path}


def _asked_in_train(dataset: Dataset) -> set[str]:
    return {same_text(pair.question) for record in dataset.train for pair in record.forget}


def _asks_any(record: Record, questions: set[str]) -> bool:
    return any(same_text(pair.question) in questions for pair in record.forget)


def _is_new(picture: Path | None, hashes: Hashes, seen: set[str]) -> bool:
    return picture is not None and hashes[picture] not in seen


def _in_both(dataset: Dataset, hashes: Hashes) -> tuple[tuple[str, ...], int]:
    """The val records that are in train too, and how many may be: they ask the same, but a picture is missing.

    Two records are one if they have the same harmful picture (the same name, if it is missing) and forget questions.
    """
    train = [record for record in dataset.train if record.forget]
    contents = {(_picture_of(record, hashes), _questions(record)) for record in train}
    asked = {_questions(record) for record in train}
    asked_unseen = {_questions(record) for record in train if record.picture is None}
    both, undecided = [], 0
    for record in dataset.val:
        questions = _questions(record)
        if (_picture_of(record, hashes), questions) in contents:
            both.append(f"{record.split}/{record.image_id}")
        elif questions in (asked_unseen if record.picture else asked):
            undecided += 1
    return tuple(both), undecided


def _picture_of(record: Record, hashes: Hashes) -> str:
    return hashes[record.picture] if record.picture else record.image_id


def _questions(record: Record) -> tuple[str, ...]:
    return tuple(same_text(pair.question) for pair in record.forget)
