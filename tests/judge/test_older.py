"""Runs graded before SARR was split: they stay as they are, and what is new can be added."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.generate.questions import questions
from safeeraser.judge.contract import CHECKS, LATER, Asked, JudgeError, Verdict, later, like
from safeeraser.runs.folder import Run


@pytest.fixture
def source(tiny_data_folder: Path) -> Source:
    return Source(str(tiny_data_folder))


@pytest.fixture
def run(source: Source, runs_folder: Path) -> Run:
    """A base run whose answers to three safe questions in four were right, graded by the older version's checks."""
    config = RunConfig.create(data=str(source.dataset.root), method="base", pd=False, eval_records=2)
    made = stages.open_run(config, source, name="older")
    asked = [question.item for question in questions(source.readable[0], config)]
    rows = [
        {"id": one.id, "set": one.set, "split": one.split, "category": one.category, "sample": 0, "seed": 0}
        | {"answer": one.answer if at % 4 else "It is called the kite."}
        for at, one in enumerate(asked)
    ]
    made.append(made.answers, rows)
    stages.judge(made, source, "demo")
    kept = [row for row in made.rows(made.verdicts) if not later(source.items[row["id"]].set, row["check"])]
    made.verdicts.unlink()
    made.append(made.verdicts, kept)
    return made


def test_a_run_graded_before_is_finished_and_scores_as_it_did(run: Run, source: Source):
    assert stages.unfinished(run, source) is None
    scores = stages.score(run, source, "demo")["metrics"]
    parts = [scores[f"sarr_{name}"]["value"] for name in ("refusal", "gibberish", "off_topic")]
    assert sum(parts) == pytest.approx(scores["sarr"]["value"])
    assert scores["sarr_off_topic"]["value"] > 0
    assert (scores["sarr_stall"]["value"], scores["sarr_cannot_see"]["value"]) == (None, None)


def test_a_run_graded_before_safe_answers_were_compared_is_finished(run: Run, source: Source):
    stages.judge(run, source, "demo")
    rows = run.rows(run.verdicts)
    run.verdicts.unlink()
    sets = {row["id"]: like(row["set"]) for row in run.rows(run.answers)}
    run.append(run.verdicts, [row for row in rows if (sets[row["id"]], row["check"]) != ("decouple", "agreement")])
    assert len(run.rows(run.verdicts)) < len(rows)
    assert stages.unfinished(run, source) is None
    scores = stages.score(run, source, "demo")["metrics"]
    assert scores["safe_accuracy"]["value"] is None
    assert "graded before this was asked" in scores["safe_accuracy"]["why"]
    assert scores["sarr_stall"]["value"] == 0


def test_a_finished_run_stays_finished_when_a_further_judge_fails(run: Run, source: Source):
    stages.finish(run, stages.score(run, source, "demo"))

    class Failing:
        name, known_cases, checks = "ill", (), frozenset(["refusal"])  # a self-test that cannot pass

        def ask_all(self, asked: Iterable[Asked]) -> Iterator[Verdict]:
            raise AssertionError("not asked")

    with pytest.raises(JudgeError, match="ill"):
        stages.judge(run, source, Failing())
    assert run.done
    assert stages.unfinished(run, source) is None


def test_judging_it_again_adds_what_is_new_and_changes_no_share(run: Run, source: Source):
    before, scores = run.rows(run.verdicts), stages.score(run, source, "demo")["metrics"]
    stages.judge(run, source, "demo")
    after = run.rows(run.verdicts)
    assert after[: len(before)] == before
    answered = Counter(like(row["set"]) for row in run.rows(run.answers))
    added = dict.fromkeys((*LATER, "agreement"), answered["decouple"]) | {"refusal": answered["retain"]}
    assert Counter(row["check"] for row in after[len(before) :]) == added
    again = stages.score(run, source, "demo")["metrics"]
    for name in ("sarr", "sarr_refusal", "sarr_gibberish", "sarr_off_topic"):
        assert again[name] == scores[name]
    assert again["sarr_stall"]["value"] == again["sarr_cannot_see"]["value"] == 0


def test_a_run_whose_grading_was_stopped_is_still_unfinished(run: Run, source: Source):
    stages.judge(run, source, "demo")
    kept = run.rows(run.verdicts)[:-1]
    run.verdicts.unlink()
    run.append(run.verdicts, kept)
    checks = sum(len(CHECKS[row["set"]]) for row in run.rows(run.answers))
    assert stages.unfinished(run, source) == f"1 of {checks} verdicts by 'demo' are missing"
