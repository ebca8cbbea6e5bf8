"""A data set's targets become the answers of the model at hand."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import official as small
import pairs
import pytest
from documents import README, ROOT, commands

from safeeraser import cli
from safeeraser.config import RunConfig
from safeeraser.data import converting, health, official
from safeeraser.data.records import DataError, Dataset, Found
from safeeraser.generate import answering, targets
from safeeraser.generate.questions import Question


@pytest.fixture
def unanswered(tmp_path: Path) -> Path:
    converting.convert("plain", pairs.write(tmp_path / "source"), tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def settings(tiny_model: Path) -> dict:
    return {"model": str(tiny_model), "method": "base", "pd": False, "max_new_tokens": 5, "device": "cpu"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model is asked from now on, by id, in the order of the answers."""
    asked: list[str] = []
    real = answering.answers

    def noted(*of: object, **how: object) -> Iterator[tuple[Question, str]]:
        for question, text in real(*of, **how):
            asked.append(question.item.id)
            yield question, text

    monkeypatch.setattr(answering, "answers", noted)
    return asked


def scripted(monkeypatch: pytest.MonkeyPatch, said: dict[str, str], usual: str) -> None:
    """Let these answers be given, by id, in the place of a model's."""
    encoder = SimpleNamespace(tokenizer=lambda text, **how: {"input_ids": text.split()})
    monkeypatch.setattr(answering, "model_of", lambda config: (None, encoder))

    def answers(model: object, encoder: object, asked: list[Question], *rest: object, **how: object) -> Iterator:
        return ((one, said.get(one.item.id, usual)) for one in asked)

    monkeypatch.setattr(answering, "answers", answers)


def texts(data: Dataset) -> dict[str, tuple[str, str]]:
    return {vqa.id: (vqa.question, vqa.answer) for vqa in data.vqa()}


def test_every_target_is_what_the_model_answers_and_the_copy_stands_alone(
    unanswered: Path, settings: dict, tmp_path: Path, runs_folder: Path
):
    out = tmp_path / "own"
    made = targets.make(RunConfig.create(data=str(unanswered), **settings), out)
    shutil.rmtree(unanswered)
    assert health.check(out).missing == ()
    data = official.load(out)
    assert data.targets == made
    assert made.found["retain"].asked == 12
    asked = [Question(vqa, 0) for vqa in data.vqa()]
    assert len(asked) == 24
    config = RunConfig.create(data=str(out), **settings)
    given = dict(answering.answers(*answering.model_of(config), asked, config))
    assert {question.item.id: text for question, text in given.items()} == {vqa.id: vqa.answer for vqa in data.vqa()}
    assert sorted(os.listdir(tmp_path)) == ["own", "source"]


def test_after_a_kill_the_same_call_goes_on_to_the_same_copy(
    unanswered: Path, settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
):
    config = RunConfig.create(data=str(unanswered), **settings, answer_batch=4)
    whole, out = tmp_path / "whole", tmp_path / "own"
    targets.make(config, whole)
    asked.clear()

    monkeypatch.setattr(answering, "ROWS", 3)
    fill, append = targets._fill, targets.files.append

    def killed(path: Path, lines: object) -> None:
        append(path, lines)
        if len(path.read_text().splitlines()) > 7:
            with path.open("a") as file:
                file.write('{"id": "train/img')  # the start of a row
            raise SystemExit

    def stopped(*of: object) -> None:
        fill(*of)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(targets.files, "append", killed)
        with pytest.raises(SystemExit):
            targets.make(config, out)
    assert not out.exists()
    with monkeypatch.context() as patch:  # all answered, killed while the copy is written
        patch.setattr(targets, "_fill", stopped)
        with pytest.raises(SystemExit):
            targets.make(config, out)
    assert not out.exists()
    assert len(set(asked)) == 24
    assert len(asked) <= 24 + 4
    asked.clear()
    targets.make(config, out)
    assert asked == []
    assert texts(official.load(out)) == texts(official.load(whole))
    assert sorted(os.listdir(tmp_path)) == ["data", "own", "source", "whole"]
    made = official.targets(out)
    assert targets.make(config, out) == made  # finished: nothing is asked and nothing written anew


def test_answers_of_other_settings_are_not_mixed_in(unanswered: Path, settings: dict, tmp_path: Path):
    config, out = RunConfig.create(data=str(unanswered), **settings), tmp_path / "own"
    targets.make(config, out)
    with pytest.raises(DataError, match="own is not empty"):
        targets.make(config.model_copy(update={"max_new_tokens": 6}), out)
    beside = tmp_path / ".new.answers.jsonl"
    beside.write_text('{"model": "another"}\n{"id": "a", "answer": "b", "cut": false}\n')
    with pytest.raises(DataError, match="holds answers to other data or by other settings"):
        targets.make(config, tmp_path / "new")
    beside.write_text("[]\n{}\n")
    with pytest.raises(DataError, match=r"\.new\.answers\.jsonl is damaged"):
        targets.make(config, tmp_path / "new")


def test_refusals_nonsense_and_what_was_cut_short_are_counted_and_left_out_on_demand(
    tmp_path: Path, settings: dict, monkeypatch: pytest.MonkeyPatch
):
    records = [small.record(f"img/Weapon/{k}.jpg", safe=f"pdset/image/Weapon/train/{k}.jpg", own=k) for k in (1, 2)]
    pictures = [record[name] for record in records for name in ("image_path", "SDImage_path")][:-1]
    root = small.write(tmp_path / "data", train=records, val=None, pictures=pictures)
    said = {
        "train/img/Weapon/1.jpg/forget/0": "I am sorry, but I cannot help with that.",
        "train/img/Weapon/1.jpg/decouple/1": "the the the the the the the the the the",
        "train/img/Weapon/2.jpg/retain/3": "?!",
        "train/img/Weapon/2.jpg/retain/0": "It is a small spoon made of wood and then it",
    }
    scripted(monkeypatch, said, usual="It is a small spoon made of wood.")
    config = RunConfig.create(data=str(root), **settings | {"max_new_tokens": 11})
    kept = targets.make(config, tmp_path / "kept")
    assert kept.found == {
        "forget": Found(asked=8, refusals=1, nonsense=0, unfinished=0, left_out=0, without_picture=0),
        "retain": Found(asked=8, refusals=0, nonsense=1, unfinished=1, left_out=0, without_picture=0),
        "decouple": Found(asked=4, refusals=0, nonsense=1, unfinished=0, left_out=0, without_picture=4),
    }
    assert len(texts(official.load(tmp_path / "kept"))) == 20  # a target of another model does not stay
    made = targets.make(config, tmp_path / "own", leave_out=("nonsense", "refusals", "unfinished"))
    assert [found.left_out for found in made.found.values()] == [1, 2, 1]
    left = texts(official.load(tmp_path / "own"))
    gone = {*said, "train/img/Weapon/1.jpg/decouple/0"}  # what is not forgotten is not decoupled
    assert set(texts(official.load(tmp_path / "kept"))) - set(left) == gone
    assert {answer for _, answer in left.values()} == {"It is a small spoon made of wood."}
    record = json.loads((tmp_path / "own" / "all_train.json").read_text())[1]
    assert record["own"] == 2  # fields that nobody knows stay
    assert record["UnharmPair_text1"]["Answer"] == "Short."


def test_the_demo_worlds_own_files_come_along(tiny_data_folder: Path, tmp_path: Path, settings, monkeypatch):
    scripted(monkeypatch, {}, usual="It is a lid.")
    targets.make(RunConfig.create(data=str(tiny_data_folder), **settings), tmp_path / "own")
    before, after = official.load(tiny_data_folder), official.load(tmp_path / "own")
    assert after.extra
    assert [pair.answer for pair in after.extra] == [pair.answer for pair in before.extra]
    assert all(pair.asked for pair in after.extra)
    assert (after.about, after.refusals) == (before.about, before.refusals)
    assert texts(after).keys() == texts(before).keys()


@pytest.mark.slow
def test_the_check_says_whose_targets_they_are_and_run_warns_of_another_model(
    unanswered: Path, settings: dict, tmp_path: Path, tiny_model: Path, runs_folder: Path, capsys
):
    flags = ["--max-new-tokens", "5", "--device", "cpu"]
    out, model = str(tmp_path / "own"), str(tiny_model)
    assert cli.main(["data", "check", str(unanswered)]) == 1
    assert "have no answers yet: `safeeraser data targets`" in capsys.readouterr().out
    command = ["data", "targets", "--model", model, "--data", str(unanswered), "--out", out, *flags]
    assert cli.main(command) == 0
    assert f"Targets: answers of {model} (greedy --max-new-tokens 5; " in capsys.readouterr().out
    assert cli.main(["data", "check", out]) == 0
    assert f"Targets: answers of {model}" in capsys.readouterr().out
    run = ["run", "--data", out, "--judge", "rules", "--max-steps", "1", "--batch-size", "2", "--lora-rank", "2"]
    run += ["--eval-records", "1", "--no-look-every", *flags]
    assert cli.main([*run, "--model", model]) == 0
    assert "note: the targets are answers" not in capsys.readouterr().err
    other = shutil.copytree(tiny_model, tmp_path / "other")
    assert cli.main([*run, "--model", str(other)]) == 0
    said = capsys.readouterr().err
    assert said.count("note: the targets are answers") == 1
    assert f"answers of {model}, the run's model is {other}" in said


@pytest.mark.slow
def test_the_page_about_pairs_leads_from_a_table_to_scores(tmp_path: Path, runs_folder: Path, monkeypatch, capsys):
    written = commands(ROOT / "docs" / "pairs.md")[:4]
    assert set(written) <= set(commands(README))
    lines = [line.split()[1:] for line in written]
    assert [line[:2] for line in lines[:3]] == [["data", "convert"], ["data", "targets"], ["data", "check"]]
    pairs.write(tmp_path / "path" / "to" / "pairs")
    monkeypatch.chdir(tmp_path)
    quick = "--max-steps 1 --batch-size 2 --lora-rank 2 --eval-records 1 --no-look-every --device cpu"
    quick += " --max-new-tokens 8"
    for line in lines:
        assert cli.main([*line, *(quick.split() if line[0] == "run" else ())]) == 0, line
    said = capsys.readouterr()
    assert "Targets: answers of demo (greedy; " in said.out
    assert "note: the targets are answers" not in said.err
    assert "SARR" in said.out


def test_a_targets_file_that_says_something_else_is_named(tmp_path: Path):
    root = small.write(tmp_path / "data", train=[small.record()], pictures=["img/Weapon/1.jpg"])
    (root / "targets.json").write_text('{"model": 3}')
    with pytest.raises(DataError, match=r"targets\.json, field model: .*Correct or remove the file"):
        official.load(root)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--leave-out", "lies"], "unknown kind 'lies'; known: refusals, nonsense, unfinished"),
        (["--model", "no/such-model"], "--model no/such-model: cannot be loaded"),
    ],
)
def test_a_wrong_flag_is_one_clear_error_and_leaves_nothing(words, said: str, unanswered: Path, tmp_path, capsys):
    command = ["data", "targets", "--data", str(unanswered), "--out", str(tmp_path / "own"), "--device", "cpu", *words]
    try:
        code = cli.main(command)
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2)
    assert said in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["data", "source"]
