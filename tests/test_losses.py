"""Losses and methods, with numbers worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from safeeraser import losses
from safeeraser.config import PARTS, ConfigError, RunConfig
from safeeraser.losses import METHODS, View


def logits_of(*rows: tuple[float, ...]) -> torch.Tensor:
    """Logits [tokens, vocabulary] of these probabilities."""
    return torch.tensor(rows).log()


# Example 0 has two tokens of probability 0.5 and 0.25, example 1 one token of probability 0.1.
UNEVEN = View(
    logits=logits_of((0.5, 0.4, 0.1), (0.5, 0.25, 0.25), (0.1, 0.2, 0.7)),
    labels=torch.tensor([0, 1, 0]),
    example=torch.tensor([7, 7, 2]),
)
# (ln 2 + ln 4) / 2 = 1.0397; ln 10 = 2.3026; their mean:
UNEVEN_NLL = (1.5 * math.log(2) + math.log(10)) / 2


def test_nll_is_the_mean_of_each_example_before_the_mean_of_the_batch():
    assert losses.nll(UNEVEN).item() == pytest.approx(UNEVEN_NLL)


def test_ascent_is_minus_nll():
    assert losses.ascent(UNEVEN).item() == pytest.approx(-UNEVEN_NLL)


def test_kl_goes_from_base_to_current_and_not_back():
    view = View(
        logits=logits_of((0.5, 0.5)),
        labels=torch.tensor([1]),
        example=torch.tensor([0]),
        base_logits=logits_of((0.8, 0.2)),
    )
    forward = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)  # 0.1927
    backward = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)  # 0.2231
    assert losses.kl(view).item() == pytest.approx(forward, abs=1e-6)
    assert forward != pytest.approx(backward, abs=1e-2)


def test_negative_preference_weighs_whole_answers_against_the_base_models():
    # Example 7 is (0.5 / 0.2) x (0.25 / 0.5) = 1.25 times as likely as for the base model, example 2 a fifth as likely.
    base = logits_of((0.2, 0.4, 0.4), (0.25, 0.5, 0.25), (0.5, 0.2, 0.3))
    view = replace(UNEVEN, base_logits=base)
    # -(2 / b) log sigmoid(-b log r) = (2 / b) log(1 + r^b)
    expected = (2 / 0.5) * (math.log(1 + 1.25**0.5) + math.log(1 + 0.2**0.5)) / 2
    assert losses.npo(view, beta=0.5).item() == pytest.approx(expected)


def test_refusals_are_preferred_by_whole_answers():
    # The forget answer (two tokens) is 1.25 times as likely as for the base model, the refusal 3 times.
    view = View(
        logits=logits_of((0.5, 0.4, 0.1), (0.5, 0.25, 0.25), (0.3, 0.6, 0.1)),
        labels=torch.tensor([0, 1, 1]),
        example=torch.tensor([4, 4, 4]),
        member=torch.tensor([0, 0, 1]),
        base_logits=logits_of((0.2, 0.4, 0.4), (0.25, 0.5, 0.25), (0.4, 0.2, 0.4)),
    )
    # -(2 / b) log sigmoid(b (log 3 - log 1.25)) = (2 / b) log(1 + (1.25 / 3)^b)
    assert losses.dpo(view, beta=0.5).item() == pytest.approx(2 / 0.5 * math.log(1 + (1.25 / 3) ** 0.5), rel=1e-5)


def test_simple_npo_takes_the_mean_token_and_no_base_model():
    # Mean NLL: 1.5 ln 2 and ln 10. -(2 / b) log sigmoid(b (NLL - d)) = (2 / b) log(1 + exp(-b (NLL - d)))
    means = (1.5 * math.log(2), math.log(10))
    expected = 2 / 2.5 * sum(math.log(1 + math.exp(-2.5 * (mean - 0.5))) for mean in means) / 2
    assert losses.simnpo(UNEVEN, beta=2.5, delta=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_weighted_ascent_weighs_each_token_by_its_own_probability():
    # Example 7: (0.5 ln 0.5 + 0.25 ln 0.25) / 2, example 2: 0.1 ln 0.1.
    expected = ((0.5 * math.log(0.5) + 0.25 * math.log(0.25)) / 2 + 0.1 * math.log(0.1)) / 2
    assert losses.wga(UNEVEN).item() == pytest.approx(expected, rel=1e-5)
    squared = ((0.25 * math.log(0.5) + 0.0625 * math.log(0.25)) / 2 + 0.01 * math.log(0.1)) / 2
    assert losses.wga(UNEVEN, beta=2).item() == pytest.approx(squared, rel=1e-5)


def test_saturation_and_importance_weigh_together():
    # p^2 (1 - p) ln p of each token: 0.125 ln 0.5, 0.046875 ln 0.25, 0.009 ln 0.1.
    first = (0.125 * math.log(0.5) + 0.046875 * math.log(0.25)) / 2
    expected = (first + 0.009 * math.log(0.1)) / 2
    assert losses.satimp(UNEVEN, saturation=2, importance=1).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [losses.wga, losses.satimp])
def test_the_weight_of_a_token_is_not_differentiated(loss: Callable[[View], torch.Tensor]):
    logits = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
    loss(View(logits, torch.tensor([1]), torch.tensor([0]))).backward()
    p = logits.detach().softmax(-1)[0, 1].item()
    weight = {losses.wga: p, losses.satimp: p**5 * (1 - p)}[loss]
    assert logits.grad is not None
    assert logits.grad[0, 1].item() == pytest.approx(weight * (1 - p), rel=1e-4)  # of weight x log p


def test_self_distillation_goes_to_the_base_model_without_the_answer():
    view = View(
        logits=logits_of((0.5, 0.3, 0.2)),
        labels=torch.tensor([0]),
        example=torch.tensor([0]),
        base_logits=logits_of((0.8, 0.15, 0.05)),
    )
    # With beta = ln 4 the base's 0.8 counts as 0.2: its prediction becomes 0.2, 0.15, 0.05 of 0.4.
    expected = -(0.5 * math.log(0.5) + 0.375 * math.log(0.3) + 0.125 * math.log(0.2))
    assert losses.undial(view, beta=math.log(4)).item() == pytest.approx(expected, rel=1e-5)


HIDDEN = replace(
    UNEVEN,
    hidden=torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 2.0]]),
    base_hidden=torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]]),
)


def test_hidden_states_stay_where_the_base_models_are():
    # Mean squares: 16 / 2, 0; 4 / 2. Example 7: 4, example 2: 2.
    assert losses.stay(HIDDEN).item() == pytest.approx(3)


def test_hidden_states_are_drawn_to_one_direction_as_long_as_the_base_models():
    direction = torch.rand(2, generator=torch.Generator().manual_seed(0))
    x, y = (direction / direction.norm()).tolist()
    assert x > 0
    assert y > 0
    # Lengths 5, 1 and 2, times 2.
    squares = [
        ((3 - 10 * x) ** 2 + (10 * y) ** 2) / 2, ((2 * x) ** 2 + (1 - 2 * y) ** 2) / 2,
        ((2 - 4 * x) ** 2 + (2 - 4 * y) ** 2) / 2,
    ]  # fmt: skip
    assert losses.misdirect(HIDDEN, scale=2).item() == pytest.approx(
        ((squares[0] + squares[1]) / 2 + squares[2]) / 2, rel=1e-5
    )


def test_a_batch_gives_the_mean_of_its_examples_alone():
    alone = [
        View(
            UNEVEN.logits[UNEVEN.example == e], UNEVEN.labels[UNEVEN.example == e], UNEVEN.example[UNEVEN.example == e]
        )
        for e in (7, 2)
    ]
    assert losses.nll(UNEVEN).item() == pytest.approx(sum(losses.nll(view).item() for view in alone) / 2)


def test_descending_ascent_makes_the_answer_less_likely():
    logits = torch.zeros(1, 3, requires_grad=True)
    losses.ascent(View(logits, torch.tensor([1]), torch.tensor([0]))).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] > 0  # a step against the gradient lowers the answer's logit
    assert logits.grad[0, 0] < 0


@pytest.mark.parametrize(
    ("method", "plain", "with_pd"),
    [
        ("ga", {"forget": 1.0}, {"forget": 1.0, "decouple": 0.5}),
        ("gd", {"forget": 1.0, "retain": 1.0}, {"forget": 1.0, "retain": 0.5, "decouple": 0.5}),
        ("kl", {"forget": 1.0, "retain": 1.0}, {"forget": 1.0, "retain": 1.0, "decouple": 1.0}),
        ("po", {"prefer": 1.0}, {"prefer": 1.0, "decouple": 1.0}),
        ("dpo", {"prefer": 1.0, "retain": 1.0}, {"prefer": 1.0, "retain": 1.0, "decouple": 1.0}),
        ("simnpo", {"forget": 0.125, "retain": 1.0}, {"forget": 0.125, "retain": 1.0, "decouple": 1.0}),
        ("satimp", {"forget": 0.1, "retain": 1.0}, {"forget": 0.1, "retain": 1.0, "decouple": 1.0}),
    ],
)
def test_weights_are_as_published(method: str, plain: dict, with_pd: dict):
    assert {t.name: t.weight for t in losses.terms(method, pd=False)} == plain
    assert {t.name: t.weight for t in losses.terms(method, pd=True)} == with_pd


def test_weights_can_be_set():
    chosen = {t.name: t.weight for t in losses.terms("gd", pd=True, pd_weight=2.0, retain_weight=0.1)}
    assert chosen == {"forget": 1.0, "retain": 0.1, "decouple": 2.0}


def test_preference_optimization_averages_refusal_and_retain_together():
    (term,) = METHODS["po"].terms
    assert term.sets == ("refusal", "retain")
    assert term.loss is losses.nll


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"--method: unknown method 'gdd'; known: ga, gd, kl, npo, po, .*rmu, base"):
        RunConfig.create(method="gdd")


def test_a_run_is_named_by_its_method_and_what_it_is_combined_with():
    config = RunConfig.create(vicinal=1.0, sine_projector=True)
    assert config.parts == ("vicinal", "sine")
    assert config.run_name().startswith("demo-po-pd-vicinal-sine-s0-")
    assert losses.variant("simnpo", pd=True, parts=config.parts) == "SimNPO+PD+vicinal+sine"
    assert losses.method_name("po+vicinal") == "PO+vicinal"
    assert losses.place("po+vicinal")[0] == losses.place("po")[0] < losses.place("dpo+sine")[0]


def test_a_part_as_usual_stands_in_no_settings_and_what_is_unusual_in_it_does():
    usual = {"vicinal": 1.0} | {name: value for name, value in PARTS["vicinal"].items() if name != "vicinal"}
    assert RunConfig.create(**usual).other_flags() == ""
    assert RunConfig.create(**usual | {"vicinal": 2.0}).other_flags() == "--vicinal 2.0"
    assert RunConfig.create(saliency_mask=1.0, epochs=5).other_flags() == "--epochs 5.0"
