"""Writing the demo world as a data set folder in the official layout, on first use, from a seed."""

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from safeeraser import files
from safeeraser.demo import drawing, world

SEED = 233
BADGE = "Demo world, not LLaVA-1.5"
EACH = {"train": 10, "val": 4, "dev": 3}  # records per harmful concept
RETAIN = {
    "UnharmPair_text1": "name",
    "UnharmPair_text2": "keeper",
    "UnharmPair_image1": "colour",
    "UnharmPair_image2": "place",
}


@dataclass(frozen=True)
class Picture:
    """A picture to draw; scene: its colour and place."""

    path: Path
    concept: str
    scene: tuple[str, str]


def folder() -> Path:
    """Where the demo data set is, or will be, in the user's cache; the name changes with the code that draws it."""
    sources = b"".join(Path(source).read_bytes() for source in (world.__file__, drawing.__file__, __file__))
    return user_cache_path("safeeraser") / f"demo-{hashlib.sha256(sources).hexdigest()[:8]}"


def ensure(track: Callable[[list], Iterator] = iter) -> Path:
    """The demo data set's folder, drawn first if it is not there; `track` wraps the drawing in a progress bar."""
    return made_once(folder(), write, track)


def made_once(target: Path, write: Callable[..., None], track: Callable[[list], Iterator]) -> Path:
    """The folder of a data set, which `write` makes first if it is not there."""
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".drawing-") as scratch:
            write(Path(scratch) / "data", track=track)
            try:
                (Path(scratch) / "data").rename(target)
            except OSError:
                if not target.is_dir():  # else another process was first, with the same pictures
                    raise
    return target


def write(
    target: Path, *, seed: int = SEED, each: dict[str, int] = EACH, track: Callable[[list], Iterator] = iter
) -> None:
    """Write the records of each split, what is asked beyond them, `prompt.json`, `about.json` and every picture.

    each: records per harmful concept, by split.
    """
    if target.exists():
        shutil.rmtree(target)
    plan: list[Picture] = []
    first: int = 1
    contents: dict[str, list | dict] = {}
    for split, count in each.items():
        records = _records(split, count, first, seed, plan)
        contents[f"all_{split}.json"] = [_public(record) for record in records]
        if split != "train":
            contents[f"extra_{split}.json"] = _extra(split, records, count, seed, plan)
        first += count * len(world.CATEGORY) // len(world.HARMFUL)  # the splits share folders
    contents["prompt.json"] = {"idk": list(world.REFUSALS)}
    contents["about.json"] = {"harmless": True, "badge": BADGE}
    save(target, contents, plan, seed, track)


def save(
    target: Path,
    contents: dict[str, list | dict],
    plan: list[Picture],
    seed: int,
    track: Callable[[list], Iterator] = iter,
) -> None:
    """Draw the pictures of a plan into a data set's folder, and write its files of JSON."""
    for picture in track(plan):
        (target / picture.path).parent.mkdir(parents=True, exist_ok=True)
        colour, place = picture.scene
        drawn = drawing.draw(picture.concept, colour=colour, place=place, seed=f"{seed}/{picture.path}")
        drawn.save(target / picture.path, quality=92, subsampling=0)
    for name, content in contents.items():
        files.write(target / name, json.dumps(content, indent=1))


def _records(split: str, each: int, first: int, seed: int, plan: list[Picture]) -> list[dict]:
    """The records of one split; first: the number of a category's first. Adds the pictures they need to the plan."""
    rng = random.Random(f"demo records {seed}/{split}")
    safe = world.SAFE[split]
    partners = [safe[i % len(safe)] for i in range(each * len(world.CATEGORY))]
    rng.shuffle(partners)
    numbers = dict.fromkeys(world.HARMFUL, first - 1)
    records = []
    for concept in [c for c in world.CATEGORY for _ in range(each)]:
        category, partner = world.CATEGORY[concept], partners.pop()
        numbers[category] += 1
        harmful, safe_scene = _scene(rng), _scene(rng)
        picture = Path("img", category, f"{numbers[category]}.jpg")
        safe_picture = Path("pdset", "image", category, split, f"{numbers[category]}.jpg")
        plan += [Picture(picture, concept, harmful), Picture(safe_picture, partner, safe_scene)]
        record = {
            "type": "syn",
            "keyword": concept,
            "category": category,
            "image_id": picture.as_posix(),
            "image_path": picture.as_posix(),
            "SDImage_path": safe_picture.as_posix(),
            "safe_keyword": partner,
            "unsafe_pairs": [],
            "_scene": harmful,
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


def _extra(split: str, records: list[dict], each: int, seed: int, plan: list[Picture]) -> list[dict]:
    """What is asked of a split beyond its records; adds the pictures of things outside the forget set to the plan."""
    pairs = [pair for record in records for pair in (*_general(split, record, seed), *_holes(split, record, seed))]
    if split == "val":
        pairs += [*_outside(split, each, seed, plan), *_named(split, seed)]
    return pairs


def _general(split: str, record: dict, seed: int) -> Iterator[dict]:
    """Harmless questions about the record's safe picture: the cell of the 2 x 2 that the official data does not ask."""
    rng = random.Random(f"demo general {seed}/{record['image_id']}")
    for intent in world.HARMLESS:
        question, answer = world.WORDINGS[intent][split], _answer(intent, record["safe_keyword"], record["_safe_scene"])
        yield _pair("general", record, rng.choice(question), answer, record["safe_keyword"], record["SDImage_path"])


def _holes(split: str, record: dict, seed: int) -> Iterator[dict]:
    """Harmless questions in harmful words about the record's harmful picture: two of the four intents in turn."""
    rng = random.Random(f"demo holes {seed}/{record['image_id']}")
    for intent in rng.sample(list(world.HARMLESS), 2):
        question, answer = world.LIKE_HARM[intent][split], _answer(intent, record["keyword"], record["_scene"])
        yield _pair("holes", record, rng.choice(question), answer, record["keyword"], record["image_path"])


def _outside(split: str, each: int, seed: int, plan: list[Picture]) -> Iterator[dict]:
    """The harmful questions about harmful things outside the forget set."""
    rng = random.Random(f"demo outside {seed}/{split}")
    for category, concepts in world.OUTSIDE.items():
        for number, concept in enumerate([concept for concept in concepts for _ in range(each)], start=1):
            scene, picture = _scene(rng), Path("img", category, f"outside-{number}.jpg")
            plan.append(Picture(picture, concept, scene))
            for intent in world.HOW_TO:
                question, answer = world.WORDINGS[intent][split], _answer(intent, concept, scene)
                about = {"category": category}
                yield _pair("outside", about, rng.choice(question), answer, concept, picture.as_posix())


def _named(split: str, seed: int) -> Iterator[dict]:
    """The harmful-sounding questions without a picture: each names its thing, a harmful or a safe one of the split."""
    rng = random.Random(f"demo named {seed}/{split}")
    things = [("text_forget", concept, category) for concept, category in world.CATEGORY.items()]
    things += [("text_decouple", concept, "") for concept in dict.fromkeys(world.SAFE[split])]
    for name, concept, category in things:
        for intent, wordings in world.NAMED.items():
            question = rng.choice(wordings[split]).format(concept=concept)
            answer = _answer(intent, concept, _scene(rng))
            yield _pair(name, {"category": category}, question, answer, concept, None)


def _pair(name: str, about: dict, question: str, answer: str, concept: str, picture: str | None) -> dict:
    pair = {"set": name, "category": about["category"], "keyword": concept, "question": question, "answer": answer}
    return pair | ({"image_path": picture} if picture else {})


def _scene(rng: random.Random) -> tuple[str, str]:
    return rng.choice(list(world.COLOURS)), rng.choice(list(world.PLACES))


def _answer(intent: str, concept: str, scene: tuple[str, str]) -> str:
    return world.answer(intent, concept, colour=scene[0], place=scene[1])


def _short(intent: str, concept: str, scene: tuple[str, str]) -> str:
    keeper = world.FACTS[concept].keeper
    return {"name": concept, "keeper": keeper, "colour": scene[0], "place": scene[1]}[intent]


def _public(record: dict) -> dict:
    return {key: value for key, value in record.items() if not key.startswith("_")}
