"""A gate on an adapter: on for pictures near the harmful training pictures, off for all others and without a picture.

Covered: a picture's feature, where the gate's border lies, which pictures are within, the gate's file. Not covered:
asking with it (`generate/answering.py`). A gate is no part of the weights: whoever merges the adapter goes without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from safeeraser.data.records import Picture
from safeeraser.models import families, tensors, vicinity
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder

FILE = "gate.safetensors"  # in the adapter's folder
ROUNDING = 1e-5  # of a cosine, which another device or batch computes in another order
ATTRIBUTE = "picture_gate"  # of the model that has one


@dataclass(frozen=True)
class Gate:
    """What decides for a picture whether the adapter is on.

    mean: [width], of the training pictures' features. keys: [pictures, width], the deviations from it of the harmful
    ones, of length 1. radius: the cosine to the nearest key from which on the adapter is on.
    """

    mean: Tensor
    keys: Tensor
    radius: float

    @classmethod
    def of(cls, harmful: Tensor, safe: Tensor) -> "Gate":
        """From the features of the harmful and the safe training pictures, [pictures, width] each."""
        mean = torch.cat([harmful, safe]).mean(0)
        deviations = harmful - mean
        return cls(mean, normalize(deviations, dim=1), vicinity.radius(deviations))

    def opens(self, found: Tensor) -> Tensor:
        """Features [pictures, width] -> whether the adapter is on, [pictures].

        Raises ModelError for those of a model with another tower.
        """
        if found.shape[1:] != self.mean.shape:
            raise ModelError(
                f"{FILE}: made for features of {len(self.mean)} numbers, but the model's vision tower gives "
                f"{found.shape[1]}; was the adapter trained on another model?"
            )
        nearest = (normalize(found - self.mean, dim=1) @ self.keys.T).amax(1)
        return nearest >= self.radius - ROUNDING

    def save(self, folder: Path) -> None:
        save_file({"mean": self.mean, "keys": self.keys, "radius": torch.tensor([self.radius])}, folder / FILE)


def read(folder: Path) -> Gate | None:
    """The gate of an adapter's folder, None where it has none.

    Raises ModelError naming the file, and the tensor, that is broken or that no gate can have.
    """
    file = folder / FILE
    if not file.is_symlink() and not file.exists():
        return None
    found = tensors.read_safetensors(file)
    if found.keys() != {"mean", "keys", "radius"}:
        raise ModelError(f"{file}: must hold mean, keys and radius, holds {', '.join(sorted(found)) or 'nothing'}")
    mean, keys, radius = (found[name].float() for name in ("mean", "keys", "radius"))
    if mean.dim() != 1 or keys.shape[1:] != mean.shape or radius.shape != (1,):
        shapes = ", ".join(f"{name} {list(found[name].shape)}" for name in ("mean", "keys", "radius"))
        raise ModelError(f"{file}: must hold mean [width], keys [pictures, width] and radius [1], holds {shapes}")
    if keys.norm(dim=1).max() > 1 + ROUNDING or not -1 - ROUNDING <= radius.item() <= 1 + ROUNDING:
        raise ModelError(f"{file}: keys must be of length 1 and radius a cosine; the file is damaged")
    return Gate(mean, keys, radius.item())


def attach(model: PeftModel, gate: Gate) -> None:
    """From now on the model's adapter is behind this gate, wherever `generate/answering.py` asks it."""
    setattr(model, ATTRIBUTE, gate)


def of(model: Any) -> Gate | None:
    """The gate that the model's adapter is behind, None for one without, and for a base model."""
    return getattr(model, ATTRIBUTE, None) if isinstance(model, PeftModel) else None


def made(model: PeftModel, encoder: Encoder, *, harmful: Sequence[Path], safe: Sequence[Path]) -> Gate:
    """The gate of a data set's training pictures; it follows from them and the frozen vision tower alone."""
    found = features(model, encoder, [*harmful, *safe])
    return Gate.of(found[: len(harmful)], found[len(harmful) :])


def within(gate: Gate, model: PeftModel, encoder: Encoder, pictures: Iterable[Picture]) -> set[Picture]:
    """Those of the pictures for which the adapter is on."""
    seen = list(dict.fromkeys(pictures))
    if not seen:
        return set()
    opens = gate.opens(features(model, encoder, seen)).tolist()
    return {picture for picture, on in zip(seen, opens, strict=True) if on}


@torch.no_grad()
def features(model: PeftModel, encoder: Encoder, pictures: Sequence[Picture]) -> Tensor:
    """The projector's input for each picture, its mean over patches and tiles: [pictures, width], fp32, on the CPU.

    One picture at a time: a picture's feature does not depend on what else is asked.
    """
    network: Any = model.get_base_model()
    projector = families.projector(network)
    # As the base model computes it, also in training, whose weights are in another precision.
    with torch.autocast(network.device.type, enabled=False), model.disable_adapter():
        seen = (vicinity.tower_features(network, projector, encoder, picture) for picture in pictures)
        return torch.stack([one.float().flatten(0, -2).mean(0).cpu() for one in seen])
