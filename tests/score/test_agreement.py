"""Judge audit: golden numbers worked out by hand."""

import warnings

import pandas as pd
import pytest

from safeeraser.score.agreement import agreement, corrected_rate, disputed, labelled
from safeeraser.score.intervals import interval
from safeeraser.score.labels import Label, fingerprint


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def pictures(n: int, *, each: int = 1) -> list[str]:
    return [str(k // each) for k in range(n)]


def table(both_true: int, judge_only: int, human_only: int, both_false: int) -> list[tuple[bool | None, bool | None]]:
    return (
        [(True, True)] * both_true
        + [(True, False)] * judge_only
        + [(False, True)] * human_only
        + [(False, False)] * both_false
    )


def test_kappa_of_the_textbook_table_is_0_4():
    found = agreement(table(20, 5, 10, 15), pictures(50))
    # p_o = 35/50; the judge says true 25/50, the human 30/50: p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5; (0.7 - 0.5) / 0.5
    assert found.kappa == pytest.approx(0.4)
    assert found.observed == pytest.approx(0.7)
    assert (found.both_true, found.first_only, found.second_only, found.both_false) == (20, 5, 10, 15)
    assert (found.n, found.unscored) == (50, 0)
    # 1.96 standard errors by Cohen's formula sqrt(p_o (1 - p_o) / n) / (1 - p_e) = 0.1296: 0.146 to 0.654
    assert found.kappa_low == pytest.approx(0.146, abs=0.03)
    assert found.kappa_high == pytest.approx(0.654, abs=0.03)


def test_kappa_of_a_lopsided_table():
    found = agreement(table(1, 2, 4, 13), pictures(20))
    # p_o = 14/20; judge true 3/20, human true 5/20: p_e = (3 * 5 + 17 * 15) / 400 = 0.675; 0.025 / 0.325
    assert found.kappa == pytest.approx(1 / 13)


def test_kappa_below_chance_is_negative():
    assert agreement(table(0, 3, 1, 0), pictures(4)).kappa == pytest.approx(-0.6)  # p_o 0, p_e = (3 + 3) / 16 = 0.375


def test_a_missing_verdict_on_either_side_is_unscored():
    pairs = [(None, True), (True, None), (None, None), *table(1, 0, 0, 1)]
    found = agreement(pairs, pictures(5))
    assert (found.n, found.unscored, found.observed, found.kappa) == (2, 3, 1.0, 1.0)


def test_kappa_is_unknown_when_both_only_ever_say_one_word():
    found = agreement(table(6, 0, 0, 0), pictures(6))
    assert (found.observed, found.kappa, found.kappa_low, found.kappa_high) == (1.0, None, None, None)


def test_kappa_is_zero_when_only_one_side_says_one_word():
    assert agreement(table(6, 2, 0, 0), pictures(8)).kappa == 0


def test_without_a_scored_pair_everything_is_unknown():
    found = agreement([(None, True)], ["a"])
    assert (found.n, found.unscored, found.observed, found.observed_low, found.kappa) == (0, 1, None, None, None)
    assert agreement([], []).n == 0


def test_full_agreement_has_no_interval_of_kappa_but_one_of_what_was_observed():
    found = agreement(table(7, 0, 0, 3), pictures(10))
    assert (found.kappa, found.kappa_low, found.kappa_high) == (1.0, None, None)
    assert (found.observed_low, found.observed_high) == (pytest.approx(0.6915, abs=1e-4), 1.0)  # 0.025 ** (1 / 10)


def test_answers_about_one_picture_stand_or_fall_together():
    pairs = [pair for pair in table(20, 5, 10, 15) for _ in range(4)]
    together, apart = agreement(pairs, pictures(200, each=4)), agreement(pairs, pictures(200))
    assert together.kappa == apart.kappa == pytest.approx(0.4)
    assert together.kappa_high - together.kappa_low == pytest.approx(2 * (apart.kappa_high - apart.kappa_low), rel=0.15)
    alone = agreement(pairs, ["a"] * 200)
    assert (alone.kappa_low, alone.kappa_high) == (None, None)


def test_pairs_and_pictures_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        agreement(table(1, 1, 0, 0), ["a"])


def test_the_corrected_rate_adds_the_mean_error_on_the_labelled():
    judged = [True] * 6 + [False] * 4
    human = [True, False, None, None, None, None, True, True, False, None]
    found = corrected_rate(judged, human, pictures(10))
    # The judge's 6/10; the errors are 0, -1, +1, +1, 0: on average 1/5.
    assert found.judged == pytest.approx(0.6)
    assert found.value == pytest.approx(0.8)
    assert (found.n, found.labelled) == (10, 5)
    assert 0 <= found.low < 0.8 < found.high <= 1


def test_a_judge_that_says_true_too_often_is_corrected_downwards():
    judged = [True, True, True, False] * 25
    human = [True, False, True, False] * 10 + [None] * 60
    found = corrected_rate(judged, human, pictures(100))
    assert (found.judged, found.value) == (pytest.approx(0.75), pytest.approx(0.5))
    # Variances .75 * .25 / 100 of the rate and .25 * .75 / 40 of the mean error; the labelled are among all, and an
    # error of -1 only occurs where the judge says true: covariance (-.25 + .75 * .25) / 100, counted twice.
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.001875 + 0.0046875 - 0.00125) ** 0.5, rel=0.1)


def test_answers_the_judge_left_open_and_labels_on_them_do_not_count():
    found = corrected_rate([True, None, False, False], [True, True, True, None], pictures(4))
    assert (found.judged, found.value, found.n, found.labelled) == (pytest.approx(1 / 3), pytest.approx(5 / 6), 3, 2)


def test_without_labels_there_is_no_corrected_rate():
    assert corrected_rate([True, False], [None, None], pictures(2)) is None
    assert corrected_rate([None], [True], pictures(1)) is None
    assert corrected_rate([], [], []) is None


def test_a_corrected_rate_stays_within_0_and_1():
    found = corrected_rate([True] * 9 + [False], [None] * 8 + [True, True], pictures(10))
    assert (found.value, found.high) == (1.0, 1.0)


def test_a_few_labels_without_an_error_do_not_make_the_judge_certain():
    judged = [True] * 40 + [False] * 60
    human = [None] * 35 + judged[35:45] + [None] * 55
    found = corrected_rate(judged, human, pictures(100))
    low, high = interval([float(judge) for judge in judged], pictures(100))
    assert low is not None
    assert high is not None
    assert found.value == pytest.approx(0.4)
    # At most 1 - 0.025 ** (1 / 10) = 0.3085 of the answers can have an error that ten pictures did not show.
    assert (found.low, found.high) == pytest.approx((max(low - 0.3085, 0), high + 0.3085), abs=1e-4)


def test_labels_about_one_picture_give_no_interval():
    found = corrected_rate([True, False, True, False], [True, True, None, None], ["a", "a", "b", "c"])
    assert (found.value, found.low, found.high) == (1.0, None, None)


def rows() -> pd.DataFrame:
    frame = pd.DataFrame({"id": ["i", "j", "j", "k"], "sample": [0, 0, 1, 0], "answer": ["a", "b", "c", "d"]})
    return frame.assign(verdict=pd.Series([True, False, None, True], dtype=object)).set_axis([9, 8, 7, 6])


def label(id: str, answer: str, verdict: bool | None, *, who="Ann", check="normal", sample=0, note="") -> Label:
    return Label(
        who=who, run="r", id=id, sample=sample, answer_sha=fingerprint(answer), check=check, verdict=verdict, note=note
    )


def test_a_label_counts_for_its_text_check_and_sample_only():
    given = [
        label("i", "a", False, note="no answer"),
        label("j", "an older text", True),
        label("k", "d", False, check="refusal"),
        label("j", "c", True, sample=1),
    ]
    found = labelled(rows(), given, check="normal")
    assert found["human"].tolist() == [False, None, True, None]
    assert found["labels"].tolist() == [1, 0, 1, 0]
    assert found["note"].tolist() == ["no answer", "", "", ""]
    assert list(found.index) == [9, 8, 7, 6]


def test_of_several_people_the_majority_counts_and_a_tie_is_unknown():
    given = [
        *(label("i", "a", verdict, who=who) for who, verdict in (("Ann", True), ("Bo", True), ("Cy", False))),
        *(label("j", "b", verdict, who=who) for who, verdict in (("Ann", True), ("Bo", False))),
        *(label("k", "d", verdict, who=who) for who, verdict in (("Ann", None), ("Bo", False))),
    ]
    found = labelled(rows(), given, check="normal")
    assert found["human"].tolist() == [True, None, None, False]
    assert found["who"].tolist() == ["Ann, Bo, Cy", "Ann, Bo", "", "Ann, Bo"]


def test_disputed_is_what_judge_and_people_contradict_each_other_on():
    given = [label("i", "a", False), label("j", "b", False), label("j", "c", True, sample=1), label("k", "d", None)]
    found = disputed(labelled(rows(), given, check="normal"))
    assert found["id"].tolist() == ["i"]
    assert len(disputed(labelled(rows().iloc[:0], given, check="normal"))) == 0
