"""Specificity is the mean of all seven benchmarks or unknown, with lmms-eval's own numbers and errors."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from lmms_eval_double import NUMBERS, N, results

from app import BASE
from safeeraser import stages
from safeeraser.data.rows import Benchmarked
from safeeraser.data.source import Source
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.score import specificity
from safeeraser.score.specificity import ResultsError


def found(task: str, **how: Any) -> Benchmarked:
    content = json.dumps(results(task, "m", how.get("limit"))).encode()
    return specificity.read(content, task=task, model="m", version="0.7.3", **{"limit": None, "weights": None} | how)


def seven() -> dict[str, Benchmarked]:
    return {task: found(task) for task in NUMBERS}


def test_the_mean_of_seven_and_its_interval_are_as_by_hand():
    score = specificity.score(seven())
    # (0.62 + 0.56 + 0.70 + 0.76 + 0.86 + 0.31 + 0.64) / 7 = 4.45 / 7
    assert score["value"] == pytest.approx(4.45 / 7)
    assert score["n"] == 7 * N
    # mmbench: 0.64 x 0.36 / 100 = 0.002304; then 0.004², 0.007², 0.01², 0.001², 0.003², 0.03²
    error = math.sqrt(0.002304 + 0.000016 + 0.000049 + 0.0001 + 0.000001 + 0.000009 + 0.0009) / 7
    assert score["low"] == pytest.approx(4.45 / 7 - 1.96 * error)
    assert score["high"] == pytest.approx(4.45 / 7 + 1.96 * error)


def test_a_partial_mean_is_never_shown_and_what_is_missing_is_named():
    tasks = seven()
    del tasks["pope"]
    tasks["gqa"] = found("gqa", limit=5)
    score = specificity.score(tasks)
    assert score["value"] is None
    assert "GQA (only 5 questions, --limit), POPE;" in score["why"]
    assert score["tasks"]["vqav2_val"]["value"] == 0.76


def test_an_unknown_error_of_one_benchmark_leaves_the_interval_unknown():
    tasks = seven()
    tasks["pope"]["stderr"] = None
    score = specificity.score(tasks)
    assert score["value"] is not None
    assert score["low"] is score["high"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_name": "/another"}, "of another model, /another, not m"),
        ({"results": {"pope": {}}}, "say nothing of gqa; they know pope"),
        ({"results": {"gqa": {"alias": "gqa", "exact_match,none": "N/A"}}}, "no number exact_match for gqa"),
        ({"results": {"gqa": {"exact_match,none": 62.0}}}, r"exact_match,none 62\.0 over 101 answers"),
        ({"n-samples": {"gqa": {"effective": 0}}}, "over 0 answers"),
        ({"n-samples": None}, "cannot be read: n-samples"),
    ],
)
def test_results_that_are_not_what_was_asked_are_refused(change: dict[str, Any], message: str):
    content = json.dumps(results("gqa", "m") | change).encode()
    with pytest.raises(ResultsError, match=message):
        specificity.read(content, task="gqa", model="m", limit=None, weights=None, version="")


def test_it_is_in_a_runs_scores_unless_the_judge_has_its_own(tmp_path: Path):
    shutil.copytree(EXAMPLES / BASE, tmp_path / "run")
    run, source = Run(tmp_path / "run"), Source("demo")
    own = stages.score(run, source, "demo")["metrics"]["specificity"]
    first = run.rows(run.verdicts)[0]
    run.append(run.verdicts, [first | {"judge": "rules"}])
    before = stages.score(run, source, "rules")["metrics"]["specificity"]
    assert before["value"] is None
    assert "safeeraser specificity" in before["why"]
    run.save_benchmarks(seven())
    row = stages.score(run, source, "rules")
    for part in ("metrics", "metrics_clean_val"):
        assert row[part]["specificity"]["value"] == pytest.approx(4.45 / 7)
    assert row["metrics"]["specificity"]["tasks"] == run.benchmarks
    assert stages.score(run, source, "demo")["metrics"]["specificity"] == own
