"""Run folders: names, finding, resuming, locking."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from safeeraser.config import ConfigError, RunConfig
from safeeraser.runs.folder import Run, RunError


def test_a_name_tells_model_method_pd_and_seed_and_changes_with_any_setting():
    name = RunConfig.create(seed=3).run_name()
    assert name.startswith("demo-po-pd-s3-")
    assert RunConfig.create(method="ga", pd=False).run_name().startswith("demo-ga-s0-")
    assert RunConfig.create(model="llava-hf/llava-1.5-7b-hf").run_name().startswith("llava-1.5-7b-hf-po-pd-s0-")
    assert RunConfig.create(seed=3, lr=2e-3).run_name() != name


def test_runs_that_answer_alike_share_one_base_run():
    base = RunConfig.create(method="gd", lr=0.1, seed=5, pd=False).base()
    assert base == RunConfig.create(method="po").base()
    assert base.run_name().startswith("demo-base-s0-")
    assert RunConfig.create(temperature=1.0, seed=5).base().seed == 5
    assert RunConfig.create(max_new_tokens=9).base() != base


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        RunConfig.create(lr=-1.0, batch_size=0, learning_rate=3)
    assert "--lr: Input should be greater than 0, got -1.0" in str(error.value)
    assert "--batch-size" in str(error.value)
    assert "--learning-rate: no such setting" in str(error.value)


def test_the_paper_preset_has_the_published_settings():
    paper = RunConfig.create("paper")
    assert (paper.lr, paper.epochs, paper.lora_rank, paper.lora_alpha, paper.seed) == (1e-4, 10, 32, 256, 233)
    assert paper.batch_size * paper.accumulation == 32
    assert RunConfig.create("paper", lr=2e-4).lr == 2e-4


def test_the_same_config_finds_the_same_run(runs_folder: Path):
    config = RunConfig.create()
    run = Run.create(config, data_hash="a")
    run.append(run.answers, [{"id": "x"}])
    again = Run.create(config, data_hash="a")
    assert again.folder == run.folder
    assert again.config == config
    assert again.rows(again.answers) == [{"id": "x"}]
    assert Run.create(config, data_hash="a", force=True).rows(run.answers) == []


def test_a_name_of_another_config_and_changed_data_are_refused(runs_folder: Path):
    Run.create(RunConfig.create(), data_hash="a", name="mine")
    with pytest.raises(RunError, match=r"mine holds a run with other settings.*--force"):
        Run.create(RunConfig.create(seed=1), data_hash="a", name="mine")
    with pytest.raises(RunError, match="was made on other data"):
        Run.create(RunConfig.create(), data_hash="b", name="mine")


def test_a_run_is_found_by_name_or_folder_and_an_unknown_one_lists_the_known(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a", name="mine")
    assert Run.find("mine").folder == run.folder
    assert Run.find(str(run.folder)).name == "mine"
    with pytest.raises(RunError, match=r"no run 'yours'; known: .*mine"):
        Run.find("yours")


def test_a_line_that_a_kill_cut_short_does_not_count(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a")
    run.answers.write_text('{"id": "ä"}\n{"id": "b"}\n{"id": "c')
    assert [row["id"] for row in run.rows(run.answers)] == ["ä", "b"]
    run.repair(run.answers)
    run.append(run.answers, [{"id": "d"}])
    assert [row["id"] for row in run.rows(run.answers)] == ["ä", "b", "d"]
    run.repair(run.answers, keep=1)
    assert [row["id"] for row in run.rows(run.answers)] == ["ä"]


def test_two_processes_do_not_work_on_one_run(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a")
    with run.lock(), pytest.raises(RunError, match="being worked on by another process"), run.lock():
        pass
    with run.lock():
        pass


def test_a_run_whose_process_was_killed_is_free_though_its_forked_reader_lives(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a", name="mine")
    script = (
        "import os, time\n"
        "from safeeraser.runs.folder import Run\n"
        "with Run.find('mine').lock():\n"
        "    reader = os.fork()\n"
        "    if reader:\n"
        "        print(reader, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = psutil.Process(int(process.stdout.readline()))
        process.kill()
        process.wait()
        try:
            with run.lock():
                assert reader.is_running()
        finally:
            reader.kill()


def test_a_run_says_where_it_comes_from(runs_folder: Path):
    facts = Run.create(RunConfig.create(), data_hash="abc").facts
    assert facts["data_hash"] == "abc"
    assert set(facts["versions"]) >= {"safeeraser", "torch", "transformers", "peft"}
    assert facts["config"]["method"] == "po"


def test_a_broken_config_file_is_named(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a", name="mine")
    (run.folder / "config.json").write_text(json.dumps({"config": {"lr": -1}}))
    with pytest.raises(RunError, match=r"config\.json: not a run's config"):
        _ = run.config
