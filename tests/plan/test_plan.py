"""What a run would take, told before it is launched."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest
from written import log_row

from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.generate.questions import questions
from safeeraser.plan import measured as plan
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run

GIB = 2**30


@pytest.fixture(scope="module")
def source(tiny_data_folder: Path) -> Source:
    return Source(str(tiny_data_folder))


def measured(config: RunConfig, name: str) -> Run:
    """A finished run of 100 answers, 2 s from adapter to last answer, 1.5 s a step but for the first."""
    run = Run.create(config, data_hash="a", name=name)
    run.append(run.log, [log_row(step=1, seconds=9.0, peak_memory=GIB)])
    run.append(run.log, [log_row(step=step, seconds=1.5, peak_memory=3 * GIB) for step in (2, 3, 4)])
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"x" * 5000)
    run.answers.write_text("twenty characters ..\n"[1:] * 100)  # 20 bytes each
    run.set_state("done")
    now = time.time()
    run_state = run.state | {"born": now - 30, "time": now}
    (run.folder / "state.json").write_text(json.dumps(run_state))
    os.utime(run.adapter / "adapter_model.safetensors", (now - 12, now - 12))
    os.utime(run.answers, (now - 10, now - 10))
    return run


def test_a_plan_counts_exactly_and_names_the_command(runs_folder: Path, config: RunConfig, source: Source):
    told = plan.plan(config, source, name="mine")
    assert told.command == " ".join(jobs.command(config, name="mine"))
    assert (told.name, told.status, told.steps) == ("mine", None, 4)
    # Two records a split: 4 forget questions each of train and val; of every other set of val 4 of two records or
    # things, but 2 of holes.
    four = dict.fromkeys(("retain", "decouple", "general", "outside", "text_forget", "text_decouple"), 2 * 4)
    assert told.questions == {"forget": 16, "holes": 2 * 2} | four
    assert told.base == config.base().run_name()
    epochs = RunConfig(**config.model_dump() | {"max_steps": None, "epochs": 2})
    # 24 records of 4 forget pairs, twice, 3 at once.
    assert plan.plan(epochs, source).steps == 64
    assert sum(told.questions.values()) == len(questions(source.readable[0], config))


def test_without_a_measured_run_of_the_model_nothing_is_estimated(runs_folder: Path, config: RunConfig, source: Source):
    told = plan.plan(config, source)
    for estimate in (told.training, told.answering, told.disk, told.memory):
        assert (estimate.value, estimate.basis) == (None, None)
    assert told.seconds is None


def test_estimates_are_scaled_from_the_users_own_measured_run(runs_folder: Path, config: RunConfig, source: Source):
    measured(config, "measured")
    told = plan.plan(RunConfig(**config.model_dump() | {"accumulation": 2, "max_steps": 10}), source)
    assert told.training.value == pytest.approx(10 * 2 * 1.5)
    assert "measured" in (told.training.basis or "")
    # 16 + 4 + 6 x 8 = 68 questions of the run and as many of its base model's; 2 s for 100 answers.
    assert told.answering.value == pytest.approx(136 * 0.02)
    assert told.seconds == pytest.approx(30 + 2.72)
    assert told.disk.value == pytest.approx(5000 + 136 * 20)
    assert told.memory.value == 3 * GIB
    larger = plan.plan(RunConfig(**config.model_dump() | {"batch_size": 6, "lora_rank": 8}), source)
    assert larger.training.value == pytest.approx(4 * 2 * 1.5)
    assert (larger.memory.value, larger.disk.value) == (None, None)


def test_answering_time_is_unknown_if_another_process_wrote_the_adapter(
    runs_folder: Path, config: RunConfig, source: Source
):
    run = measured(config, "measured")
    state = run.state | {"born": time.time() - 11}  # the adapter is 12 s old
    (run.folder / "state.json").write_text(json.dumps(state))
    assert plan.plan(config, source).answering.value is None


def test_the_demo_model_is_estimated_from_the_example_runs(runs_folder: Path, source: Source):
    told = plan.plan(RunConfig.create(data=str(source.dataset.root)), source)
    assert told.training.value is not None
    assert "demo-po-pd-s0-44136f (example run" in (told.training.basis or "")
    assert told.disk.value is not None
    assert told.disk.value > 500_000
    assert told.answering.value is None


@pytest.mark.slow
def test_a_dry_run_is_two_steps_and_replaces_the_last_one(
    runs_folder: Path, config: RunConfig, source: Source, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    dry = plan.dry_run(RunConfig(**config.model_dump() | {"max_steps": 500, "eval_records": None}))
    assert (dry.max_steps, dry.eval_records, dry.look_every, dry.lora_rank) == (2, 2, None, 4)
    name = plan.launch_dry_run(config)
    assert name == "dry-" + config.run_name()
    first = jobs.watch(name).pid
    assert plan.launch_dry_run(config) == name
    assert jobs.watch(name).pid == first
    while (job := jobs.watch(name)).status in jobs.ACTIVE:
        time.sleep(0.05)
    assert job.status == "done", job.log.read_text()
    assert len(Run.find(name).rows(Run.find(name).log)) == 2
    assert plan._answer_seconds(Run.find(name)) is not None
    assert plan.launch_dry_run(config) == name
    second = jobs.watch(name).pid
    assert second not in (None, first)
    jobs.cancel(name, force=True)
    psutil.wait_procs([psutil.Process(second)], timeout=60)
    assert jobs.watch(name).status == "cancelled"
