"""`safeeraser tune` on the tiny model: what is run, what is chosen, what is kept, and what is refused."""

import argparse
import json
import shlex
from pathlib import Path

import pytest

from safeeraser import cli, stages
from safeeraser.commands import running, tune
from safeeraser.config import RunConfig
from safeeraser.data.rows import ScoreRow
from safeeraser.data.source import Source
from safeeraser.demo import dataset
from safeeraser.errors import SafeEraserError
from safeeraser.runs.folder import Run
from safeeraser.score import choosing

GRID = ["--over", "lr=1e-4,0.002", "--over", "lora-rank=2,4"]


@pytest.fixture(scope="module")
def dev_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demo"
    dataset.write(folder, each={"train": 1, "val": 1, "dev": 1})
    return folder


@pytest.fixture
def flags(tiny_model: Path, dev_folder: Path) -> list[str]:
    """Two steps; the usual settings are one of the four of GRID."""
    small = (
        "--max-steps 2 --batch-size 3 --lora-rank 4 --eval-records 1 --max-new-tokens 3 --device cpu --no-look-every"
    )
    return ["--model", str(tiny_model), "--data", str(dev_folder), "--lr", "0.002", *small.split()]


def options(words: list[str]) -> argparse.Namespace:
    return cli.parser(only="tune").parse_args(["tune", *words])


def pretend(values: dict[float, dict[str, float] | str], monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Let no run take time: by its learning rate it has these values, or fails with these words; returns what was run.

    A run that keeps nothing of the retain set is flagged as broken.
    """
    ran: list[RunConfig] = []

    def finish(run: Run, source: Source) -> ScoreRow:
        ran.append(run.config)
        found = values[run.config.lr] if run.config.trains else {}
        if isinstance(found, str):
            raise SafeEraserError(found)
        nothing = {"value": None, "low": None, "high": None, "n": 0, "unscored": 0}
        scores = {name: nothing | {"value": found.get(name)} for name in choosing.LOOKED_AT}
        flags = [{"name": "broken", "why": "x"}] if found.get("retain_accuracy") == 0 else []
        return {**stages.identity(run), "judge": "demo", "decoding": "greedy", "metrics": scores, "flags": flags}

    monkeypatch.setattr(running, "finish", finish)
    return ran


def axes(rr: float, sarr: float, kept: float = 1.0) -> dict[str, float]:
    return {"rr_generality": rr, "sarr": sarr, "retain_accuracy": kept}


@pytest.mark.slow
def test_a_grid_is_run_on_dev_chosen_from_kept_and_not_run_again(runs_folder: Path, dev_folder: Path, capsys):
    small = "--max-steps 8 --batch-size 6 --eval-records 4 --max-new-tokens 24 --no-look-every --lr 0.001 --lora-rank 4"
    grid = ["--over", "lr=1e-3,4e-3", "--over", "lora-rank=4,16"]
    assert cli.main(["tune", "--data", str(dev_folder), *small.split(), *grid, "--goal", "mean", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [tuple(row["settings"].values()) for row in first["rows"]] == [
        (0.001, 4),
        (0.001, 16),
        (0.004, 4),
        (0.004, 16),
    ]
    runs = [Run(runs_folder / row["run"]) for row in first["rows"]]
    assert all(run.done and run.config.eval_split == "dev" for run in runs)
    assert {row["split"] for run in runs for row in run.rows(run.answers)} == {"train", "dev"}
    assert len(list(runs_folder.glob("*/config.json"))) == 5  # with the base model's
    by_hand, flagged = {}, set()
    for kept, run in zip(first["rows"], runs, strict=True):
        scores = run.scores["metrics"]
        rr, sarr, right = (scores[name]["value"] for name in ("rr_generality", "sarr_unseen", "retain_accuracy"))
        by_hand[run.name] = (rr + 1 - sarr + right) / 3
        assert kept["metrics"]["sarr_unseen"] == scores["sarr_unseen"]
        flagged |= {run.name for flag in kept["flags"] if flag["name"] in ("broken", "did nothing")}
    assert {row["run"]: row["objective"] for row in first["rows"]} == pytest.approx(by_hand)
    best = max(value for name, value in by_hand.items() if name not in flagged)
    assert min(by_hand.values()) < by_hand[first["chosen"]] == best
    assert (first["combinations"], first["budget"], first["split"], first["seed"]) == (4, None, "dev", 0)
    before = {path: path.stat().st_mtime_ns for run in runs for path in run.folder.rglob("*") if path.is_file()}
    assert cli.main(shlex.split(first["command"])[1:]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("finished already") == 5
    assert f"chosen: {first['chosen']}" in shown.out
    assert before == {path: path.stat().st_mtime_ns for path in before}
    (file,) = (runs_folder / "tunes").iterdir()
    assert json.loads(file.read_text()) | {"date": ""} == first | {"date": ""}


@pytest.mark.slow
def test_a_stopped_tune_goes_on_where_it_was(runs_folder: Path, flags: list[str], monkeypatch, capsys):
    finish, seen = running.finish, []

    def stops(run: Run, source: Source) -> ScoreRow:
        if len(seen) == 3:  # the base model's run and two others are done
            raise KeyboardInterrupt
        seen.append(run.name)
        return finish(run, source)

    with monkeypatch.context() as patched:
        patched.setattr(running, "finish", stops)
        assert cli.main(["tune", *flags, *GRID]) == 130
    assert not (runs_folder / "tunes").exists()
    capsys.readouterr()
    assert cli.main(["tune", *flags, *GRID]) == 0
    assert capsys.readouterr().err.count("finished already") == 3


def test_the_best_is_marked_first_and_its_command_makes_the_run_on_val(
    runs_folder: Path, flags: list[str], monkeypatch, capsys
):
    ran = pretend({0.002: axes(0.9, 0.5), 0.001: axes(0.8, 0.2), 0.01: axes(1, 0, 0)}, monkeypatch)
    assert cli.main(["tune", *flags, "--over", "lr=0.002,0.001,0.01"]) == 0
    said = capsys.readouterr().out
    objectives = ["85.7", "73.0", "0.0"]  # 3 / (1 / .8 + 1 / .8 + 1), 3 / (1 / .9 + 1 / .5 + 1), and 0 for retain 0
    lines = [line for line in said.splitlines() if "-po-pd-s0-" in line and ":" not in line]
    assert [line.split()[0] for line in lines] == ["*", "0.002", "0.01"]
    assert lines[0].split()[1] == "0.001"
    assert all(value in line.split() for value, line in zip(objectives, lines, strict=True))
    assert "broken" in lines[2]
    (report,) = (line.removeprefix("on val: safeeraser ") for line in said.splitlines() if line.startswith("on val: "))
    chosen = running.flags.config(cli.parser(only="run").parse_args(shlex.split(report)))
    (asked,) = (config for config in ran if config.trains and config.lr == 0.001)
    assert asked.eval_split == "dev"
    assert chosen == asked.model_copy(update={"eval_split": "val"})
    assert "tried: 3 of 3 combinations (budget: all)" in said


def test_a_run_that_fails_is_said_comes_last_and_leaves_the_choice_to_the_others(
    runs_folder: Path, flags: list[str], monkeypatch, capsys
):
    pretend({0.002: "no memory is left", 0.001: axes(0.8, 0.2)}, monkeypatch)
    assert cli.main(["tune", *flags, "--over", "lr=0.002,0.001", "--json"]) == 1
    shown = capsys.readouterr()
    failed, good = json.loads(shown.out)["rows"]
    assert (failed["error"], failed["objective"], failed["metrics"]) == ("no memory is left", None, {})
    assert json.loads(shown.out)["chosen"] == good["run"]
    assert f"error: {failed['run']}: no memory is left" in shown.err


def test_where_nothing_is_known_nothing_is_chosen(runs_folder: Path, flags: list[str], monkeypatch, capsys):
    pretend({0.002: {}, 0.001: {}}, monkeypatch)
    assert cli.main(["tune", *flags, "--over", "lr=0.001"]) == 0
    said = capsys.readouterr().out
    assert "chosen: none, as no objective is known" in said
    assert "on val" not in said


def test_a_choice_that_nothing_decides_says_so(runs_folder: Path, flags: list[str], monkeypatch, capsys):
    pretend({0.002: axes(1, 1), 0.001: axes(0, 0)}, monkeypatch)
    cli.main(["tune", *flags, "--over", "lr=0.001"])
    assert "note: the objective is the same for all, so the first tried stays" in capsys.readouterr().out
    pretend({0.002: axes(1, 0, 0), 0.001: axes(1, 0, 0)}, monkeypatch)
    cli.main(["tune", *flags, "--over", "lr=0.001"])
    assert "note: it is flagged (broken), as all others are" in capsys.readouterr().out


def test_a_choice_is_printed_again_by_its_file_its_name_or_as_the_last(
    runs_folder: Path, flags: list[str], monkeypatch, capsys
):
    ran = pretend({0.002: axes(0.9, 0.5), 0.001: axes(0.8, 0.2)}, monkeypatch)
    command = ["tune", *flags, "--over", "lr=0.001"]
    cli.main(command)
    first = capsys.readouterr().out
    (file,) = (runs_folder / "tunes").iterdir()
    done = len(ran)
    for name in ("last", str(file), file.name, file.stem):
        assert cli.main(["tune", "--show", name]) == 0
        assert capsys.readouterr().out == first
    assert len(ran) == done
    assert cli.main(["tune", "--show", "last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(file.read_text())
    cli.main([*command, "--goal", "mean"])
    assert len(list((runs_folder / "tunes").iterdir())) == 2  # another choice among the same runs


def test_the_choices_of_a_folder_are_one_table_with_what_was_chosen_in_bold(
    runs_folder: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys
):
    pretend({0.002: axes(0.9, 0.5), 1e-4: axes(0.9, 0.1), 1e-3: axes(0.9, 0.5, kept=0)}, monkeypatch)
    over = ["--over", "lr=0.002,1e-4,1e-3"]
    assert cli.main(["tune", *flags, *over]) == 0
    assert cli.main(["tune", *flags, *over, "--method", "gd", "--vicinal", "0.5"]) == 0
    capsys.readouterr()
    assert cli.main(["tune", "--show", str(runs_folder / "tunes"), "--format", "markdown"]) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert header == "| Runs | Setting | RR gen. | SARR | Retain acc. | Objective | Flags |"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    po = sorted(line[1:] for line in cells if "--method gd" not in line[0])
    assert po == [
        ["**lr 0.0001**", "90.0", "10.0", "100.0", "93.1", ""],
        ["lr 0.001", "90.0", "50.0", "0.0", "0.0", "broken"],
        ["lr 0.002", "90.0", "50.0", "100.0", "73.0", ""],
    ]
    (of_gd,) = {line[0] for line in cells if "--method gd" in line[0]}
    assert "--vicinal 0.5" in of_gd
    assert "--over" not in of_gd
    assert lines[-1].startswith("Percent, on dev; bold is chosen. Objective (balanced): harmonic mean of")
    assert cli.main(["tune", "--show", str(runs_folder / "tunes"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    (runs_folder / "none").mkdir()
    assert cli.main(["tune", "--show", str(runs_folder / "none")]) == 1
    assert "there is no choice of settings (*.json) in this folder" in capsys.readouterr().err
    assert cli.main(["tune", *flags, *over, "--format", "markdown"]) == 1
    assert "--format has no effect without --show" in capsys.readouterr().err


def test_what_cannot_be_shown_is_named(runs_folder: Path, capsys):
    assert cli.main(["tune", "--show", "last"]) == 1
    assert f"in {runs_folder / 'tunes'}: none" in capsys.readouterr().err
    (runs_folder / "tunes").mkdir(parents=True)
    (runs_folder / "tunes" / "tune-abcdef.json").write_text('{"rows": 7}')
    assert cli.main(["tune", "--show", "tune-123456"]) == 1
    assert "tune-abcdef" in capsys.readouterr().err
    assert cli.main(["tune", "--show", "last"]) == 1
    assert "tune-abcdef.json: " in capsys.readouterr().err
    assert cli.main(["tune", "--show", "last", "--over", "lr=1"]) == 1
    assert "--over has no effect with --show" in capsys.readouterr().err


def test_a_budget_draws_from_the_grid_by_the_seed_and_always_tries_the_usual_settings():
    words = ["--over", "lr=1e-4,1e-3,0.0015,3e-3", "--over", "vicinal=none,0.5,1,2"]
    given = options(words)
    grid = tune._grid(given, tune._over(given.over))
    assert len(grid) == len(set(grid)) == 16  # the usual settings are among them, once
    assert (grid[0].lr, grid[0].vicinal) == (0.0015, None)
    drawn = tune._drawn(grid, 5)
    assert (len(drawn), drawn[0]) == (5, grid[0])
    assert [grid.index(one) for one in drawn] == sorted(grid.index(one) for one in drawn)
    assert drawn == tune._drawn(grid, 5)
    other = options([*words, "--seed", "1"])
    settings = [(one.lr, one.vicinal) for one in tune._drawn(tune._grid(other, tune._over(other.over)), 5)]
    assert settings != [(one.lr, one.vicinal) for one in drawn]
    assert tune._drawn(grid, 1) == grid[:1]
    assert tune._drawn(grid, 16) == tune._drawn(grid, 99) == tune._drawn(grid, None) == grid


def test_the_usual_settings_are_tried_where_no_value_names_them():
    given = options(["--lr", "0.01", "--over", "lr=0.001,1e-3", "--over", "decay-biases=true"])
    grid = tune._grid(given, tune._over(given.over))
    assert [one.lr for one in grid] == [0.01, 0.001]
    assert {one.eval_split for one in grid} == {"dev"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is nothing to choose from: add --over SETTING=VALUE"),
        (["--over", "lr="], "--over lr=: no values"),
        (["--over", "lr=,"], "--over lr=,: no values"),
        (["--over", "speed=1"], "'speed' is no setting; those of training are: pd_weight, "),
        (["--over", "seed=0,1"], "'seed' is not chosen on dev"),
        (["--over", "temperature=0,1"], "'temperature' is not chosen on dev"),
        (["--over", "lr=1e-3,fast"], "--over lr=fast: --lr: Input should be a valid number"),
        (["--over", "lr=-1"], "--over lr=-1: --lr: Input should be greater than 0, got '-1'"),
        (["--over", "lr=none"], "--over lr=none: --lr: Input should be a valid number"),
        (["--no-pd", "--over", "pd-weight=1"], "--over pd_weight=1: --pd-weight has no effect with --no-pd"),
        (["--over", "lr=1", "--over", "lr=2"], "'lr' is named twice"),
        (["--method", "base", "--over", "lr=1"], "--method base trains nothing"),
        (["--eval-split", "val", "--over", "lr=1"], "no reported number stands on what a choice was made on"),
        (["--eval-split", "test", "--over", "lr=1"], "--eval-split must be dev, got 'test'"),
    ],
)
def test_what_cannot_be_is_named_before_any_work(runs_folder: Path, words: list[str], message: str, capsys):
    assert cli.main(["tune", *words]) == 1
    assert message in capsys.readouterr().err
    assert not runs_folder.exists()


@pytest.mark.parametrize("words", [["--goal", "best"], ["--budget", "0"]])
def test_an_unknown_goal_or_an_empty_budget_is_refused(words: list[str], capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["tune", "--over", "lr=1", *words])
    assert words[0] in capsys.readouterr().err


def test_data_without_dev_is_refused_before_any_work(runs_folder: Path, tiny_data_folder: Path, capsys):
    assert cli.main(["tune", "--data", str(tiny_data_folder), "--over", "lr=0.001"]) == 1
    assert "has no split dev" in capsys.readouterr().err
    assert not runs_folder.exists()
