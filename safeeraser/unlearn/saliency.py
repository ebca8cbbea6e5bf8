"""MMUnlearner's mask: training moves only the weights that matter more to what is forgotten than to what is kept.

Source: Huo et al. 2025 (arXiv 2502.11051): a weight's saliency on a set is the sum of its squared gradients. Theirs are
the model's own weights; here they are those that train. Of LoRA's two matrices one starts at 0, so that the other has
no gradient at first and its mask lets everything through.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from safeeraser.losses import Term, nll
from safeeraser.models import adapter
from safeeraser.models.encoder import MicroBatch
from safeeraser.unlearn.forward import no_base, term_losses

MOST = 64  # micro-batches that the saliencies are summed over
SETS = ("forget", "retain")


def masks(model: Any, batches: Iterable[MicroBatch], threshold: float) -> list[Tensor]:
    """For each parameter that trains, in order, which of its elements may move: bool, of its shape.

    An element may if its saliency on the forget pairs is at least `threshold` times that on the retain pairs. The
    gradients of the model are None afterwards.
    """
    trained = adapter.trainable(model)
    saliency = {name: [torch.zeros_like(parameter) for parameter in trained] for name in SETS}
    terms = tuple(Term(name, nll, (name,)) for name in SETS)
    for micro in batches:
        parts = term_losses(model, no_base, micro.to(model.device), terms)
        for name, loss in parts.items():
            gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
            for total, gradient in zip(saliency[name], gradients, strict=True):
                if gradient is not None:
                    total += gradient.square()
    pairs = zip(saliency["forget"], saliency["retain"], strict=True)
    return [forget >= threshold * retain for forget, retain in pairs]
