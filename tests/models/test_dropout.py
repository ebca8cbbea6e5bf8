"""LoRA's dropout on a CPU: which elements it drops, and how often."""

import pytest
import torch

from safeeraser.config import RunConfig
from safeeraser.models import adapter, loading
from safeeraser.models.dropout import Dropout

ONES = torch.ones(300, 1001)  # not a multiple of the four elements that a word decides


@pytest.mark.parametrize("p", [0.05, 0.25, 0.9])
def test_so_many_elements_are_dropped_and_the_others_make_up_for_them(p: float):
    torch.manual_seed(0)
    found = Dropout(p)(ONES)
    sigma = (p * (1 - p) / ONES.numel()) ** 0.5
    assert (found == 0).double().mean().item() == pytest.approx(p, abs=4 * sigma + 2**-17)
    assert found[found > 0].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-3)
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    # Neither rows, nor columns, nor the elements of a word have anything in common.
    dropped = (found == 0).double()
    assert dropped.mean(0).std() < 1.2 * (p * (1 - p) / 300) ** 0.5
    words = dropped.flatten()[: ONES.numel() // 4 * 4].view(-1, 4)
    assert (torch.corrcoef(words.T) - torch.eye(4)).abs().max() < 0.03


def test_the_seed_decides_and_the_gradient_is_that_of_what_was_kept():
    layer, x = Dropout(0.25), torch.randn(40, 30, requires_grad=True)
    torch.manual_seed(3)
    one = layer(x)
    torch.manual_seed(3)
    again = layer(x)
    assert torch.equal(one, again)
    assert not torch.equal(one, layer(x))
    one.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, one == 0)
    assert torch.allclose(x.grad[one != 0], torch.tensor(4 / 3))


def test_nothing_is_dropped_in_answering_or_without_dropout():
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(0.25).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize(("training", "count"), [(True, 14), (False, 0)])
def test_an_adapter_in_training_drops_out_this_way(config: RunConfig, training: bool, count: int):
    adapted = adapter.attach(loading.load(config.model)[0], config, training=training)
    found = [module for module in adapted.modules() if isinstance(module, Dropout)]
    assert len(found) == count  # seven linear layers in each of two
    assert {module.p for module in found} <= {config.lora_dropout}
