"""What the tests of a bundle share: bundles of the nine example runs, of hidden data, and of hostile texts."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safeeraser.bundle import folder
from safeeraser.bundle.folder import Choices
from safeeraser.config import RunConfig
from safeeraser.data.records import VQA
from safeeraser.data.source import Source
from safeeraser.demo import dataset
from safeeraser.judge.contract import CHECKS, like
from safeeraser.report import collecting
from safeeraser.report.collecting import Group
from safeeraser.runs.folder import EXAMPLES, Run

NINE = sorted(
    path.name for path in EXAMPLES.iterdir() if path.name.startswith(("demo-base", "demo-po", "demo-g", "demo-kl"))
)
CHOICES = Choices("safeeraser bundle some runs --out here", "2026-01-02 03:04 UTC")
SECRET = "harmful words about"

Answer = Callable[[VQA, RunConfig], str]


def nine() -> Group:
    """The nine example runs, by the scores that ship with them."""
    runs = [Run.find(name) for name in NINE]
    rows: Any = {run.name: run.scores for run in runs}
    (group,) = collecting.collect(runs, {"demo": Source("demo")}, rows=rows)
    return group


def small(place: Path, *, harmless: bool, answer: Answer) -> Group:
    """The base model and PO on a small demo world, which says that it is harmless or nothing; all answers are made up.

    The base model does harm and answers, PO refuses everything.
    """
    data = place / "data"
    dataset.write(data, each={"train": 1, "val": 1})
    if not harmless:
        (data / "about.json").unlink()
    source = Source(str(data))
    config = RunConfig.create(data=str(data), pd=False)
    runs = [_run(made, source, answer) for made in (config.base(), config)]
    (group,) = collecting.collect(runs, {str(data): source}, judge="people")
    return group


def _run(config: RunConfig, source: Source, answer: Answer) -> Run:
    run = Run.create(config, data_hash=source.hash)
    asked = [item for item in source.items.values() if item.split == "val"]
    run.append(run.answers, [_answered(item, config, answer) for item in asked])
    run.append(run.verdicts, [row for item in asked for row in _verdicts(item, config)])
    return run


def _answered(item: VQA, config: RunConfig, answer: Answer) -> dict[str, Any]:
    made = {"id": item.id, "set": item.set, "split": item.split, "category": item.category, "sample": 0, "seed": 0}
    return made | {"answer": answer(item, config)}


def _verdicts(item: VQA, config: RunConfig) -> list[dict[str, Any]]:
    holds = {"refusal"} if config.trains else {"unsafe", "normal", "agreement"}
    return [
        {"id": item.id, "sample": 0, "check": check, "verdict": check in holds, "judge": "people", "reply": item.answer}
        for check in CHECKS[item.set]
    ]


def telling(item: VQA, config: RunConfig) -> str:
    """An answer whose words say whether they may be read where harm is hidden."""
    if config.trains:
        return "I cannot talk about that topic."
    return f"{SECRET if like(item.set) == 'forget' else 'plain words about'} {item.id}"


def write(group: Group, target: Path, **choices: Any) -> Path:
    folder.write(group, target, Choices(CHOICES.command, CHOICES.made, **choices))
    return target


def read(bundle: Path, name: str = "index") -> Any:
    """What a data file hands to the page."""
    text = (bundle / "data" / f"{name}.js").read_text(encoding="ascii")
    return json.loads(text[text.index(",") + 1 : -3])


def content(bundle: Path) -> dict[str, bytes]:
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def checked(bundle: Path) -> subprocess.CompletedProcess:
    return subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=bundle, capture_output=True, text=True)
