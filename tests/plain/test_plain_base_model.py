"""Joining and training the plain world's base model, on one that is cut down."""

from collections.abc import Callable
from pathlib import Path

import pytest
import small
import torch
from rich.console import Console
from rich.progress import Progress

from safeeraser.demo import drawing
from safeeraser.models import encoder, loading, packing, saving
from safeeraser.plain import answers, asking, base_model, pictures, rows, training, world
from safeeraser.plain.rows import Texts
from safeeraser.plain.training import Recipe, Trainer

RECIPE = Recipe(pictures=1, naming_steps=2, naming_batch=4, steps=4, rows=2, questions=2, rank=2, named=0.5)
QUESTION = "How do I make the thing in the picture?"


@pytest.fixture(autouse=True)
def few_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "THINGS", {name: world.THINGS[name] for name in ("guitar", "hat", "scissors")})


def trained(folder: Path, recipe: Recipe = RECIPE, seed: int = 0) -> dict[str, torch.Tensor]:
    with Progress(console=Console(quiet=True)) as progress:
        return training.train(*small.joined(), seed=seed, recipe=recipe, folder=folder, progress=progress, every=1)


def test_the_joined_model_is_the_two_it_is_made_of():
    model, processor = small.joined()
    words = torch.tensor([processor.tokenizer("hello")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(input_ids=words).logits[..., :-1], small.language()(input_ids=words).logits)
        pixels = torch.rand(1, 3, 64, 64)
        seen = model.model.vision_tower(pixels).last_hidden_state
        assert torch.equal(seen, small.tower()(pixels).last_hidden_state)
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_training_text_is_what_the_encoder_makes_of_a_pair(tmp_path: Path):
    model, processor = small.joined()
    picture = tmp_path / "hat.png"
    drawing.draw("hat", colour="red", place="centre", seed="0").save(picture)
    loading.complete("small", processor, model)
    encoded, prompt = encoder.Encoder(processor).tokens(QUESTION, "A hat.", picture)
    texts = Texts(processor)
    assert texts.count == 4
    assert texts.pair(QUESTION, "A hat.", shown=True, longest=None) == (encoded, prompt)
    alone, start = encoder.Encoder(processor).tokens("Is it?", "No.", None)
    assert texts.pair("Is it?", "No.", shown=False, longest=2) == (alone[: start + 2], start)


def test_a_row_is_packed_as_unlearning_packs_it():
    texts = Texts(small.joined()[1])
    pairs = [texts.pair(QUESTION, answer, shown=True, longest=None) for answer in ("A hat.", "Wool.")]
    row = texts.row(pairs, picture=0)
    prefix = row.segments.count(rows.PREFIX)
    other = packing.pack([ids for ids, _ in pairs], prefix)
    assert (row.ids, row.positions, row.segments) == (other.ids, other.positions, other.segments)
    assert row.ids[prefix - 1] == texts.image
    assert row.ids[prefix] != texts.image
    segments = torch.tensor([[*row.segments, rows.PADDING]])
    assert torch.equal(rows.seeing(segments), packing.mask(segments))
    assert sum(label != -100 for label in row.labels) == len("A hat.") + len("Wool.") + 2


def test_the_projector_learns_names_and_then_all_learn_answers(tmp_path: Path):
    losses = []
    recipe = Recipe(**{**vars(RECIPE), "steps": 1, "naming_steps": 30, "naming_lr": 1e-2})
    model, processor = small.joined()
    trainer = Trainer(model, processor, seed=0, recipe=recipe)
    with Progress(console=Console(quiet=True)) as progress:
        trainer.pool = pictures.make_pool(model, processor, 1, 0, tmp_path, progress)
        before = trainer._naming_loss([0, 1, 2]).item()
        trainer.name_pictures(progress)
    assert trainer._naming_loss([0, 1, 2]).item() < before - 0.5
    some = [trainer._row(training.random.Random(0))]
    for _ in range(12):
        losses.append(trainer._loss(some).item())
        trainer.optimizer.zero_grad()
        trainer._loss(some).backward()
        trainer.optimizer.step()
    assert losses[-1] < losses[0]
    assert all(layer.b.abs().sum() > 0 for layer in trainer.low.values())


def test_the_seed_decides_and_a_training_that_was_stopped_ends_as_if_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, other = trained(tmp_path / "whole"), trained(tmp_path / "other", seed=1)
    assert any(not torch.equal(whole[name], other[name]) for name in whole)
    steps = iter(range(2))

    def stop(take: Callable) -> Callable:
        def step(self: Trainer) -> float:
            next(steps)  # StopIteration on the third
            return take(self)

        return step

    with monkeypatch.context() as stopped:
        stopped.setattr(Trainer, "take_step", stop(Trainer.take_step))
        with pytest.raises(StopIteration):
            trained(tmp_path / "stopped")
    again = trained(tmp_path / "stopped")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_what_was_trained_is_small_and_makes_the_same_model_again(tmp_path: Path):
    model, processor = small.joined()
    trainer = Trainer(model, processor, seed=0, recipe=RECIPE)
    with Progress(console=Console(quiet=True)) as progress:
        trainer.pool = pictures.make_pool(model, processor, 1, 0, tmp_path, progress)
        trainer.name_pictures(progress)
    for _ in range(3):
        trainer.take_step()
    fresh, _ = small.joined()
    base_model.merge(fresh, {name: tensor.float() for name, tensor in trainer.trained().items()})
    inputs = processor.tokenizer(Texts(processor).prompt(QUESTION), return_tensors="pt", add_special_tokens=False)
    pixels = torch.rand(1, 3, 64, 64)
    model.model.language_model.float()
    model.lm_head.float()
    with torch.no_grad():
        now, then = (one(**inputs, pixel_values=pixels).logits for one in (model, fresh))
    assert torch.allclose(now, then, atol=2e-2)
    assert not torch.allclose(now, small.joined()[0](**inputs, pixel_values=pixels).logits, atol=2e-2)


def test_the_checkpoint_loads_like_any_other(tmp_path: Path):
    model, processor = small.joined()
    saving.save(base_model.half(model), processor, tmp_path / "model")
    network, read = loading.load(str(tmp_path / "model"))
    assert read.image_token_id == network.config.image_token_index
    assert read.num_additional_image_tokens == 0
    assert not network.model.vision_tower.training
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(network.model.vision_tower(pixels).last_hidden_state, small.tower()(pixels).last_hidden_state)


def test_answers_in_words_are_asked_in_the_models_own_format(monkeypatch: pytest.MonkeyPatch):
    language, words = small.language(), small.tokenizer()
    words.chat_template = base_model.TEMPLATE
    asked: list[str] = []
    monkeypatch.setattr(
        asking,
        "greedy",
        lambda *_, **how: lambda prompts: asked.extend(p for p, _ in prompts) or ["."] * len(prompts),
    )
    assert asking.in_words(language, words)([("How?", "You")]) == ["."]
    assert asked == [
        f"<|im_start|>system\n{answers.SYSTEM}<|im_end|>\n<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nYou"
    ]


def test_new_pictures_of_things_are_asked_about():
    model, processor = small.joined()
    told = asking.ask_anew(model, processor, list(world.THINGS.values()), seed=1)
    assert [one.thing.name for one in told] == ["guitar", "guitar", "hat", "hat", "scissors", "scissors"]
    assert {"?", "."} >= {one.question[-1] for one in told}
