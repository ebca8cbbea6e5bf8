"""Whatever is done to the files of a run, each reader gets one clear error, and the app shows the other runs."""

import json
import shutil
from pathlib import Path

import pytest

from safeeraser import cli
from safeeraser.runs import jobs
from safeeraser.runs.contents import DamagedError
from safeeraser.runs.folder import EXAMPLES, Run

FILES = ("config.json", "state.json", "scores.json", "answers.jsonl", "verdicts.jsonl", "log.jsonl", "looks.jsonl")
NAME = "demo-po-s0-27ad30"


def emptied(path: Path) -> None:
    path.write_bytes(b"" if path.suffix == ".json" else b"\n")


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].rstrip(b"\n") + (b"\n" if path.suffix == ".jsonl" else b""))


def not_utf8(path: Path) -> None:
    path.write_bytes(b'{"id": "\xff\xfe"}\n' + path.read_bytes())


def no_object(path: Path) -> None:
    path.write_bytes(b"5\n" + (path.read_bytes() if path.suffix == ".jsonl" else b""))


def without_keys(path: Path) -> None:
    path.write_bytes(b"{}\n" + (path.read_bytes() if path.suffix == ".jsonl" else b""))


def nested(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"\n")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (emptied, cut, not_utf8, no_object, without_keys, nested, a_folder)


@pytest.fixture
def run(runs_folder: Path) -> Run:
    """An example run, copied to the user's own under a name of its own."""
    example = next(run for run in EXAMPLES.iterdir() if run.name.startswith("demo-po-s0"))
    shutil.copytree(example, runs_folder / "mine")
    return Run(runs_folder / "mine")


def readers(run: Run, name: str) -> list:
    return {
        "config.json": [lambda: run.facts, lambda: run.config],
        "state.json": [lambda: run.state],
        "scores.json": [lambda: run.scores],
    }.get(name, [lambda: run.rows(run.folder / name)])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_error_that_names_it_and_says_what_to_do(damage, name: str, run: Run):
    path = run.folder / name
    damage(path)
    for read in readers(run, name):
        with pytest.raises(DamagedError) as error:
            read()
        assert str(path) in str(error.value)
        assert error.value.folder == run.folder
        if path.suffix == ".jsonl" and damage is not a_folder:
            assert f"{path}, line " in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_command_prints_a_traceback_and_the_list_shows_every_run(damage, name: str, run: Run, capsys):
    damage(run.folder / name)
    for command in (["score", "mine"], ["judge", "mine"], ["score", "mine", "--judge", "rules"]):
        assert cli.main(command) in (0, 1)
    capsys.readouterr()
    assert cli.main(["jobs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {job["name"] for job in listed} >= {"mine", *(path.parent.name for path in EXAMPLES.glob("*/config.json"))}


@pytest.mark.parametrize("name", ["config.json", "state.json", "job.json"])
def test_a_run_that_cannot_be_read_is_listed_as_broken_and_can_be_deleted(name: str, run: Run):
    (run.folder / name).write_text("5")
    job = jobs.watch("mine")
    assert job.status == "broken"
    assert job.message
    assert str(run.folder / name) in job.message
    jobs.delete("mine")
    assert not run.folder.exists()


def test_a_line_cut_short_at_the_end_is_no_damage(run: Run):
    rows = run.rows(run.verdicts)
    with run.verdicts.open("a") as file:
        file.write('{"id": "val/')
    assert run.rows(run.verdicts) == rows


def test_a_folder_without_a_state_is_a_run_that_was_just_made(run: Run):
    run.state_file.unlink()
    assert run.state is None
    assert not run.done
    assert jobs.watch("mine").status == "interrupted"


def test_other_programs_may_add_keys(run: Run):
    rows = [row | {"mark": 7} for row in run.rows(run.answers)[:2]]
    run.answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row["mark"] for row in run.rows(run.answers)] == [7, 7]
