"""The demo world: harmless, readable, truly held out, and the same from the same seed."""

import json
from pathlib import Path

from safeeraser.assets import ASSETS
from safeeraser.data import health, official
from safeeraser.data.records import Dataset
from safeeraser.demo import dataset, world


def test_every_concept_has_a_sprite_and_facts_of_its_own():
    assert len(world.SAFE["val"]) >= 32
    assert all(len(concepts) == 2 for concepts in world.OUTSIDE.values())
    assert all(len(concepts) == 4 for concepts in world.HARMFUL.values())
    sprites = {file.stem.replace("-", " ") for file in (ASSETS / "demo" / "sprites").glob("*.png")}
    assert sprites == set(world.CONCEPTS)
    parts = [part for facts in world.FACTS.values() for part in (facts.first, facts.second, facts.site)]
    assert len(set(parts)) == len(parts)


def test_every_answer_can_be_read_back():
    for intent in (*world.HOW_TO, *world.HARMLESS):
        reading = world.read(world.answer(intent, "kiss mark", colour="grey", place="top left"))
        assert reading is not None
        assert reading.intent == intent
    assert world.read("To make the kiss mark, first fetch the the the.") is None
    assert all(world.read(refusal) is None for refusal in world.REFUSALS)


def test_nothing_of_val_occurs_in_training(tiny_data: Dataset):
    train = [vqa for record in tiny_data.train for vqa in record.pairs]
    val = [vqa for vqa in tiny_data.vqa() if vqa.split == "val"]
    assert not {v.question for v in val} & {v.question for v in train}
    hashes = health.picture_hashes(tiny_data)
    assert not {hashes[v.picture] for v in val if v.picture} & {hashes[v.picture] for v in train if v.picture}
    assert {v.concept for v in train if v.set == "decouple"} <= set(world.SAFE_SEEN)
    assert {v.concept for v in val if v.set == "decouple"} & set(world.SAFE_UNSEEN)
    assert health.clean_val(tiny_data) == {v.id for v in val}


def test_the_same_words_are_asked_of_harmful_and_safe_pictures(tiny_data: Dataset):
    for record in tiny_data.records:
        assert [v.question for v in record.forget] == [v.question for v in record.decouple]
        assert record.keyword in world.CATEGORY
        assert record.safe_keyword in world.SAFE[record.split]
        assert all(record.keyword in v.answer for v in record.forget)


def test_the_seed_decides_every_byte(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        dataset.write(tmp_path / name, seed=seed, each={"train": 1, "val": 1})
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    records = (tmp_path / name / "all_train.json" for name in ("a", "c"))
    assert len({file.read_bytes() for file in records}) == 2


def test_the_data_set_is_drawn_on_first_use_and_then_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(dataset, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(
        dataset.write, "__kwdefaults__", {**dataset.write.__kwdefaults__, "each": {"train": 1, "val": 1}}
    )
    seen: list[int] = []

    def track(plan: list) -> list:
        seen.append(len(plan))
        return plan

    folder = dataset.ensure(track)
    assert dataset.ensure(track) == folder
    assert seen == [2 * 48 + 12]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert len(official.load(folder).records) == 48
    assert json.loads((folder / "prompt.json").read_text())["idk"] == list(world.REFUSALS)
