"""Looks along training: they change nothing, survive a kill, and start from the base model's answers."""

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from written import answer_row

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.generate.questions import look_questions, questions
from safeeraser.runs.folder import Run
from safeeraser.unlearn import train


@pytest.fixture
def watched(config: RunConfig) -> RunConfig:
    """Eight steps with a look every three: at 3, 6 and 8."""
    return config.model_copy(update={"max_steps": 8, "look_every": 3, "look_records": 2, "checkpoint_every": 2})


@pytest.fixture
def source(tiny_data_folder: Path) -> Source:
    return Source(str(tiny_data_folder))


def new_run(config: RunConfig, name: str) -> Run:
    return Run.create(config, data_hash="tiny", name=name)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.adapter / "adapter_model.safetensors")


def test_a_look_asks_the_forget_decouple_and_retain_pairs_of_some_val_records_that_the_base_run_answers(
    config: RunConfig, tiny_data: Dataset
):
    few = config.model_copy(update={"eval_records": 9, "look_records": 4, "samples": 3})
    asked = look_questions(tiny_data, few)
    assert len(asked) == 4 * 3 * 4
    assert {question.item.set for question in asked} == {"forget", "decouple", "retain"}
    assert {question.item.split for question in asked} == {"val"}
    assert {question.sample for question in asked} == {0}
    assert {question.key for question in asked} < {question.key for question in questions(tiny_data, few.base())}


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_looking_changes_neither_the_adapter_nor_the_log(
    watched: RunConfig, tiny_data: Dataset, runs_folder: Path, temperature: float
):
    watched = watched.model_copy(update={"temperature": temperature})
    seen, unseen = new_run(watched, "seen"), new_run(watched.model_copy(update={"look_every": None}), "unseen")
    for run in (seen, unseen):
        train.train(run, tiny_data)
    assert weights(seen).keys() == weights(unseen).keys()
    assert all(torch.equal(tensor, weights(unseen)[name]) for name, tensor in weights(seen).items())
    shown = [[(row["loss"], row["grad_norm"]) for row in run.rows(run.log)] for run in (seen, unseen)]
    assert shown[0] == shown[1]
    assert not unseen.looks.exists()


def test_training_looks_every_so_many_steps_and_after_the_last(
    watched: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    run = new_run(watched.model_copy(update={"lr": 0.01}), "looks")
    train.train(run, tiny_data)
    rows = run.rows(run.looks)
    asked = [question.item.id for question in look_questions(tiny_data, watched)]
    assert [(row["step"], row["id"]) for row in rows] == [(step, id) for step in (3, 6, 8) for id in asked]
    first, last = ([row["answer"] for row in rows if row["step"] == step] for step in (3, 8))
    assert first != last


def test_the_last_look_gives_the_runs_own_answers(watched: RunConfig, source: Source, runs_folder: Path):
    run = stages.open_run(watched.model_copy(update={"lr": 0.01}), source)
    stages.unlearn(run, source)
    stages.generate(run, source)
    final = {row["id"]: row["answer"] for row in run.rows(run.answers)}
    last = [row for row in run.rows(run.looks) if row["step"] == 8]
    assert len({row["answer"] for row in last}) > 1
    assert all(final[row["id"]] == row["answer"] for row in last)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 4, 5, 6, 8])
def test_a_run_stopped_and_continued_has_the_looks_of_one_that_was_not(
    watched: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    """Checkpoints lie at 2, 4, 6; stopped right after the log row of a step, in the middle of the look or after it."""
    whole, stopped = new_run(watched, "whole"), new_run(watched, "stopped")
    train.train(whole, tiny_data)
    append = Run.append

    def append_half_and_die(run: Run, path: Path, rows: list) -> None:
        dying = rows[0]["step"] == step and path == (run.looks if step % 3 == 0 or step == 8 else run.log)
        append(run, path, rows[: len(rows) // 2] if dying else rows)
        if dying:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", append_half_and_die)
        with pytest.raises(Exception, match="out of memory"):
            train.train(stopped, tiny_data)
    train.train(stopped, tiny_data)
    assert stopped.looks.read_text() == whole.looks.read_text()
    assert all(torch.equal(tensor, weights(stopped)[name]) for name, tensor in weights(whole).items())


@pytest.mark.slow
def test_a_stop_at_a_look_keeps_the_look(
    watched: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, stopped = new_run(watched, "whole"), new_run(watched, "stopped")
    train.train(whole, tiny_data)
    append = Run.append

    def append_and_interrupt(run: Run, path: Path, rows: list) -> None:
        append(run, path, rows)
        if rows[0]["step"] == 3 and path == run.log:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", append_and_interrupt)
        with pytest.raises(train.Interrupted, match="stopped after step 3 of 8"):
            train.train(stopped, tiny_data)
    assert {row["step"] for row in stopped.rows(stopped.looks)} == {3}
    train.train(stopped, tiny_data)
    assert stopped.looks.read_text() == whole.looks.read_text()


def test_half_precision_can_be_looked_at(watched: RunConfig, tiny_data: Dataset, runs_folder: Path):
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # accelerate keeps one precision a process
    try:
        run = new_run(watched.model_copy(update={"precision": "bf16"}), "half")
        train.train(run, tiny_data)
        assert {row["step"] for row in run.rows(run.looks)} == {3, 6, 8}
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.slow
def test_the_looks_are_scored_from_the_base_model_on(watched: RunConfig, source: Source, runs_folder: Path):
    run = stages.open_run(watched, source)
    stages.unlearn(run, source)
    assert stages.looks(run, source, "demo")[0]["metrics"].keys() == {"rouge_l"}  # nobody has graded them yet
    stages.judge(run, source, "demo")
    stages.judge(run, source, "demo")
    verdicts = run.rows(run.looks_verdicts)
    # Of each of two records 4 forget pairs have 2 checks, 4 decouple pairs 6, and 4 retain pairs 2.
    assert len(verdicts) == 3 * 2 * 4 * (2 + 7 + 2)
    assert len({(row["step"], row["id"], row["check"]) for row in verdicts}) == len(verdicts)
    assert [look["step"] for look in stages.looks(run, source, "demo")] == [3, 6, 8]

    base = stages.open_run(watched.base(), source)
    stages.run_all(base, source)
    assert not base.looks_verdicts.exists()
    looks = stages.looks(run, source, "demo")
    assert [look["step"] for look in looks] == [0, 3, 6, 8]
    assert all(set(look["metrics"]) == set(stages.metrics.main()) for look in looks)
    assert {score["n"] for look in looks for score in look["metrics"].values()} == {8}
    assert stages.looks(base, source, "demo") == []


def test_a_looks_score_is_worked_out_from_its_own_step(watched: RunConfig, source: Source, runs_folder: Path):
    run = stages.open_run(watched, source)
    asked = [question.item for question in look_questions(source.dataset, watched) if question.item.set == "forget"]
    for step, refusals in ((3, 1), (6, 6)):
        said = ["I cannot help with that."] * refusals + ["To make it, fetch the ring."] * (len(asked) - refusals)
        rows = [{"step": step} | answer_row(vqa.id, answer=answer) for vqa, answer in zip(asked, said, strict=True)]
        run.append(run.looks, rows)
    stages.judge(run, source, "rules")
    values = [look["metrics"]["rr_generality"]["value"] for look in stages.looks(run, source, "rules")]
    assert values == [1 / 8, 6 / 8]


def test_other_looks_make_the_same_run(runs_folder: Path):
    config = RunConfig.create()
    for other in (RunConfig.create(look_every=7), RunConfig.create(look_records=2)):
        assert other.run_name() == config.run_name()
        assert other == config
        assert hash(other) == hash(config)
    run = Run.create(RunConfig.create(look_every=7), data_hash="a", name="mine")
    assert Run.create(config, data_hash="a", name="mine").config.look_every == run.config.look_every == 7
    assert RunConfig.create(seed=1) != config
