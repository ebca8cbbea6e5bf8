"""`safeeraser specificity` with an executable that writes what lmms-eval writes (`lmms_eval_double.py`)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import lmms_eval_double
import pytest
from lmms_eval_double import NUMBERS

from app import BASE, PO_PD
from safeeraser import cli
from safeeraser.generate import lmms_eval
from safeeraser.runs.folder import EXAMPLES, Run

Measure = Callable[..., int]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", "of-ours")
    return lmms_eval_double.make(tmp_path / "lmms-eval")


@pytest.fixture
def base(runs_folder: Path) -> Run:
    return Run(Path(shutil.copytree(EXAMPLES / BASE, runs_folder / BASE)))


@pytest.fixture
def measure(engine: Path, base: Run, monkeypatch: pytest.MonkeyPatch) -> Measure:
    def call(*flags: str, run: str = BASE, **does: str) -> int:
        monkeypatch.setenv(lmms_eval_double.ENVIRONMENT, json.dumps(does))
        return cli.main(["specificity", run, "--lmms-eval", str(engine), *flags])

    return call


def test_all_seven_give_specificity(measure: Measure, base: Run, capsys):
    assert measure() == 0
    assert list(base.benchmarks) == list(NUMBERS)
    assert base.benchmarks["mmvet"] | {"weights": None} == {
        "metric": "gpt_eval_score",
        "value": 0.31,
        "stderr": 0.03,
        "n": 101,
        "limit": None,
        "weights": None,
        "lmms_eval": "0.7.3",
        "date": "20260102_030405",
    }
    told = capsys.readouterr()
    assert "Specificity: 63.6 % [61.9, 65.2], the mean of 7 benchmarks" in told.out
    assert "the demo world's own Specificity stays" in told.err


def test_what_failed_is_named_and_the_same_command_does_only_that_again(measure: Measure, base: Run, capsys):
    assert measure(gqa="fails", pope="killed", mmvet="other model", vqav2_val="swallows", scienceqa_img="cut") == 1
    assert list(base.benchmarks) == ["vizwiz_vqa_val", "mmbench_en_dev"]
    told = capsys.readouterr()
    assert "gqa: lmms-eval ended with status 0 and no results" in told.err
    assert "Error during evaluation: no such data set" in told.err
    assert "\x1b" not in told.err
    assert "pope: lmms-eval was killed (SIGKILL)" in told.err
    assert "of another model, /another/model" in told.err
    assert "vqav2_val: 1 times an answer or its grade failed" in told.err
    assert "results cannot be read" in told.err
    assert "Specificity: unknown, lmms-eval has still to run on GQA, ScienceQA, VQAv2, POPE, MM-Vet" in told.out
    assert measure() == 0
    err = capsys.readouterr().err
    assert "mmbench_en_dev: measured already" in err
    assert err.count("at work") == 5
    assert len(base.benchmarks) == 7


def test_a_trial_does_not_count_and_is_replaced(measure: Measure, base: Run, capsys):
    assert measure("--tasks", "gqa,mine", "--limit", "5") == 0
    assert {task: one["n"] for task, one in base.benchmarks.items()} == {"gqa": 5, "mine": 5}
    assert "GQA (only 5 questions, --limit)" in capsys.readouterr().out
    assert measure("--tasks", "gqa") == 0
    assert base.benchmarks["gqa"]["limit"] is None


def test_without_a_key_no_grade_is_made_up(measure: Measure, base: Run, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert measure("--tasks", "mmvet,pope") == 1
    assert list(base.benchmarks) == ["pope"]
    assert "mmvet: a GPT grades its answers" in capsys.readouterr().err


def test_an_adapter_is_merged_asked_and_its_copy_thrown_away(measure: Measure, runs_folder: Path):
    run = Run(Path(shutil.copytree(EXAMPLES / PO_PD, runs_folder / PO_PD)))
    assert measure("--tasks", "pope", run=PO_PD) == 0
    weights = run.weights_hash()
    assert weights is not None
    assert run.benchmarks["pope"]["weights"] == weights
    assert f"pretrained={run.merged(weights).absolute()},device=" in (run.lmms_eval / "pope" / "log.txt").read_text()
    assert not run.merged(weights).exists()
    run.save_benchmarks({"pope": run.benchmarks["pope"] | {"weights": "another"}, "gqa": run.benchmarks["pope"]})
    assert measure("--tasks", "pope", run=PO_PD, pope="fails") == 1
    assert run.merged(weights).exists()  # for the next call
    assert list(run.benchmarks) == ["gqa"]  # of another adapter is of another model


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([BASE], "none is named: make an environment for it"),
        ([BASE, "--lmms-eval", "nowhere"], "cannot be started"),
        ([BASE, "--lmms-eval", "/bin/false"], "lmms-eval is not installed there"),
        ([BASE, "--tasks", "gqa, ;x"], "must be names of lmms-eval's tasks"),
        ([PO_PD], "ships with the project"),
    ],
)
def test_what_cannot_be_is_named_before_any_work(base: Run, flags: list[str], message: str, monkeypatch, capsys):
    monkeypatch.delenv(lmms_eval.VARIABLE, raising=False)
    assert cli.main(["specificity", *flags]) == 1
    assert message in capsys.readouterr().err
    assert not base.benchmarks_file.exists()


def test_a_model_in_a_path_that_lmms_eval_takes_apart_is_refused(tmp_path: Path):
    asked = lmms_eval.Asked("/a,b", "llava_hf", "cpu", "float32", None)
    engine = lmms_eval.Engine(Path("python"), "0")
    with pytest.raises(lmms_eval.LmmsEvalError, match="a comma or an equals sign"):
        lmms_eval.command(engine, "gqa", asked, folder=tmp_path, limit=None, include=None)
