"""Trackers show what the run's own log says, go on where training goes on, and change nothing."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from safeeraser import cli
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data.records import Dataset
from safeeraser.runs import trackers
from safeeraser.runs.folder import Run, RunError
from safeeraser.runs.trackers import TrackError
from safeeraser.unlearn import train


@pytest.fixture
def tracked(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"track": "tensorboard", "checkpoint_every": 2, "look_every": None})


def new_run(config: RunConfig, name: str = "tracked") -> Run:
    return Run.create(config, data_hash="tiny", name=name)


def shown(run: Run) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: steps and values by name."""
    events = EventAccumulator(str(run.tensorboard)).Reload()
    return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a power cut: the next step's place in the log is never reached."""
    append = Run.append

    def stopped(run: Run, path: Path, rows: list[dict[str, Any]]) -> None:
        if path == run.log and rows[0]["step"] > step:
            raise KeyboardInterrupt
        append(run, path, rows)

    monkeypatch.setattr(Run, "append", stopped)


def test_tensorboard_shows_each_step_once_also_of_a_run_that_was_stopped_and_the_adapter_is_that_of_an_untracked_run(
    tracked: RunConfig, config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = new_run(config.model_copy(update={"look_every": None}), "plain")
    train.train(plain, tiny_data)
    run = new_run(tracked)
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train(run, tiny_data)
    assert [step for step, _ in shown(run)["loss"]] == [1, 2, 3]
    train.train(run, tiny_data)  # from the checkpoint of step 2, so step 3 is taken again
    rows, found = run.rows(run.log), shown(run)
    assert set(found) == {"loss", "lr", "grad_norm", "epoch", "terms/prefer", "terms/decouple", "tokens_per_second"}
    for name in ("loss", "lr", "grad_norm", "epoch"):
        assert found[name] == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows]
    for name in ("prefer", "decouple"):
        assert found[f"terms/{name}"] == [(row["step"], pytest.approx(row["terms"][name], rel=1e-6)) for row in rows]
    speeds = [(row["step"], pytest.approx(row["tokens"] / row["seconds"], rel=1e-6)) for row in rows]
    assert found["tokens_per_second"] == speeds
    (settings,) = run.tensorboard.rglob("hparams.yml")
    assert {"method: po", "lora_rank: 4"} <= set(settings.read_text().splitlines())
    ours, theirs = (load_file(one.adapter / "adapter_model.safetensors") for one in (run, plain))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert {path.name for path in run.folder.iterdir()} - {path.name for path in plain.folder.iterdir()} == {
        "tensorboard"
    }


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_another_tracker_goes_on_in_the_run_that_it_started(
    name: str, tracked: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """A stand-in for the library, which is not among the test requirements; accelerate's tracker is the real one."""
    started: list[dict[str, Any]] = []
    logged: list[int] = []
    told: dict[str, Any] = {}

    def init(**how: Any) -> Any:
        started.append(how)
        return SimpleNamespace(log=lambda values, step: logged.append(step), finish=lambda: logged.append(0))

    library = SimpleNamespace(init=init, config=SimpleNamespace(update=lambda values, **how: told.update(values)))
    monkeypatch.setitem(sys.modules, name, library)  # pyright: ignore[reportArgumentType]
    run = new_run(tracked.model_copy(update={"track": name}))
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            train.train(run, tiny_data)
    assert (told["method"], "pd_weight" in told) == ("po", False)
    train.train(run, tiny_data)
    assert logged == [1, 2, 3, 0, 3, 4, 0]
    assert {(how["project"], how["name"]) for how in started} == {("safeeraser", "tracked")}
    if name == "wandb":
        assert started[0] == started[1]
        assert (started[0]["resume"], started[0]["dir"]) == ("allow", str(run.folder))
    else:
        assert [how["resume"] for how in started] == ["never", "allow"]


def test_a_tracker_that_does_not_start_is_one_clear_error_and_the_command_without_it_goes_on(
    tracked: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def init(**how: Any) -> None:
        raise RuntimeError("no API key")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))  # pyright: ignore[reportArgumentType]
    failing = tracked.model_copy(update={"track": "wandb"})
    run = new_run(failing)
    with pytest.raises(TrackError, match=r"--track wandb: wandb does not start \(no API key\); .*without it"):
        train.train(run, tiny_data)
    assert new_run(tracked.model_copy(update={"track": None})).config.track is None
    train.train(run, tiny_data)
    assert new_run(failing).config.track is None  # it is trained: nothing is shown any more
    assert run.adapter.exists()


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_made(
    runs_folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def distribution(name: str) -> None:
        if name != "tensorboard":
            raise PackageNotFoundError(name)

    monkeypatch.setattr(trackers, "distribution", distribution)
    for command in ("run", "unlearn"):
        assert cli.main([command, "--track", "tensorboard,wandb,trackio"]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "wandb and trackio are not installed; `pip install wandb trackio`, or leave the flag out" in said
    assert not runs_folder.exists()


def test_tracking_makes_no_other_run_and_an_unknown_tracker_is_named():
    config = RunConfig.create(track=" wandb, tensorboard,wandb")
    assert config.trackers == ("wandb", "tensorboard")
    assert (config, config.run_name(), config.other_flags()) == (RunConfig(), RunConfig().run_name(), "")
    assert config.flags() == ["--track", "wandb,tensorboard"]
    with pytest.raises(ConfigError, match="--track: unknown tracker 'mlflow'; known: tensorboard, wandb, trackio"):
        RunConfig.create(track="tensorboard,mlflow")


def test_a_run_that_another_process_trains_keeps_its_trackers(tracked: RunConfig, runs_folder: Path):
    run = new_run(tracked)
    with run.lock(), pytest.raises(RunError, match="being worked on by another process"):
        new_run(tracked.model_copy(update={"track": None}))
    assert run.config.track == "tensorboard"
