"""Reading a data set folder in the official SafeEraser layout.

Covered: which files there are, and the records, refusals and extra pairs that they hold, with their known quirks. Not
covered: JSON (`entries.py`), finding pictures (`finding.py`), opening them (they stay paths here) and judging the data
set (`health.py`). What the reader survives it notes; what it cannot is a `DataError`.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from safeeraser.data import json_text
from safeeraser.data.entries import Entry, read_entries, storable
from safeeraser.data.finding import PictureFinder, escapes, posix
from safeeraser.data.notes import Notes
from safeeraser.data.records import CATEGORIES, VQA, About, DataError, Dataset, Record, SetName, Split, Targets

SPLIT_FILES: dict[Split, str] = {"train": "all_train.json", "val": "all_val.json"}
DEV_FILE = "all_dev.json"
REFUSALS_FILE = "prompt.json"
EXTRA_FILES: dict[Split, str] = {"val": "extra_val.json", "dev": "extra_dev.json"}
EXTRA_SETS: tuple[SetName, ...] = ("general", "holes", "outside", "text_forget", "text_decouple")
TEXT_SETS = ("text_forget", "text_decouple")
ABOUT_FILE = "about.json"
TARGETS_FILE = "targets.json"
LONGEST_SAID = {"badge": 80, "note": 400}  # characters of what a data set may say of itself
UNSAFE_PAIRS = 4  # a record
RETAIN_FIELDS = ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2")
_SPELLING = {category.casefold(): category for category in CATEGORIES}


def load(folder: Path, *, name: str | None = None, unanswered: bool = False) -> Dataset:
    """Read a folder of `all_train.json`, `all_val.json`, `prompt.json`, `img/` and `pdset/image/`.

    One of the two splits may be missing, and so may `prompt.json`; pictures may be missing too. `all_dev.json`,
    `extra_val.json`, `extra_dev.json`, `about.json` and `targets.json` are this project's own additions to the layout.
    `name` is the folder's name unless given. unanswered: keep questions that have no answer yet, with "" for one.

    Raises:
        DataError: there is nothing to read, or a file is not what the layout says.
    """
    root = Path(os.path.realpath(folder))
    present = [split for split, file in SPLIT_FILES.items() if _is_there(root / file)]
    if not present:
        raise DataError(
            f"{folder} holds neither {' nor '.join(SPLIT_FILES.values())}. Give the folder that holds at least one."
        )
    notes, pictures = Notes(), PictureFinder(root)
    for split, file in SPLIT_FILES.items():
        if split not in present:
            notes.add(file, "is not in the folder, so this split has no records")
    train, val = (_records(root / file, split, pictures, notes, unanswered) for split, file in SPLIT_FILES.items())
    refusals = _refusals(root / REFUSALS_FILE, notes)
    dev = _records(root / DEV_FILE, "dev", pictures, notes, unanswered)
    extra = [pair for split, file in EXTRA_FILES.items() for pair in _extra(root / file, split, pictures, notes)]
    return Dataset(
        name=name or root.name,
        root=root,
        train=train,
        val=val,
        refusals=refusals,
        dev=dev,
        extra=tuple(extra),
        about=about(root),
        targets=targets(root),
        notes=notes.sentences(),
    )


def _is_there(file: Path) -> bool:
    """Whether the folder has a file of this name, be it a link that leads nowhere: reading that says so."""
    return os.path.lexists(file)


def _picture(entry: Entry, name: str, pictures: PictureFinder) -> Path | None:
    written = entry.text(name)
    plain = posix(written)
    if plain != written and plain != PurePosixPath(written.strip()).as_posix() and not escapes(written):
        start = "backslashes" if "\\" in written else "a leading dataset/"
        entry.note(f"{name} is written with {start}")
    found = pictures.find(written)
    if found.problem:
        entry.note(f"{name}: {found.problem}", kind=f"{name}: {found.kind}")
    return found.picture


class Names:
    """Names for the records of a split: each its image id, or `<image id>~2`, `~3` ... when that is taken."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}  # the highest number tried for an image id; all below are taken

    def take(self, image_id: str) -> str:
        number = self._last.get(image_id, 1)
        while (name := numbered(image_id, number)) in self._taken:
            number += 1
        self._taken.add(name)
        self._last[image_id] = number
        return name


def numbered(image_id: str, number: int) -> str:
    """The name of the record that is this image id's first, second ..."""
    return image_id if number == 1 else f"{image_id}~{number}"


def image_id_of(entry: Entry) -> str:
    """What a record calls its picture, in one spelling."""
    if written := entry.text("image_id") or entry.text("image_path"):
        return posix(written)
    raise entry.wrong("image_id", "the path of the picture, as image_path is missing too")


def _records(file: Path, split: Split, pictures: PictureFinder, notes: Notes, unanswered: bool) -> tuple[Record, ...]:
    if not _is_there(file):
        return ()
    records: list[Record] = []
    names = Names()
    for entry in read_entries(file, notes, inside=file.parent):
        written = image_id_of(entry)
        image_id = names.take(written)
        if image_id != written:
            again = "has the image_id of an earlier record"
            entry.note(f"{again} and is called {image_id}", kind=again)
        records.append(_record(entry, image_id, split, pictures, unanswered))
    if not records:
        notes.add(file.name, "holds no records")
    return tuple(records)


def _record(entry: Entry, image_id: str, split: Split, pictures: PictureFinder, unanswered: bool) -> Record:
    if not entry.text("image_id"):
        entry.note("has no image_id, so image_path is used")
    if not entry.text("image_path"):
        entry.note("has no image_path, so image_id is used")
    category = _category(entry, image_id)
    picture = _picture(entry, "image_path" if entry.text("image_path") else "image_id", pictures)
    safe_picture = _picture(entry, "SDImage_path", pictures) if entry.text("SDImage_path") else None
    keyword, safe_keyword = entry.text("keyword"), entry.text("safe_keyword") or None

    def pair(set_name: SetName, k: int, question: str, answer: str) -> VQA:
        shown, concept = (safe_picture, safe_keyword) if set_name == "decouple" else (picture, keyword or None)
        return VQA(f"{split}/{image_id}/{set_name}/{k}", set_name, split, category, shown, question, answer, concept)

    forget = tuple(pair("forget", *texts) for texts in _forget_texts(entry, unanswered))
    return Record(
        image_id=image_id,
        split=split,
        category=category,
        type=entry.text("type"),
        keyword=keyword,
        picture=picture,
        safe_picture=safe_picture,
        safe_keyword=safe_keyword,
        forget=forget,
        retain=tuple(pair("retain", *texts) for texts in _retain_texts(entry, unanswered)),
        decouple=tuple(pair("decouple", *texts) for texts in _decouple_texts(entry, unanswered)),
    )


def _category(entry: Entry, image_id: str) -> str:
    written = entry.text("category").strip()
    if not written:
        folders = PurePosixPath(image_id).parts[:-1]
        known = [_SPELLING[folder.casefold()] for folder in folders if folder.casefold() in _SPELLING]
        category = known[0] if known else "".join(folders[-1:])
        empty = "category is empty and taken from the folder of image_id"
        entry.note(f"{empty}, {category or 'which has none'}", kind=empty)
        return category
    category = _SPELLING.get(written.casefold(), written)
    if category not in CATEGORIES:
        none_of = f"is none of {', '.join(CATEGORIES)}"
        entry.note(f"category '{written}' {none_of}", kind=f"category {none_of}")
    elif category != written:
        entry.note(f"category '{written}' is read as {category}", kind="category is spelled in another way")
    return category


Texts = tuple[int, str, str]  # k, question, answer


def _forget_texts(entry: Entry, unanswered: bool) -> Iterator[Texts]:
    pairs = entry.items("unsafe_pairs")
    if len(pairs) != UNSAFE_PAIRS:
        other = f"unsafe_pairs instead of {UNSAFE_PAIRS}"
        entry.note(f"has {len(pairs)} {other}", kind=f"has fewer or more {other}")
    for k, pair in enumerate(pairs):
        question, answer = pair.text("question"), pair.text("model_response")
        if not (question and (answer or unanswered)):
            lacks = f"has no {'model_response' if question else 'question'} and is left out"
            entry.note(f"unsafe_pairs[{k}] {lacks}", kind=f"an unsafe pair {lacks}")
            continue
        if answer.lstrip().startswith("Input:"):
            entry.note("a forget target starts with a stray 'Input:' and is kept as it is")
        yield k, question, answer


def _decouple_texts(entry: Entry, unanswered: bool) -> Iterator[Texts]:
    """Question and normal answer for the safe picture; nothing, and a note why, where the record cannot have them."""
    unsafe = enumerate(entry.items("unsafe_pairs"))
    pairs = {k: pair for k, pair in unsafe if pair.text("question") and (pair.text("model_response") or unanswered)}
    extra = " (its safeNb_pairs name no safe picture and answer)" if "safeNb_pairs" in entry.fields else ""
    if not entry.text("SDImage_path"):
        entry.note(f"Prompt Decouple is not possible: there is no SDImage_path{extra}")
        return
    if not unanswered and not any(pair.text("sd_response") for pair in pairs.values()):
        entry.note(f"Prompt Decouple is not possible: no unsafe pair has an sd_response{extra}")
        return
    for k, pair in pairs.items():
        question = pair.text("question")
        if not (pair.text("sd_response") or unanswered):
            lacks = "has no sd_response, so its decouple pair is left out"
            entry.note(f"unsafe_pairs[{k}] {lacks}", kind=f"an unsafe pair {lacks}")
            continue
        if pair.text("sd_question") not in ("", question):
            entry.note("an sd_question differs from its question; as in the paper, the decouple pair asks the question")
        yield k, question, pair.text("sd_response")


def _retain_texts(entry: Entry, unanswered: bool) -> Iterator[Texts]:
    for k, name in enumerate(RETAIN_FIELDS):
        pair = entry.item(name)
        if pair is None:
            entry.note(f"has no {name}, so retain pair {k} is left out")
            continue
        question, answer = pair.text("Question"), pair.text("Prediction")
        if question and (answer or unanswered):
            yield k, question, answer
        else:
            entry.note(f"{name} has no {'Prediction' if question else 'Question'} and is left out")


def _refusals(file: Path, notes: Notes) -> tuple[str, ...]:
    if not _is_there(file):
        notes.add(file.name, "is not in the folder, so there are no refusal sentences and PO cannot be trained")
        return ()
    with json_text.opened(file, inside=file.parent) as text:
        content = text.value()
    sentences = content.get("idk") if isinstance(content, dict) else None
    if not isinstance(sentences, list) or not all(isinstance(one, str) and storable(one) for one in sentences):
        raise DataError(f'{file.name}, field idk: expected {{"idk": [refusal sentences]}}. Correct or remove the file.')
    refusals = tuple(sentence.strip() for sentence in sentences if sentence.strip())
    if not refusals:
        notes.add(file.name, "has no refusal sentences in idk, so PO cannot be trained")
    return refusals


def about(folder: Path) -> About:
    """What a data set says of itself: `{"harmless": bool, "badge": text?, "note": text?}`.

    It is harmless only where it says so. Raises DataError for a file that says anything else.
    """
    file = folder / ABOUT_FILE
    if not _is_there(file):
        return About()
    with json_text.opened(file, inside=file.parent) as text:
        content = text.value()
    content = content if isinstance(content, dict) else {}
    harmless = content.get("harmless")
    if not isinstance(harmless, bool):
        raise DataError(f"{file.name}, field harmless: expected true or false. Correct or remove the file.")
    said = {name: content.get(name) for name in LONGEST_SAID}
    for name, text in said.items():
        longest = LONGEST_SAID[name]
        if text is not None and not (isinstance(text, str) and storable(text) and 0 < len(text) <= longest):
            raise DataError(
                f"{file.name}, field {name}: expected a text of 1 to {longest} characters. Correct or remove the file."
            )
    return About(harmless, **said)


def targets(folder: Path) -> Targets | None:
    """Whose answers the targets of a data set are; None where it does not say.

    Raises DataError for a file that `Targets` does not describe.
    """
    file = folder / TARGETS_FILE
    if not _is_there(file):
        return None
    with json_text.opened(file, inside=Path(os.path.realpath(folder))) as text:
        content = text.value()
    try:
        return TypeAdapter(Targets).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "(all)"
        raise DataError(f"{file.name}, field {field}: {first['msg']}. Correct or remove the file.") from None


def _extra(file: Path, split: Split, pictures: PictureFinder, notes: Notes) -> Iterator[VQA]:
    """What is asked of a split beyond its records, its pairs of a picture (of a keyword, without one) together.

    Each is `{"set", "image_path", "question", "answer", "keyword", "category"?}`; one of TEXT_SETS has no `image_path`.
    The answer of one of `general` may be empty: then refusals are counted, and nothing that compares with an answer.
    """
    if not _is_there(file):
        return
    asked: dict[str, list[VQA]] = {}
    for entry in read_entries(file, notes, inside=file.parent):
        name = _extra_set(entry)
        text_only = name in TEXT_SETS
        shown = f"text/{entry.needed('keyword')}" if text_only else posix(entry.needed("image_path"))
        about_this = asked.setdefault(f"{shown}/{name}", [])
        about_this.append(
            VQA(
                id=f"{split}/{shown}/{name}/{len(about_this)}",
                set=name,
                split=split,
                category=entry.text("category"),
                picture=None if text_only else _picture(entry, "image_path", pictures),
                question=entry.needed("question"),
                answer=entry.text("answer") if name == "general" else entry.needed("answer"),
                concept=entry.text("keyword") or None,
                text_only=text_only,
            )
        )
    for pairs in asked.values():
        yield from pairs


def _extra_set(entry: Entry) -> SetName:
    written = entry.needed("set")
    for name in EXTRA_SETS:
        if name == written:
            return name
    raise entry.wrong("set", f"one of {', '.join(EXTRA_SETS)}")
