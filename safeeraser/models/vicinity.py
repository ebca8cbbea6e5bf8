"""Pictures that no file holds: what the vision tower made of training pictures, turned away or mixed.

Vicinal Prompt Decouple asks about them (`docs/vicinal.md`). The features are the projector's input, a picture's
deviation is its features minus the mean picture's. Not covered: which of them training shows (`unlearn/examples.py`).
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safeeraser.data.records import Changed, Picture
from safeeraser.models.encoder import Encoder

MAIN = 0.99  # of the variance of the pictures' deviations that the main directions hold
MIXED = 4  # pictures in a mixture
MISSED = 0.02  # of the harmful training pictures that are further from all others than the radius
GAP = 0.1  # cosine between what is near and what is far
MOST = 512  # training pictures that all of this is taken from

_TURNS: ContextVar[Sequence[Changed | None] | None] = ContextVar("turns", default=None)


@dataclass(frozen=True)
class Vicinity:
    """Where the features of the training pictures lie.

    mean: [patches, width], the mean picture. deviations: [pictures, patches, width]. main: [width, directions],
    orthonormal: the main directions of the deviations, each averaged over its patches. radius: the cosine, of such
    averages, that all but MISSED of the harmful pictures have to the nearest other one.
    """

    mean: Tensor
    deviations: Tensor
    main: Tensor
    radius: float

    @classmethod
    def of(
        cls, network: Any, projector: nn.Module, encoder: Encoder, *, harmful: Sequence[Path], safe: Sequence[Path]
    ) -> "Vicinity":
        """From at most MOST pictures, evenly spaced among both; network: the model without its adapter."""
        step = math.ceil((len(harmful) + len(safe)) / MOST)
        kinds = harmful[::step], safe[::step]
        # Of a picture that its family cuts into tiles, the first shows it whole.
        seen = [tower_features(network, projector, encoder, picture)[0] for kind in kinds for picture in kind]
        features = torch.stack([one.float().cpu() for one in seen])
        mean = features.mean(0)
        deviations = features - mean
        averages = deviations.mean(1)
        _, spread, directions = torch.linalg.svd(averages, full_matrices=False)
        share = spread.square().cumsum(0) / spread.square().sum().clamp(min=torch.finfo(torch.float32).tiny)
        main = directions[: int((share < MAIN).sum()) + 1].T
        return cls(mean, deviations, main, radius(averages[: len(kinds[0])]))

    def turned(self, features: Tensor, turn: Changed) -> Tensor:
        """A picture's features [patches, width] -> those of a picture of nothing, or near it; as far from the mean.

        `mixed`: with MIXED - 1 training pictures, each added or taken away. `far`, `near`: turned within the main
        directions until the cosine to itself is below the radius by at least GAP, or above it.
        """
        mean = self.mean.to(features.device)
        deviation = features.float() - mean
        rng = random.Random(turn.seed)
        if turn.how == "mixed":
            others = [(rng.choice((-1, 1)), rng.randrange(len(self.deviations))) for _ in range(MIXED - 1)]
            found = deviation + sum(sign * self.deviations[one].to(features.device) for sign, one in others)
        else:
            main = self.main.to(features.device)
            inside = deviation @ main
            away = deviation + (inside @ rotation(main.shape[1], turn.seed).to(features.device) - inside) @ main.T
            low, high = (0.0, max(0.0, self.radius - GAP)) if turn.how == "far" else (self.radius, 1.0)
            cosine = rng.uniform(low, high)
            found = cosine * deviation + math.sqrt(1 - cosine**2) * away
        length = found.norm().clamp(min=torch.finfo(torch.float32).tiny)
        return (mean + found * (deviation.norm() / length)).to(features.dtype)

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


def radius(averages: Tensor) -> float:
    """The cosine that all but MISSED of these [pictures, width] have to the nearest other; 1 for fewer than two."""
    if len(averages) < 2:
        return 1.0
    directions = nn.functional.normalize(averages, dim=1)
    nearest = (directions @ directions.T).fill_diagonal_(-1).amax(1)
    return nearest.quantile(MISSED).item()


@lru_cache(maxsize=16)
def rotation(size: int, seed: int) -> Tensor:
    """A random orthogonal matrix [size, size], uniform among all (Mezzadri 2007, arXiv math-ph/0609050)."""
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
    q, r = torch.linalg.qr(drawn)
    return q * r.diagonal().sign()


@torch.no_grad()
def tower_features(network: Any, projector: nn.Module, encoder: Encoder, picture: Picture) -> Tensor:
    """The projector's input for one picture: [tiles, patches, width]; one tile but for families that cut pictures.

    [patches, width] for families that take pictures of any size.
    """
    seen: list[Tensor] = []
    hook = projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    device = next(projector.parameters()).device
    pixels = {name: tensor.to(device) for name, tensor in encoder.pixels(picture).items()}
    try:
        network.model.get_image_features(**pixels)
    finally:
        hook.remove()
    (features,) = seen
    return features
