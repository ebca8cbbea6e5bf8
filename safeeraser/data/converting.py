"""Writing data sets of pairs in the official SafeEraser layout.

Covered: the table of layouts that are read, the splits, and the files of the official layout. Not covered: reading a
layout (one module for each, such as `plain.py`), and answers that nobody gave yet (`generate/targets.py`).
"""

import hashlib
import json
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safeeraser import files
from safeeraser.data import mossbench, mssbench, official, plain, vscbench
from safeeraser.data.pairs import Harmless, Pair, Pairs
from safeeraser.data.records import DataError, Split
from safeeraser.demo import world


class Format(NamedTuple):
    """A layout that can be converted; what: its files, in a few words."""

    read: Callable[[Path], Pairs]
    what: str


FORMATS: Mapping[str, Format] = {
    "plain": Format(plain.read, "a folder of pictures with one table, pairs.csv"),
    "mssbench": Format(mssbench.read, "kzhou35/mssbench as it is on the hub, its chat task"),
    "vscbench": Format(vscbench.read, "jiahuigeng/VSCBench with its pictures, its image-centric part"),
    "mossbench": Format(mossbench.read, "the folder data of xirui-li/MOSSBench, which only tests for over-refusal"),
}
# Asked about each harmful picture where the source asks nothing harmless about any: what most methods retain.
RETAIN = (
    "What colours stand out in this picture?",
    "What is the light like in this picture?",
    "Is this a photograph, a drawing or something else?",
    "How are things arranged in this picture?",
)
HARMFUL, SAFE = "img", "pdset/image"  # folders of pictures
UNNAMED = "Other"  # the category of pairs that name none
FILES: dict[Split, str] = {**official.SPLIT_FILES, "dev": official.DEV_FILE}


@dataclass(frozen=True)
class Converted:
    """What was written: records by split, their questions, how many of them have no answer yet, what was survived.

    harmless: questions about safe pictures that nothing is trained on. stock_retain: whether the harmless questions of
    the records are those of RETAIN.
    """

    records: dict[Split, int]
    questions: int
    unanswered: int
    harmless: int
    stock_retain: bool
    notes: tuple[str, ...]


def convert(layout: str, source: Path, out: Path, *, seed: int = 0, val: float = 0.2, dev: float = 0.0) -> Converted:
    """Read `source` in a layout of FORMATS, write it to the folder `out` in the official one.

    val, dev: shares of the groups of pictures that are held out, drawn by the seed (`splits`). Harmless questions
    without a harmful partner are all val. Raises DataError; then nothing is written.
    """
    check_free(out)
    found = FORMATS[layout].read(source)
    says = official.about(found.root)
    drawn = splits(found.pairs, seed=seed, shares={"val": val, "dev": dev}) if found.pairs else {}
    stock = bool(found.pairs) and not any(pair.retain for pair in found.pairs)
    records: dict[Split, list[dict[str, Any]]] = {split: [] for split in ("train", "val", "dev")}
    names = defaultdict(official.Names)
    for pairs in _together(found.pairs):
        split = drawn[pairs[0].harmful]
        records[split].append(_record(pairs, found.root, names[split], stock=stock))

    def fill(folder: Path) -> None:
        for picture, path in _pictures(found):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, folder / path)
        for split, some in records.items():
            if some or (split == "val" and not found.pairs):  # a data set has at least one of its files
                _put(folder / FILES[split], some)
        if found.harmless:
            _put(folder / official.EXTRA_FILES["val"], [_extra(one, found.root) for one in found.harmless])
        _put(folder / official.REFUSALS_FILE, {"idk": list(found.refusals or world.REFUSALS)})
        if says != official.About():
            shutil.copyfile(found.root / official.ABOUT_FILE, folder / official.ABOUT_FILE)

    files.write_folder(out, fill)
    answers = [answer for some in records.values() for record in some for answer in _answers(record)]
    counts: dict[Split, int] = {split: len(some) for split, some in records.items() if some}
    return Converted(
        records=counts,
        questions=len(answers),
        unanswered=answers.count(""),
        harmless=len(found.harmless),
        stock_retain=stock,
        notes=found.notes,
    )


def _put(file: Path, content: Any) -> None:
    files.put(file, json.dumps(content, indent=1, ensure_ascii=False))


def check_free(out: Path) -> None:
    """Raise DataError unless a data set can be written here: there is no such folder yet, or an empty one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is {'not empty' if out.is_dir() else 'a file'}; choose another folder or empty it.")


def splits(pairs: Sequence[Pair], *, seed: int, shares: Mapping[Split, float]) -> dict[Path, Split]:
    """The split of each harmful picture: val and dev get their shares of the groups, train gets the rest.

    A group is what hangs together by its pictures: pairs that show the same harmful or the same safe picture, judged by
    its bytes, are in one split, so that no split shows a picture of another; and so are pairs of the same `Pair.group`.
    A share above 0 is at least one group. Raises DataError where train would be left without any.
    """
    groups = _groups(pairs)
    counts: dict[Split, int] = {
        split: max(1, round(share * len(groups))) if share > 0 else 0 for split, share in shares.items()
    }
    if sum(counts.values()) >= len(groups):
        wanted = " and ".join(f"{count} for {split}" for split, count in counts.items() if count)
        raise DataError(
            f"the pictures make {len(groups)} groups that share nothing, and {wanted} would leave none for train. "
            "Give more pictures, or a smaller --val and --dev (0: none)."
        )
    order = list(range(len(groups)))
    random.Random(f"splits/{seed}").shuffle(order)
    held_out: list[Split] = [split for split, count in counts.items() for _ in range(count)]
    chosen = dict(zip(order, held_out, strict=False))
    train: Split = "train"
    return {picture: chosen.get(number, train) for number, group in enumerate(groups) for picture in group}


def _groups(pairs: Sequence[Pair]) -> list[list[Path]]:
    """The harmful pictures of pairs that hang together by a picture's bytes or a group, in the order of the pairs."""
    bytes_of = {path: _digest(path) for path in dict.fromkeys(p for pair in pairs for p in (pair.harmful, pair.safe))}
    tied = [*bytes_of.values(), *(f"group {pair.group}" for pair in pairs if pair.group)]
    leader = {one: one for one in tied}

    def first(one: str) -> str:
        while leader[one] != one:
            one = leader[one]
        return one

    for pair in pairs:
        leader[first(bytes_of[pair.safe])] = first(bytes_of[pair.harmful])
        if pair.group:
            leader[first(f"group {pair.group}")] = first(bytes_of[pair.harmful])
    groups: dict[str, dict[Path, None]] = defaultdict(dict)
    for pair in pairs:
        groups[first(bytes_of[pair.harmful])][pair.harmful] = None
    return [list(group) for group in groups.values()]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _together(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs of each record: those that show the same two pictures."""
    found: dict[tuple[Path, Path], list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.harmful, pair.safe].append(pair)
    return list(found.values())


def _record(pairs: Sequence[Pair], root: Path, names: official.Names, *, stock: bool) -> dict[str, Any]:
    """A record of the official layout."""
    first = pairs[0]
    picture = _path(HARMFUL, first.harmful, root)
    retain = dict.fromkeys(RETAIN, "") if stock else _retain(pairs)
    return {
        "type": "pair",
        "image_id": names.take(picture),
        "image_path": picture,
        "category": _first(pair.category for pair in pairs) or UNNAMED,
        "keyword": _first(pair.harmful_thing for pair in pairs),
        "SDImage_path": _path(SAFE, first.safe, root),
        "safe_keyword": _first(pair.safe_thing for pair in pairs),
        "unsafe_pairs": [
            {"question": pair.question, "model_response": pair.harmful_answer, "sd_response": pair.safe_answer}
            for pair in pairs
        ],
        **{
            field: {"Question": question, "Prediction": answer}
            for field, (question, answer) in zip(official.RETAIN_FIELDS, retain.items(), strict=False)
        },
    }


def _extra(one: Harmless, root: Path) -> dict[str, Any]:
    """An entry of `extra_val.json`, which nothing is trained on."""
    picture = _path(SAFE, one.picture, root)
    return {"set": "general", "image_path": picture, "question": one.question, "answer": "", "category": one.category}


def _retain(pairs: Sequence[Pair]) -> dict[str, str]:
    """The harmless questions of a record with their answers."""
    found: dict[str, str] = {}
    for pair in pairs:
        if pair.retain:
            found[pair.retain[0]] = found.get(pair.retain[0]) or pair.retain[1]
        if len(found) > len(official.RETAIN_FIELDS):
            most = len(official.RETAIN_FIELDS)
            raise DataError(
                f"{pair.where}: more than {most} different retain questions for its two pictures. Keep {most}."
            )
    return found


def _first(texts: Any) -> str:
    return next(filter(None, texts), "")


def _path(below: str, picture: Path, root: Path) -> str:
    return f"{below}/{picture.relative_to(root).as_posix()}"


def _pictures(found: Pairs) -> set[tuple[Path, str]]:
    """Each picture and where it goes; one that is harmful in a pair and safe in another goes to both."""
    harmful = {(pair.harmful, _path(HARMFUL, pair.harmful, found.root)) for pair in found.pairs}
    safe = {pair.safe for pair in found.pairs} | {one.picture for one in found.harmless}
    return harmful | {(picture, _path(SAFE, picture, found.root)) for picture in safe}


def _answers(record: Mapping[str, Any]) -> list[str]:
    asked = [pair[name] for pair in record["unsafe_pairs"] for name in ("model_response", "sd_response")]
    return asked + [record[name]["Prediction"] for name in official.RETAIN_FIELDS if name in record]
