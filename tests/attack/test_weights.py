"""Changes of the weights on a tiny model: rounding, the projector, and relearning as by hand."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from safeeraser.attack import weights
from safeeraser.attack.suite import OriginalProjector, Rounded
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.models import adapter, loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run


@pytest.fixture
def run(config: RunConfig, runs_folder: Path) -> Run:
    """A run whose adapter, projector included, is random."""
    run = Run.create(config, data_hash="tiny", name="random")
    torch.manual_seed(1)
    model = adapter.attach(loading.load(config.model)[0], config)
    for parameter in adapter.trainable(model):
        parameter.data.normal_(std=0.2)
    adapter.save(model, run.adapter)
    return run


def test_rounding_by_hand():
    weight = torch.tensor([[1.0, -7.0, 0.4, 0.6, 3.0], [0.0, 0.0, 0.0, 0.0, -0.7]])
    # 4 bits: integers from -7 to 7; the first group of two has a scale of 1, the next of 0.6 / 7, the last of 3 / 7.
    found = weights.round_to_nearest(weight, bits=4, group=2)
    expected = torch.tensor([[1.0, -7.0, 5 * 0.6 / 7, 0.6, 3.0], [0.0, 0.0, 0.0, 0.0, -0.7]])
    torch.testing.assert_close(found, expected)
    # One scale for the row: 0.4 and 0.6 go to the nearest whole number.
    assert weights.round_to_nearest(weight, bits=4, group=None)[0].tolist() == [1.0, -7.0, 0.0, 1.0, 3.0]


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, 64)])
def test_only_the_language_models_linear_layers_are_rounded(run: Run, bits: int, group: int | None):
    before, _ = weights.merged(run)
    after, _ = weights.changed(run, Rounded(bits, group))
    found = dict(after.named_parameters())
    differ = {name for name, tensor in before.named_parameters() if not torch.equal(tensor, found[name])}
    assert differ == {
        f"model.language_model.layers.{layer}.{part}_proj.weight"
        for layer in range(2)
        for part in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
    }


def test_the_merged_model_answers_like_the_run_and_with_the_projector_put_back_the_rest_stays(run: Run):
    base, _ = loading.load(run.config.model)
    own, _ = weights.merged(run)
    back, _ = weights.changed(run, OriginalProjector())
    for name, tensor in back.named_parameters():
        other = base if "projector" in name else own
        assert torch.equal(tensor, other.get_parameter(name)), name
    projector = "model.multi_modal_projector.linear_1.weight"
    assert not torch.equal(own.get_parameter(projector), base.get_parameter(projector))


@pytest.mark.parametrize("on", ["forget", "retain"])
def test_a_step_of_relearning_is_the_step_of_adam_by_hand(run: Run, tiny_data: Dataset, on: str):
    """Adam's first step is lr * g / (|g| + eps), whatever the gradient's size."""
    step, tuned, _ = next(weights.tuned(run, tiny_data, on))
    assert step == 1
    network, processor = loading.load(run.config.model)
    merged = adapter.put(network, adapter.read_for(run.config, run.adapter)).merge_and_unload()
    config = run.config.model_copy(update={"lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0})
    torch.manual_seed(0)
    by_hand = adapter.attach(merged, config).eval()
    loss = _mean_loss(by_hand, Encoder(processor, max_length=config.max_length), _first(tiny_data, on))
    loss.backward()
    moved = dict(tuned.named_parameters())
    for name, parameter in by_hand.named_parameters():
        if parameter.grad is None:
            assert torch.equal(moved[name], parameter), name
            continue
        expected = parameter - 3e-4 * parameter.grad / (parameter.grad.abs() + 1e-8)
        clear = parameter.grad.abs() > 1e-6  # below, rounding decides
        torch.testing.assert_close(moved[name][clear], expected[clear], atol=2e-6, rtol=0)
    assert len([p for p in by_hand.parameters() if p.grad is not None and p.grad.abs().max() > 1e-6]) > 10


def _first(data: Dataset, on: str) -> list:
    """The first 16 pairs, in the order that the seed says."""
    from safeeraser.losses import Term, nll
    from safeeraser.unlearn.examples import Examples

    examples = Examples(data, (Term(on, nll, (on,)),), 0)
    return [pair for place in range(16) for _, pair in examples[place]]


def _mean_loss(model, encoder: Encoder, pairs: list) -> torch.Tensor:
    """Mean over the pairs of the mean NLL of the answer's tokens, one pair a forward pass."""
    losses = []
    for pair in pairs:
        ids, prompt = encoder.tokens(pair.question, pair.answer, pair.picture)
        tokens = torch.tensor([ids])
        logits = model(input_ids=tokens, **encoder.pixels(pair.picture)).logits
        losses.append(functional.cross_entropy(logits[0, prompt - 1 : -1], tokens[0, prompt:]))
    return torch.stack(losses).mean()


def test_relearning_goes_on_from_step_to_step_and_leaves_the_files_alone(run: Run, tiny_data: Dataset):
    files = {path: path.read_bytes() for folder in (run.folder, Path(run.config.model)) for path in folder.rglob("*.*")}
    curve = weights.tuned(run, tiny_data, "forget")
    name = "base_model.model.model.multi_modal_projector.modules_to_save.default.linear_1.bias"
    found = [next(curve)[1].get_parameter(name).detach().clone() for _ in range(3)]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
    assert {path: path.read_bytes() for path in files} == files
