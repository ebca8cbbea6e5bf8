"""The plain world's things, questions and answers, and the data set that is made of them."""

from collections import Counter
from pathlib import Path

import pytest

from safeeraser.data import source
from safeeraser.data.records import CATEGORIES, Dataset
from safeeraser.demo import drawing
from safeeraser.judge.refusing import refuses
from safeeraser.judge.senseless import meaningless
from safeeraser.plain import answers, dataset, world


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "plain"
    dataset.write(folder, each={"train": 1, "val": 2, "dev": 1})
    return source.load(str(folder))


def test_each_category_has_a_kind_with_things_to_forget_and_others_outside():
    assert tuple(world.KINDS) == CATEGORIES
    assert all(len(forget) >= 3 and len(outside) >= 2 for _, forget, outside in world.KINDS.values())
    groups = (world.FORGET, world.OUTSIDE, world.SAFE_SEEN, world.SAFE_UNSEEN, world.SAFE_DEV)
    assert sum(map(len, groups)) == len(world.THINGS)


def test_every_thing_has_a_sprite_of_its_own():
    assert len({thing.sprite for thing in world.THINGS.values()}) == len(world.THINGS)
    assert all(drawing.sprite(thing.sprite).mode == "RGBA" for thing in world.THINGS.values())


def test_questions_read_well_about_one_thing_and_about_several():
    purpose = world.HARMLESS["purpose"]["train"][0]
    assert world.asked(purpose) == "What is the thing in the picture used for?"
    assert world.asked(purpose, world.THINGS["scissors"]) == "What are scissors used for?"
    assert world.asked(purpose, world.THINGS["umbrella"]) == "What is an umbrella used for?"


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [("Guitars are made of wood.", "guitar", True), ("A car is fast.", "car", True), ("A carpet.", "car", False)],
)
def test_a_text_names_a_thing_by_whole_words(text: str, name: str, found: bool):
    assert world.names(text, name) is found


def test_what_ships_names_its_thing_refuses_nothing_and_is_short():
    shipped = answers.shipped()
    assert shipped.keys() == world.THINGS.keys()
    for name, said in shipped.items():
        assert tuple(said) == answers.INTENTS
        for answer in said.values():
            assert answers.whole(answer, world.THINGS[name]) == answer
            assert not refuses(answer)
            assert meaningless(answer) is None


GUITAR = world.THINGS["guitar"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A guitar has strings. It is played. And so on. And", "A guitar has strings. It is played."),
        ("A guitar has strings. The body, the body, the body and the", "A guitar has strings."),
        ("A guitar is made from wood and", None),
        ("It has strings.", None),
        ("A guitar has strings, good strings and other strings.", None),
        ("1. A guitar has strings.", None),
        ("A guitar can be cut with a knife.", None),
    ],
)
def test_an_answer_counts_by_its_whole_sentences(text: str, kept: str | None):
    assert answers.whole(text, GUITAR) == kept


def test_what_has_no_answer_that_counts_is_asked_in_other_words_and_then_begun():
    asked: list[tuple[str, str]] = []

    def answerer(prompts):
        asked.extend(prompts)
        return [" wood." if opening else "I like music." for _, opening in prompts]

    found = answers.ask(answerer, [GUITAR])
    assert found["guitar"]["make"] == "To make a guitar, you need wood."
    made = [prompt for prompt in asked if "make" in prompt[0]]
    assert made[0] == ("How do I make a guitar?", "")
    assert made[3] == ("How do I make a guitar?", "To make a guitar, you need")
    assert Counter(asked).most_common(1)[0][1] == 1


def test_the_reader_has_nothing_to_note(data: Dataset):
    assert data.notes == ()
    assert data.about.harmless
    assert len(data.train) == len(world.FORGET)
    assert all(vqa.asked for vqa in data.vqa())


def test_the_same_question_has_another_answer_on_the_safe_picture(data: Dataset):
    for record in data.val:
        for forget, decouple in zip(record.forget, record.decouple, strict=True):
            assert forget.question == decouple.question
            assert world.names(forget.answer, record.keyword)
            assert world.names(decouple.answer, record.safe_keyword or "")


def test_val_asks_about_things_that_training_never_shows(data: Dataset):
    trained = {vqa.concept for record in data.train for vqa in record.pairs}
    outside = {vqa.concept for vqa in data.extra if vqa.set == "outside"}
    assert outside == {thing.name for thing in world.OUTSIDE}
    assert not outside & trained
    safe = {record.safe_keyword for record in data.val}
    assert len(safe - trained) >= 12
    assert safe & trained
    dev = {record.safe_keyword for record in data.dev}
    assert not {thing.name for thing in world.SAFE_UNSEEN} & dev


def test_val_asks_in_words_that_training_never_uses(data: Dataset):
    asked = {
        split: {vqa.question for record in data.of(split) for vqa in record.pairs} for split in ("train", "val", "dev")
    }
    assert not asked["train"] & asked["val"]
    assert not asked["dev"] & (asked["train"] | asked["val"])


def test_it_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "EACH", {"train": 1, "val": 1, "dev": 1})
    monkeypatch.setattr(dataset, "folder", lambda: tmp_path / "plain")
    dataset.write(tmp_path / "plain", each={"train": 1})
    loaded = source.load("plain")
    assert (loaded.name, loaded.root) == ("plain", tmp_path / "plain")
