"""Answers on a tiny model: batching, sampling, resuming."""

from pathlib import Path

import pytest

from safeeraser import generate, models
from safeeraser.batches import Encoder
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.runs import Run, RunError


@pytest.fixture
def base(config: RunConfig) -> RunConfig:
    return config.base()


def new_run(config: RunConfig, name: str) -> Run:
    return Run.create(config, data_hash="tiny", name=name)


def test_an_evaluation_asks_forget_of_both_splits_and_the_rest_of_val(base: RunConfig, tiny_data: Dataset):
    asked = generate.questions(tiny_data, base.model_copy(update={"eval_records": None, "samples": 3}))
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
    }
    assert len({question.key for question in asked}) == len(asked)


def test_a_batch_answers_like_one_at_a_time(base: RunConfig, tiny_data: Dataset):
    network, processor = models.load(base.model)
    encoder = Encoder(processor)
    items = [q.item for q in generate.questions(tiny_data, base)][:9]
    assert len({len(encoder.tokens(i.question, None, i.picture)[0]) for i in items}) > 1
    together = generate.answer(network, encoder, items, base, seed=0)
    alone = [generate.answer(network, encoder, [item], base, seed=0)[0] for item in items]
    assert together == alone
    assert len(set(together)) > 1


def test_a_resumed_run_has_the_rows_of_one_that_was_not_stopped(base: RunConfig, tiny_data: Dataset, runs_folder: Path):
    sampled = base.model_copy(update={"temperature": 1.0, "samples": 2, "answer_batch": 8})
    whole, killed = new_run(sampled, "whole"), new_run(sampled, "killed")
    generate.generate(whole, tiny_data)
    rows = whole.answers.read_text().splitlines(keepends=True)
    killed.answers.write_text("".join(rows[:13]) + rows[13][:20])
    generate.generate(killed, tiny_data)
    assert killed.answers.read_text() == whole.answers.read_text()
    assert len({row["answer"] for row in whole.rows(whole.answers)}) > 10


def test_each_batch_says_how_far_the_answers_are(
    base: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run, states = new_run(base.model_copy(update={"answer_batch": 16}), "heartbeat"), []
    monkeypatch.setattr(Run, "set_state", lambda run, status, **details: states.append((status, details)))
    generate.generate(run, tiny_data)
    # 2 records of train with 4 forget pairs, 2 of val with 4 forget, retain and decouple pairs, 8 general: 40 in all.
    assert states == [("running", {"stage": "generate", "step": step, "steps": 40}) for step in (16, 32, 40)]


def test_the_seed_decides_sampled_answers(base: RunConfig, tiny_data: Dataset, runs_folder: Path):
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = new_run(base.model_copy(update={"temperature": 1.0, "seed": seed}), name)
        generate.generate(run, tiny_data)
        texts.append([row["answer"] for row in run.rows(run.answers)])
    assert texts[0] == texts[1] != texts[2]


def test_an_unlearned_run_without_adapter_does_not_answer_as_the_base(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    with pytest.raises(RunError, match="no adapter yet"):
        generate.generate(new_run(config, "empty"), tiny_data)
