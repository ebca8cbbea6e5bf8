"""Training on a tiny model: pairing, the base model as reference, resuming, stopping."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import families
import pytest
import torch
from documents import ROOT, blocks
from safetensors.torch import load_file
from waiting import until
from warm import Started

from safeeraser import losses
from safeeraser.config import RunConfig
from safeeraser.data.records import DataError, Dataset
from safeeraser.models import adapter, checks, loading
from safeeraser.models import families as models
from safeeraser.models.encoder import SETS, Encoder
from safeeraser.runs.folder import Run
from safeeraser.unlearn import checkpoints, reference, train
from safeeraser.unlearn.examples import Examples
from safeeraser.unlearn.forward import term_losses
from safeeraser.unlearn.train import TrainError


def new_run(config: RunConfig, name: str) -> Run:
    return Run.create(config, data_hash="tiny", name=name)


def batch_of(config: RunConfig, data: Dataset, *, pd: bool = True, count: int = 3):
    _, processor = loading.load(config.model)
    terms = losses.terms(config.method, pd=pd)
    examples = Examples(data, terms, seed=0)
    return Encoder(processor).micro_batch([examples[i] for i in range(count)], terms, pack=config.pack)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.adapter / "adapter_model.safetensors")


# --- what an example holds


def test_a_decouple_pair_asks_its_own_forget_question_about_the_safe_picture(tiny_data: Dataset):
    shuffled = replace(tiny_data, train=tuple(replace(r, decouple=r.decouple[::-1]) for r in tiny_data.train))
    for position in range(len(tiny_data.train) * 4):
        example = dict(Examples(shuffled, losses.terms("gd", pd=True), seed=3)[position])
        assert example["decouple"].question == example["forget"].question
        assert example["decouple"].picture != example["forget"].picture
        assert example["decouple"].id == example["forget"].id.replace("/forget/", "/decouple/")


def test_each_pass_asks_every_forget_pair_once_in_a_new_order(tiny_data: Dataset):
    examples = Examples(tiny_data, losses.terms("ga", pd=False), seed=0)
    count = len(tiny_data.train) * 4
    passes = [[dict(examples[i])["forget"].id for i in range(start, start + count)] for start in (0, count)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(v.id for r in tiny_data.train for v in r.forget)
    assert passes[0] != passes[1]


def test_refusal_targets_are_drawn_anew_each_pass_and_depend_on_the_seed(tiny_data: Dataset):
    def drawn(seed: int, epoch: int) -> dict[str, str]:
        examples, count = Examples(tiny_data, losses.terms("po", pd=False), seed=seed), len(tiny_data.train) * 4
        rows = [dict(examples[epoch * count + i])["refusal"] for i in range(count)]
        return {vqa.id: vqa.answer for vqa in rows}

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)
    assert set(drawn(0, 0).values()) <= set(tiny_data.refusals)


def test_prompt_decouple_without_decouple_pairs_is_refused(tiny_data: Dataset):
    bare = replace(tiny_data, train=tuple(replace(r, decouple=()) for r in tiny_data.train))
    with pytest.raises(DataError, match=r"no decouple pairs in train.*--no-pd"):
        Examples(bare, losses.terms("po", pd=True), seed=0)


# --- losses on a real model


def test_term_losses_are_the_models_own_losses(config: RunConfig, tiny_data: Dataset):
    network, _ = loading.load(config.model)
    adapted = adapter.attach(network, config).eval()
    micro = batch_of(config.model_copy(update={"pack": False}), tiny_data)
    ours = term_losses(adapted, reference.computed(adapted), micro, losses.terms("po", pd=True))
    alone = [
        adapted(**{k: v[row : row + 1] for k, v in batch.inputs.items()}, labels=batch.labels[row : row + 1]).loss
        for batch in micro.batches
        for row in (batch.member == SETS.index("decouple")).any(1).nonzero().flatten().tolist()
    ]
    assert ours["decouple"].item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)


def test_kl_is_zero_at_the_start_and_then_grows(config: RunConfig, tiny_data: Dataset):
    network, _ = loading.load(config.model)
    adapted = adapter.attach(network, config).eval()
    terms = losses.terms("kl", pd=False)
    batch = batch_of(config.model_copy(update={"method": "kl"}), tiny_data)
    assert term_losses(adapted, reference.computed(adapted), batch, terms)["retain"].item() == pytest.approx(
        0, abs=1e-7
    )
    for parameter in adapter.trainable(adapted):
        torch.nn.init.normal_(parameter, std=0.2)
    assert term_losses(adapted, reference.computed(adapted), batch, terms)["retain"].item() > 1e-3


@pytest.mark.slow
def test_the_reference_does_not_drift_while_projector_and_lora_train(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    run = new_run(config.model_copy(update={"method": "kl", "lr": 0.1}), "drift")
    train.train(run, tiny_data)
    inputs = batch_of(config.model_copy(update={"pack": False}), tiny_data).batches[0].inputs
    pristine, _ = loading.load(config.model)
    network, _ = loading.load(config.model)
    adapted = adapter.load(network, run.adapter)
    with torch.no_grad():
        before = pristine(**inputs).logits
        with adapted.disable_adapter():
            assert torch.equal(adapted(**inputs).logits, before)
        assert not torch.allclose(adapted(**inputs).logits, before, atol=1e-3)
    assert any("multi_modal_projector" in name for name in weights(run))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "falls"), [("ga", False), ("po", True)])
def test_ascent_raises_the_forget_loss_and_preference_lowers_its_own(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, method: str, falls: bool
):
    run = new_run(config.model_copy(update={"method": method, "pd": False, "max_steps": 16, "lr": 0.05}), method)
    train.train(run, tiny_data)
    # The log shows each term's loss: `forget` is minus the negative log-likelihood.
    name, sign = ("prefer", 1) if falls else ("forget", -1)
    trajectory = [sign * row["terms"][name] for row in run.rows(run.log)]
    assert (trajectory[-1] < trajectory[0] - 0.05) if falls else (trajectory[-1] > trajectory[0] + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "lr"),
    [*((method, 0.05) for method in ("dpo", "simnpo", "wga", "satimp", "undial", "vgid")), ("rmu", 0.005)],
)
@pytest.mark.parametrize("pd", [False, True])
def test_what_a_method_minimizes_falls(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, method: str, lr: float, pd: bool
):
    settings = {"method": method, "pd": pd, "max_steps": 16, "lr": lr, "lora_dropout": 0.0}
    run = new_run(config.model_copy(update=settings), method)
    train.train(run, tiny_data)
    first, *_, last = run.rows(run.log)
    assert set(last["terms"]) == {term.name for term in losses.terms(method, pd=pd)}
    assert last["loss"] < first["loss"] - 1e-3


@pytest.mark.slow
def test_the_vicinal_term_trains_in_half_precision(config: RunConfig, runs_folder: Path):
    run = new_run(config.model_copy(update={"vicinal": 1.0, "precision": "bf16", "max_steps": 2}), "half")
    script = (
        "import sys\n"
        "from safeeraser.data.source import load\n"
        "from safeeraser.runs.folder import Run\n"
        "from safeeraser.unlearn import train\n"
        "run = Run.find(sys.argv[1])\n"
        "train.train(run, load(run.config.data))\n"
    )
    # A process of its own: accelerate keeps one precision for all of a process.
    process = Started(["-c", script, str(run.folder)], output=run.folder.with_suffix(".txt"))
    assert process.wait() == 0, process.said()
    assert [set(row["terms"]) for row in run.rows(run.log)] == [{"prefer", "decouple", "vicinal"}] * 2


def test_accumulating_gives_the_result_of_a_bigger_batch(config: RunConfig, tiny_data: Dataset, runs_folder: Path):
    still = {"lora_dropout": 0.0, "max_steps": 2, "method": "gd"}
    whole = new_run(config.model_copy(update={**still, "batch_size": 4}), "whole")
    parts = new_run(config.model_copy(update={**still, "batch_size": 2, "accumulation": 2}), "parts")
    for run in (whole, parts):
        train.train(run, tiny_data)
    for one, other in zip(whole.rows(whole.log), parts.rows(parts.log), strict=True):
        assert one["terms"] == pytest.approx(other["terms"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_a_stranger_adds_the_documented_loss_and_method_and_trains_it(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    loss, row = blocks(ROOT / "docs" / "adding-a-method.md", "python")
    assert len((loss + row).strip().splitlines()) <= 10
    names = dict(vars(losses))
    exec("from __future__ import annotations\n" + loss, names)
    for name, method in eval("{" + row + "}", names).items():
        monkeypatch.setitem(losses.METHODS, name, method)

    run = new_run(RunConfig.create(**config.model_dump() | {"method": "capped", "max_steps": 2}), "capped")
    train.train(run, tiny_data)
    (first, _) = run.rows(run.log)
    assert set(first["terms"]) == {"forget", "retain", "decouple"}
    assert first["terms"]["forget"] == -5.0  # a random model is worse than the cap
    assert run.adapter.exists()


def test_a_runs_steps_are_its_epochs_in_whole_optimizer_steps_or_as_many_as_asked_for(config: RunConfig):
    # 1.5 passes over 50 pairs, 2 x 4 at a step: 75 / 8 = 9.4 steps; the last one goes a little into the next pass.
    settings = {"epochs": 1.5, "batch_size": 4, "accumulation": 2}
    assert config.model_copy(update={**settings, "max_steps": None}).steps(50) == 10
    assert config.model_copy(update={**settings, "max_steps": 3}).steps(50) == 3


def test_biases_decay_only_where_the_settings_say_so(config: RunConfig, tiny_data: Dataset, runs_folder: Path):
    network, _ = loading.load(config.model)
    adapted = adapter.attach(network, config)
    assert train._decayed(adapted, config) == adapter.trainable(adapted)
    others, biases = train._decayed(adapted, config.model_copy(update={"decay_biases": False}))
    names = {id(parameter): name for name, parameter in adapted.named_parameters()}
    assert sorted(names[id(one)].rpartition("modules_to_save.default.")[2] for one in biases["params"]) == [
        "linear_1.bias",
        "linear_2.bias",
    ]
    assert (biases["weight_decay"], len(others["params"]) + 2) == (0.0, len(adapter.trainable(adapted)))
    # Biases start at 0; the first step moves each by the learning rate, the second first halves what decays.
    settings = {"max_steps": 2, "lr": 1e-3, "weight_decay": 1e3, "warmup": 0.0}
    left = {}
    for decay in (True, False):
        run = new_run(config.model_copy(update={**settings, "decay_biases": decay}), f"decay-{decay}")
        train.train(run, tiny_data)
        left[decay] = next(t for name, t in weights(run).items() if name.endswith("linear_1.bias")).abs().mean().item()
    assert left[True] < 0.9 * left[False]


# --- saving, resuming, stopping


def test_an_adapter_of_another_model_is_refused(config: RunConfig, tiny_data: Dataset, runs_folder: Path):
    run = new_run(config, "strict")
    train.train(run, tiny_data)
    file = run.adapter / "adapter_model.safetensors"
    from safetensors.torch import save_file

    save_file({name.replace("language_model", "text_model"): t for name, t in load_file(file).items()}, file)
    (run.adapter / adapter.HASHES).unlink()
    network, _ = loading.load(config.model)
    with pytest.raises(checks.ModelError, match="does not fit this model"):
        adapter.load(network, run.adapter)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3"])
def test_a_run_killed_with_kill_9_ends_like_one_that_was_not(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path, family: str
):
    model = config.model if family == "llava" else str(families.FAMILIES[family](tmp_path / "model"))
    config = config.model_copy(update={"model": model, "max_steps": 8, "checkpoint_every": 3, "look_every": 2})
    whole = new_run(config, "whole")
    train.train(whole, tiny_data)

    killed = new_run(config, "killed")
    _kill_after(killed, step=5)
    assert [row["step"] for row in killed.rows(killed.log)][-1] >= 5
    assert not killed.adapter.exists()
    train.train(killed, tiny_data)

    assert weights(whole).keys() == weights(killed).keys()
    assert all(torch.equal(tensor, weights(killed)[name]) for name, tensor in weights(whole).items())
    kept = [{k: row[k] for k in ("step", "lr", "loss", "terms", "grad_norm")} for row in whole.rows(whole.log)]
    assert kept == [{k: row[k] for k in kept[0]} for row in killed.rows(killed.log)]
    assert killed.looks.read_text() == whole.looks.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("family", [kind for kind in families.FAMILIES if kind != "llava"])
def test_a_stopped_run_of_every_family_ends_like_one_that_was_not(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path, family: str
):
    model = families.FAMILIES[family](tmp_path / "model")
    config = config.model_copy(update={"model": str(model), "max_steps": 3, "method": "kl"})
    whole, stopped = new_run(config, "whole"), new_run(config, "stopped")
    train.train(whole, tiny_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train.train(stopped, tiny_data)
    assert not stopped.adapter.exists()
    train.train(stopped, tiny_data)
    assert weights(whole).keys() == weights(stopped).keys()
    assert all(torch.equal(tensor, weights(stopped)[name]) for name, tensor in weights(whole).items())
    projector = models.FAMILIES[family].projector
    assert any(f".{projector}." in name for name in weights(whole))


def test_pictures_without_a_mean_cannot_be_turned_away_from_it(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path
):
    update = {"model": str(families.qwen2_5_vl(tmp_path / "model")), "vicinal": 1.0, "pd": True}
    with pytest.raises(train.TrainError, match="--vicinal: models of type 'qwen2_5_vl' see a picture in as many pat"):
        train.train(new_run(config.model_copy(update=update), "vicinal"), tiny_data)


def _kill_after(run: Run, *, step: int) -> None:
    """Train in a process of its own and kill it once the log has so many steps."""
    script = (
        "import sys, time, torch; torch.set_num_threads(1)\n"
        "from safeeraser.data.source import load\n"
        "from safeeraser.unlearn import train\n"
        "from safeeraser.runs.folder import Run\n"
        "run = Run.find(sys.argv[1])\n"
        "append = Run.append\n"
        # Slow the writer down so that the kill lands between two steps or inside one.
        "Run.append = lambda *a: (append(*a), time.sleep(0.15))\n"
        "train.train(run, load(run.config.data))\n"
    )
    process = Started(["-c", script, str(run.folder)], output=run.folder.with_suffix(".txt"))

    def trained() -> bool:
        assert process.poll() is None, f"the trainer ended before it could be killed: {process.said()}"
        return len(run.rows(run.log)) >= step

    until(trained)
    process.kill()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decay_biases": False, "end_token": False, "system_prompt": "Be brief."},
        {"method": "dpo"},
        {"method": "rmu", "pd": False},
        {"method": "vgid"},
        {"vicinal": 1.0, "variations": 2},
        {"sine_projector": True, "saliency_mask": 1.0},
    ],
)
def test_ctrl_c_leaves_a_run_that_goes_on(
    settings: dict, config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config.model_copy(update={"checkpoint_every": 100, **settings})
    whole, stopped = new_run(config, "whole"), new_run(config, "stopped")
    train.train(whole, tiny_data)
    append = Run.append

    def append_and_interrupt(run: Run, path: Path, rows: list) -> None:
        append(run, path, rows)
        if rows[0]["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", append_and_interrupt)
        with pytest.raises(train.Interrupted, match="stopped after step 2 of 4"):
            train.train(stopped, tiny_data)
    train.train(stopped, tiny_data)
    assert all(torch.equal(tensor, weights(stopped)[name]) for name, tensor in weights(whole).items())


def cut(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


def overwritten(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-8:] = bytes(8)
    (folder / name).write_bytes(content)


def gone(folder: Path, name: str) -> None:
    (folder / name).unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "name", "lasts"),
    [
        (cut, "adapter_model.safetensors", 1),
        (overwritten, "adapter_model.safetensors", 1),
        (cut, "trainer.pt", 1),
        (gone, "adapter_config.json", 1),
        (cut, "trainer.pt", 2),
    ],
)
def test_a_checkpoint_that_cannot_be_read_is_passed_over_for_the_one_before_and_it_says_so(
    damage, name: str, lasts: int, config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch, caplog
):
    whole, hurt = new_run(config, "whole"), new_run(config, "hurt")
    train.train(whole, tiny_data)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.checkpoints, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            train.train(hurt, tiny_data)
    damaged = list(hurt.saved_steps().values())[-lasts:]
    for folder in damaged:
        damage(folder, name)
    train.train(hurt, tiny_data)
    said = [record.getMessage() for record in caplog.records if "Training goes on" in record.getMessage()]
    assert [str(folder) in message for folder, message in zip(reversed(damaged), said, strict=True)] == [True] * lasts
    assert all(torch.equal(tensor, weights(whole)[key]) for key, tensor in weights(hurt).items())
    assert [row["step"] for row in hurt.rows(hurt.log)] == [1, 2, 3, 4]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run = new_run(config, "broken")
    honest, calls = losses.nll, iter(range(100))
    monkeypatch.setattr(train.losses, "terms", lambda *a, **k: (losses.Term("prefer", broken, ("refusal", "retain")),))

    def broken(view: losses.View) -> torch.Tensor:
        return honest(view) * (float("nan") if next(calls) == 2 else 1.0)

    with pytest.raises(TrainError, match=r"loss is not finite at step 3 .*lower --lr"):
        train.train(run, tiny_data)
    assert [folder.name for folder in sorted(run.checkpoints.iterdir())] == ["step-1", "step-2"]
    saved = load_file(run.checkpoints / "step-2" / "adapter_model.safetensors")
    assert all(tensor.isfinite().all() for tensor in saved.values())
    assert not run.adapter.exists()


def test_the_log_tells_each_step(config: RunConfig, tiny_data: Dataset, runs_folder: Path):
    run = new_run(config, "log")
    train.train(run, tiny_data)
    rows = run.rows(run.log)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]["terms"]) == {"prefer", "decouple"}
    assert rows[0]["loss"] == pytest.approx(sum(rows[0]["terms"].values()))
    assert [row["epoch"] for row in rows] == pytest.approx([k * 3 / 96 for k in (1, 2, 3, 4)])
    # No warm-up in four steps: the cosine from the peak, each row with the rate its own step used.
    half = 0.5 * 0.5**0.5
    assert [row["lr"] / config.lr for row in rows] == pytest.approx([1, 0.5 + half, 0.5, 0.5 - half])
    assert json.loads((run.folder / "state.json").read_text())["step"] == 4
    # A process that has imported torch takes more than 100 MB, and less than 100 GB: bytes, not KiB or MiB.
    peaks = [row["peak_memory"] for row in rows]
    assert 1e8 < peaks[0] < 1e11
    assert peaks == sorted(peaks)
