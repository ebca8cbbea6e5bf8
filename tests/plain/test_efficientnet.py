"""The vision tower: the published network, frozen, behind the Auto classes."""

import re

import pytest
import small
import torch
from torch import nn

from safeeraser.plain.efficientnet import SameConv, Tower, TowerConfig


def test_a_convolution_pads_what_is_odd_to_the_right_and_to_the_bottom():
    conv = SameConv(1, 1, 3, 2, bias=False)
    nn.init.ones_(conv.weight)
    grid = torch.arange(1.0, 17).reshape(1, 1, 4, 4)  # 1 2 3 4 / 5 6 7 8 / 9 10 11 12 / 13 14 15 16
    rows = [1 + 2 + 3 + 5 + 6 + 7 + 9 + 10 + 11, 3 + 4 + 7 + 8 + 11 + 12]
    rows += [9 + 10 + 11 + 13 + 14 + 15, 11 + 12 + 15 + 16]
    assert conv(grid).flatten().tolist() == rows


def test_it_has_the_parameters_of_the_published_network():
    network = Tower(TowerConfig())
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - 1_281_000  # without its classifier
    seen = network(torch.zeros(2, 3, 224, 224))
    assert seen.last_hidden_state.shape == (2, 49, 1280)
    assert seen.hidden_states[-1] is seen.last_hidden_state


def test_tokens_come_row_by_row_of_the_picture():
    network = small.tower()
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[..., :8, 56:] = 3.0  # top right
    changed = (network(pixels).last_hidden_state - network(torch.zeros_like(pixels)).last_hidden_state).abs().sum(-1)
    assert changed.argmax() == 1


def test_training_mode_does_not_reach_its_statistics():
    network = small.tower().train()
    before = network.bn0.running_mean.clone()
    network(torch.rand(2, 3, 64, 64))
    assert torch.equal(network.bn0.running_mean, before)
    assert not any(module.training for module in network.modules())


def published(network: Tower) -> dict[str, torch.Tensor]:
    """The network's state under the published names, with a classifier."""
    names = {
        name: re.sub(r"(^|\.)(?=conv|bn|blocks|expand|depthwise|project)", r"\1_", name)
        for name in network.state_dict()
    }
    return {names[name]: tensor for name, tensor in network.state_dict().items()} | {"_fc.weight": torch.zeros(1)}


def test_published_weights_are_taken_whole_or_not_at_all():
    torch.manual_seed(1)
    other = Tower(TowerConfig(hidden_size=16))
    assert "_blocks.3._depthwise_conv.weight" in published(other)
    network = Tower(TowerConfig(hidden_size=16))
    network.load_published(published(other))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    part = published(other)
    del part["_conv_head.weight"]
    with pytest.raises(RuntimeError, match=r"conv_head\.weight"):
        network.load_published(part)
