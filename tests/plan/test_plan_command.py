"""`safeeraser plan`: what a run needs, worked out before anything is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from safeeraser import cli, losses
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import load
from safeeraser.generate.questions import questions
from safeeraser.losses import IGNORED
from safeeraser.models import loading, packing
from safeeraser.models.encoder import Encoder, MicroBatch
from safeeraser.plan import forecast, hardware, model_sizes, tokens
from safeeraser.plan import tables as forecast_tables
from safeeraser.unlearn.examples import Examples

SEVEN = "llava-hf/llava-1.5-7b-hf"


def changed(config: RunConfig, **settings: Any) -> RunConfig:
    return RunConfig(**config.model_dump() | settings)


def counter(config: RunConfig) -> tokens.Encodes:
    return tokens.encoder(config, model_sizes.read(config), official_size=False)[0]


def real_micro_batches(dataset: Dataset, config: RunConfig) -> list[MicroBatch]:
    """The first pass as training makes it."""
    encoder = Encoder(loading.load(config.model)[1], max_length=config.max_length)
    terms = losses.terms(config.method, pd=config.pd)
    examples = Examples(dataset, terms, config.seed, config.shuffle)
    places = range(len(examples.pairs))
    groups = [places[start : start + config.batch_size] for start in places[:: config.batch_size]]
    return [encoder.micro_batch([examples[i] for i in group], terms, pack=config.pack) for group in groups]


def answers(batches: tuple) -> int:
    return sum(int((batch.labels != IGNORED).sum()) for batch in batches)


@pytest.mark.parametrize(
    ("method", "pack", "shuffle"), [("po", True, "pictures"), ("po", False, "pictures"), ("kl", True, "pairs")]
)
def test_the_tokens_of_a_pass_are_those_that_training_computes(
    config: RunConfig, tiny_data: Dataset, method: str, pack: bool, shuffle: str
):
    config = changed(config, method=method, pack=pack, shuffle=shuffle, batch_size=4, max_length=40)
    told = tokens.training(tiny_data, config, counter(config))
    real = real_micro_batches(tiny_data, config)
    assert told.computed == sum(micro.tokens for micro in real)
    assert told.largest == max(micro.tokens for micro in real)
    assert told.base == sum(batch.tokens for micro in real for batch in micro.base)
    assert told.answers == sum(answers(micro.batches) for micro in real)
    assert told.largest_answers == max(answers(micro.batches) for micro in real)
    assert told.base_answers == sum(answers(micro.base) for micro in real)
    rows = [batch.labels.shape[0] for micro in real for batch in (*micro.batches, *micro.base)]
    assert told.pictures == sum(rows)
    assert told.computed == (told.packed if pack else told.separate)
    assert told.packed < told.separate
    forget = "refusal" if method == "po" else "forget"
    assert told.pairs == {forget: 96, "retain": 96, "decouple": 96}
    assert told.examples == 96


def test_the_tokens_of_an_evaluation_share_each_picture(config: RunConfig, tiny_data: Dataset):
    config = changed(config, samples=3, temperature=1.0)
    told = tokens.evaluation(tiny_data, config, counter(config))
    encoder = Encoder(loading.load(config.model)[1])
    asked = questions(tiny_data, config)
    prompts: dict[Path | str, dict[tuple[int, ...], None]] = {}
    separate = 0
    for question in asked:
        ids, _ = encoder.tokens(question.item.question, None, question.item.picture)
        prompts.setdefault(question.item.picture or question.item.id, {})[tuple(ids)] = None
        separate += len(ids)
    rows = []
    for some in prompts.values():
        prefix = packing.shared(list(some), min(map(len, some)) - 1)
        rows.append(packing.pack(list(some), prefix))
    assert told.separate == separate
    assert told.shared == told.computed == sum(len(row.ids) for row in rows)
    assert told.count == len(asked) == sum(told.questions.values())
    assert told.questions["forget"] == 3 * 16
    # One in words alone shares nothing: 4 each about 2 harmful and 2 safe things.
    in_words = [question for question in asked if question.item.text_only]
    assert len(in_words) == 16
    assert (told.pictures, told.answers) == (len(prompts) - 16, 5 * len(asked))
    plain = tokens.evaluation(tiny_data, changed(config, engine="plain"), counter(config))
    assert (plain.computed, plain.pictures) == (separate, len(asked) - 16)


def test_an_estimate_takes_no_picture_for_a_question_in_words_alone(config: RunConfig, tiny_data: Dataset):
    asked = questions(tiny_data, config)
    told = tokens.evaluation(tiny_data, config, tokens.Estimate(picture_tokens=576, max_length=40))
    # 576 of each picture, 10 of each template, one for 4 characters of each question.
    words = sum(tokens.TEMPLATE + -(-len(question.item.question) // 4) for question in asked)
    assert told.separate == 576 * (len(asked) - 16) + words
    assert told.pictures == 8


def test_only_one_picture_of_each_size_is_opened(config: RunConfig, tiny_data: Dataset):
    encoder = Encoder(loading.load(config.model)[1])
    by_size = tokens.BySize(encoder)
    asked = questions(tiny_data, config)
    for item in (question.item for question in asked):
        assert by_size.tokens(item.question, None, item.picture)[0]
    assert len(encoder.seen.cache) == len(by_size.first) == 1


def test_a_system_prompt_is_counted_once_a_picture_and_an_end_token_once_an_answer(
    config: RunConfig, tiny_data: Dataset
):
    plain = tokens.training(tiny_data, changed(config, pack=False), counter(config))
    told = changed(config, pack=False, system_prompt="Where is it?", end_token=False)
    encoder = Encoder.of(loading.load(config.model)[1], told)
    asked = tiny_data.train[0].forget[0]
    longer = len(encoder.tokens(asked.question, None, asked.picture)[0]) - len(
        Encoder(encoder.processor).tokens(asked.question, None, asked.picture)[0]
    )
    assert longer > 3
    counted = tokens.training(tiny_data, told, counter(told))
    assert counted.separate == plain.separate + (longer - 1) * sum(plain.pairs.values())
    assert counted.answers == plain.answers - sum(plain.pairs.values())
    packed = tokens.training(tiny_data, changed(config), counter(config)).packed
    rows = tokens.training(tiny_data, changed(config), counter(config)).pictures
    assert counted.packed == packed + longer * rows - sum(plain.pairs.values())


def test_the_official_size_gives_the_papers_ratio(runs_folder: Path):
    config = RunConfig.create("paper", model=SEVEN)
    told = forecast.forecast(config, None, [hardware.get("h100")])
    assert told.tokens is not None
    # 1,800 records of 4 triples; a step is 32 of them, ten passes.
    assert told.tokens.pairs == {"refusal": 7200, "retain": 7200, "decouple": 7200}
    assert (told.plan.steps, told.passes) == (2250, 10)
    # 39 of the system prompt, 576 of the picture, 10 of the template, 30 of the question; then 15 or 150 of the answer.
    prompt = 39 + 576 + 10 + 30
    assert told.tokens.separate == 7200 * (3 * prompt + 15 + 150 + 150)
    # Per record a harmful row of 8 and a safe row of 4 pairs; forget and retain ask other questions.
    shared, own = 39 + 576 + 10, 30
    assert told.tokens.packed == 1800 * (2 * shared + 4 * (own + 15) + 8 * (own + 150))
    assert 2.5 < told.tokens.separate / told.tokens.packed < 3.5
    # Forget of both splits three times, retain and decouple of val once.
    assert told.evaluation.questions == {"forget": 4 * 2400 * 3, "retain": 2400, "decouple": 2400}
    assert told.counted.startswith("estimated: 576 tokens a picture")


@pytest.mark.slow
def test_memory_and_time_follow_from_the_settings(runs_folder: Path):
    def told(gpus: int = 1, **settings: Any) -> forecast.Machine:
        config = RunConfig.create("paper", model=SEVEN, method="kl", eval_records=10, **settings)
        return forecast.forecast(config, None, [hardware.get("rtx4090")], gpus=gpus).machines[0]

    usual = told()
    assert (usual.training_fits, usual.answering_fits) == (False, False)
    small = told(quantization="4bit", gradient_checkpointing=True, answer_batch=4)
    assert (small.training_fits, small.answering_fits) == (True, True)
    assert small.training > usual.training
    assert told(gpus=4).training == pytest.approx(usual.training / 4)
    assert told(base_cache=10.0).training < usual.training
    # Ten passes of 1,800 harmful rows of 8 pairs and safe rows of 4, and the retain pairs of the base model; the vision
    # tower for each row. 40 % of 165.2 TFLOP/s.
    trained = 18_000 * (2 * 625 + 12 * 180)
    base = 18_000 * (625 + 4 * 180)
    operations = trained * (4 * 6_476_005_376 + 6 * 79_953_920) + base * 2 * 6_476_005_376
    operations += 3 * 18_000 * 576 * 2 * 303_507_456
    assert usual.training == pytest.approx(operations / (0.4 * 165.2e12), rel=1e-6)


def test_the_command_prints_every_table_at_a_hundred_columns(runs_folder: Path, config: RunConfig, tiny_data: Dataset):
    told = forecast.forecast(config, tiny_data, [hardware.get("cpu")])
    console = Console(width=100, record=True)
    for part in forecast_tables.render(told):
        console.print(part)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    for title in ("Parameters", "Memory, GiB", "Tokens", "Time"):
        assert title in text
    assert "1 x cpu" in text
    assert "counted with the model's own processor" in text
    assert "no run of this model" in text
    assert f"{told.model.parameters:,}" in text


def test_the_command_writes_json(
    runs_folder: Path, config: RunConfig, tiny_data_folder: Path, capsys: pytest.CaptureFixture
):
    flags = ["--model", config.model, "--data", config.data, "--max-steps", "4", "--eval-records", "2"]
    assert cli.main(["plan", *flags, "--method", "gd", "--hardware", "cpu", "--gpus", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"run", "model", "memory", "tokens", "hardware", "utilisation"}
    assert told["run"]["steps"] == 4
    assert told["run"]["command"].startswith("safeeraser run --model")
    assert told["model"]["parameters"] == sum(told["model"]["parts"].values())
    assert told["model"]["trainable"] == sum(told["model"]["trained"].values())
    assert {part["name"] for part in told["memory"]["training"]} >= {"base weights", "AdamW", "activations", "logits"}
    assert told["tokens"]["training"]["pairs"] == {"forget": 96, "retain": 96, "decouple": 96}
    assert told["tokens"]["answering"]["questions"]["forget"] == 16
    assert [(machine["name"], machine["gpus"]) for machine in told["hardware"]] == [("cpu", 2)]
    assert told["hardware"][0]["training"] > 0
    assert not (runs_folder / told["run"]["name"]).exists()


def test_the_base_model_is_only_asked(runs_folder: Path, config: RunConfig, tiny_data: Dataset):
    told = forecast.forecast(changed(config, method="base", pd=False), tiny_data, [hardware.get("h100")])
    assert (told.tokens, told.training_memory, told.plan.steps, told.model.trainable) == (None, (), 0, 0)
    assert told.machines[0].training == 0
    assert told.machines[0].answering > 0
    assert list(forecast_tables.render(told))


@pytest.mark.slow
def test_a_measured_run_of_the_model_is_shown_beside(runs_folder: Path):
    demo = RunConfig.create()
    told = forecast.forecast(demo, load("demo"), [hardware.get("cpu")])
    console = Console(width=100, record=True)
    for part in forecast_tables.render(told):
        console.print(part)
    text = console.export_text()
    assert "as measured" in text
    assert "demo-po-pd-s0-44136f" in text.split("Measured:")[1]


def test_unknown_hardware_is_named_before_any_work(capsys: pytest.CaptureFixture):
    assert cli.main(["plan", "--hardware", "v100", "--data", "/no/where"]) == 1
    assert "--hardware v100: not in the table; known: h200" in capsys.readouterr().err
