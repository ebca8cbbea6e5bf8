"""Decoding with shared pictures gives the answers of one question at a time, in any company."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.generate import answering, decode, sampling
from safeeraser.generate.questions import Question, questions
from safeeraser.models import adapter, loading
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder


@pytest.fixture
def base(config: RunConfig) -> RunConfig:
    return config.base().model_copy(update={"max_new_tokens": 12})


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> tuple[Any, Encoder]:
    """A tiny model whose answers are of many lengths: any of forty tokens ends one."""
    network, processor = loading.load(str(tiny_model))
    assert network.generation_config is not None
    network.generation_config.eos_token_id = [2, *range(50, 350, 8)]
    return network, Encoder(processor)


@pytest.fixture
def asked(tiny_data: Dataset, base: RunConfig) -> list[Question]:
    """The 68 questions of a small evaluation: 52 about 8 pictures, as `test_answering.py` counts, 16 in words alone."""
    return questions(tiny_data, base)


def adapted(network: Any, config: RunConfig, *, seed: int = 0) -> Any:
    """The model with an adapter of random numbers, large enough to change what it says."""
    torch.manual_seed(seed)
    model = adapter.attach(network, config)
    for parameter in adapter.trainable(model):
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def said(model: Any, encoder: Encoder, asked: list[Question], config: RunConfig, **how: Any) -> dict:
    return {question.key: text for question, text in answering.answers(model, encoder, asked, config, **how)}


def one_at_a_time(model: Any, encoder: Encoder, asked: list[Question], config: RunConfig) -> dict:
    return said(model, encoder, asked, config.model_copy(update={"engine": "plain", "answer_batch": 1}))


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_greedy_answers_are_those_of_one_question_at_a_time(
    loaded: tuple[Any, Encoder], asked: list[Question], base: RunConfig, slots: int
):
    network, encoder = loaded
    expected = one_at_a_time(network, encoder, asked, base)
    lengths = {len(encoder.tokenizer(text)["input_ids"]) for text in expected.values()}
    assert len(lengths) > 3  # so that answers end at different steps
    assert said(network, encoder, asked, base.model_copy(update={"answer_batch": slots})) == expected


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_answer_like_one_question_at_a_time(
    family: str, tmp_path: Path, asked: list[Question], base: RunConfig
):
    network, processor = loading.load(str(FAMILIES[family](tmp_path)))
    encoder = Encoder(processor)
    asked = asked[:14] + asked[-6:]
    expected = one_at_a_time(network, encoder, asked, base)
    assert len(set(expected.values())) > 1
    assert said(network, encoder, asked, base.model_copy(update={"answer_batch": 5})) == expected


@pytest.mark.slow
@pytest.mark.parametrize("slots", [5, 64])
def test_greedy_answers_with_an_adapter_are_those_of_one_question_at_a_time(
    tiny_model: Path, asked: list[Question], config: RunConfig, base: RunConfig, slots: int
):
    network, processor = loading.load(str(tiny_model))
    encoder = Encoder(processor)
    before = said(network, encoder, asked, base)
    model = adapted(network, config)
    expected = one_at_a_time(model, encoder, asked, base)
    assert said(model, encoder, asked, base.model_copy(update={"answer_batch": slots})) == expected != before


@pytest.mark.slow
def test_sampled_answers_do_not_depend_on_engine_batch_or_order(
    loaded: tuple[Any, Encoder], asked: list[Question], base: RunConfig
):
    network, encoder = loaded
    sampled = base.model_copy(update={"temperature": 1.0, "top_k": 9, "top_p": 0.95, "answer_batch": 7})
    again = [replace(question, sample=sample) for question in asked for sample in range(3)]
    expected = one_at_a_time(network, encoder, again, sampled)
    assert said(network, encoder, again, sampled) == expected
    assert said(network, encoder, again[::-1], sampled.model_copy(update={"answer_batch": 64})) == expected
    some = again[40:50]
    assert said(network, encoder, some, sampled) == {question.key: expected[question.key] for question in some}
    assert len({expected[asked[0].item.id, sample] for sample in range(3)}) == 3
    other = said(network, encoder, again, sampled.model_copy(update={"seed": 1}))
    assert sum(other[key] == expected[key] for key in expected) < len(expected) / 4


def test_answers_that_end_at_once_are_empty(tiny_model: Path, asked: list[Question], base: RunConfig):
    network, processor = loading.load(str(tiny_model))
    assert network.generation_config is not None
    network.generation_config.eos_token_id = list(range(len(processor.tokenizer)))
    answers = said(network, Encoder(processor), asked, base.model_copy(update={"answer_batch": 3}))
    # The end token itself is spoken unless it is a special one, as `generate` has it.
    assert answers == one_at_a_time(network, Encoder(processor), asked, base)
    assert all(len(text.split()) <= 1 for text in answers.values())


def test_a_picture_with_one_question_and_a_question_asked_alone_are_answered_alike(
    loaded: tuple[Any, Encoder], asked: list[Question], base: RunConfig
):
    network, encoder = loaded
    expected = said(network, encoder, asked, base)
    for question in asked[::7]:
        assert said(network, encoder, [question], base) == {question.key: expected[question.key]}


def test_pictures_are_computed_once_and_several_at_a_time(
    loaded: tuple[Any, Encoder], asked: list[Question], base: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    network, encoder = loaded
    batches: list[int] = []
    see = network.model.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(len(kwargs.get("pixel_values", args[0] if args else ()))),
        with_kwargs=True,
    )
    try:
        together = said(network, encoder, asked, base)
        pictures = len({question.item.picture for question in asked if not question.item.text_only})
        assert sum(batches) == pictures == 8
        assert len(batches) == 1
        monkeypatch.setattr(decode, "PREFILL_TOKENS", 1)
        batches.clear()
        assert said(network, encoder, asked, base) == together
        assert batches == [1] * pictures
    finally:
        see.remove()


def test_half_precision_answers_every_question(tiny_model: Path, asked: list[Question], base: RunConfig):
    network, processor = loading.load(str(tiny_model), precision="bf16")
    answers = said(network, Encoder(processor), asked, base)
    assert answers.keys() == {question.key for question in asked}
    assert len(set(answers.values())) > 1


def test_pictures_read_ahead_by_processes_are_answered_alike_and_leave_the_random_state_alone(
    loaded: tuple[Any, Encoder], asked: list[Question], base: RunConfig
):
    network, encoder = loaded
    sampled = base.model_copy(update={"temperature": 1.0})
    state = torch.get_rng_state()
    assert said(network, encoder, asked, sampled, workers=2) == said(network, encoder, asked, sampled)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_would_answer_otherwise_is_refused(tiny_model: Path, asked: list[Question], base: RunConfig):
    network, processor = loading.load(str(tiny_model))
    assert network.generation_config is not None
    network.generation_config.repetition_penalty = 1.2
    with pytest.raises(ModelError, match=r"--engine shared cannot run Llava.*repetition_penalty.*--engine plain"):
        said(network, Encoder(processor), asked, base)
    network.generation_config.repetition_penalty = 1.0
    network.set_attn_implementation("eager")
    with pytest.raises(ModelError, match="attention is 'eager', not 'sdpa'"):
        said(network, Encoder(processor), asked, base)
    network.set_attn_implementation("sdpa")
    network.model.language_model.get_rope_index = None
    with pytest.raises(ModelError, match="positions have several dimensions"):
        said(network, Encoder(processor), asked, base)


def drawn(probabilities: list[float], uniform: list[float], *, temperature: float = 1.0, **how: Any) -> list:
    logits = torch.tensor([probabilities]).log().expand(len(uniform), -1)
    return sampling.sample(logits, torch.tensor(uniform), temperature=temperature, **how).tolist()


def test_a_draw_walks_through_the_likeliest_tokens_first():
    # In order: token 2 up to 0.5, token 0 up to 0.8, token 3 up to 0.95, token 1 up to 1.
    likely = [0.3, 0.05, 0.5, 0.15]
    assert drawn(likely, [0.0, 0.49, 0.51, 0.79, 0.81, 0.94, 0.96, 0.9999]) == [2, 2, 0, 0, 3, 3, 1, 1]


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p():
    # 0.5 + 0.3 = 0.8 reach 0.7: tokens 2 and 0, of which 2 has 0.5 / 0.8 = 0.625.
    likely = [0.3, 0.05, 0.5, 0.15]
    assert drawn(likely, [0.62, 0.63, 0.9999], top_p=0.7) == [2, 0, 0]
    assert drawn(likely, [0.0, 0.9999], top_p=0.4) == [2, 2]
    assert drawn(likely, [0.9999], top_p=0.81) == [3]


def test_top_k_comes_before_the_nucleus():
    # The two likeliest, 0.5 and 0.3, become 0.625 and 0.375: of these the first alone reaches 0.6. The other way round,
    # 0.5 does not reach 0.6, so both would stay.
    likely = [0.3, 0.05, 0.5, 0.15]
    assert drawn(likely, [0.0, 0.9999], top_k=2, top_p=0.6) == [2, 2]
    assert drawn(likely, [0.62, 0.63, 0.9999], top_k=2) == [2, 0, 0]
    assert drawn(likely, [0.9999], top_k=1) == [2]
    assert drawn(likely, [0.9999], top_k=9) == drawn(likely, [0.9999], top_k=None) == [1]
    # Tokens as likely as the last one stay: 0.4, 0.3, 0.3.
    assert drawn([0.3, 0.4, 0.3], [0.39, 0.41, 0.69, 0.71], top_k=2) == [1, 0, 0, 2]


def test_the_tokens_left_are_those_of_transformers():
    logits = torch.randn(3, 60, generator=torch.Generator().manual_seed(2)) * 2
    warp = [TemperatureLogitsWarper(0.8), TopKLogitsWarper(7), TopPLogitsWarper(0.9)]
    theirs = logits
    for one in warp:
        theirs = one(torch.empty(0), theirs)
    uniform = torch.linspace(0, 0.9999, 500)
    for row, kept in zip(logits, theirs, strict=True):
        ours = sampling.sample(row.expand(500, -1), uniform, temperature=0.8, top_k=7, top_p=0.9)
        assert set(ours.tolist()) == set(kept.isfinite().nonzero().flatten().tolist())
        shares = torch.bincount(ours, minlength=60) / 500
        assert torch.allclose(shares, kept.softmax(-1), atol=2 / 500)


def test_the_temperature_sharpens():
    # At T = 0.5 probabilities are squared: 0.64, 0.04 -> 16/17 = 0.941 and 1/17.
    assert drawn([0.8, 0.2], [0.93, 0.95], temperature=0.5) == [0, 1]
    assert drawn([0.8, 0.2], [0.79, 0.81]) == [0, 1]


def test_a_draw_at_the_very_end_stays_in_the_nucleus():
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    assert drawn([0.6, 0.3, 0.1], [largest], top_p=0.85) == [1]
    many = torch.rand(200, generator=torch.Generator().manual_seed(0))
    [token] = drawn((many / many.sum()).tolist(), [largest], top_p=0.5)
    order = many.sort(descending=True).indices.tolist()
    kept = next(count for count in range(200) if many[order[:count]].sum() / many.sum() >= 0.5)
    assert order.index(token) == kept - 1


def test_draws_are_those_of_the_distribution():
    config = RunConfig(max_new_tokens=4000, temperature=1.0)
    uniform = draws_of(config)
    tokens = torch.tensor(drawn([0.3, 0.05, 0.5, 0.15], uniform.tolist()))
    shares = torch.bincount(tokens, minlength=4) / len(tokens)
    # Four standard errors of a share of 0.5.
    assert torch.allclose(shares, torch.tensor([0.3, 0.05, 0.5, 0.15]), atol=4 * (0.25 / 4000) ** 0.5)


def draws_of(config: RunConfig) -> Tensor:
    from safeeraser.data.records import VQA

    return torch.tensor(sampling.draws(config, Question(VQA("val/1/forget/0", "forget", "val", "", None, "", ""), 0)))
