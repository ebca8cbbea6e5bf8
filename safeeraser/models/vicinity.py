"""Pictures of nothing: what the vision tower made of a picture, turned away from all that is known.

Vicinal Prompt Decouple asks about them (`docs/vicinal.md`). The features are the projector's input. What a turned one
has in common with pictures is the mean picture, how far it is from it, and, for two of the three turns, in which
directions pictures differ at all; what it shows is nothing.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from safeeraser.data.records import Changed, Picture
from safeeraser.models.encoder import Encoder

KEPT = 0.99  # of the variance of the pictures' means, by the main directions
MOST = 512  # pictures that mean and main directions are taken from

_TURNS: ContextVar[Sequence[Changed | None] | None] = ContextVar("turns", default=None)


@dataclass(frozen=True)
class Vicinity:
    """Where the features of the training pictures lie.

    mean: [patches, width], the mean picture. main: [width, directions], orthonormal: the main directions of the
    pictures' deviations from it, each averaged over its patches.
    """

    mean: Tensor
    main: Tensor

    @classmethod
    def of(cls, network: Any, projector: nn.Module, encoder: Encoder, pictures: Sequence[Picture]) -> "Vicinity":
        """From at most MOST of these pictures, evenly spaced; network: the model without its adapter."""
        chosen = pictures[:: math.ceil(len(pictures) / MOST)]
        mean, means = torch.zeros(()), []
        for picture in chosen:
            features = tower_features(network, projector, encoder, picture).float().cpu()
            mean = mean + features.mean(0) / len(chosen)
            means.append(features.mean((0, 1)))
        _, spread, directions = torch.linalg.svd(torch.stack(means) - mean.mean(0), full_matrices=False)
        share = spread.square().cumsum(0) / spread.square().sum().clamp(min=torch.finfo(torch.float32).tiny)
        return cls(mean, directions[: int((share < KEPT).sum()) + 1].T)

    def turned(self, features: Tensor, turn: Changed) -> Tensor:
        """One picture's features [patches, width] -> those of a picture of nothing, as far from the mean picture."""
        mean, main = self.mean.to(features.device), self.main.to(features.device)
        deviation = features.float() - mean
        if turn.how == "whole":
            found = deviation @ rotation(deviation.shape[1], turn.seed).to(features.device)
        elif turn.how == "main":
            inside = deviation @ main
            found = deviation + (inside @ rotation(main.shape[1], turn.seed).to(features.device) - inside) @ main.T
        else:
            middle = deviation.mean(0, keepdim=True)
            found = deviation - middle + middle @ rotation(deviation.shape[1], turn.seed).to(features.device)
        return (mean + found).to(features.dtype)

    def attach(self, projector: nn.Module) -> None:
        """From now on the projector gets turned features where `turning` says so."""

        def turn(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            turns = _TURNS.get()
            if turns is None:
                return None
            features, *rest = inputs
            assert len(features) == len(turns), "a turn, or None, for each picture, or each tile of it"
            pairs = zip(features, turns, strict=True)
            return torch.stack([self.turned(one, turn) if turn else one for one, turn in pairs]), *rest

        projector.register_forward_pre_hook(turn)


@contextmanager
def turning(turns: Sequence[Changed | None] | None) -> Iterator[None]:
    """Within it, forward passes turn the features of these pictures; None leaves all as they are."""
    token = _TURNS.set(turns)
    try:
        yield
    finally:
        _TURNS.reset(token)


@lru_cache(maxsize=16)
def rotation(size: int, seed: int) -> Tensor:
    """A random orthogonal matrix [size, size], uniform among all (Mezzadri 2007, arXiv math-ph/0609050)."""
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
    q, r = torch.linalg.qr(drawn)
    return q * r.diagonal().sign()


@torch.no_grad()
def tower_features(network: Any, projector: nn.Module, encoder: Encoder, picture: Picture) -> Tensor:
    """The projector's input for one picture: [tiles, patches, width]; one tile but for families that cut pictures."""
    seen: list[Tensor] = []
    hook = projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    device = next(projector.parameters()).device
    try:
        network.model.get_image_features(
            **{name: tensor.to(device) for name, tensor in encoder.pixels(picture).items()}
        )
    finally:
        hook.remove()
    (features,) = seen
    return features
