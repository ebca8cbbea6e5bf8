"""What is wrong with a data set folder, and which val pairs are really held out.

Covered: pictures that are missing, broken or repeated; what val shares with train; targets that repeat; what the loader
survived. Not covered: printing the report (`report.py`), and whether an answer is right or a picture fits its category.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safeeraser.data import images, overlap, recall, regular, wording
from safeeraser.data.official import EXTRA_SETS, load
from safeeraser.data.records import CATEGORIES, VQA, DataError, Dataset, Record, Split
from safeeraser.data.report import BrokenPicture, Count, HealthReport

ONLY_ASKS = "It has no records, so nothing is forgotten on it: `--method base` asks a model its questions."


def check(folder: Path) -> HealthReport:
    """Read a data set folder and decode each of its pictures once. What cannot be loaded gives an unusable report."""
    try:
        dataset = load(folder)
        hashes = picture_hashes(dataset, anew=True)
    except DataError as error:
        return HealthReport(str(folder), usable=False, why=str(error))
    broken = _broken(dataset, hashes, anew=True)
    why, missing = _unusable(dataset, broken), _missing(dataset)
    only_asks = why is None and not dataset.records
    return HealthReport(
        folder=str(folder),
        usable=why is None,
        why=why,
        counts=_counts(dataset),
        pictures=len(hashes),
        distinct_pictures=len(set(hashes.values())) if hashes or not missing else None,
        missing=missing,
        broken=tuple(
            BrokenPicture(_inside(path, dataset), path.stat().st_size, why) for path, why in sorted(broken.items())
        ),
        duplicates=_duplicates(dataset, hashes),
        overlap=overlap.compare(dataset, hashes),
        keywords=wording.keywords(dataset),
        repeated_targets=wording.repeated_targets(dataset),
        without_decouple=tuple(_name(record) for record in dataset.records if not record.decouple),
        empty_categories=_empty_categories(dataset),
        targets=dataset.targets,
        notes=(*dataset.notes, *([ONLY_ASKS] if only_asks else [])),
    )


def picture_hashes(dataset: Dataset, *, anew: bool = False) -> dict[Path, str]:
    """SHA-256 of the bytes of each picture that is there, in the order in which pairs first show them.

    anew: read each file, also one whose hash was taken before and that has the same size and time of change since.
    """
    return recall.of_each(pictures(dataset), _file_hash, root=dataset.root, anew=anew)


def dataset_hash(dataset: Dataset) -> str:
    """SHA-256 over what a run can see: each pair, the refusals, and each picture's path and size in bytes.

    It does not change with the order of the pairs, the formatting of the JSON or the folder's place. Pictures are not
    read (3,000 take seconds), so one exchanged for another of the same size goes unseen; `picture_hashes` sees it.
    """
    names = {path: _inside(path, dataset) for path in pictures(dataset)}
    sizes = sorted((name, path.stat().st_size) for path, name in names.items())
    # The SHA-256 of [pairs, sizes, refusals] as JSON, pair by pair: the whole text would be as large as the data set.
    text = json.JSONEncoder(separators=(",", ":")).encode
    digest = hashlib.sha256(b"[[")
    for place, pair in enumerate(sorted(dataset.vqa(), key=lambda pair: pair.id)):
        shown = names[pair.picture] if pair.picture else ""
        seen = (pair.id, pair.category, shown, pair.question, pair.answer, pair.concept or "")
        digest.update(f"{',' if place else ''}{text(seen)}".encode())
    digest.update(f"],{text(sizes)},{text(dataset.refusals)}]".encode())
    return digest.hexdigest()


def readable(dataset: Dataset) -> tuple[Dataset, dict[Path, str]]:
    """The data set with every picture that cannot be decoded taken as missing, and these pictures with the reason.

    A picture that was decoded before and has the same size and time of change since is not decoded again.
    """
    broken = _broken(dataset, picture_hashes(dataset))

    def pair(vqa: VQA) -> VQA:
        return replace(vqa, picture=None) if vqa.picture in broken else vqa

    def mend(record: Record) -> Record:
        sets = {name: tuple(map(pair, getattr(record, name))) for name in ("forget", "retain", "decouple")}
        return replace(record, **sets)

    if not broken:
        return dataset, broken
    splits = {split: tuple(map(mend, dataset.of(split))) for split in ("train", "val", "dev")}
    return replace(dataset, **splits, extra=tuple(map(pair, dataset.extra))), broken


def clean_val(dataset: Dataset, hashes: Mapping[Path, str] | None = None) -> frozenset[str]:
    """The ids of the val pairs that share nothing with train.

    - A record's pairs are dropped, all of them, if its harmful picture has the bytes of any picture of train, or if any
      of its forget questions is, but for case and spacing, a forget question of train, of whatever category and
      picture. One question template in both splits therefore drops every val record that uses it.
    - Its decouple pairs are dropped as well if its safe picture has the bytes of any picture of train.
    - An extra pair is dropped if its picture has the bytes of any picture of train; one in words alone, if its question
      is a forget question of train.
    - A missing picture cannot be shown to be new, so it counts as seen.

    `hashes` are `picture_hashes(dataset)`, if they are at hand already.
    """
    return overlap.clean(dataset, picture_hashes(dataset) if hashes is None else hashes)


def pictures(dataset: Dataset) -> list[Path]:
    """Each picture that is there, once."""
    shown = [path for record in dataset.records for path in (record.picture, record.safe_picture)]
    shown += [pair.picture for pair in dataset.extra]
    return [path for path in dict.fromkeys(shown) if path]


def _file_hash(path: Path) -> str:
    try:
        with regular.opened(path, most=images.MOST_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, regular.FileKindError) as error:
        raise DataError(f"The picture {path} cannot be read: {error}. Check its permissions.") from error


def _inside(path: Path | None, dataset: Dataset) -> str:
    return path.relative_to(dataset.root).as_posix() if path else ""


def _name(record: Record) -> str:
    return record.name


def _broken(dataset: Dataset, hashes: Mapping[Path, str], *, anew: bool = False) -> dict[Path, str]:
    """Each picture that cannot be decoded, and why; files of the same bytes are decoded once."""
    one_of_each = {digest: path for path, digest in hashes.items()}
    paths, rules = list(one_of_each.values()), images.RULES
    reasons = recall.of_each(paths, images.why_broken, root=dataset.root, version=rules, anew=anew)
    return {path: why for path, digest in hashes.items() if (why := reasons[one_of_each[digest]])}


def _unusable(dataset: Dataset, broken: Mapping[Path, str]) -> str | None:
    if not dataset.records and any(pair.asked and pair.picture not in broken for pair in dataset.extra):
        return None
    if not any(record.forget for record in dataset.records):
        if any(record.forget for record in load(dataset.root, unanswered=True).records):
            return "Its questions have no answers yet: `safeeraser data targets` lets a model give them."
        return "No record has a forget pair: unsafe_pairs need a question and a model_response."
    if not any(record.forget and record.picture and record.picture not in broken for record in dataset.records):
        if any(why == regular.LFS_POINTER for why in broken.values()):
            return f"No record with a forget pair has a picture that can be read. A picture {regular.LFS_POINTER}."
        return "No record with a forget pair has a picture that can be read. Put the pictures into the folder."
    return None


def _counts(dataset: Dataset) -> tuple[Count, ...]:
    records = Counter((record.category, record.split) for record in dataset.records)
    pairs = Counter((pair.category, pair.split, pair.set) for pair in dataset.vqa())
    keys: set[tuple[str, Split]] = {(one.category, one.split) for one in (*dataset.records, *dataset.vqa())}

    def count(category: str, split: Split) -> Count:
        forget, retain, decouple = (pairs[category, split, name] for name in ("forget", "retain", "decouple"))
        extra = sum(pairs[category, split, name] for name in EXTRA_SETS)
        return Count(category, split, records[category, split], forget, retain, decouple, extra)

    return tuple(count(category, split) for category, split in sorted(keys))


def _missing(dataset: Dataset) -> tuple[str, ...]:
    """The harmful ones first, then the safe ones, then those of extra pairs."""
    missing = [(record, which) for record in dataset.records for which in overlap.missing(record)]
    named = [f"{_name(record)}: {which}" for record, which in sorted(missing, key=lambda one: one[1])]
    return (*named, *(pair.id for pair in dataset.extra if not pair.asked))


def _duplicates(dataset: Dataset, hashes: Mapping[Path, str]) -> tuple[tuple[str, ...], ...]:
    groups = defaultdict(list)
    for path, digest in hashes.items():
        groups[digest].append(_inside(path, dataset))
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def _empty_categories(dataset: Dataset) -> tuple[str, ...]:
    """The categories of the paper without a record: by split, where the split has records at all."""
    present = {(record.split, record.category) for record in dataset.records}
    return tuple(
        f"{category} in {split}"
        for split in sorted({split for split, _ in present})
        for category in CATEGORIES
        if (split, category) not in present
    )
