"""SineProject's projector: what is trained, and what is left when training ends."""

from pathlib import Path

import pytest
import torch

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.models import adapter, loading, sine
from safeeraser.runs.folder import Run
from safeeraser.unlearn import train


def test_a_tensor_is_its_start_plus_the_sine_of_what_is_trained():
    stand_in = sine.Sine(torch.tensor([1.0, -2.0]))
    assert stand_in(torch.zeros(2)).tolist() == [1, -2]
    assert stand_in(torch.tensor([torch.pi / 2, -torch.pi / 6])).tolist() == pytest.approx([2, -2.5])
    assert stand_in.right_inverse(torch.tensor([1.5, -2.0])).tolist() == pytest.approx([torch.pi / 6, 0])
    assert stand_in.state_dict() == {}


def sine_config(config: RunConfig, **changed: object) -> RunConfig:
    return config.model_copy(update={"sine_projector": True, "lr": 0.05, **changed})


def test_it_starts_as_the_models_own_projector_and_trains_all_of_it(config: RunConfig):
    network, _ = loading.load(config.model)
    before = {name: tensor.clone() for name, tensor in network.model.multi_modal_projector.named_parameters()}
    adapted = adapter.attach(network, sine_config(config), training=True)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad and "sav" in name}
    assert {name.split("default.")[1] for name in trained} == {
        f"linear_{number}.parametrizations.{kind}.original" for number in (1, 2) for kind in ("weight", "bias")
    }
    assert all(parameter.dtype == torch.float32 for parameter in adapter.trainable(adapted))
    sine.bake(adapted)
    (projector,) = (module for name, module in adapted.named_modules() if name.endswith("modules_to_save.default"))
    assert {name: tensor.tolist() for name, tensor in projector.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in before.items()
    }


def test_the_finished_adapter_is_like_any_other_and_no_element_moved_further_than_one(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    run = Run.create(sine_config(config), data_hash="tiny")
    train.train(run, tiny_data)
    saved = adapter.read_for(run.config, run.adapter)
    own = loading.load(config.model)[0].model.multi_modal_projector.state_dict()
    moved = [
        (tensor - own[name.split("projector.")[1]]).abs().max().item()
        for name, tensor in saved.tensors.items()
        if "multi_modal_projector" in name
    ]
    assert len(moved) == 4
    assert all(0 < most <= 1 for most in moved)
    assert adapter.load(loading.load(config.model)[0], run.adapter)


def test_it_needs_a_projector_that_trains():
    with pytest.raises(Exception, match=r"--sine-projector has no effect with --no-train-projector"):
        RunConfig.create(sine_projector=True, train_projector=False)
