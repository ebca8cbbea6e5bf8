"""Losses and methods, with numbers worked out by hand."""

import math

import pytest
import torch

from safeeraser import losses
from safeeraser.config import ConfigError, RunConfig
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
    view = View(UNEVEN.logits, UNEVEN.labels, UNEVEN.example, base)
    # -(2 / b) log sigmoid(-b log r) = (2 / b) log(1 + r^b)
    expected = (2 / 0.5) * (math.log(1 + 1.25**0.5) + math.log(1 + 0.2**0.5)) / 2
    assert losses.npo(view, beta=0.5).item() == pytest.approx(expected)


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
    with pytest.raises(ConfigError, match=r"--method: unknown method 'gdd'; known: ga, gd, kl, npo, po, base"):
        RunConfig.create(method="gdd")
