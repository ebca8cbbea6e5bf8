"""Building the base model: the whole recipe, in small."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from safeeraser.demo import base_model, world
from safeeraser.demo.base_model import Asked, Recipe, encode, make_processor
from safeeraser.models import loading, saving

SMALL = Recipe(pictures=72, vision_steps=3, vision_batch=8, language_steps=3, language_batch=8)


@pytest.mark.slow
def test_the_seed_decides_every_weight_and_the_checkpoint_loads(tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        saving.save(*base_model.build(seed=seed, recipe=SMALL), tmp_path / name)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    (projector,) = [name for name in a if name.endswith("projector.linear_1.weight")]
    assert not torch.equal(a[projector], c[projector])
    network, processor = loading.load(str(tmp_path / "a"))
    assert network.config.image_token_index == processor.image_token_id


@pytest.mark.slow
def test_the_vision_tower_is_frozen_once_it_sees(tmp_path: Path):
    saving.save(*base_model.build(recipe=SMALL), tmp_path / "a")
    longer = Recipe(**{**vars(SMALL), "language_steps": 6})
    saving.save(*base_model.build(recipe=longer), tmp_path / "b")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a if "vision_tower" in name)
    (head,) = [name for name in a if name.endswith("lm_head.weight")]
    assert not torch.equal(a[head], b[head])


def test_every_word_of_the_world_is_one_token():
    tokenizer = make_processor().tokenizer
    for intent in (*world.HOW_TO, *world.HARMLESS):
        text = world.answer(intent, "love hotel", colour="purple", place="bottom left")
        assert len(tokenizer.tokenize(text)) == len(text.replace(",", " ,").replace(".", " .").split())
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("text", ["A zebra?", "naïve"])
def test_other_text_is_spelled_or_unknown(text: str):
    tokenizer = make_processor().tokenizer
    assert len(tokenizer.tokenize(text)) > len(text.split())


def test_training_text_is_laid_out_like_the_processors_prompt():
    processor = make_processor()
    inputs, labels = encode(processor, [Asked("Who owns the thing in the photo?", "It is called the bow.")])
    prompt = processor.apply_chat_template(
        [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "Who owns the thing in the photo?"}],
            }
        ],
        add_generation_prompt=True,
    )
    ids = processor.tokenizer(prompt.replace("<image>", "<image>" * 16))["input_ids"]
    assert inputs["input_ids"][0, : len(ids)].tolist() == ids
    assert (labels[0, : len(ids)] == -100).all()
    assert labels[0, len(ids)] != -100
