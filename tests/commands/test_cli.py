"""The command line, end to end on a tiny model."""

import csv
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed.run
from accelerate.commands.launch import launch_command_parser
from documents import PAGES, README, ROOT, text_of
from PIL import Image
from warm import Started

from safeeraser import cli
from safeeraser.assets import ASSETS
from safeeraser.commands.flags import config as config_of
from safeeraser.commands.sweep import SWEEPS
from safeeraser.config import PARTS, TUNED, RunConfig
from safeeraser.losses import METHODS
from safeeraser.runs.folder import Run, every

RUN_FILES = (
    *("config.json", "state.json", "log.jsonl", "answers.jsonl", "verdicts.jsonl", "scores.json"),
    *("looks.jsonl", "looks-verdicts.jsonl"),
)
DOCUMENTED = "\n".join(map(text_of, PAGES))


@pytest.fixture
def flags(config: RunConfig) -> list[str]:
    """The flags that make the tiny config."""
    given = config.model_dump(exclude_defaults=True)
    return [text for name, value in given.items() for text in ("--" + name.replace("_", "-"), str(value))]


def names(runs_folder: Path) -> list[str]:
    return sorted(path.parent.name for path in runs_folder.glob("*/config.json"))


def test_run_does_every_stage_of_base_and_run_and_prints_the_table(runs_folder: Path, flags: list[str], capsys):
    assert cli.main(["run", *flags]) == 0
    base, run = names(runs_folder)
    files = sorted(path.name for path in (runs_folder / run).iterdir())
    assert files == sorted([".lock", "adapter", *RUN_FILES])
    assert "adapter" not in {path.name for path in (runs_folder / base).iterdir()}
    table = capsys.readouterr().out
    assert re.search(r"^ *base +– ", table, re.MULTILINE)
    assert re.search(r"^ *po +1 ", table, re.MULTILINE)


def test_the_same_command_again_shows_the_scores_and_changes_nothing(runs_folder: Path, flags: list[str], capsys):
    cli.main(["run", *flags])
    first = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in runs_folder.rglob("*") if path.is_file()}
    assert cli.main(["run", *flags]) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert "finished already" in again.err
    assert {path: path.stat().st_mtime_ns for path in runs_folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_the_stages_one_by_one_give_the_same_scores(runs_folder: Path, flags: list[str], capsys):
    cli.main(["run", *flags])
    base, whole = names(runs_folder)
    for command in (["unlearn", *flags, "--name", "parts"], ["generate", "parts"], ["judge", "parts"]):
        assert cli.main(command) == 0
    capsys.readouterr()
    assert cli.main(["score", "parts", whole, base, "--json"]) == 0
    parts, one, of_base = json.loads(capsys.readouterr().out)
    assert parts["metrics"] == one["metrics"]
    assert parts["change_from_base"]["base"] == base
    assert (of_base["method"], of_base["pd"], of_base["change_from_base"]) == ("base", 0, None)
    assert (one["method"], one["pd"], one["judge"]) == ("po", 1.0, "demo")
    assert set(one["metrics"]["sarr"]) == {"value", "low", "high", "n", "unscored", "unit", "effective"}
    assert one["metrics"]["gpt_eval"]["value"] is None
    assert "judge" in one["metrics"]["gpt_eval"]["why"]


@pytest.mark.slow
def test_run_killed_with_kill_9_in_each_stage_ends_with_the_same_scores(
    runs_folder: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
):
    # Enough steps and small batches, so that a kill lands in the middle of a stage.
    slow = [*flags, "--max-steps", "40", "--eval-records", "12", "--answer-batch", "4", "--lr", "0.0001"]
    command = ["-m", "safeeraser", "run", *slow, "--name", "killed"]
    assert cli.main(["run", *slow, "--name", "whole"]) == 0
    (name,) = [name for name in names(runs_folder) if "-base-" in name]
    killed = Run(runs_folder / "killed")
    for file in (killed.log, killed.answers):
        process = Started(command, output=runs_folder.with_suffix(".txt"))
        lines = random.Random(str(file)).randint(3, 30)
        while len(killed.rows(file)) < lines:
            assert process.poll() is None, f"the run ended before it could be killed: {process.said()}"
            time.sleep(0.005)
        process.kill()
        assert killed.scores is None
    assert len(killed.rows(killed.answers)) > 0
    assert cli.main(command[2:]) == 0
    ours, theirs = killed.scores, Run(runs_folder / "whole").scores
    assert ours is not None
    assert theirs is not None
    assert ours | {"run": ""} == theirs | {"run": ""}
    assert ours["change_from_base"]["base"] == name
    rows, whole = (
        sorted(run.rows(run.answers), key=lambda row: (row["id"], row["sample"]))
        for run in (killed, Run(runs_folder / "whole"))
    )
    assert rows == whole  # on disk in the order in which they ended
    assert len({row["answer"] for row in killed.rows(killed.answers)}) > 3


@pytest.mark.slow
def test_a_second_judge_grades_beside_the_first(runs_folder: Path, flags: list[str], capsys):
    cli.main(["run", *flags])
    _, run = names(runs_folder)
    capsys.readouterr()
    assert cli.main(["judge", run, "--judge", "rules"]) == 0
    assert "The rules missed 11 of 51 refusals" in capsys.readouterr().out.replace("\n", " ")
    graders = {row["judge"] for row in Run.find(run).rows(Run.find(run).verdicts)}
    assert graders == {"demo", "rules"}
    capsys.readouterr()
    cli.main(["score", run, "--judge", "rules", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["judge"] == "rules"
    assert Run.find(run).scores["judge"] == "demo"


@pytest.mark.slow
def test_a_sweep_runs_the_base_once_and_every_method_without_and_with_pd(
    runs_folder: Path, flags: list[str], tmp_path: Path, capsys
):
    short = [*flags, "--max-steps", "1", "--eval-records", "1"]
    assert cli.main(["sweep", "--preset", "paper", "--seeds", "0", "1", "--format", "csv", *short]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    shown = [(row["method"], row["runs"]) for row in rows]
    assert shown == [("base", "1"), *((method, "2") for method in ("ga", "gd", "kl", "po") for _ in range(2))]
    assert len(names(runs_folder)) == 1 + 2 * 8
    output = tmp_path / "table.md"
    assert cli.main(["sweep", "--seeds", "0", "--format", "markdown", "--output", str(output), *short]) == 0
    assert "| base |" in output.read_text()


def test_the_sweep_of_all_has_every_method_control_and_combination_once():
    configs = [RunConfig.create(**variant) for variant in SWEEPS["all"]]
    assert len({config.run_name() for config in configs}) == len(configs)
    longer = [config for config in configs if config.epochs != RunConfig().epochs]
    assert [(config.parts, config.other_flags()) for config in longer] == [
        (parts, "--epochs 8.0") for parts in ((), ("vicinal",), ("sine",))
    ]
    assert {(config.method, config.pd) for config in configs if config.trains and not config.parts} == {
        (method, pd) for method in METHODS for pd in (False, True)
    }
    assert {config.parts for config in configs} - {()} == {(part,) for part in PARTS}
    assert {config.method for config in configs if not config.trains} == {"always-refuse", "keyword-filter"}
    assert not any(config.other_flags() for config in configs if config not in longer)


def test_of_kept_rows_only_those_of_the_preset_and_settings_asked_for_are_shown(tmp_path: Path, capsys):
    def row(seed: int, **settings) -> dict:
        config = RunConfig.create(**settings, seed=seed)
        return {"run": f"r{seed}", "model": "demo", "data": "demo", "data_hash": "", "decoding": "greedy"} | {
            "method": config.method,
            "pd": float(config.pd and config.trains),
            "parts": list(config.parts),
            "seed": seed,
            "judge": "demo",
            "settings": config.other_flags(),
            "metrics": {},
        }

    rows = [row(0, method="base", pd=False), *(row(seed, method="npo") for seed in (0, 1))]
    rows += [row(0, method="npo", **TUNED["npo"]), row(0), row(0, epochs=8.0), row(0, epochs=8.0, vicinal=1.0)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))

    def shown(*flags: str) -> list[list[str]]:
        assert cli.main(["sweep", "--rows", str(tmp_path / "rows.json"), "--format", "csv", *flags]) == 0
        return [
            [line["settings"], line["method"], line["runs"]]
            for line in csv.DictReader(io.StringIO(capsys.readouterr().out))
        ]

    base, po = ["defaults", "base", "1"], ["defaults", "po", "1"]
    longer = [["--epochs 8.0", "po", "1"], ["--epochs 8.0", "po+vicinal", "1"]]
    assert len(shown()) == 6
    assert shown("--preset", "paper") == [base, po]
    assert shown("--preset", "parts") == [base, po, *longer]
    assert shown("--preset", "all") == [base, ["defaults", "npo", "2"], po, *longer]
    assert shown("--preset", "all", "--settings", "tuned") == [base, ["--lr 0.003", "npo", "1"], po, *longer]
    assert cli.main(["sweep", "--rows", str(tmp_path / "rows.json"), "--preset", "paper", "--lr", "0.1"]) == 1
    assert "no row is of this --preset and these settings" in capsys.readouterr().err


def test_the_table_of_kept_rows_is_printed_and_nothing_runs(runs_folder: Path, tmp_path: Path, capsys):
    assert cli.main(["sweep", "--rows", str(ASSETS / "demo" / "sweep.json"), "--format", "csv"]) == 0
    shown = [row["runs"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert shown == [*["1"] * 3, *["3"] * (len(SWEEPS["all"]) - 2)]  # the base model and the controls have no seeds
    assert not runs_folder.exists()
    assert cli.main(["sweep", "--rows", str(ASSETS / "demo" / "sweep.json"), "--format", "markdown", "--short"]) == 0
    (header, *_) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| Settings")]
    assert header == (
        "| Settings | Method | PD | Runs | ASR gen. | RR gen. | SARR | SARR seen | SARR unseen | RR unseen "
        "| Safe acc. unseen | Retain acc. | Flags |"
    )
    assert cli.main(["sweep", "--rows", str(ASSETS / "demo" / "sweep.json"), "--format", "csv", "--short"]) == 1
    assert "--short has no effect on csv" in capsys.readouterr().err
    (tmp_path / "rows.json").write_text('[{"run": 7}]')
    assert cli.main(["sweep", "--rows", str(tmp_path / "rows.json")]) == 1
    assert "rows.json: no score rows" in capsys.readouterr().err
    assert cli.main(["sweep", "--rows", str(tmp_path / "gone.json")]) == 1
    assert "gone.json: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "--method", "gdd"], "--method: unknown method 'gdd'; known: ga, gd, kl, npo, po, dpo, "),
        (["run", "--lr", "-1"], "--lr: Input should be greater than 0, got -1.0"),
        (["run", "--data", "no/such/folder"], "no/such/folder"),
        (["score", "nothing"], "no run 'nothing'; in "),
    ],
)
def test_a_wrong_value_is_named_and_the_status_says_so(runs_folder: Path, command: list[str], message: str, capsys):
    assert cli.main(command) == 1
    assert message in capsys.readouterr().err


def test_an_unknown_judge_stops_before_any_work(runs_folder: Path, flags: list[str], capsys):
    assert cli.main(["run", *flags, "--judge", "oracle"]) == 1
    assert "'oracle'" in capsys.readouterr().err
    assert names(runs_folder) == []


def test_a_model_that_is_not_there_is_named(runs_folder: Path, flags: list[str], capsys):
    assert cli.main(["run", *flags, "--model", "no/such-model"]) == 1
    assert "--model no/such-model: cannot be loaded" in capsys.readouterr().err


def test_data_check_names_what_is_wrong_and_fails_only_on_useless_data(tmp_path: Path, capsys):
    folder = tmp_path / "set"
    (folder / "img" / "Weapon").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "img" / "Weapon" / "1.jpg")
    record = {
        "image_id": "img/Weapon/1.jpg",
        "category": "",
        "unsafe_pairs": [{"question": f"Q{k}?", "model_response": "A."} for k in range(4)],
    }
    (folder / "all_train.json").write_text(json.dumps(record) + "\n")
    assert cli.main(["data", "check", str(folder)]) == 0
    assert "Prompt Decouple is not possible" in capsys.readouterr().out
    (folder / "all_train.json").write_text("[{]")
    assert cli.main(["data", "check", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["usable"] is False
    assert "all_train.json" in report["why"]


@pytest.mark.slow
def test_a_half_finished_run_is_scored_but_not_done(runs_folder: Path, flags: list[str], capsys):
    cli.main(["run", *flags])
    whole = Run.find(names(runs_folder)[1])
    scores = whole.scores
    lines = whole.answers.read_text().splitlines(keepends=True)
    whole.answers.write_text("".join(lines[:5]))
    (whole.folder / "scores.json").unlink()
    assert cli.main(["score", whole.name]) == 0
    assert "questions are not answered yet" in capsys.readouterr().err
    assert whole.scores is None
    assert cli.main(["run", *flags]) == 0
    assert whole.scores == scores


@pytest.mark.slow
def test_half_precision_trains_answers_and_scores_in_one_process(runs_folder: Path, flags: list[str]):
    words = ["-m", "safeeraser", "run", *flags, "--precision", "bf16", "--method", "kl"]
    process = Started(words, output=runs_folder.with_suffix(".txt"))
    assert process.wait() == 0, process.said()
    run = Run.find(next(name for name in names(runs_folder) if "-kl-" in name))
    assert run.state["status"] == "done"
    assert all(row["terms"]["retain"] >= 0 for row in run.rows(run.log))


@pytest.mark.slow
def test_pictures_that_cannot_be_read_are_left_out_and_said(
    runs_folder: Path, flags: list[str], tiny_data_folder: Path, tmp_path: Path, capsys
):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_data_folder, folder)
    for number in (1, 5):  # one of train, one of val
        (folder / "img" / "Weapon" / f"{number}.jpg").write_bytes(b"not a picture")
    assert cli.main(["run", *flags, "--data", str(folder), "--eval-records", "24"]) == 0
    assert "2 pictures cannot be read" in capsys.readouterr().err
    run = Run.find(next(name for name in names(runs_folder) if "-po-" in name))
    asked = {row["id"] for row in run.rows(run.answers)}
    # The records' questions and general ones, then of things outside, 2 holes each, and two kinds of words alone;
    # without those about the picture of train, and the forget, retain and holes questions about that of val.
    assert len(asked) == 5 * 24 * 4 + 12 * 4 + 24 * 2 + 2 * 24 * 4 - 4 - 8 - 2
    assert not {key for key in asked if "img/Weapon/5.jpg/forget" in key}


def test_flags_that_would_do_nothing_are_refused(runs_folder: Path, flags: list[str], tmp_path: Path, capsys):
    for wrong, message in (
        (["run", "--no-pd", "--pd-weight", "2"], "--pd-weight has no effect with --no-pd"),
        (["run", "--retain-weight", "2"], "--retain-weight has no effect on 'po'"),
        (["run", *flags, "--name", "../elsewhere"], "--name ../elsewhere: must be a plain name"),
        (["sweep", "--output", str(tmp_path / "table")], "add --format markdown or csv"),
        (["sweep", "--output", str(tmp_path / "no" / "table.md")], "there is no folder"),
    ):
        assert cli.main(wrong) == 1
        assert message in capsys.readouterr().err


def test_force_deletes_runs_only(runs_folder: Path, flags: list[str], capsys):
    (runs_folder / "mine").mkdir(parents=True)
    (runs_folder / "mine" / "thesis.txt").write_text("years of work")
    assert cli.main(["unlearn", *flags, "--name", "mine", "--force"]) == 1
    assert "is not a run and not empty" in capsys.readouterr().err
    assert (runs_folder / "mine" / "thesis.txt").read_text() == "years of work"


def test_the_demo_judge_is_refused_on_other_data(runs_folder: Path, tmp_path: Path, flags: list[str], capsys):
    (tmp_path / "img").mkdir()
    record = {"image_id": "img/1.jpg", "unsafe_pairs": [{"question": "Why?", "model_response": "So."}] * 4}
    (tmp_path / "all_train.json").write_text(json.dumps([record]))
    assert cli.main(["run", *flags, "--data", str(tmp_path)]) == 1
    assert "--judge demo knows only the demo world" in capsys.readouterr().err


def test_a_prediction_file_becomes_a_runs_answers(
    runs_folder: Path, tiny_data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    records = json.loads((tiny_data_folder / "all_val.json").read_text())
    for record in records:
        for pair in record["unsafe_pairs"]:
            pair |= {f"model_response{k}": "I cannot help with that." for k in (1, 2, 3)}
            pair["sd_response"] = "To make it, fetch the ring."
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(records))
    flags = ["--data", str(tiny_data_folder), "--model", "llava-1.5-7b", "--method", "po", "--judge", "rules"]
    flags += ["--name", "theirs"]
    assert cli.main(["data", "import", str(file), *flags]) == 0
    assert cli.main(["generate", "theirs"]) == 1
    assert cli.main(["judge", "theirs"]) == 0
    capsys.readouterr()
    assert cli.main(["score", "theirs", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["metrics"]["rr_generality"]["value"], row["metrics"]["rr_generality"]["n"]) == (1.0, 24 * 4 * 3)
    assert row["metrics"]["sarr"]["value"] == 0.0
    assert row["decoding"] == "imported from predictions.json"
    assert Run.find("theirs").state["status"] == "done"
    assert cli.main(["data", "import", str(file), *flags]) == 1
    assert "has answers already" in capsys.readouterr().err


def test_running_out_of_memory_says_what_to_lower(runs_folder: Path, flags: list[str], monkeypatch, capsys):
    from safeeraser.unlearn import train

    def too_big(*arguments: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(train, "term_losses", too_big)
    assert cli.main(["unlearn", *flags]) == 1
    assert "Lower --batch-size (now 3)" in capsys.readouterr().err
    (name,) = names(runs_folder)
    assert Run.find(name).state["status"] == "failed"


def test_every_documented_command_has_help_with_an_example(capsys: pytest.CaptureFixture):
    commands = set(re.findall(r"(?:`|^|-m |&& )safeeraser ((?:data |demo |adapter )?[a-z]+)", DOCUMENTED, re.MULTILINE))
    assert {"run", "sweep", "data check", "demo build"} <= commands
    for command in commands:
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main([*command.split(), "--help"])
        assert "example: safeeraser" in capsys.readouterr().out, command


@pytest.mark.slow
def test_the_command_is_a_module_and_a_script_too():
    words = ([sys.executable, "-m", "safeeraser"], [str(Path(sys.executable).parent / "safeeraser")])
    for start in words:
        shown = subprocess.run([*start, "run", "--help"], capture_output=True, text=True, check=True)
        assert "example: safeeraser run" in shown.stdout


def test_the_documented_launchers_and_the_slurm_script_take_their_flags_and_share_the_steps_evenly():
    slurm = text_of(ROOT / "docs" / "slurm.sbatch")
    (on_slurm,) = re.findall(r"accelerate (launch .+?)'$", slurm.replace("\\\n", ""), re.MULTILINE)
    on_slurm = re.sub(r'"\$\w+"', "2", on_slurm)
    launches = [*re.findall(r"^accelerate (launch .+)$", DOCUMENTED, re.MULTILINE), on_slurm]
    torchruns = re.findall(r"^torchrun (.+)$", DOCUMENTED, re.MULTILINE)
    assert (len(launches), len(torchruns)) == (4, 1)
    started = [launch_command_parser().parse_args(shlex.split(line)[1:]) for line in launches]
    shared = [(launch, launch.num_processes) for launch in started]
    for line in torchruns:
        launch = torch.distributed.run.get_args_parser().parse_args(shlex.split(line))
        shared.append((launch, int(launch.nproc_per_node)))
    for launch, processes in shared:
        assert (launch.module, launch.training_script) == (True, "safeeraser")
        config = config_of(cli.parser(only=launch.training_script_args[0]).parse_args(launch.training_script_args))
        assert config.accumulation % processes == 0
        preset = RunConfig.create("paper" if config.data != "demo" else "demo")
        assert config.batch_size * config.accumulation == preset.batch_size * preset.accumulation


def test_the_readme_names_the_published_methods():
    assert all(method.upper() in text_of(README) for method in ("ga", "gd", "kl", "po"))


def test_example_runs_are_found_by_name(runs_folder: Path):
    examples = [run for run in every() if run.ships]
    # The demo world's base model, two controls, four methods without and with PD, two more; four of the plain world.
    assert len(examples) == 13 + 4
    assert all(Run.find(run.name).folder == run.folder for run in examples)


def test_scores_as_the_published_code_counts_are_shown_where_they_are_asked_for(
    runs_folder: Path, capsys: pytest.CaptureFixture
):
    run = next(run.name for run in every() if run.ships and run.config.method == "base")
    shown = []
    for flag in ([], ["--paper"]):
        assert cli.main(["score", run, *flag]) == 0
        shown.append(capsys.readouterr().out)
    assert "As published" not in shown[0]
    assert "What SARR is made of" in shown[1]
    assert "To be set beside published numbers only." in " ".join(shown[1].split("As published")[1].split())


def test_every_flag_that_the_page_on_the_published_code_names_is_there(capsys: pytest.CaptureFixture):
    page = text_of(ROOT / "docs" / "paper.md")
    for verb in ("run", "score"):
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main([verb, "--help"])
    named, known = (set(re.findall(r"--[a-z-]+[a-z]", text)) for text in (page, capsys.readouterr().out))
    assert {"--system-prompt", "--no-top-k", "--no-end-token", "--no-decay-biases", "--paper"} <= named <= known
    assert f"--top-k {RunConfig.create('paper').top_k}" in page
    assert "docs/paper.md" in text_of(README)


HEAVY = {"pandas", "scipy", "nltk", "torch", "transformers", "streamlit", "plotly"}


@pytest.mark.parametrize(
    "command", [["--help"], ["jobs"], ["cache"], ["run", "--help"], ["sweep", "--help"], ["tune", "--help"]]
)
def test_a_command_that_needs_no_large_library_loads_none(command: list[str], tmp_path: Path):
    script = (
        "import sys; from safeeraser import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('loaded', *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *command],
        env=os.environ | {"SAFEERASER_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(ran.stdout.split("loaded ")[-1].split()) & HEAVY == set()


@pytest.mark.parametrize(
    ("name", "message"),
    [("../elsewhere", "must be a plain name"), (".hidden", "dot or a dash"), ("other", "other settings")],
)
def test_a_name_that_cannot_be_is_refused_before_the_base_model_answers(
    name: str, message: str, runs_folder: Path, flags: list[str], capsys: pytest.CaptureFixture
):
    Run.create(RunConfig.create(seed=7), data_hash="a", name="other")
    assert cli.main(["run", *flags, "--name", name]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in runs_folder.iterdir()] == ["other"]
