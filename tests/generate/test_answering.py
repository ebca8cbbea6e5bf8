"""Answers on a tiny model: writing, resuming, sharing among processes. What they are is tested in `test_decode.py`."""

import json
import os
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm import Started

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source, load
from safeeraser.demo import dataset
from safeeraser.generate import answering
from safeeraser.generate.questions import Question
from safeeraser.models import features, loading
from safeeraser.runs.folder import Run, RunError

# Of 2 records a split: 4 forget pairs each of train; of val 4 forget, retain, decouple and general, 2 holes; then of 2
# things each 4 outside, text_forget and text_decouple. 2 x 4 + 2 x (4 x 4 + 2) + 3 x 2 x 4.
ASKED = 68
# The harmful ones of train, both of val, those of 2 things outside the forget set: 2 + 4 + 2.
PICTURES = 8


@pytest.fixture
def base(config: RunConfig) -> RunConfig:
    return config.base()


def new_run(config: RunConfig, name: str) -> Run:
    return Run.create(config, data_hash="tiny", name=name)


def test_an_evaluation_asks_forget_of_both_splits_and_the_rest_of_val(base: RunConfig, tiny_data: Dataset):
    asked = answering.questions(tiny_data, base.model_copy(update={"eval_records": None, "samples": 3}))
    counts = {}
    for question in asked:
        key = (question.item.split, question.item.set)
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("train", "forget"): 24 * 4 * 3,
        ("val", "forget"): 24 * 4 * 3,
        ("val", "retain"): 24 * 4,
        ("val", "decouple"): 24 * 4,
        ("val", "general"): 24 * 4,
        ("val", "outside"): 12 * 4,
        ("val", "holes"): 24 * 2,
        ("val", "text_forget"): 24 * 4,
        ("val", "text_decouple"): 48 * 4,
    }
    assert len({question.key for question in asked}) == len(asked)


def test_settings_are_chosen_on_dev_which_has_no_thing_outside_and_no_words_alone(
    base: RunConfig, tmp_path: Path, runs_folder: Path
):
    dataset.write(tmp_path / "demo", each={"train": 1, "val": 1, "dev": 1})
    source = Source(str(tmp_path / "demo"))
    chosen = base.model_copy(update={"data": str(tmp_path / "demo"), "eval_split": "dev", "eval_records": None})
    asked = Counter((q.item.split, q.item.set) for q in answering.questions(source.dataset, chosen))
    four = dict.fromkeys((("dev", name) for name in ("forget", "retain", "decouple", "general")), 24 * 4)
    assert asked == {("train", "forget"): 24 * 4, ("dev", "holes"): 24 * 2} | four

    small = chosen.model_copy(update={"eval_records": 2})
    scores = stages.run_all(stages.open_run(small, source), source)["metrics"]
    known = {name: scores[name]["n"] for name in ("rr_efficacy", "rr_generality", "sarr", "rouge_l", "refused_general")}
    assert known == dict.fromkeys(known, 2 * 4)
    assert (scores["rr_unseen"]["value"], scores["rr_text"]["value"]) == (None, None)


def test_a_data_set_without_dev_is_not_asked_on_it(base: RunConfig, tiny_data_folder: Path, runs_folder: Path):
    source = Source(str(tiny_data_folder))
    for check in (stages.open_run, stages.check_run):
        with pytest.raises(
            RunError, match=r"--eval-split dev: .* has no split dev \(no all_dev\.json\); leave it out to ask val"
        ):
            check(base.model_copy(update={"eval_split": "dev"}), source)


def test_some_records_without_their_pictures_ask_no_more_than_these(
    base: RunConfig, tiny_data_folder: Path, tmp_path: Path
):
    shutil.copytree(tiny_data_folder, tmp_path / "demo")
    shutil.rmtree(tmp_path / "demo/img")  # the harmful pictures
    asked = answering.questions(load(str(tmp_path / "demo")), base)
    four = ("decouple", "general", "text_forget", "text_decouple")
    assert Counter(question.item.set for question in asked) == dict.fromkeys(four, 2 * 4)


def rows_of(run: Run) -> dict[tuple[str, int], dict]:
    """The run's answer rows by question; fails if one was answered twice."""
    rows = run.rows(run.answers)
    found = {(row["id"], row["sample"]): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("engine", ["shared", "plain"])
def test_a_resumed_run_has_the_rows_of_one_that_was_not_stopped(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, engine: str
):
    sampled = base.model_copy(update={"temperature": 1.0, "samples": 2, "answer_batch": 8, "engine": engine})
    whole, killed = new_run(sampled, "whole"), new_run(sampled, "killed")
    answering.generate(whole, tiny_data)
    rows = whole.answers.read_text().splitlines(keepends=True)
    killed.answers.write_text("".join(rows[:13]) + rows[13][:20])
    answering.generate(killed, tiny_data)
    assert rows_of(killed) == rows_of(whole)
    assert killed.answers.read_text().startswith("".join(rows[:13]))
    assert len({row["answer"] for row in whole.rows(whole.answers)}) > 10


def test_a_finished_run_loads_no_model(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run = new_run(base, "finished")
    answering.generate(run, tiny_data)
    written = run.answers.read_bytes()
    monkeypatch.setattr(loading, "load", None)
    answering.generate(run, tiny_data)
    assert run.answers.read_bytes() == written


def test_answers_are_written_a_few_at_a_time_and_the_state_says_how_far_they_are(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run, states = new_run(base, "heartbeat"), []
    monkeypatch.setattr(answering, "ROWS", 16)
    monkeypatch.setattr(answering, "SECONDS", 60)
    monkeypatch.setattr(Run, "set_state", lambda run, status, **details: states.append((status, details)))
    answering.generate(run, tiny_data)
    assert states == [("running", {"stage": "generate", "step": step, "steps": ASKED}) for step in (16, 32, 48, 64, 68)]


def test_slow_answers_are_written_as_time_passes(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run, written = new_run(base, "slow"), []
    monkeypatch.setattr(answering, "SECONDS", 0)
    monkeypatch.setattr(Run, "set_state", lambda run, status, **details: written.append(details["step"]))
    answering.generate(run, tiny_data)
    assert written == list(range(1, ASKED + 1))


def test_features_of_pictures_are_kept_for_the_next_run(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    without = new_run(base, "without")
    answering.generate(without, tiny_data)
    caches, start = [], features.cache
    monkeypatch.setattr(features, "cache", lambda model, limit: caches.append(start(model, limit=limit)))
    for name in ("first", "second"):
        run = new_run(base.model_copy(update={"feature_cache": 1.0}), name)
        answering.generate(run, tiny_data)
        assert rows_of(run) == rows_of(without)
    assert [(cache.hits, cache.misses) for cache in caches] == [(0, PICTURES), (PICTURES, 0)]


class Parrot:
    """An engine that repeats the question."""

    def __init__(self, note: str) -> None:
        self.note = note

    def answers(self, asked: list[Question]) -> Iterator[tuple[Question, str]]:
        for question in reversed(asked):
            yield question, question.item.question


def test_another_engine_can_answer_and_the_rows_say_so(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "load", None)
    items = {question.key: question.item for question in answering.questions(tiny_data, base)}
    for note in ("parrot at home", ""):
        run = new_run(base, f"parrot{bool(note)}")
        answering.generate(run, tiny_data, engine=Parrot(note))
        rows = rows_of(run)
        assert {key: row["answer"] for key, row in rows.items()} == {key: items[key].question for key in items}
        assert {row.get("engine") for row in rows.values()} == {note or None}


def test_processes_share_the_pictures_whole(base: RunConfig, tiny_data: Dataset):
    asked = answering.questions(tiny_data, base)
    shares = [answering.share(asked, process=process, count=3) for process in range(3)]
    assert sorted(question.key for share in shares for question in share) == sorted(q.key for q in asked)
    # One in words alone has none to share, and is by itself.
    pictures = [{question.item.picture or question.item.id for question in share} for share in shares]
    assert all(pictures)
    assert sum(map(len, pictures)) == len(set.union(*pictures))


PROCESS = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from safeeraser.data.source import load
from safeeraser.generate import answering
from safeeraser.runs.folder import Run

folder, dataset, die = sys.argv[1:]
append_answers = Run.append_answers
def append_and_die(run, rows):
    append_answers(run, rows)
    [half] = [path for path in run.folder.glob(f"answers.{os.environ['RANK']}.jsonl")]
    with half.open("a") as file:
        file.write('{"id": "val/')
    os.kill(os.getpid(), signal.SIGKILL)
if die == "die":
    Run.append_answers = append_and_die
answering.generate(Run(Path(folder)), load(dataset))
"""


def two_processes(run: Run, *, die: bool = False) -> list[int]:
    """Answer with two processes as `torchrun` starts them; returns their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    words = ["-c", PROCESS, str(run.folder), run.config.data, "die" if die else "live"]
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"} for rank in range(2)]
    output = run.folder.parent / f"{run.name}.txt"
    started = [Started(words, output=output, environment={**os.environ, **address, **rank}) for rank in ranks]
    return [process.wait() for process in started]


@pytest.mark.slow
def test_two_processes_give_the_answers_of_one(base: RunConfig, tiny_data: Dataset, runs_folder: Path):
    sampled = base.model_copy(update={"temperature": 1.0, "eval_records": None})
    alone, together = new_run(sampled, "alone"), new_run(sampled, "together")
    answering.generate(alone, tiny_data)
    assert two_processes(together) == [0, 0]
    assert rows_of(together) == rows_of(alone)
    assert not together.answers_parts()


@pytest.mark.slow
def test_two_killed_processes_are_continued_by_one_without_loss_or_duplicate(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    every = base.model_copy(update={"eval_records": None})
    alone, killed = new_run(every, "alone"), new_run(every, "killed")
    answering.generate(alone, tiny_data)
    assert two_processes(killed, die=True) == [-signal.SIGKILL] * 2
    parts = killed.answers_parts()
    before = [json.loads(line) for part in parts for line in part.read_text().splitlines()[:-1]]
    assert len(parts) == 2
    assert 0 < len(before) < len(rows_of(alone))
    assert killed.answered() == len(before)
    # Killed once more, between joining the parts and dropping them.
    killed.answers.write_text("".join(parts[0].read_text().splitlines(keepends=True)[:-1]))
    answering.generate(killed, tiny_data)
    assert rows_of(killed) == rows_of(alone)
    assert all(rows_of(killed)[row["id"], row["sample"]] == row for row in before)
    assert not killed.answers_parts()


def test_the_seed_decides_sampled_answers(base: RunConfig, tiny_data: Dataset, runs_folder: Path):
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = new_run(base.model_copy(update={"temperature": 1.0, "seed": seed}), name)
        answering.generate(run, tiny_data)
        texts.append({key: row["answer"] for key, row in rows_of(run).items()})
    assert texts[0] == texts[1] != texts[2]


def test_an_unlearned_run_without_adapter_does_not_answer_as_the_base(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    with pytest.raises(RunError, match="no adapter yet"):
        answering.generate(new_run(config, "empty"), tiny_data)
