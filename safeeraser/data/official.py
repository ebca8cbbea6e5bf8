"""Reading a data set folder in the official SafeEraser layout.

Covered: the JSON files, their known quirks, and finding each picture. Not covered: opening pictures (they stay paths
here) and judging the data set (`health.py`). What the reader survives it notes; what it cannot is a `DataError`.
"""

import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from safeeraser.data.records import CATEGORIES, VQA, DataError, Dataset, Record, SetName, Split

SPLIT_FILES: dict[Split, str] = {"train": "all_train.json", "val": "all_val.json"}
REFUSALS_FILE = "prompt.json"
GENERAL_FILE = "general_val.json"
UNSAFE_PAIRS = 4  # a record
RETAIN_FIELDS = ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2")
_RECORDS_NAMED = 3  # a note names the first few records and counts the others
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_SPELLING = {category.casefold(): category for category in CATEGORIES}


def load(folder: Path, *, name: str | None = None) -> Dataset:
    """Read a folder of `all_train.json`, `all_val.json`, `prompt.json`, `img/`, `pdset/image/`, and `general_val.json`.

    One of the two splits may be missing, and so may the last two JSON files; pictures may be missing too. `name` is
    the folder's name unless given.

    Raises:
        DataError: there is nothing to read, or a file is not what the layout says.
    """
    root = Path(os.path.realpath(folder))
    present = [split for split, file in SPLIT_FILES.items() if (root / file).exists()]
    if not present:
        raise DataError(
            f"{folder} holds neither {' nor '.join(SPLIT_FILES.values())}. Give the folder that holds at least one."
        )
    notes, pictures = Notes(), PictureFinder(root)
    for split, file in SPLIT_FILES.items():
        if split not in present:
            notes.add(file, "is not in the folder, so this split has no records")
    train, val = (_records(root / file, split, pictures, notes) for split, file in SPLIT_FILES.items())
    refusals = _refusals(root / REFUSALS_FILE, notes)
    general = _general(root / GENERAL_FILE, pictures, notes)
    return Dataset(name or root.name, root, train, val, refusals, general, notes.sentences())


@dataclass
class Notes:
    """What was survived: one sentence per file and kind, naming the records it happened in."""

    _where: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, file: str, what: str, where: str | None = None) -> None:
        """Note `what` about the whole file, or about the record that `where` names."""
        self._where.setdefault((file, what), []).extend([where] if where else [])

    def sentences(self) -> tuple[str, ...]:
        return tuple(_sentence(file, what, records) for (file, what), records in self._where.items())


def _sentence(file: str, what: str, records: Sequence[str]) -> str:
    if not records:
        return f"{file}: {what}."
    others = len(records) - _RECORDS_NAMED
    more = f" and {others:,} more" if others > 0 else ""
    return f"{file}: {what}: {', '.join(records[:_RECORDS_NAMED])}{more}."


@dataclass(frozen=True)
class Entry:
    """One JSON object and where it stands, which every message about it names. `within` is set for a nested object."""

    file: str
    where: str
    fields: dict[str, Any]
    notes: Notes
    within: str = ""

    def text(self, name: str) -> str:
        """The text of a field; "" when the field is missing, null or blank. Raises DataError for any other type."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        if _HALF_CHARACTER.search(value):
            raise self.wrong(name, "a text without half characters (\\ud800 to \\udfff), which no file can store")
        return value if value.strip() else ""

    def needed(self, name: str) -> str:
        """The text of a field that must have one."""
        if text := self.text(name):
            return text
        raise self.wrong(name, "a text that is not empty")

    def items(self, name: str) -> list["Entry"]:
        """The JSON objects in a list; none when the field is missing or null."""
        values = self.fields.get(name)
        if values is None:
            return []
        if not isinstance(values, list):
            raise self.wrong(name, "a list")
        return [self._nested(f"{name}[{k}]", value) for k, value in enumerate(values)]

    def item(self, name: str) -> "Entry | None":
        """The JSON object in a field; None when the field is missing or null."""
        value = self.fields.get(name)
        return None if value is None else self._nested(name, value)

    def note(self, what: str) -> None:
        self.notes.add(self.file, what, self.where)

    def wrong(self, name: str, expected: str) -> DataError:
        """The error that says which field is not what was expected."""
        found = repr(self.fields[name]) if name in self.fields else "nothing"
        shown = found if len(found) <= 60 else f"{found[:57]}..."
        return DataError(
            f"{self.file}, {self.where}, field {self.within}{name}: expected {expected}, found {shown}. "
            "Correct the field or remove the record."
        )

    def _nested(self, name: str, value: Any) -> "Entry":
        if not isinstance(value, dict):
            expected = "a JSON object"
            raise Entry(self.file, self.where, {name: value}, self.notes, self.within).wrong(name, expected)
        return Entry(self.file, self.where, value, self.notes, f"{self.within}{name}.")


def read_entries(file: Path, notes: Notes) -> list[Entry]:
    """The records of a JSON file, which holds one list or one record per line.

    Raises:
        DataError: the file is empty or not JSON, or something in the list is not a JSON object.
    """
    text = _read_text(file)
    if text.lstrip().startswith("["):
        values = [(f"record {index}", value) for index, value in enumerate(_parse(text, file))]
    else:
        # Not `splitlines`: it also splits at characters that JSON allows inside a text, such as U+2028.
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        values = [(f"line {number}", _parse(line, file, line=number)) for number, line in lines]
        notes.add(file.name, f"holds one record per line instead of one list ({len(values):,} records)")
    return [_entry(file.name, where, value, notes) for where, value in values]


def _entry(file: str, where: str, value: Any, notes: Notes) -> Entry:
    if not isinstance(value, dict):
        raise DataError(
            f"{file}, {where}: expected a record (a JSON object), found {value!r:.60}. Remove or correct it."
        )
    image_id = value.get("image_id") or value.get("image_path")
    return Entry(file, f"{where} ({image_id})" if isinstance(image_id, str) else where, value, notes)


def _read_text(file: Path) -> str:
    try:
        # "-sig": editors on Windows put a byte order mark in front.
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error}. Check the path and its permissions.") from error
    if not text.strip():
        raise DataError(f"{file.name} is empty; expected JSON. Download it again or remove it.")
    return text


def _parse(text: str, file: Path, *, line: int | None = None) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, column {error.colno}"
        raise DataError(
            f"{file.name}, {place}: not valid JSON ({error.msg}). Correct it or download it again."
        ) from error
    except (ValueError, RecursionError) as error:
        place = f"{file.name}, line {line}" if line else file.name
        raise DataError(f"{place}: not usable JSON ({error}). Correct it or download it again.") from error


def _no_constant(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is not JSON")


@dataclass(frozen=True)
class Found:
    """Where a written picture path leads: a picture, or None and why. `difference` says how the disk spells it."""

    picture: Path | None
    why: str | None = None
    difference: str | None = None


class PictureFinder:
    """Finds pictures below one folder, without regard to case, and never outside it. Lists each directory once."""

    def __init__(self, root: Path):
        self.root = root  # a real path, without symbolic links
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, written: str) -> Found:
        """The picture that a path of the JSON means, be it there or not.

        A path that is absolute or holds `..`, and a symbolic link that leads out of the folder, is refused. One
        directory more or fewer below the category is survived, if just one picture fits.
        """
        if escapes(written):
            return Found(None, f"the path '{written}' leads out of the data set folder and is refused")
        parts = PurePosixPath(posix(written)).parts
        fitting = self._walk(self.root, parts) or [p for other in self._other_levels(parts) for p in self._walk(*other)]
        exact = self.root.joinpath(*parts)
        if not fitting:
            return Found(None, f"the picture '{written}' is missing")
        if len(fitting) > 1 and exact not in fitting:
            names = " and ".join(sorted(self._relative(path) for path in fitting))
            return Found(None, f"the path '{written}' could mean {names}, so neither is used")
        picture = exact if exact in fitting else fitting[0]
        if not Path(os.path.realpath(picture)).is_relative_to(self.root):
            return Found(None, f"the path '{written}' is a link that leads out of the data set folder and is refused")
        if not picture.is_file():
            return Found(None, f"the path '{written}' is not a file")
        return Found(picture, difference=None if picture == exact else self._difference(exact, picture))

    def _walk(self, folder: Path, parts: Sequence[str]) -> list[Path]:
        """Every path below `folder` that has these parts, without regard to case."""
        if not parts:
            return [folder]
        names = self._names(folder).get(parts[0].casefold(), [])
        return [path for name in names for path in self._walk(folder / name, parts[1:])]

    def _other_levels(self, parts: tuple[str, ...]) -> Iterator[tuple[Path, Sequence[str]]]:
        """Where else to walk: with one directory left out or put in between the category and the file."""
        after = next((i + 1 for i, part in enumerate(parts) if part.casefold() in _SPELLING), len(parts))
        for i in range(after, len(parts) - 1):
            # `train` and `val` are never guessed: both hold a picture of the same number.
            if parts[i].casefold() not in SPLIT_FILES:
                yield self.root, (*parts[:i], *parts[i + 1 :])
        for i in range(after, len(parts)):
            for folder in self._walk(self.root, parts[:i]):
                levels = [
                    name for key, names in self._names(folder).items() if key not in SPLIT_FILES for name in names
                ]
                yield from ((folder / level, parts[i:]) for level in levels)

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listings:
            self._listings[folder] = listing = {}
            try:
                names = sorted(os.listdir(folder)) if folder.is_dir() else []
            except OSError as error:
                raise DataError(f"The folder {folder} cannot be listed: {error}. Check its permissions.") from error
            for name in names:
                listing.setdefault(name.casefold(), []).append(name)
        return self._listings[folder]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _difference(self, written: Path, found: Path) -> str:
        """How the disk spells it; the directory alone if the file names agree, so that many files share one note."""
        if written.name == found.name:
            written, found = written.parent, found.parent
        return f"'{self._relative(written)}' is '{self._relative(found)}' on disk"


def posix(written: str) -> str:
    """A path of the JSON in one spelling: forward slashes, no `./`, no leading `dataset/`."""
    path = PurePosixPath(written.strip().replace("\\", "/"))
    inside = path.relative_to("dataset") if path.parts[:1] == ("dataset",) else path
    return inside.as_posix()


def escapes(written: str) -> bool:
    """Whether a path is absolute, on a drive, or goes up: anything that could lead out of the data set folder."""
    path = PureWindowsPath(written.strip())  # reads both kinds of slash
    return bool(path.anchor) or ".." in path.parts


def _picture(entry: Entry, name: str, pictures: PictureFinder) -> Path | None:
    written = entry.text(name)
    if posix(written) != PurePosixPath(written.strip()).as_posix() and not escapes(written):
        start = "backslashes" if "\\" in written else "a leading dataset/"
        entry.note(f"{name} is written with {start}")
    found = pictures.find(written)
    if problem := found.why or found.difference:
        entry.note(f"{name}: {problem}")
    return found.picture


def distinct(image_id: str, taken: Container[str]) -> str:
    """The image id, or `<image id>~2`, `~3` ... when records before this one have it."""
    number, free = 1, image_id
    while free in taken:
        number += 1
        free = f"{image_id}~{number}"
    return free


def image_id_of(entry: Entry) -> str:
    """What a record calls its picture, in one spelling."""
    if written := entry.text("image_id") or entry.text("image_path"):
        return posix(written)
    raise entry.wrong("image_id", "the path of the picture, as image_path is missing too")


def _records(file: Path, split: Split, pictures: PictureFinder, notes: Notes) -> tuple[Record, ...]:
    if not file.exists():
        return ()
    records: dict[str, Record] = {}
    for entry in read_entries(file, notes):
        written = image_id_of(entry)
        image_id = distinct(written, records)
        if image_id != written:
            entry.note(f"has the image_id of an earlier record and is called {image_id}")
        records[image_id] = _record(entry, image_id, split, pictures)
    if not records:
        notes.add(file.name, "holds no records")
    return tuple(records.values())


def _record(entry: Entry, image_id: str, split: Split, pictures: PictureFinder) -> Record:
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

    forget = tuple(pair("forget", *texts) for texts in _forget_texts(entry))
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
        retain=tuple(pair("retain", *texts) for texts in _retain_texts(entry)),
        decouple=tuple(pair("decouple", *texts) for texts in _decouple_texts(entry)),
    )


def _category(entry: Entry, image_id: str) -> str:
    written = entry.text("category").strip()
    if not written:
        folders = PurePosixPath(image_id).parts[:-1]
        known = [_SPELLING[folder.casefold()] for folder in folders if folder.casefold() in _SPELLING]
        category = known[0] if known else "".join(folders[-1:])
        entry.note(f"category is empty and taken from the folder of image_id, {category or 'which has none'}")
        return category
    category = _SPELLING.get(written.casefold(), written)
    if category not in CATEGORIES:
        entry.note(f"category '{written}' is none of {', '.join(CATEGORIES)}")
    elif category != written:
        entry.note(f"category '{written}' is read as {category}")
    return category


Texts = tuple[int, str, str]  # k, question, answer


def _forget_texts(entry: Entry) -> Iterator[Texts]:
    pairs = entry.items("unsafe_pairs")
    if len(pairs) != UNSAFE_PAIRS:
        entry.note(f"has {len(pairs)} unsafe_pairs instead of {UNSAFE_PAIRS}")
    for k, pair in enumerate(pairs):
        question, answer = pair.text("question"), pair.text("model_response")
        if not (question and answer):
            entry.note(f"unsafe_pairs[{k}] has no {'model_response' if question else 'question'} and is left out")
            continue
        if answer.lstrip().startswith("Input:"):
            entry.note("a forget target starts with a stray 'Input:' and is kept as it is")
        yield k, question, answer


def _decouple_texts(entry: Entry) -> Iterator[Texts]:
    """Question and normal answer for the safe picture; nothing, and a note why, where the record cannot have them."""
    pairs = {k: pair for k, pair in enumerate(entry.items("unsafe_pairs")) if _is_forget_pair(pair)}
    extra = " (its safeNb_pairs name no safe picture and answer)" if "safeNb_pairs" in entry.fields else ""
    if not entry.text("SDImage_path"):
        entry.note(f"Prompt Decouple is not possible: there is no SDImage_path{extra}")
        return
    if not any(pair.text("sd_response") for pair in pairs.values()):
        entry.note(f"Prompt Decouple is not possible: no unsafe pair has an sd_response{extra}")
        return
    for k, pair in pairs.items():
        question = pair.text("question")
        if not pair.text("sd_response"):
            entry.note(f"unsafe_pairs[{k}] has no sd_response, so its decouple pair is left out")
            continue
        if pair.text("sd_question") not in ("", question):
            entry.note("an sd_question differs from its question; as in the paper, the decouple pair asks the question")
        yield k, question, pair.text("sd_response")


def _is_forget_pair(pair: Entry) -> bool:
    return bool(pair.text("question") and pair.text("model_response"))


def _retain_texts(entry: Entry) -> Iterator[Texts]:
    for k, name in enumerate(RETAIN_FIELDS):
        pair = entry.item(name)
        if pair is None:
            entry.note(f"has no {name}, so retain pair {k} is left out")
            continue
        question, answer = pair.text("Question"), pair.text("Prediction")
        if question and answer:
            yield k, question, answer
        else:
            entry.note(f"{name} has no {'Prediction' if question else 'Question'} and is left out")


def _refusals(file: Path, notes: Notes) -> tuple[str, ...]:
    if not file.exists():
        notes.add(file.name, "is not in the folder, so there are no refusal sentences and PO cannot be trained")
        return ()
    content = _parse(_read_text(file), file)
    sentences = content.get("idk") if isinstance(content, dict) else None
    if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
        raise DataError(f'{file.name}, field idk: expected {{"idk": [refusal sentences]}}. Correct or remove the file.')
    refusals = tuple(sentence.strip() for sentence in sentences if sentence.strip())
    if not refusals:
        notes.add(file.name, "has no refusal sentences in idk, so PO cannot be trained")
    return refusals


def _general(file: Path, pictures: PictureFinder, notes: Notes) -> tuple[VQA, ...]:
    """Harmless questions about safe pictures: `{"image_path", "question", "answer", "keyword", "category"?}` each."""
    if not file.exists():
        return ()
    asked: dict[str, list[VQA]] = {}
    for entry in read_entries(file, notes):
        shown = posix(entry.needed("image_path"))
        about_this = asked.setdefault(shown, [])
        pair = VQA(
            id=f"val/{shown}/general/{len(about_this)}",
            set="general",
            split="val",
            category=entry.text("category"),
            picture=_picture(entry, "image_path", pictures),
            question=entry.needed("question"),
            answer=entry.needed("answer"),
            concept=entry.text("keyword") or None,
        )
        about_this.append(pair)
    return tuple(pair for pairs in asked.values() for pair in pairs)
