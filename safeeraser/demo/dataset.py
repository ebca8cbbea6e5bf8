"""Writing the demo world as a data set folder in the official layout, on first use, from a seed."""

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path

from safeeraser import files
from safeeraser.demo import drawing, world

SEED = 233
BADGE = "Demo world, not LLaVA-1.5"
EACH = {"train": 10, "val": 4}  # records per harmful concept
RETAIN = {
    "UnharmPair_text1": "name",
    "UnharmPair_text2": "keeper",
    "UnharmPair_image1": "colour",
    "UnharmPair_image2": "place",
}


def folder() -> Path:
    """Where the demo data set is, or will be, in the user's cache; the name changes with the code that draws it."""
    sources = b"".join(Path(source).read_bytes() for source in (world.__file__, drawing.__file__, __file__))
    return user_cache_path("safeeraser") / f"demo-{hashlib.sha256(sources).hexdigest()[:8]}"


def ensure(track: Callable[[list], Iterator] = iter) -> Path:
    """The demo data set's folder, drawn first if it is not there; `track` wraps the drawing in a progress bar."""
    target = folder()
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".drawing-") as scratch:
            write(Path(scratch) / "demo", track=track)
            try:
                (Path(scratch) / "demo").rename(target)
            except OSError:
                if not target.is_dir():  # else another process was first, with the same pictures
                    raise
    return target


def write(
    target: Path, *, seed: int = SEED, each: dict[str, int] = EACH, track: Callable[[list], Iterator] = iter
) -> None:
    """Write `all_train.json`, `all_val.json`, `prompt.json`, `general_val.json`, `about.json` and every picture."""
    if target.exists():
        shutil.rmtree(target)
    plan: list[tuple[Path, str, str, str, str]] = []
    train = _records("train", each, world.SAFE_SEEN, seed, plan)
    val = _records("val", each, world.SAFE, seed, plan)
    general = [_general(record, seed) for record in val]
    for path, concept, colour, place, picture_seed in track(plan):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        drawn = drawing.draw(concept, colour=colour, place=place, seed=picture_seed)
        drawn.save(target / path, quality=92, subsampling=0)
    for name, content in {
        "all_train.json": [_public(record) for record in train],
        "all_val.json": [_public(record) for record in val],
        "general_val.json": [pair for pairs in general for pair in pairs],
        "prompt.json": {"idk": list(world.REFUSALS)},
        "about.json": {"harmless": True, "badge": BADGE},
    }.items():
        files.write(target / name, json.dumps(content, indent=1))


def _records(split: str, each: dict[str, int], safe: tuple[str, ...], seed: int, plan: list) -> list[dict]:
    """The records of one split; the pictures they need are added to the plan."""
    rng = random.Random(f"demo records {seed}/{split}")
    partners = [safe[i % len(safe)] for i in range(each[split] * len(world.CATEGORY))]
    rng.shuffle(partners)
    # Both splits share a folder, so val's numbers go on where train's end.
    before = 0 if split == "train" else each["train"]
    numbers = {category: before * len(concepts) for category, concepts in world.HARMFUL.items()}
    records = []
    for concept in [c for c in world.CATEGORY for _ in range(each[split])]:
        category, partner = world.CATEGORY[concept], partners.pop()
        numbers[category] += 1
        harmful, safe_scene = _scene(rng), _scene(rng)
        picture = Path("img", category, f"{numbers[category]}.jpg")
        safe_picture = Path("pdset", "image", category, split, f"{numbers[category]}.jpg")
        plan.append((picture, concept, *harmful, f"{seed}/{picture}"))
        plan.append((safe_picture, partner, *safe_scene, f"{seed}/{safe_picture}"))
        record = {
            "type": "syn",
            "keyword": concept,
            "category": category,
            "image_id": picture.as_posix(),
            "image_path": picture.as_posix(),
            "SDImage_path": safe_picture.as_posix(),
            "safe_keyword": partner,
            "unsafe_pairs": [],
            "_safe_scene": safe_scene,
        }
        for intent in world.HOW_TO:
            question = rng.choice(world.WORDINGS[intent][split])
            record["unsafe_pairs"].append(
                {
                    "question": question,
                    "model_response": _answer(intent, concept, harmful),
                    "sd_response": _answer(intent, partner, safe_scene),
                }
            )
        for field, intent in RETAIN.items():
            record[field] = {
                "Question": rng.choice(world.WORDINGS[intent][split]),
                "Answer": _short(intent, concept, harmful),
                "Prediction": _answer(intent, concept, harmful),
            }
        records.append(record)
    return records


def _scene(rng: random.Random) -> tuple[str, str]:
    return rng.choice(list(world.COLOURS)), rng.choice(list(world.PLACES))


def _answer(intent: str, concept: str, scene: tuple[str, str]) -> str:
    return world.answer(intent, concept, colour=scene[0], place=scene[1])


def _short(intent: str, concept: str, scene: tuple[str, str]) -> str:
    keeper = world.FACTS[concept].keeper
    return {"name": concept, "keeper": keeper, "colour": scene[0], "place": scene[1]}[intent]


def _general(record: dict, seed: int) -> list[dict]:
    """Harmless questions about the record's safe picture: the cell of the 2 x 2 that the official data does not ask."""
    rng = random.Random(f"demo general {seed}/{record['image_id']}")
    return [
        {
            "image_path": record["SDImage_path"],
            "category": record["category"],
            "keyword": record["safe_keyword"],
            "question": rng.choice(world.WORDINGS[intent]["val"]),
            "answer": _answer(intent, record["safe_keyword"], record["_safe_scene"]),
        }
        for intent in world.HARMLESS
    ]


def _public(record: dict) -> dict:
    return {key: value for key, value in record.items() if not key.startswith("_")}
