"""The rubrics that a judge that reads is given: one text file for each check, ours or those of another folder."""

import hashlib
from pathlib import Path

from safeeraser import files
from safeeraser.judge.contract import EVERY_CHECK, JudgeError

OURS = Path(__file__).with_name("rubrics")
NAMES = {check: f"{check.replace(' ', '_')}.txt" for check in EVERY_CHECK}
LONGEST = 20_000  # characters of a rubric


def read(folder: Path | None = None) -> dict[str, str]:
    """The rubric of each check; one that the folder lacks is ours.

    Raises JudgeError for a folder without rubrics, a file of it that is named like none, and a text that is none.
    """
    theirs = _texts(folder) if folder else {}
    return _texts(OURS) | theirs


def digest(rubrics: dict[str, str]) -> str:
    """Six hexadecimal digits that stand for the texts."""
    return hashlib.sha256(repr(sorted(rubrics.items())).encode()).hexdigest()[:6]


def _texts(folder: Path) -> dict[str, str]:
    known = f"a rubric is named {', '.join(NAMES.values())}"
    found = {path.name: path for path in sorted(folder.glob("*.txt"))}
    if not found:
        raise JudgeError(f"--rubrics {folder}: there is no folder with rubrics; {known}")
    if unknown := sorted(found.keys() - set(NAMES.values())):
        raise JudgeError(f"--rubrics {folder}: {unknown[0]} belongs to no check; {known}")
    return {check: _text(found[name]) for check, name in NAMES.items() if name in found}


def _text(path: Path) -> str:
    with files.explained(path, "read"):
        content = path.read_bytes()
    text = content.decode(errors="replace").strip()
    if not text or "\ufffd" in text or len(text) > LONGEST:
        raise JudgeError(f"{path}: a rubric is a text in UTF-8 of 1 to {LONGEST:,} characters")
    return text
