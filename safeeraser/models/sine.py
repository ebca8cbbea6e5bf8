"""SineProject: the projector trained as W + sin(dW), dW from 0, weights and biases alike.

Source: Garg et al. 2025 (arXiv 2511.18444). While it trains, the adapter has dW in place of the projector's tensors; at
the end W + sin(dW) is written, so that all that reads an adapter reads one like any other.
"""

from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Sine(nn.Module):
    """The tensor that dW stands for: base + sin(dW), [any shape]; no element moves further than 1."""

    base: Tensor

    def __init__(self, base: Tensor) -> None:
        super().__init__()
        self.register_buffer("base", base.detach().clone().float(), persistent=False)

    def forward(self, delta: Tensor) -> Tensor:
        return self.base + delta.sin()

    def right_inverse(self, tensor: Tensor) -> Tensor:
        return (tensor.float() - self.base).clamp(-1, 1).arcsin()


def attach(adapted: nn.Module) -> None:
    """Train each module that PEFT trains whole as its own weights plus the sine of what is trained."""
    for layer in _trained_whole(adapted):
        for name in [name for name, _ in layer.named_parameters(recurse=False)]:
            parametrize.register_parametrization(layer, name, Sine(getattr(layer, name)), unsafe=True)


def bake(adapted: nn.Module) -> None:
    """Put the tensors themselves in the place of what they are trained as; a model without such stays as it is."""
    for layer in _trained_whole(adapted):
        for name in list(getattr(layer, "parametrizations", ())):
            parametrize.remove_parametrizations(layer, name, leave_parametrized=True)


def _trained_whole(adapted: nn.Module) -> list[nn.Module]:
    wrappers = [module for module in adapted.modules() if isinstance(module, ModulesToSaveWrapper)]
    layers = [layer for wrapper in wrappers for layer in wrapper.modules_to_save["default"].modules()]
    return [layer for layer in layers if not isinstance(layer, Sine | parametrize.ParametrizationList)]
