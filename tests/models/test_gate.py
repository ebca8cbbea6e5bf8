"""The gate on an adapter: its border by hand, its file, and who answers on either side of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import families
import pytest
import torch
from families import perturbed
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from safeeraser import cli, stages
from safeeraser.attack import attacking, scoring, suite, weights
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.data.source import Source
from safeeraser.generate import answerer, answering
from safeeraser.generate.questions import Question
from safeeraser.models import adapter, gate, loading
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder
from safeeraser.models.gate import Gate
from safeeraser.runs.folder import Run, RunError
from safeeraser.unlearn import checkpoints, train
from safeeraser.unlearn.examples import pictures

# Around the mean (1, 2): the harmful pictures lie at (4, 0), (3, 4) and (0, 2), the safe one opposite.
HARMFUL = torch.tensor([[5.0, 2.0], [4.0, 6.0], [1.0, 4.0]])
SAFE = torch.tensor([[-6.0, -4.0]])


@pytest.fixture
def gated(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"gate": "picture"})


@pytest.fixture
def source(tiny_data_folder: Path) -> Source:
    return Source(str(tiny_data_folder))


def only_for(picture: Path, data: Dataset, config: RunConfig) -> Gate:
    """A gate that this picture alone opens, of those that the data set has."""
    encoder = Encoder.of(loading.load(config.model)[1], config)
    harmful, safe = pictures(data)
    found = gate.features(perturbed(config), encoder, [picture, *harmful, *safe])
    mean = found.mean(0)
    return Gate(mean, normalize(found[:1] - mean, dim=1), 0.9999)


def saved_run(config: RunConfig, border: Gate | None = None) -> Run:
    """A run whose adapter changes what is said; border: the gate before it."""
    run = Run.create(config, data_hash="tiny", name="gated" if border else "plain")
    adapted = perturbed(config)
    if border:
        gate.attach(adapted, border)
    adapter.save(adapted, run.adapter)
    return run


def answers(model: object, items: Sequence[VQA], config: RunConfig) -> dict[str, str]:
    """What a model, here or in no run, says to questions asked together, by id."""
    encoder = Encoder.of(loading.load(config.model)[1], config)
    found = answering.answers(model, encoder, [Question(vqa, 0) for vqa in items], config)
    return {question.item.id: text for question, text in found}


# --- the border


def test_the_radius_is_the_cosine_that_nearly_all_keys_have_to_their_nearest_other():
    """Nearest others: .6 for (4, 0), whose cosine to (3, 4) is 12 / 20, and .8 for the two others, 8 / 10."""
    found = Gate.of(HARMFUL, SAFE)
    assert found.mean.tolist() == [1, 2]
    torch.testing.assert_close(found.keys, torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    assert found.radius == pytest.approx(0.6 + 0.02 * 2 * (0.8 - 0.6))  # .608


@pytest.mark.parametrize(
    ("deviation", "on"),
    [
        ((0.1, 0.0), True),  # a key's direction, whatever the length
        ((0.62, -0.7846), True),
        ((0.60, -0.8), False),  # .6 to the nearest key, below .608
        ((0.0, -3.0), False),
        ((-7.0, -6.0), False),  # the safe picture
        ((0.0, 0.0), False),  # the mean picture is near nothing
    ],
)
def test_the_adapter_is_on_where_the_nearest_key_is_within_the_radius(deviation: tuple[float, float], on: bool):
    found = Gate.of(HARMFUL, SAFE)
    assert found.opens(torch.tensor([deviation]) + found.mean).tolist() == [on]


def test_a_single_harmful_picture_opens_the_gate_itself():
    found = Gate.of(HARMFUL[:1], SAFE)
    assert found.radius == 1
    assert found.opens(torch.cat([HARMFUL, SAFE])).tolist() == [True, False, False, False]


def test_features_of_another_tower_are_refused():
    with pytest.raises(ModelError, match="made for features of 2 numbers, but the model's vision tower gives 3"):
        Gate.of(HARMFUL, SAFE).opens(torch.zeros(1, 3))


# --- who answers


@pytest.mark.parametrize("make", families.FAMILIES.values())
@pytest.mark.parametrize("engine", ["shared", "plain"])
def test_pictures_within_get_the_adapters_answers_all_other_questions_the_base_models(
    make: Callable[[Path], Path], engine: str, config: RunConfig, tiny_data: Dataset, tmp_path: Path
):
    config = config.model_copy(update={"model": str(make(tmp_path / "model")), "engine": engine})
    adapted, base = perturbed(config), loading.load(config.model)[0]
    shown = [record.forget[0] for record in tiny_data.train[:3]]
    assert shown[0].picture
    inside, *outside = [*shown, replace(shown[0], id="words", picture=None, text_only=True)]
    alone = answers(adapted, [inside], config) | answers(base, outside, config)
    always = answers(adapted, [inside, *outside], config)
    gate.attach(adapted, only_for(shown[0].picture, tiny_data, config))
    assert answers(adapted, [inside, *outside], config) == alone
    assert always[inside.id] == alone[inside.id]
    assert all(always[vqa.id] != alone[vqa.id] for vqa in outside)
    assert answers(adapted, [inside], config) == {inside.id: always[inside.id]}  # it is on again


def test_a_picture_outside_gets_the_base_models_logits_bit_by_bit(config: RunConfig, tiny_data: Dataset):
    adapted, (base, processor) = perturbed(config), loading.load(config.model)
    inputs = Encoder.of(processor, config).prompt_batch([record.forget[0] for record in tiny_data.train[:3]])
    with torch.no_grad(), adapted.disable_adapter():
        assert torch.equal(adapted(**inputs).logits, base(**inputs).logits)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_pictures_feature_is_the_same_with_a_trained_adapter_and_in_mixed_precision(
    precision: str, config: RunConfig, tiny_data: Dataset
):
    config = config.model_copy(update={"precision": precision})
    adapted, (network, processor) = perturbed(config), loading.load(config.model, precision=precision)
    encoder, (harmful, _) = Encoder.of(processor, config), pictures(tiny_data)
    fresh = adapter.attach(network, config)
    with torch.autocast("cpu", torch.bfloat16):
        found = gate.features(adapted, encoder, harmful[:3])
    assert torch.equal(found, gate.features(fresh, encoder, harmful[:3]))
    assert found.dtype == torch.float32


# --- training


def test_training_makes_the_gate_and_is_the_same_without_it(
    gated: RunConfig, config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    with_gate, without = (Run.create(one, data_hash="tiny") for one in (gated, config))
    assert with_gate.name.startswith(f"{Path(config.model).name}-po-pd-gate-s0-")
    for run in (with_gate, without):
        train.train(run, tiny_data)
    saved = adapter.read_for(gated, with_gate.adapter)
    assert all(torch.equal(t, saved.tensors[name]) for name, t in adapter.read(without.adapter).tensors.items())
    assert saved.gate is not None
    harmful, safe = pictures(tiny_data)
    network, processor = loading.load(config.model)
    model, encoder = adapter.put(network, saved), Encoder.of(processor, gated)
    again = gate.made(model, encoder, harmful=harmful, safe=safe)
    assert torch.equal(again.keys, saved.gate.keys)
    assert torch.equal(again.mean, saved.gate.mean)
    assert again.radius == saved.gate.radius
    inside = gate.within(saved.gate, model, encoder, harmful)
    assert len(harmful) * 0.9 < len(inside) <= len(harmful)
    assert len(saved.gate.keys) == len(harmful)


def test_a_run_that_died_before_its_end_makes_the_same_gate_and_the_same_looks(
    gated: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    gated = gated.model_copy(update={"look_every": 2, "look_records": 2})
    whole, died = (Run.create(gated, data_hash="tiny", name=name) for name in ("whole", "died"))
    train.train(whole, tiny_data)

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "finish", die)
        with pytest.raises(RuntimeError, match="killed"):
            train.train(died, tiny_data)
    assert not died.adapter.exists()
    train.train(died, tiny_data)
    for name in (gate.FILE, adapter.WEIGHTS, adapter.HASHES):
        assert (died.adapter / name).read_bytes() == (whole.adapter / name).read_bytes(), name
    assert died.looks.read_text() == whole.looks.read_text()


# --- the file


def test_a_gate_comes_back_from_its_file_as_it_was(tmp_path: Path):
    made = Gate.of(HARMFUL, SAFE)
    made.save(tmp_path)
    found = gate.read(tmp_path)
    assert found is not None
    assert torch.equal(found.mean, made.mean)
    assert torch.equal(found.keys, made.keys)
    assert found.radius == made.radius
    assert gate.read(tmp_path / "elsewhere") is None


DAMAGED: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "a tensor is missing": (lambda own: {"mean": own["mean"]}, "must hold mean, keys and radius, holds mean"),
    "a tensor is left over": (lambda own: own | {"more": torch.ones(1)}, "must hold mean, keys and radius"),
    "another width": (lambda own: own | {"mean": torch.ones(3)}, r"holds mean \[3\], keys \[3, 2\], radius \[1\]"),
    "two radii": (lambda own: own | {"radius": torch.ones(2)}, r"radius \[2\]"),
    "not finite": (lambda own: own | {"mean": torch.tensor([1.0, torch.nan])}, "mean holds a value that is not finite"),
    "long keys": (lambda own: own | {"keys": own["keys"] * 2}, "keys must be of length 1"),
    "no cosine": (lambda own: own | {"radius": torch.tensor([1.5])}, "radius a cosine"),
    "integers": (lambda own: own | {"keys": own["keys"].int()}, "keys is torch.int32; must be floating point"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_gate_is_named(name: str, tmp_path: Path):
    damage, message = DAMAGED[name]
    Gate.of(HARMFUL, SAFE).save(tmp_path)
    save_file(damage(load_file(tmp_path / gate.FILE)), tmp_path / gate.FILE)
    with pytest.raises(ModelError, match=rf"gate\.safetensors: .*{message}"):
        gate.read(tmp_path)


def test_a_cut_gate_and_one_that_points_nowhere_are_named(tmp_path: Path):
    file = tmp_path / gate.FILE
    Gate.of(HARMFUL, SAFE).save(tmp_path)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ModelError, match=r"gate\.safetensors: .* cannot be read"):
        gate.read(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"gate\.safetensors: there is no such file"):
        gate.read(tmp_path)


def test_bytes_of_the_gate_that_were_overwritten_are_noticed(gated: RunConfig, runs_folder: Path):
    file = saved_run(gated, Gate.of(HARMFUL, SAFE)).adapter / gate.FILE
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"gate\.safetensors: the file is not as it was written"):
        adapter.read(file.parent)


def test_a_gated_run_without_its_gate_and_a_gate_of_another_run_are_refused(
    gated: RunConfig, config: RunConfig, runs_folder: Path
):
    run = saved_run(gated, Gate.of(HARMFUL, SAFE))
    with pytest.raises(ModelError, match=r"gate\.safetensors: the run was made without --gate"):
        adapter.read_for(config, run.adapter)
    (run.adapter / gate.FILE).unlink()
    for read in (
        lambda: adapter.read_for(gated, run.adapter),
        lambda: answering.own_model(run),
        lambda: answerer.Shelf().take(run, adapted=True),
    ):
        with pytest.raises(ModelError, match=r"gate\.safetensors: there is no such file, and --gate picture needs it"):
            read()


# --- where a gate matters outside the run's own answers


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_of_ones_own_goes_through_the_gate(
    gated: RunConfig, tiny_data: Dataset, runs_folder: Path, stream: bool
):
    """Also where the base model answers beside it, token by token in turn."""
    inside, outside = (record.forget[0] for record in tiny_data.train[:2])
    assert inside.picture
    run = saved_run(gated, only_for(inside.picture, tiny_data, gated))
    shelf, told = answerer.Shelf(), []

    def asked(vqa: VQA) -> list[str]:
        pair = [{"run": run.name, "folder": str(run.folder), "adapted": adapted} for adapted in (True, False, True)]
        request = {"question": vqa.question, "path": str(vqa.picture), "runs": pair, "stream": stream}
        return [row["answer"] for row in answerer.reply(shelf, request, told.append)]

    adapted, base = perturbed(gated), loading.load(gated.model)[0]
    for vqa, expected in ((inside, adapted), (outside, base)):
        through, plain = answers(expected, [vqa], gated)[vqa.id], answers(base, [vqa], gated)[vqa.id]
        assert asked(vqa) == [through, plain, through]
    assert answers(adapted, [inside], gated) != answers(base, [inside], gated)
    assert answers(adapted, [outside], gated) != answers(base, [outside], gated)
    assert bool(told) == stream


def test_pictures_under_attack_go_through_the_gate_and_one_attack_takes_it_away(
    gated: RunConfig, source: Source, tiny_data: Dataset, runs_folder: Path
):
    chosen = suite.chosen("standard", ["gate", "blank"])
    first, *_ = attacking.items(Run.create(gated, data_hash="x", name="asked"), source, 1)
    assert first.picture
    run = saved_run(gated, only_for(first.picture, tiny_data, gated))
    attacking.attack(run, source, chosen, records=1, judge="demo")
    rows = {(row["attack"], row["id"]): row["answer"] for row in run.rows(run.attacks)}
    inside = [vqa for id, vqa in source.items.items() if ("none", id) in rows and vqa.picture == first.picture]
    adapted, _ = weights.merged(run)
    base = loading.load(gated.model)[0]
    of_adapted, of_base = (answers(model, inside, gated) for model in (adapted, base))
    assert {vqa.id: rows["none", vqa.id] for vqa in inside} == of_adapted != of_base
    asked = [source.items[id] for name, id in rows if name == "none"]
    assert {vqa.id: rows["gate", vqa.id] for vqa in asked} == answers(adapted, asked, gated)
    assert any(rows["gate", vqa.id] != rows["none", vqa.id] for vqa in asked)
    blank = list(attacking.under_attack(chosen[1], asked, runs_folder))
    assert {vqa.id: rows["blank", vqa.id] for vqa in asked} == answers(base, blank, gated)
    assert [one.name for one in scoring.outcomes(run, source, "demo", chosen)][:3] == ["none", "blank", "gate"]


def test_a_gate_is_taken_away_only_where_there_is_one(
    gated: RunConfig, config: RunConfig, source: Source, runs_folder: Path
):
    none, taken = suite.chosen("standard", ["gate"])
    assert taken.title == "Gate taken away"
    assert taken.why_not(gated) is None
    assert taken.why_not(config) == taken.why_not(gated.base()) == "the adapter has no gate"
    plain = saved_run(config)
    attacking.attack(plain, source, [none, taken], records=1, judge="demo")
    assert [one.name for one in scoring.outcomes(plain, source, "demo", [none, taken])] == ["none"]


def test_what_needs_merged_weights_is_refused(
    gated: RunConfig, source: Source, runs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = stages.open_run(gated, source)
    for command in (
        ["export", run.name, "--out", str(tmp_path / "out")],
        ["specificity", run.name],
        ["generate", run.name, "--endpoint", "http://localhost:1/v1"],
    ):
        assert cli.main(command) == 1
        assert "--gate picture decides for each picture whether its adapter is on" in capsys.readouterr().err
    with pytest.raises(RunError, match="merged weights cannot"):
        run.check_merges()


def test_an_imported_adapter_has_no_gate(config: RunConfig, runs_folder: Path, tmp_path: Path, capsys):
    run = saved_run(config)
    torch.save(adapter.read(run.adapter).tensors, tmp_path / "checkpoint.pt")
    command = ["adapter", "import", str(tmp_path / "checkpoint.pt"), "--model", config.model, "--data", config.data]
    assert cli.main([*command, "--method", "po", "--lora-alpha", "32", "--gate", "picture"]) == 1
    assert "--gate picture: the file has no gate" in capsys.readouterr().err


def test_the_setting_leaves_other_runs_and_the_base_model_alone(config: RunConfig, gated: RunConfig):
    assert gated.base() == config.base()
    assert gated.hash() != config.hash()
    assert "gate" not in json.dumps(config.model_dump(exclude_defaults=True))
    with pytest.raises(ConfigError, match=r"--gate: .*'none' or 'picture'"):
        RunConfig.create(gate="words")
