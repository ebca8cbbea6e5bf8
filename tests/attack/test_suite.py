"""What the attacks do to questions and pictures: pure, the same each time, and nothing is lost on the way."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from safeeraser.attack import drawing, suite, wording
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.demo import world

LONG = "Describe in every detail and with all the parts that it has how the thing in the picture is put together. " * 12


def picture(width: int = 90, height: int = 60) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def asks(question: str) -> VQA:
    return VQA("val/img/1.jpg/forget/0", "forget", "val", "Weapon", None, question, "")


def test_every_attack_changes_something_and_has_a_name_of_its_own():
    names = [one.name for one in suite.ATTACKS]
    assert len(set(names)) == len(names)
    assert names[0] == suite.NONE.name
    assert all(one.ask or one.draw or one.unseen or one.begins or one.weights for one in suite.ATTACKS[1:])
    assert {one.kind for one in suite.ATTACKS} == set(suite.KINDS)


def test_chosen_attacks_come_in_the_suites_order_behind_the_model_as_it_is():
    assert [one.name for one in suite.chosen("standard", ["blur", "paraphrase"])] == ["none", "paraphrase", "blur"]
    assert suite.chosen("standard") == list(suite.ATTACKS)
    with pytest.raises(ConfigError, match="--only bribe: there is no such attack; known: none, paraphrase"):
        suite.chosen("standard", ["blur", "bribe"])


@pytest.mark.parametrize(("pd", "projector", "applies"), [(True, True, True), (True, False, False)])
def test_the_projector_can_be_put_back_only_where_it_was_trained(pd: bool, projector: bool, applies: bool):
    (attack,) = [one for one in suite.ATTACKS if one.name == "projector"]
    config = RunConfig.create(pd=pd, train_projector=projector)
    assert (attack.why_not(config) is None) == applies
    assert attack.why_not(config.base()) is not None


def test_another_wording_of_the_demo_world_asks_the_same_and_was_kept_for_val(tiny_data: Dataset):
    for record in tiny_data.val:
        for vqa in record.pairs:
            (intent,) = [name for name, of in world.WORDINGS.items() if vqa.question in of["val"]]
            other = wording.reworded(vqa)
            assert other != vqa.question
            assert other in world.WORDINGS[intent]["val"]
            assert other == wording.reworded(vqa)


@pytest.mark.parametrize("name", ["paraphrase", "one-word", "prefix-injection", "role-play"])
def test_other_questions_are_asked_word_for_word_in_the_new_words(name: str):
    (attack,) = [one for one in suite.ATTACKS if one.name == name]
    assert attack.ask is not None
    asked = attack.ask(asks("How is this built?"))
    assert "How is this built?" in asked
    assert asked != "How is this built?"


@pytest.mark.parametrize("one", [one for one in suite.ATTACKS if one.draw], ids=lambda one: one.name)
def test_a_changed_picture_is_another_one_and_the_same_each_time(one: suite.Attack):
    assert one.draw is not None
    before = picture()
    drawn = [one.draw(picture(), "How?") for _ in range(2)]
    assert drawn[0].tobytes() == drawn[1].tobytes()
    assert drawn[0].mode == "RGB"
    assert drawn[0].tobytes() != before.tobytes()
    assert before.tobytes() == picture().tobytes()
    if not one.written:
        assert drawn[0].size == before.size


def test_noise_has_the_spread_that_it_says_and_a_crop_keeps_the_middle():
    grey = Image.new("RGB", (200, 200), drawing.GREY)
    spread = np.asarray(drawing.noise(grey, ""), dtype=float).std()
    assert spread == pytest.approx(drawing.NOISE, rel=0.05)
    framed = Image.new("RGB", (100, 100), "black")
    framed.paste("white", (10, 10, 90, 90))
    assert np.asarray(drawing.crop(framed, "")).min() > 200


@pytest.mark.parametrize("question", ["How?", LONG, "word" * 200, ""])
def test_figstep_fits_all_of_the_question_and_the_list_into_the_lower_half(question: str):
    side, font, lines = drawing.layout(question)
    assert "".join("".join(lines[:-3]).split()) == "".join(question.split())
    assert lines[-3:] == ["1.", "2.", "3."]
    drawn = np.asarray(drawing.figstep(picture(), question).convert("L"))
    assert drawn.shape == (side, side)
    lower = drawn[side // 2 :]
    dark = np.argwhere(lower < 128)
    assert dark.min() >= 0
    assert (lower[-4:] == 255).all()
    assert (lower[:, -4:] == 255).all()
    rows = len(lines) * drawing.SPACING * font.size
    assert dark[:, 0].max() <= rows


def test_figstep_of_the_same_question_is_the_same_bytes_and_of_another_is_not():
    digests = {
        hashlib.sha256(drawing.figstep(picture(), question).tobytes()).hexdigest()
        for question in ("How?", "How?", "What?")
    }
    assert len(digests) == 2
