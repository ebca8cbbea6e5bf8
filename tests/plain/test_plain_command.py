"""`safeeraser demo build --world plain` and a run on what it builds, on a model that is cut down."""

import json
from pathlib import Path

import pytest
import small

from app import opened
from safeeraser import cli
from safeeraser.commands import demo
from safeeraser.models import loading
from safeeraser.plain import asking, base_model, dataset, packages, training, world
from safeeraser.plain.packages import PackageError
from safeeraser.plain.training import Recipe


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small_parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small networks in the place of the published ones, two steps of training, two things to look at anew."""
    monkeypatch.setattr(base_model, "language", lambda: (small.language(), small.tokenizer()))
    monkeypatch.setattr(base_model, "vision", small.tower)
    recipe = Recipe(pictures=1, naming_steps=2, naming_batch=2, steps=2, rows=2, questions=2, rank=2)
    monkeypatch.setattr(training, "Recipe", lambda: recipe)
    few = [world.THINGS["guitar"], world.THINGS["hat"]]
    ask = asking.ask_anew
    monkeypatch.setattr(asking, "ask_anew", lambda model, processor, things, **how: ask(model, processor, few, **how))
    monkeypatch.setattr(
        dataset.write, "__kwdefaults__", {**(dataset.write.__kwdefaults__ or {}), "each": {"train": 1, "val": 1}}
    )
    return cache


def test_before_it_is_built_the_model_says_how_to_build_it(cache: Path):
    with pytest.raises(PackageError, match="safeeraser demo build --world plain"):
        loading.checkpoint("plain")


def test_before_it_is_built_launch_says_how_to_build_it(cache: Path, runs_folder: Path):
    app = opened("launch", preset="plain")
    assert not app.exception
    assert [error.value.endswith("safeeraser demo build \\-\\-world plain\\` makes it") for error in app.error] == [
        True
    ]
    assert not [button for button in app.button if button.key == "launch"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--train"], "--train and --ask are for --world plain"),
        (["--world", "plain", "--seed", "1"], "--seed has no effect on --world plain without --train"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(words: list[str], why: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["demo", "build", *words]) == 1
    assert why in capsys.readouterr().err


def test_a_model_that_does_not_name_things_is_not_kept(small_parts: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["demo", "build", "--world", "plain", "--train"]) == 1
    captured = capsys.readouterr()
    assert "of 4 answers about new pictures, 0.0% name the thing and 0.0% refuse" in captured.out
    assert "the model is not good enough" in captured.err
    assert not packages.model_folder().exists()


@pytest.mark.slow
def test_what_was_trained_is_built_without_training_and_a_run_on_it_is_scored(
    small_parts: Path, runs_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(demo, "FLOORS", {"named": 0.0, "refused": 1.0})
    assert cli.main(["demo", "build", "--world", "plain", "--train"]) == 0
    trained = Path(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("trained: "))[9:])
    first = (packages.model_folder() / "model.safetensors").read_bytes()
    monkeypatch.setattr(base_model, "TRAINED", trained)
    assert cli.main(["demo", "build", "--world", "plain"]) == 0
    assert (packages.model_folder() / "model.safetensors").read_bytes() == first
    words = "--model plain --data plain --max-steps 1 --batch-size 2 --lora-rank 2 --eval-records 1 --max-new-tokens 3"
    assert cli.main(["run", *words.split(), "--no-look-every", "--device", "cpu"]) == 0
    (scores,) = runs_folder.glob("plain-po-pd-*/scores.json")
    metrics = json.loads(scores.read_text())["metrics"]
    assert metrics["sarr"]["n"] == 4
    assert metrics["rr_unseen"]["n"] + metrics["rr_unseen"]["unscored"] > 0
    assert metrics["rr_unseen"]["unscored"] == 0
