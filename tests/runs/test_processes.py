"""Several processes on one run: the losses of one process, exact resume, one set of files."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from waiting import until
from warm import Started

from safeeraser import cli
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.models import gate
from safeeraser.runs import jobs, processes
from safeeraser.runs.folder import Run
from safeeraser.unlearn import train

pytestmark = pytest.mark.slow

SHARED = {"batch_size": 2, "accumulation": 2, "max_steps": 5, "checkpoint_every": 2, "look_every": None}


class Launched:
    """A command in two CPU processes, in the environment that `torchrun` makes for each of them."""

    def __init__(self, words: list[str], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        together |= {"SAFEERASER_RUNS": str(folder), "ACCELERATE_USE_CPU": "true"}
        folder.mkdir(parents=True, exist_ok=True)
        self.processes = [
            Started(
                ["-m", *words],
                output=folder.parent / f"{folder.name}-{rank}.txt",
                environment=os.environ | together | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in (0, 1)
        ]

    def finished(self) -> str:
        """What the first of them said, once all ended well."""
        for process in self.processes:
            assert process.wait() == 0, process.said()
        return self.processes[0].said()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()


def losses_of(run: Run) -> list[dict]:
    return [{"loss": row["loss"], **row["terms"], "norm": row["grad_norm"]} for row in run.rows(run.log)]


@pytest.mark.parametrize("method", ["po", "kl", "rmu"])
def test_two_processes_train_what_one_trains(config: RunConfig, tiny_data: Dataset, runs_folder: Path, method: str):
    config = config.model_copy(update={**SHARED, "method": method})
    one = Run.create(config, data_hash="tiny", name="one")
    train.train(one, tiny_data)
    words = jobs.command(config, name="two")
    words[1] = "unlearn"
    Launched(words, runs_folder).finished()
    two = Run.find("two")
    assert [row["step"] for row in two.rows(two.log)] == [1, 2, 3, 4, 5]
    for ours, theirs in zip(losses_of(one), losses_of(two), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)
    assert [row["tokens"] for row in two.rows(two.log)] == [row["tokens"] for row in one.rows(one.log)]


def test_two_processes_that_were_killed_go_on_exactly(config: RunConfig, runs_folder: Path):
    config = config.model_copy(update={**SHARED, "max_steps": 40, "checkpoint_every": 5})
    whole, killed = ([*jobs.command(config, name=name)] for name in ("whole", "killed"))
    whole[1] = killed[1] = "unlearn"
    Launched(whole, runs_folder).finished()
    both, run = Launched(killed, runs_folder), Run(runs_folder / "killed")

    def trained() -> bool:
        assert [process.poll() for process in both.processes] == [None, None], both.processes[0].said()
        return run.log.exists() and len(run.rows(run.log)) >= 8

    until(trained)
    both.kill()
    assert not run.adapter.exists()
    Launched(killed, runs_folder).finished()
    one, other = (load_file(Run.find(name).adapter / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_all_stages_run_in_two_processes_and_are_written_once(
    config: RunConfig, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config.model_copy(update={**SHARED, "look_every": 2, "look_records": 2, "gate": "picture"})
    with monkeypatch.context() as alone:
        alone.setenv("SAFEERASER_RUNS", str(runs_folder / "alone"))
        assert cli.main(jobs.command(config, name="one")[1:]) == 0
    said = Launched(jobs.command(config, name="two"), runs_folder).finished()
    assert said.count("finished already") == 0
    two, one = Run.find("two"), Run(runs_folder / "alone" / "one")
    assert two.state["status"] == "done"
    answered = [(row["id"], row["sample"]) for row in two.rows(two.answers)]
    assert len(set(answered)) == len(answered)
    assert set(answered) == {(row["id"], row["sample"]) for row in one.rows(one.answers)}
    assert two.scores is not None
    assert two.scores["metrics"].keys() == json.loads(json.dumps(one.scores))["metrics"].keys()
    assert len(two.rows(two.looks)) == len(one.rows(one.looks))
    gates = [(run.adapter / gate.FILE).read_bytes() for run in (one, two)]
    assert gates[0] == gates[1]


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
    Launched(words, runs_folder).finished()
    split = Run.find("split")
    for ours, theirs in zip(losses_of(one), losses_of(split), strict=True):
        # The loss is what remains of terms of 6, a sum in single precision that is known to 5e-7 at most.
        assert theirs.pop("loss") == pytest.approx(ours.pop("loss"), rel=1e-4, abs=1e-6)
        assert theirs == pytest.approx(ours, rel=1e-4)
    ours, theirs = (load_file(run.adapter / "adapter_model.safetensors") for run in (one, split))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(tensor, theirs[name], atol=1e-5) for name, tensor in ours.items())
