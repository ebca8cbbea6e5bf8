"""Run folders: names, finding, resuming, locking."""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from written import answer_row

from safeeraser.commands import flags
from safeeraser.config import TUNED, VICUNA, ConfigError, RunConfig
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run, RunError, check_name, every


def answer(name: str) -> dict:
    return answer_row(f"val/img/Weapon/{name}.jpg/forget/0")


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
    assert (paper.system_prompt, paper.top_k, paper.end_token, paper.decay_biases) == (VICUNA, 50, False, False)
    assert (paper.base().system_prompt, paper.base().top_k) == (VICUNA, 50)


def test_the_tuned_preset_has_what_was_chosen_for_the_method_and_a_flag_still_counts():
    for method, chosen in TUNED.items():
        found = RunConfig.create("tuned", method=method)
        assert found == RunConfig.create(method=method, **chosen) != RunConfig.create(method=method)
    assert RunConfig.create("tuned") == RunConfig.create("tuned", method="po") == RunConfig()
    assert RunConfig.create("tuned", method="npo", lr=1e-4).lr == 1e-4


def test_what_can_be_off_in_a_preset_has_a_flag_for_it():
    parser = argparse.ArgumentParser()
    flags.add_settings(parser)
    off = ["--preset", "paper", "--no-system-prompt", "--no-top-k", "--end-token", "--decay-biases"]
    config = flags.config(parser.parse_args(off))
    assert (config.system_prompt, config.top_k, config.end_token, config.decay_biases) == (None, None, True, True)
    assert flags.config(parser.parse_args(["--top-k", "0"])) == RunConfig()
    told = RunConfig(system_prompt='-Be brief, "please".', top_k=5, end_token=False, temperature=1.0)
    assert flags.config(parser.parse_args(told.flags())) == told
    assert flags.config(parser.parse_args(shlex.split(told.other_flags()))).system_prompt == told.system_prompt
    with pytest.raises(ConfigError, match="--system-prompt: String should have at least 1 character"):
        RunConfig.create(system_prompt="")


def test_the_same_config_finds_the_same_run(runs_folder: Path):
    config = RunConfig.create()
    run = Run.create(config, data_hash="a")
    run.append(run.answers, [answer("x")])
    again = Run.create(config, data_hash="a")
    assert again.folder == run.folder
    assert again.config == config
    assert again.rows(again.answers) == [answer("x")]
    assert Run.create(config, data_hash="a", force=True).rows(run.answers) == []


def test_the_last_command_says_how_an_unfinished_run_goes_on_where_its_result_stays(runs_folder: Path):
    config = RunConfig.create(feature_cache=1.0, workers=2)
    run = Run.create(config, data_hash="a")
    without = RunConfig.create(workers=3, base_cache=2.0, look_every=7)
    again = Run.create(without, data_hash="a")
    assert again.folder == run.folder
    assert (again.config.feature_cache, again.config.base_cache, again.config.workers) == (None, 2.0, 3)
    assert again.config.look_every == config.look_every  # looks of one run stand at like steps
    again.set_state("done")
    again.scores_file.write_text("{}")
    # It is finished: nothing is computed any more.
    assert Run.create(config, data_hash="a").config.feature_cache is None


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
    with pytest.raises(RunError, match=r"no run 'yours'; in .*: mine; examples: demo-"):
        Run.find("yours")


def test_a_line_that_a_kill_cut_short_does_not_count(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a")
    whole = [json.dumps(answer(id), ensure_ascii=False) for id in ("ä", "b")]
    run.answers.write_text("\n".join([*whole, '{"id": "c']))
    assert run.rows(run.answers) == [answer("ä"), answer("b")]
    run.repair(run.answers)
    run.append(run.answers, [answer("d")])
    assert run.rows(run.answers) == [answer("ä"), answer("b"), answer("d")]
    run.repair(run.answers, keep=1)
    assert run.rows(run.answers) == [answer("ä")]


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
        "    if not os.fork():\n"  # the reader itself: by then it has let go
        "        print(os.getpid(), flush=True)\n"
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


WRONG_NAMES = {
    "": "must be a plain name",
    "../elsewhere": "must be a plain name",
    "a\\b": "must be a plain name",
    "..": "must be a plain name",
    ".hidden": "must not start with a dot or a dash",
    "-rf": "must not start with a dot or a dash",
    "two\nlines": "must not hold control characters",
    "null\0": "must not hold control characters",
    "ä" * 101: "must be at most 200 bytes long",
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_one_rule_says_what_a_run_may_be_named_however_it_is_started(name: str, runs_folder: Path):
    with pytest.raises(RunError, match=WRONG_NAMES[name]):
        Run.create(RunConfig.create(), data_hash="a", name=name)
    with pytest.raises(RunError, match=WRONG_NAMES[name]):
        jobs.launch(RunConfig.create(), name=name)
    assert not runs_folder.exists()


@pytest.mark.parametrize("name", ["two words", "ünïcode", "a" * 200, "[red]x", "50%"])
def test_a_run_of_any_other_name_is_listed_and_found(name: str, runs_folder: Path):
    Run.create(RunConfig.create(), data_hash="a", name=name)
    assert Run.find(name).name == jobs.watch(name).name == name
    assert name in {run.name for run in every()}


@pytest.mark.parametrize("name", ["a" * 300, "null\0", "../../etc", ""])
def test_a_name_that_no_run_can_have_is_not_found(name: str, runs_folder: Path):
    with pytest.raises(RunError, match="no run"):
        Run.find(name)
    with pytest.raises(jobs.JobError, match="no run"):
        jobs.watch(name)


@pytest.mark.parametrize("model", [".", "./.cache", "-", "\U0001f600" * 300, "a\nb"])
def test_whatever_a_model_is_called_its_runs_can_be_made_and_are_listed(model: str, runs_folder: Path):
    run = Run.create(RunConfig.create(model=model), data_hash="a")
    check_name(run.name)
    assert run.name in {found.name for found in every()}


def test_the_base_run_of_a_run_lies_beside_it(runs_folder: Path):
    run = Run.create(RunConfig.create(), data_hash="a", name="mine")
    assert run.base.folder == runs_folder / RunConfig.create().base().run_name()


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "-1", "x"])
def test_a_number_that_is_none_is_refused_by_its_flag(value: str):
    with pytest.raises(ConfigError, match=r"--lr: .*"):
        RunConfig.create(lr=value)


@pytest.mark.parametrize("seed", [10**400, 2**31, "9" * 5_000])
def test_a_number_that_no_library_takes_is_refused_by_its_flag(seed):
    with pytest.raises(ConfigError, match=r"^--seed: .{,200}$"):
        RunConfig.create(seed=seed)


@pytest.mark.parametrize("model", ["m" * 1_001, "null\0"])
def test_a_text_that_no_path_can_be_is_refused_by_its_flag(model: str):
    with pytest.raises(ConfigError, match=r"^--model: must be a text of at most 1,000 characters"):
        RunConfig.create(model=model)
