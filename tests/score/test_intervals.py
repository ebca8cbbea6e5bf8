"""Intervals and tests that take answers about one picture, or one thing, together."""

from dataclasses import replace

import numpy as np
import pytest

from safeeraser.data.records import VQA
from safeeraser.score.intervals import FEWEST, area, effective, interval, too_few
from safeeraser.score.significance import holm, sign_flip
from safeeraser.score.units import Units


def test_answers_that_all_differ_from_their_pictures_mean_by_chance_are_worth_their_number():
    # 40 pictures with one answer each: p (1 - p) over p (1 - p) / 39 is 39; the quantile t(.975, 39) is 2.0227.
    scores = [True] * 10 + [False] * 30
    pictures = list(map(str, range(40)))
    assert effective(scores, pictures) == pytest.approx(39)
    square = 2.0226909**2 / 39
    half = (square * (0.25 * 0.75 + square / 4)) ** 0.5
    wilson = ((0.25 + square / 2 - half) / (1 + square), (0.25 + square / 2 + half) / (1 + square))
    assert interval(scores, pictures) == pytest.approx(wilson, abs=1e-6)


def test_answers_about_one_picture_that_are_all_alike_are_worth_one():
    scores = [True] * 160 + [False] * 480
    pictures = [str(number // 16) for number in range(640)]
    assert effective(scores, pictures) == pytest.approx(39)
    alone = interval([True] * 10 + [False] * 30, list(map(str, range(40))))
    assert interval(scores, pictures) == pytest.approx(alone)


def test_a_picture_weighs_as_many_answers_as_it_has():
    # 20 pictures with 3 answers (all true) and 20 with 1 (false): the mean is 3/4, not the 1/2 of equal pictures.
    low, high = interval([True, True, True, False] * 20, [f"{name}{k}" for k in range(20) for name in "aaab"])
    assert low is not None
    assert high is not None
    assert low < 0.75 < high
    assert high - low < 0.25


def test_when_all_answers_agree_the_interval_is_exact_with_pictures_as_trials():
    # Clopper-Pearson for 3 of 3: the low end is 0.025 ** (1/3); with the 12 answers as trials it would be 0.735.
    pictures = ["a", "b", "c"] * 4
    assert interval([0.5], ["a"]) == (None, None)
    assert interval([True] * 12, pictures) == pytest.approx((0.025 ** (1 / 3), 1))
    assert interval([False] * 12, pictures) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))
    assert effective([True] * 12, pictures) == 3


def test_one_picture_alone_has_no_interval():
    assert interval([True, False, False], ["a", "a", "a"]) == (None, None)
    assert effective([True, False, False], ["a", "a", "a"]) is None


def test_pictures_of_one_share_are_worth_their_answers_and_not_endlessly_many():
    low, high = interval([True, False] * 6, [name for name in "abcdef" for _ in range(2)])
    assert low is not None
    assert high is not None
    assert (low < 0.4, high > 0.6) == (True, True)


def test_answers_of_one_score_between_0_and_1_have_an_interval():
    low, high = interval([0.8] * 5, list("abcde"))
    assert low is not None
    assert high is not None
    assert low < 0.8 < high
    assert effective([0.8000000000000002] * 7, list("abcdefg")) == 7


def test_units_that_nearly_balance_by_chance_are_not_worth_a_hundred_times_their_answers():
    worth = effective([0, 1] * 50 + [1], [str(k // 2) for k in range(101)])
    assert worth is not None
    assert worth <= 4 * 101


@pytest.mark.parametrize("scores", [[], [float("nan"), 1.0], [2.0, 0.0], [-1.0, 1.0]])
def test_what_is_no_score_is_an_error(scores: list[float]):
    with pytest.raises(ValueError, match="from 0 to 1"):
        interval(scores, [str(k) for k in range(len(scores))])


def test_scores_between_0_and_1_have_an_interval_too():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.55, 0.65, 200)
    low, high = interval(scores.tolist(), list(map(str, range(200))))
    assert low is not None
    assert high is not None
    assert 0.59 < low < scores.mean() < high < 0.61


@pytest.mark.parametrize(("rate", "correlation"), [(0.3, 0.0), (0.5, 0.7)])
def test_the_interval_covers_the_truth_as_often_as_it_says(rate: float, correlation: float):
    """600 simulations of 24 pictures with 4 answers: within three standard errors of 95 %."""
    rng, covered = np.random.default_rng(1), 0
    pictures = np.repeat(np.arange(24).astype(str), 4).tolist()
    scale = (1 - correlation) / correlation if correlation else None
    for _ in range(600):
        own = rng.beta(rate * scale, (1 - rate) * scale, 24) if scale else np.full(24, rate)
        low, high = interval((rng.random((24, 4)) < own[:, None]).astype(float).ravel().tolist(), pictures)
        covered += low is not None and high is not None and low <= rate <= high
    assert covered / 600 == pytest.approx(0.95, abs=0.027)


def test_too_few_counts_the_effective_answers_on_the_rarer_side():
    assert too_few(0.1, 10 * FEWEST - 1)
    assert too_few(0.9, 10 * FEWEST - 1)
    assert not too_few(0.1, 10 * FEWEST + 1)
    assert not too_few(0.0, 3)  # exact
    assert too_few(0.5, None)


def test_a_unit_is_a_thing_where_the_data_set_names_every_one_else_a_picture():
    item = VQA("val/img/Weapon/1.jpg/decouple/0", "decouple", "val", "Weapon", None, "?", "!", "teapot")
    named, nameless = Units([item]), Units([item, replace(item, concept=None)])
    assert (named.name, named.of(item)) == ("thing", "teapot")
    assert (nameless.name, nameless.of(item)) == ("picture", item.record)
    assert Units([]).name == "picture"


def test_the_sign_flip_test_flips_pictures_and_not_answers():
    # Three pictures, all for the better: 2 of 8 choices of signs are as far from 0, however many answers each has.
    assert sign_flip([1.0] * 12, [name for name in "abc" for _ in range(4)]) == pytest.approx(2 / 8)
    assert sign_flip([1.0, -1.0, 0.0], ["a", "a", "b"]) == 1
    assert sign_flip([1.0] * 10, list("abcdefghij")) == pytest.approx(2 / 1024)


def test_of_many_pictures_signs_are_drawn_and_the_same_every_time():
    rng = np.random.default_rng(2)
    differences, pictures = rng.choice((-1.0, 0.0, 1.0), 400).tolist(), [str(k // 4) for k in range(400)]
    assert sign_flip(differences, pictures) == sign_flip(differences, pictures) > 0.05
    assert sign_flip([1.0] * 400, pictures) == pytest.approx(1 / 20_001)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_a_true_null_is_rejected_as_seldom_as_the_level_says(correlation: float):
    """400 pairs of runs of one rate, 24 pictures with 4 answers: 5 % are rejected, within three standard errors."""
    rng, rejected = np.random.default_rng(3), 0
    pictures = np.repeat(np.arange(24).astype(str), 4).tolist()
    scale = (1 - correlation) / correlation if correlation else None
    for _ in range(400):
        runs = []
        for _ in range(2):
            own = rng.beta(0.3 * scale, 0.7 * scale, 24) if scale else np.full(24, 0.3)
            runs.append((rng.random((24, 4)) < own[:, None]).astype(float).ravel())
        rejected += sign_flip((runs[0] - runs[1]).tolist(), pictures) < 0.05
    assert rejected / 400 == pytest.approx(0.05, abs=0.033)


def test_holm_multiplies_the_smallest_p_most_and_never_turns_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_area_is_the_share_of_pairs_in_order_and_ties_are_half():
    assert area([0.5, 0.2, 0.9], [0.1, 0.3])[0] == pytest.approx(5 / 6)
    assert area([0, 1], [0, 1])[0] == pytest.approx(1 / 2)


def test_the_area_of_scores_that_never_mix_is_not_certain():
    found, low, high = area([1] * 14, [0] * 16)
    assert (found, high) == (1, 1)
    assert 0.8 < low < 0.9
    assert area([0] * 16, [1] * 14) == pytest.approx((0, 0, 1 - low))


@pytest.mark.parametrize("shift", [0, 0.7, 1.5, 2.5])
def test_the_areas_interval_covers_the_truth_as_often_as_it_says(shift: float):
    from scipy.stats import norm

    rng, true = np.random.default_rng(233), norm.cdf(shift / 2**0.5)
    found = (area(norm.cdf(rng.normal(shift, 1, 14)), norm.cdf(rng.normal(0, 1, 16))) for _ in range(400))
    assert 0.92 < sum(low <= true <= high for _, low, high in found) / 400 < 0.99
