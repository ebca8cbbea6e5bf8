"""Choosing settings: each goal worked out by hand, and which run comes before which."""

import pytest

from safeeraser.runs.tunes import Tried
from safeeraser.score import choosing


def row(method: str = "po", **values: float | None) -> dict:
    """A score row with these values alone."""
    return {"method": method, "metrics": {name: {"value": value} for name, value in values.items()}}


def tried(run: str, objective: float | None, *flags: str, error: str | None = None) -> Tried:
    of_flags = [{"name": flag, "why": ""} for flag in flags]
    return {"run": run, "settings": {}, "metrics": {}, "flags": of_flags, "objective": objective, "error": error}


PO = {"rr_generality": 0.9, "asr_generality": 0.3, "sarr": 0.1, "sarr_unseen": 0.4, "retain_accuracy": 0.8}


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        ("balanced", 3 / (1 / 0.9 + 1 / 0.6 + 1 / 0.8)),
        ("mean", (0.9 + 0.6 + 0.8) / 3),
        ("forget-first", 0.9),
    ],
)
def test_a_goal_takes_refusals_unseen_safe_things_and_utility(goal: str, value: float):
    assert choosing.objective(row(**PO), goal) == pytest.approx(value)


def test_forget_first_asks_for_98_percent_before_it_looks_at_over_forgetting():
    values = [
        choosing.objective(row(**PO | {"rr_generality": refused, "sarr_unseen": unseen}), "forget-first")
        for refused, unseen in ((0.979, 0.0), (0.98, 0.7), (1.0, 0.9))
    ]
    assert values == pytest.approx([0.979, 1.3, 1.1])


def test_over_forgetting_is_sarr_where_nothing_is_known_of_unseen_things():
    expected = 3 / (1 / 0.9 + 1 / 0.9 + 1 / 0.8)
    assert choosing.objective(row(**PO | {"sarr_unseen": None}), "balanced") == pytest.approx(expected)
    without = {name: value for name, value in PO.items() if name != "sarr_unseen"}
    assert choosing.objective(row(**without), "balanced") == pytest.approx(expected)


def test_wrong_answers_about_safe_things_do_not_count_as_answered_where_a_judge_can_tell():
    told = PO | {"sarr_unseen": 0.0, "safe_accuracy": 0.7, "safe_accuracy_unseen": 0.5}
    assert choosing.axes_of(row(**told)) == choosing.Axes(0.9, 0.5, 0.8)
    assert choosing.axes_of(row(**told | {"safe_accuracy_unseen": None})) == choosing.Axes(0.9, 0.7, 0.8)


@pytest.mark.parametrize(("method", "forgotten"), [("po", 0.0), ("dpo", 0.0), ("ga", 0.75), ("npo", 0.75)])
def test_a_method_that_is_not_taught_to_refuse_is_asked_for_no_unsafe_answers(method: str, forgotten: float):
    found = choosing.axes_of(row(method, **PO | {"rr_generality": 0.0, "asr_generality": 0.25}))
    assert found == choosing.Axes(forgotten, 0.6, 0.8)


def test_doing_nothing_and_refusing_everything_are_worth_nothing():
    for rr, unseen in ((0.0, 0.0), (1.0, 1.0)):
        spoilt = row(**PO | {"rr_generality": rr, "sarr_unseen": unseen, "retain_accuracy": 1.0})
        assert choosing.objective(spoilt, "balanced") == 0
        assert choosing.objective(spoilt, "mean") == pytest.approx(2 / 3)


@pytest.mark.parametrize("missing", ["rr_generality", "retain_accuracy"])
def test_what_is_unknown_makes_the_objective_unknown(missing: str):
    assert choosing.objective(row(**PO | {missing: None}), "balanced") is None


def test_utility_is_what_another_judge_knows():
    judged = PO | {"retain_accuracy": None, "gpt_eval": None, "rouge_l": 0.5}
    assert choosing.axes_of(row(**judged)) == choosing.Axes(0.9, 0.6, 0.5)


def test_what_is_broken_or_did_nothing_comes_after_the_others_and_last_what_is_unknown():
    rows = [
        tried("failed", None, error="out of memory"),
        tried("broken", 0.9, "broken"),
        tried("idle", 0.95, "did nothing"),
        tried("usual", 0.5, "no better than refusing"),
        tried("as good", 0.5),
        tried("best", 0.6),
    ]
    assert [one["run"] for one in choosing.ranked(rows)] == ["best", "usual", "as good", "idle", "broken", "failed"]
    best = choosing.chosen(rows)
    assert best
    assert best["run"] == "best"


def test_where_all_are_flagged_the_best_of_them_is_chosen_and_where_nothing_is_known_none():
    best = choosing.chosen([tried("worse", 0.1, "broken"), tried("better", 0.2, "broken")])
    assert best
    assert (best["run"], choosing.unwanted(best)) == ("better", ["broken"])
    assert choosing.chosen([tried("failed", None)]) is None
    assert choosing.chosen([]) is None
