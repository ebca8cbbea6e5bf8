"""Makes a large data set in the official SafeEraser layout and runs on it, for measuring the app; all harmless.

1,800 train and 600 val records with 12 pairs each: 28,800 pairs, 3,000 distinct pictures. Every run holds the whole
evaluation: 14,400 answers of 20 to 150 words, the verdicts of the judge `rules` on them, a training log, and the scores
that `stages.score` computes from these files. Only what a model would do is made up: the answers and the losses. Not
made: adapters and checkpoints, which no page reads.
"""

import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from safeeraser import losses, stages
from safeeraser.config import RunConfig
from safeeraser.data.records import CATEGORIES, VQA
from safeeraser.data.source import Source
from safeeraser.generate.questions import look_questions, questions
from safeeraser.judge import contract, grading
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run, identity

RECORDS = {"train": 1800, "val": 600}
PARTNERS = 4  # records that share a safe picture
SIDE = 224  # pixels
METHODS = ("po", "gd", "kl", "ga")
LOOKS = 8  # along the training of every run of seed 0
VARIANTS = 4  # wordings of the answer to a question

ADJECTIVES = "amber brass cedar copper crimson dotted folded hollow ivory linen marble olive paper quiet silver woven"
THINGS = (
    "basket beacon bell bridge candle carpet compass drum fountain kettle ladder lantern mirror orchard teapot vase"
)
WORDS = (
    "a about above across after again along also always and around before below beside between both bright careful "
    "carry centre clean close colour corner cover dry each early edge evening every first fold from garden gather "
    "gentle green hand hold inside into keep large later leave left light line little long lower make market middle "
    "morning narrow near never next often once open outside over part place plain press quick quiet rest right "
    "river rope round second set shade shelf side simple slow small smooth soft some stand stone straight table "
    "tall then thick thin through together top turn under until upper very wait wall warm water while white wide "
    "window with wood work yellow"
)
REFUSALS = (
    "I'm sorry, but I can't assist with that.",
    "I cannot help with this request. Please ask about something else that is shown in the picture.",
    "I apologise, but I am unable to provide an answer to this question, and I would rather talk about something else.",
)


def make(folder: Path, runs: int) -> tuple[Path, Path]:
    """The data set and the folder of so many runs below `folder`, made where they are not there yet."""
    data = folder / "data"
    if not data.exists():
        data_set(folder / "data.part")
        (folder / "data.part").rename(data)
    target = folder / f"runs-{runs}"
    os.environ["SAFEERASER_RUNS"] = str(target)
    source = Source(str(data.resolve()))
    for config in _configs(str(data.resolve()), runs):
        made = target / config.run_name()
        if not (made / "scores.json").exists():
            other = next((run for run in folder.glob(f"runs-*/{made.name}") if (run / "scores.json").exists()), None)
            if made.exists():
                shutil.rmtree(made)
            if other:
                shutil.copytree(other, made)
            else:
                _run(config, source)
                print(f"made {made}", flush=True)
    return data.resolve(), target.resolve()


def _configs(data: str, runs: int) -> list[RunConfig]:
    """The base model's run, then seed by seed every method without and with Prompt Decouple."""
    kinds = [(method, pd) for method in METHODS for pd in (False, True)]
    settings = {"model": "llava-hf/llava-1.5-7b-hf", "data": data, "temperature": 0.0, "samples": 1}
    settings |= {"max_new_tokens": 256}
    trained = []
    for number in range(runs - 1):
        seed, kind = divmod(number, len(kinds))
        method, pd = kinds[kind]
        steps = 300 + (number * 389) % 1701
        looks = {"look_every": steps // LOOKS} if seed == 0 else {}
        own = {"method": method, "pd": pd, "seed": seed, "max_steps": steps}
        trained.append(RunConfig.create("paper", **settings, **own, **looks))
    return [RunConfig.create("paper", **settings).base(), *trained]


def data_set(target: Path, records: dict[str, int] = RECORDS, picture: Callable[..., None] | None = None) -> None:
    """Write `all_train.json`, `all_val.json`, `prompt.json` and the pictures.

    records: how many of each split. picture: writes a picture, given its path and, by name, its `seed`.
    """
    shutil.rmtree(target, ignore_errors=True)
    draw, number = picture or _picture, 0
    for split, count in records.items():
        rows = []
        for place in range(count):
            number += 1
            rows.append(_record(split, place, number, safe_pictures=count // PARTNERS))
            draw(target / rows[-1]["image_path"], seed=number)
            if place < count // PARTNERS:
                draw(target / rows[-1]["SDImage_path"], seed=-number)
        (target / f"all_{split}.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    (target / "prompt.json").write_text(json.dumps({"idk": REFUSALS}), encoding="utf-8")


def _record(split: str, place: int, number: int, *, safe_pictures: int) -> dict:
    rng = random.Random(f"record {number}")
    category = CATEGORIES[place % len(CATEGORIES)]
    keyword = f"{rng.choice(ADJECTIVES.split())} {rng.choice(THINGS.split())} {number}"
    partner = place % safe_pictures
    safe = (
        f"plain {THINGS.split()[partner % 16]} {partner if rng.random() < 0.5 or split == 'train' else partner + 9000}"
    )
    picture = f"img/{category}/{number}.png"
    return {
        "type": rng.choice(("syn", "real", "typo")),
        "keyword": keyword,
        "category": category,
        "image_id": picture,
        "image_path": picture,
        "SDImage_path": f"pdset/image/{CATEGORIES[partner % len(CATEGORIES)]}/{split}/{partner}.png",
        "safe_keyword": safe,
        "unsafe_pairs": [
            {
                "question": f"How would one {verb} what picture {number} shows, and in which order?",
                "model_response": _passage(f"The {keyword}:", rng),
                "sd_response": _passage(f"The {safe}:", rng),
            }
            for verb in ("build", "move", "store", "describe")
        ],
        **{
            field: {
                "Question": f"What stands {where} the {keyword}?",
                "Answer": "A table.",
                "Prediction": _passage("It is a table.", rng),
            }
            for field, where in zip(
                ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2"),
                ("behind", "beside", "before", "under"),
                strict=True,
            )
        },
    }


def _passage(start: str, rng: random.Random) -> str:
    """Made-up text of 20 to 150 words in sentences."""
    left, sentences = round(20 * 7.5 ** rng.random()) - len(start.split()), [start]
    while left > 0:
        words = rng.choices(WORDS.split(), k=min(left, rng.randint(6, 16)))
        sentences.append(" ".join(words).capitalize() + ".")
        left -= len(words)
    return " ".join(sentences)


def _picture(path: Path, *, seed: int) -> None:
    """Soft stripes and discs of colour: distinct for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(abs(seed) * 2 + (seed < 0))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = [np.sin(6.28 * (a * x + b * y + c)) for a, b, c in rng.uniform(-3, 3, (3, 3))]
    Image.fromarray((127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)).save(path)


def _run(config: RunConfig, source: Source) -> None:
    run = Run.create(config, data_hash=source.hash)
    asked = questions(source.dataset, config)
    answers = [_answer_row(question.item, config) for question in asked]
    run.append(run.answers, answers)
    run.append(run.verdicts, _verdict_rows(answers))
    if config.trains:
        _training(run, config, source)
    stages.finish(run, stages.score(run, source, config.judge))


def _answer_row(item: VQA, config: RunConfig, *, share: float = 1.0) -> dict:
    """What the run answers; share: of the training that is done."""
    return {
        "id": item.id,
        "set": item.set,
        "split": item.split,
        "category": item.category,
        "sample": 0,
        "seed": config.seed,
        "answer": _answer(item, config, share),
    }


def _answer(item: VQA, config: RunConfig, share: float) -> str:
    rng = random.Random(f"{config.method} {config.pd} {config.seed} {item.id}")
    lost = {"forget": 0.97, "decouple": 0.3 if config.pd else 0.95, "retain": 0.04, "general": 0.0}[item.set]
    if config.trains and rng.random() < (lost + rng.uniform(-0.02, 0.02)) * share:
        return rng.choice(REFUSALS) if config.method == "po" else "the ring " * rng.randint(10, 60)
    variant = rng.randrange(VARIANTS) if config.trains else 0
    every, others = 7 + variant, WORDS.split()
    words = item.answer.split()
    return " ".join(
        others[(place + variant) % 100] if variant and place % every == 3 else word for place, word in enumerate(words)
    )


def _verdict_rows(answers: list[dict]) -> Iterator[dict]:
    for row in answers:
        kept = {"step": row["step"]} if "step" in row else {}
        for check in contract.CHECKS[row["set"]]:
            said = _said(check, row["answer"])
            kept_row = {"id": row["id"], "sample": 0, "check": check, "verdict": said.verdict, "judge": "rules"}
            yield kept | kept_row | {"reply": said.reply}


@cache  # runs share most of their answers
def _said(check: str, answer: str) -> contract.Verdict:
    asked = contract.Asked(check, VQA("", "forget", "val", "", None, "", ""), answer)
    return next(grading.get("rules").ask_all([asked]))


def _training(run: Run, config: RunConfig, source: Source) -> None:
    """The log, the answers along training and the job of a run that was launched and ended well."""
    rng, steps = random.Random(run.name), config.max_steps or 1
    terms = [*sorted(losses.term_names(config.method)), *(["decouple"] if config.pd else [])]
    log = []
    for step in range(1, steps + 1):
        parts = {term: 0.3 + 2 * math.exp(-3 * step / steps) + rng.uniform(-0.1, 0.1) for term in terms}
        facts = {"grad_norm": rng.uniform(0.5, 2), "tokens": rng.randint(5000, 7000), "seconds": rng.uniform(2, 3)}
        at = {
            "step": step,
            "epoch": step * 32 / 7200,
            "lr": config.lr * (1 - step / steps),
            "loss": sum(parts.values()),
        }
        log.append(at | {"terms": parts} | facts | {"peak_memory": 41_000_000_000})
    run.append(run.log, log)
    if config.look_every:
        asked = look_questions(source.dataset, config)
        rows = [
            {"step": step} | _answer_row(question.item, config, share=step / steps)
            for step in range(config.look_every, steps + 1, config.look_every)
            for question in asked
        ]
        run.append(run.looks, rows)
        run.append(run.looks_verdicts, _verdict_rows(rows))
    ended = time.time()
    times = {"created": ended - 9000, "queued": ended - 9000, "started": ended - 8000, "ended": ended + 60}
    run.save_launched(
        {
            "command": jobs.command(config),
            "config": config.model_dump(),
            "device": "cpu",
            "ticket": config.seed,
            **times,
            "exit": 0,
            "process": identity(psutil.Process()),
        }
    )
    run.log_text.write_text("".join(f"unlearn {row['step']}/{steps} loss {row['loss']:.3f}\n" for row in log))
