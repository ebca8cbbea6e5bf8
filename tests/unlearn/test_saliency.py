"""MMUnlearner's mask: which weights may move, and that no other does."""

from pathlib import Path

import pytest
import torch

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.losses import Term, nll
from safeeraser.models import adapter, loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run
from safeeraser.unlearn import saliency, train
from safeeraser.unlearn.examples import Examples
from safeeraser.unlearn.forward import term_losses
from safeeraser.unlearn.train import MicroBatches


def prepared(config: RunConfig, data: Dataset) -> tuple[torch.nn.Module, list]:
    network, processor = loading.load(config.model)
    adapted = adapter.attach(network, config).eval()
    terms = tuple(Term(name, nll, (name,)) for name in saliency.SETS)
    batches = MicroBatches(Examples(data, terms, 0), Encoder.of(processor, config), config, terms)
    return adapted, [batches[number] for number in range(2)]


def test_an_element_may_move_where_forgetting_needs_it_more_than_retaining(config: RunConfig, tiny_data: Dataset):
    adapted, batches = prepared(config, tiny_data)
    name = next(
        name for name, _ in adapted.named_parameters() if name.endswith("linear_2.weight") and "saved" not in name
    )
    name = name.replace("original_module", "modules_to_save.default")
    parameter = dict(adapted.named_parameters())[name]
    place = next(place for place, one in enumerate(adapter.trainable(adapted)) if one is parameter)
    sums = {"forget": torch.zeros_like(parameter), "retain": torch.zeros_like(parameter)}
    for micro in batches:
        for loss in sums:
            parts = term_losses(adapted, lambda _: {}, micro, (Term(loss, nll, (loss,)),))
            sums[loss] += torch.autograd.grad(parts[loss], [parameter])[0] ** 2
    for threshold in (0.5, 2.0):
        mask = saliency.masks(adapted, batches, threshold)[place]
        assert 0 < mask.float().mean() < 1
        assert (mask == (sums["forget"] >= threshold * sums["retain"])).float().mean() > 0.999  # but for rounding


def test_only_what_the_mask_lets_move_moves(config: RunConfig, tiny_data: Dataset, runs_folder: Path):
    started = adapter.weights(adapter.attach(loading.load(config.model)[0], config))
    moved = {}
    for threshold in (1.0, 1e9):
        run = Run.create(config.model_copy(update={"saliency_mask": threshold, "lr": 0.05}), data_hash="tiny")
        train.train(run, tiny_data)
        after = adapter.read(run.adapter).tensors
        changed = {
            name: (tensor != after[name.replace(".modules_to_save.default", "").replace(".default", "")]).float().mean()
            for name, tensor in started.items()
            if "lora_A" not in name  # drawn by the seed
        }
        moved[threshold] = sum(changed.values()) / len(changed)
    assert 0.05 < moved[1.0] < 0.95
    assert moved[1e9] < 0.01 < moved[1.0]


def test_a_threshold_must_be_positive():
    with pytest.raises(Exception, match="--saliency-mask"):
        RunConfig.create(saliency_mask=0)
