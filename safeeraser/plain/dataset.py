"""Writing the plain world as a data set folder in the official layout, on first use, from a seed."""

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path

from safeeraser.demo import dataset, drawing
from safeeraser.demo.dataset import Picture
from safeeraser.plain import answers, world
from safeeraser.plain.world import Thing

SEED = 233
BADGE = "Plain world, not LLaVA-1.5"
NOTE = f"Harmless things play the harmful part here: {', '.join(kind for kind, _, _ in world.KINDS.values())}."
EACH = {"train": 6, "val": 2, "dev": 1}  # records per thing in the forget set
SAFE = {
    "train": world.SAFE_SEEN,
    "val": (*world.SAFE_SEEN, *world.SAFE_UNSEEN),
    "dev": (*world.SAFE_SEEN, *world.SAFE_DEV * 2),
}
RETAIN = {
    "UnharmPair_text1": "purpose",
    "UnharmPair_text2": "where",
    "UnharmPair_image1": "name",
    "UnharmPair_image2": "colour",
}
Scene = tuple[str, str]  # colour, place


def folder() -> Path:
    """Where the data set is, or will be, in the user's cache; the name changes with what it is made of."""
    made_of = [Path(module.__file__ or "") for module in (world, answers, drawing, dataset)]
    content = b"".join(path.read_bytes() for path in (*made_of, Path(__file__), answers.FILE))
    return user_cache_path("safeeraser") / f"plain-{hashlib.sha256(content).hexdigest()[:8]}"


def ensure(track: Callable[[list], Iterator] = iter) -> Path:
    """The data set's folder, drawn first if it is not there; `track` wraps the drawing in a progress bar."""
    return dataset.made_once(folder(), write, track)


def write(
    target: Path, *, seed: int = SEED, each: dict[str, int] = EACH, track: Callable[[list], Iterator] = iter
) -> None:
    """Write the records of each split, what is asked beyond them, `prompt.json`, `about.json` and every picture.

    each: records per thing in the forget set, by split.
    """
    if target.exists():
        shutil.rmtree(target)
    plan: list[Picture] = []
    contents: dict[str, list | dict] = {}
    for split, count in each.items():
        records = list(_records(split, count, seed, plan))
        contents[f"all_{split}.json"] = [record for record, _, _ in records]
        if split != "train":
            contents[f"extra_{split}.json"] = [pair for one in records for pair in _general(split, *one, seed)]
        if split == "val":
            contents[f"extra_{split}.json"] += [*_outside(split, count, seed, plan), *_named(split, seed)]  # type: ignore[operator]
    contents["prompt.json"] = {"idk": list(world.REFUSALS)}
    contents["about.json"] = {"harmless": True, "badge": BADGE, "note": NOTE}
    dataset.save(target, contents, plan, seed, track)


def _records(split: str, each: int, seed: int, plan: list[Picture]) -> Iterator[tuple[dict, Thing, Scene]]:
    """The records of one split, each with its safe thing and that one's scene; adds their pictures to the plan."""
    rng = random.Random(f"plain records {seed}/{split}")
    stand_ins = [thing for thing in world.FORGET for _ in range(each)]
    partners = [SAFE[split][i % len(SAFE[split])] for i in range(len(stand_ins))]
    rng.shuffle(partners)
    for number, (thing, partner) in enumerate(zip(stand_ins, partners, strict=True), start=1):
        category, scene, safe_scene = world.FORGET[thing], _scene(rng), _scene(rng)
        picture = Path("img", category, f"{split}-{number}.jpg")
        safe_picture = Path("pdset", "image", category, split, f"{number}.jpg")
        plan += [Picture(picture, thing.sprite, scene), Picture(safe_picture, partner.sprite, safe_scene)]
        record = {
            "type": "syn",
            "keyword": thing.name,
            "category": category,
            "image_id": picture.as_posix(),
            "image_path": picture.as_posix(),
            "SDImage_path": safe_picture.as_posix(),
            "safe_keyword": partner.name,
            "unsafe_pairs": [
                {
                    "question": world.asked(rng.choice(wordings[split])),
                    "model_response": answers.of(intent, thing, scene[0]),
                    "sd_response": answers.of(intent, partner, safe_scene[0]),
                }
                for intent, wordings in world.HOW_TO.items()
            ],
        }
        for field, intent in RETAIN.items():
            record[field] = {
                "Question": world.asked(rng.choice(world.HARMLESS[intent][split])),
                "Answer": scene[0] if intent == "colour" else thing.name,
                "Prediction": answers.of(intent, thing, scene[0]),
            }
        yield record, partner, safe_scene


def _general(split: str, record: dict, partner: Thing, scene: Scene, seed: int) -> Iterator[dict]:
    """Harmless questions about the record's safe picture: the cell of the 2 x 2 that the official data does not ask."""
    rng = random.Random(f"plain general {seed}/{record['image_id']}")
    for intent, wordings in world.HARMLESS.items():
        question, answer = world.asked(rng.choice(wordings[split])), answers.of(intent, partner, scene[0])
        yield _pair("general", record["category"], question, answer, partner, record["SDImage_path"])


def _outside(split: str, each: int, seed: int, plan: list[Picture]) -> Iterator[dict]:
    """The questions that stand-ins must not answer, about those outside the forget set."""
    rng = random.Random(f"plain outside {seed}/{split}")
    for thing, category in world.OUTSIDE.items():
        for number in range(1, each + 1):
            scene, picture = _scene(rng), Path("img", category, f"outside-{thing.name.replace(' ', '-')}-{number}.jpg")
            plan.append(Picture(picture, thing.sprite, scene))
            for intent, wordings in world.HOW_TO.items():
                question, answer = world.asked(rng.choice(wordings[split])), answers.of(intent, thing, scene[0])
                yield _pair("outside", category, question, answer, thing, picture.as_posix())


def _named(split: str, seed: int) -> Iterator[dict]:
    """The same questions without a picture: each names its thing, a stand-in or a safe one of the split."""
    rng = random.Random(f"plain named {seed}/{split}")
    things = [("text_forget", thing, category) for thing, category in world.FORGET.items()]
    things += [("text_decouple", thing, "") for thing in dict.fromkeys(SAFE[split])]
    for name, thing, category in things:
        for intent, wordings in world.HOW_TO.items():
            question = world.asked(rng.choice(wordings[split]), thing)
            yield _pair(name, category, question, answers.of(intent, thing, ""), thing, None)


def _pair(name: str, category: str, question: str, answer: str, thing: Thing, picture: str | None) -> dict:
    pair = {"set": name, "category": category, "keyword": thing.name, "question": question, "answer": answer}
    return pair | ({"image_path": picture} if picture else {})


def _scene(rng: random.Random) -> Scene:
    return rng.choice(list(world.COLOURS)), rng.choice(list(world.PLACES))
