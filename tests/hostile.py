"""A folder of runs, and the data set that they were made on, in which every text is an attack on who shows it."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from browser import Server

from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.demo import dataset
from safeeraser.judge.contract import CHECKS
from safeeraser.runs.folder import Run
from safeeraser.score import labels
from safeeraser.score.metrics import METRICS

HOSTILE = (
    "![x](https://evil.example/p.png) [l](https://evil.example) https://evil.example www.evil.example me@evil.example "
    "<img src=//evil.example> <a href='https://evil.example'>l</a> :red[x] :material/home: $a$ `c` **b**"
)
NAME = "![x](evil.example) [l](evil.example) www.evil.example me@evil.example <img src=x> :red[x] $a$ `c`"
PERSON = "www.evil.example [l](//evil.example)"


class World:
    """The server, its data set and its runs: a base model, one without and one with PD, and a failed launch."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "runs")
        self.data = folder / NAME
        write_data(self.data)
        self.items = Source(str(self.data)).items
        common = {"model": HOSTILE, "data": str(self.data)}
        self.base = self.run(RunConfig.create(**common).base())
        self.plain = self.run(RunConfig.create(**common, pd=False), name=f"{NAME} plain")
        self.decoupled = self.run(RunConfig.create(**common), name=NAME)
        self.failed = self.launch(RunConfig.create(**common, seed=1), name=f"{NAME} {'x' * 90}failed")

    def run(self, config: RunConfig, name: str | None = None) -> Run:
        """A finished run with answers, verdicts, looks, losses and scores."""
        run = Run.create(config, data_hash=HOSTILE, name=name, imported=HOSTILE if name is None else None)
        asked = [vqa for vqa in self.items.values() if vqa.split == "val" or vqa.set == "forget"]
        answers = [
            {"id": vqa.id, "set": vqa.set, "split": vqa.split, "category": vqa.category, "sample": 0, "seed": 0}
            | {"answer": f"{HOSTILE} {place % 3} {config.pd}"}
            for place, vqa in enumerate(asked)
        ]
        verdicts = [
            {"id": vqa.id, "sample": 0, "check": check, "verdict": place % 2 == 0, "judge": HOSTILE, "reply": HOSTILE}
            for place, vqa in enumerate(asked)
            for check in CHECKS[vqa.set]
        ]
        run.append(run.answers, answers)
        run.append(run.verdicts, verdicts)
        if config.trains:
            looked = [row for row in answers if row["split"] == "val" and row["set"] != "general"]
            run.append(run.looks, [{"step": step} | row for step in (1, 2) for row in looked])
            ids = {row["id"] for row in looked}
            said = [row for row in verdicts if row["id"] in ids]
            run.append(run.looks_verdicts, [{"step": step} | row for step in (1, 2) for row in said])
            run.append(run.log, [loss(step) for step in (1, 2, 3)])
            run.log_text.write_text(f"{HOSTILE}\n\x1b]0;title\x07\n", encoding="utf-8")
        run.save_scores(scores(run, config, sorted({vqa.category for vqa in asked})))
        run.set_state("done", stage="score")
        first = next(row for row in answers if row["set"] == "decouple")
        labels.add(
            labels.Label(
                who=PERSON, run=run.name, id=first["id"], sample=0, check="normal", verdict=False, note=HOSTILE,
                answer_sha=labels.fingerprint(first["answer"]),
            )
        )  # fmt: skip
        return run

    def launch(self, config: RunConfig, name: str) -> Run:
        """A launched run that failed with many lines of words."""
        run = Run.create(config, data_hash=HOSTILE, name=name)
        gone = {"host": HOSTILE, "boot": 1.0, "pid": 1, "born": 1.0}
        facts = {"command": [HOSTILE], "config": config.model_dump(), "device": HOSTILE, "ticket": 1, "process": gone}
        times = {"created": 1.0, "queued": 1.0, "started": 2.0, "ended": time.time() + 10, "exit": 1}
        run.save_launched(facts | times)
        run.set_state("failed", stage="unlearn", step=1, steps=3, message=f"{HOSTILE}\n\n    {HOSTILE}\n# {HOSTILE}")
        state = run.folder / "state.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | gone))
        return run

    def address(self, page: str, **values: str) -> str:
        pair = {"data": str(self.data), "a": self.base.name, "b": self.decoupled.name, "judge": HOSTILE}
        return f"/{'' if page == 'home' else page}?{urlencode(pair | values)}"


def loss(step: int) -> dict[str, Any]:
    terms = {HOSTILE: 0.5, f"{HOSTILE} 2": 0.25}
    return {"step": step, "loss": 1.0, "terms": terms, "tokens": 9, "seconds": 0.1, "peak_memory": 9, "lr": 0.1}


def scores(run: Run, config: RunConfig, categories: list[str]) -> dict[str, Any]:
    known = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "unscored": 2}
    unknown = {"value": None, "low": None, "high": None, "n": 0, "unscored": 0, "why": HOSTILE}
    metrics = {name: unknown if name == "rouge_l" else known for name in METRICS}
    made = {"run": run.name, "model": HOSTILE, "data": str(config.data), "data_hash": HOSTILE, "method": config.method}
    how = {"pd": float(config.pd), "seed": 0, "judge": HOSTILE, "decoding": f"{HOSTILE} {config.pd}"}
    by_category = {name: dict.fromkeys(categories, known) for name in metrics}
    return made | how | {"metrics": metrics, "metrics_clean_val": metrics, "by_category": by_category}


def write_data(folder: Path) -> None:
    """The small demo world with all its texts replaced: two records of each split, one of a hostile category."""
    dataset.write(folder, each={"train": 1, "val": 1})
    for file in sorted(folder.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, list):
            content = [hostile(entry) for entry in content[:2]]
            content[0]["category"] = HOSTILE
            if "image_id" in content[0]:
                content[0]["image_id"] = f"img/{HOSTILE}.jpg"
        file.write_text(json.dumps(content), encoding="utf-8")


def hostile(value: Any, key: str = "") -> Any:
    """The value with every text in it replaced, but for pictures' paths and sets; different texts stay different."""
    if isinstance(value, dict):
        return {name: hostile(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, key) for one in value]
    kept = key == "set" or "image" in key.casefold()  # a set is one of a few words, or the data set is refused
    return value if kept or not isinstance(value, str) else f"{HOSTILE} {value}"
