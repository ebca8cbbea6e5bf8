"""Several processes on one run: the losses of one process, exact resume, one set of files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from safeeraser import cli
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.runs import jobs, processes
from safeeraser.runs.folder import Run
from safeeraser.unlearn import train

pytestmark = pytest.mark.slow

SHARED = {"batch_size": 2, "accumulation": 2, "max_steps": 5, "checkpoint_every": 2, "look_every": None}


def launch(words: list[str], folder: Path, *, count: int = 2) -> subprocess.Popen:
    """A command in so many CPU processes, as `accelerate launch` starts them (it has no such mode for the CPU)."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    environment = os.environ | {
        "SAFEERASER_RUNS": str(folder),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    return subprocess.Popen(
        [*starter, "-m", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process: subprocess.Popen) -> str:
    """What a process said, once it ended well."""
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def losses_of(run: Run) -> list[dict]:
    return [{"loss": row["loss"], **row["terms"], "norm": row["grad_norm"]} for row in run.rows(run.log)]


@pytest.mark.parametrize("method", ["po", "kl"])
def test_two_processes_train_what_one_trains(config: RunConfig, tiny_data: Dataset, runs_folder: Path, method: str):
    config = config.model_copy(update={**SHARED, "method": method})
    one = Run.create(config, data_hash="tiny", name="one")
    train.train(one, tiny_data)
    words = jobs.command(config, name="two")
    words[1] = "unlearn"
    finished(launch(words, runs_folder))
    two = Run.find("two")
    assert [row["step"] for row in two.rows(two.log)] == [1, 2, 3, 4, 5]
    for ours, theirs in zip(losses_of(one), losses_of(two), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)
    assert [row["tokens"] for row in two.rows(two.log)] == [row["tokens"] for row in one.rows(one.log)]


def test_two_processes_that_were_killed_go_on_exactly(config: RunConfig, runs_folder: Path):
    config = config.model_copy(update={**SHARED, "max_steps": 40, "checkpoint_every": 5})
    whole, killed = ([*jobs.command(config, name=name)] for name in ("whole", "killed"))
    whole[1] = killed[1] = "unlearn"
    finished(launch(whole, runs_folder))
    process, run = launch(killed, runs_folder), Run(runs_folder / "killed")
    deadline = time.monotonic() + 300
    while not (run.log.exists() and len(run.rows(run.log)) >= 8):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = [int(pid) for pid in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()]
    for pid in (process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert not run.adapter.exists()
    finished(launch(killed, runs_folder))
    one, other = (load_file(Run.find(name).adapter / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_all_stages_run_in_two_processes_and_are_written_once(
    config: RunConfig, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config.model_copy(update={**SHARED, "look_every": 2, "look_records": 2})
    with monkeypatch.context() as alone:
        alone.setenv("SAFEERASER_RUNS", str(runs_folder / "alone"))
        assert cli.main(jobs.command(config, name="one")[1:]) == 0
    said = finished(launch(jobs.command(config, name="two"), runs_folder))
    assert said.count("finished already") == 0
    two, one = Run.find("two"), Run(runs_folder / "alone" / "one")
    assert two.state["status"] == "done"
    answered = [(row["id"], row["sample"]) for row in two.rows(two.answers)]
    assert len(set(answered)) == len(answered)
    assert set(answered) == {(row["id"], row["sample"]) for row in one.rows(one.answers)}
    assert two.scores is not None
    assert two.scores["metrics"].keys() == json.loads(json.dumps(one.scores))["metrics"].keys()
    assert len(two.rows(two.looks)) == len(one.rows(one.looks))


def test_a_step_that_cannot_be_shared_is_refused(
    config: RunConfig, runs_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(processes, "count", lambda: 2)
    words = jobs.command(config.model_copy(update={"accumulation": 3}), name="odd")
    assert cli.main(["unlearn", *words[2:]]) == 1
    assert "--accumulation 3 cannot be shared by 2 processes" in capsys.readouterr().err


def test_a_model_split_by_fsdp2_trains_and_goes_on_like_a_whole_one(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    # Dropout is drawn for the rows of a forward pass, which are others here.
    still = {"method": "kl", "max_steps": 6, "checkpoint_every": 3, "lora_dropout": 0.0}
    config = config.model_copy(update={**SHARED, **still})
    one = Run.create(config, data_hash="tiny", name="one")
    train.train(one, tiny_data)
    words = [*jobs.command(config, name="split")]
    words[:2] = ["sharded", "unlearn"]
    finished(launch(words, runs_folder))
    split = Run.find("split")
    for ours, theirs in zip(losses_of(one), losses_of(split), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)
    ours, theirs = (load_file(run.adapter / "adapter_model.safetensors") for run in (one, split))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(tensor, theirs[name], atol=1e-5) for name, tensor in ours.items())
