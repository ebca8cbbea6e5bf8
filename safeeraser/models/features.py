"""A cache on disk of what the frozen vision tower makes of a picture: the input of the projector.

Covered: the families whose row says so (`families.py`), plain or under PEFT, in training and generation. Not covered:
where the files are and how they are bounded (`store.py`), a tower that is trained, and a call that asks for more than
the layers which the projector reads (it goes to the tower as if there were no cache).

What comes back is what the tower computed when it first saw the picture, bit by bit. It may differ in its last bits
from what the tower would compute now: matrix products round differently in batches of another size.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers.modeling_outputs import BaseModelOutputWithPooling

from safeeraser.errors import SafeEraserError
from safeeraser.models import families
from safeeraser.store import GB, Store, as_bytes, folder_of

TOWER = "vision_tower"


class FeatureError(SafeEraserError):
    """The features of this model cannot be cached; the message says why and what to do."""


def cache(model: nn.Module, *, limit: float, folder: Path | None = None) -> "FeatureCache":
    """Let the model's vision tower look its features up on disk; it keeps its place, its parameters and their names.

    limit: GB that the features of all models may take together. folder: where they are; None is the user's cache.

    Raises:
        FeatureError: the model has no vision tower, or the tower would not give the same features each time, or the
            model's projector takes something else of it.
    """
    towers = [module for name, module in model.named_modules() if name.rsplit(".", 1)[-1] == TOWER]
    if len(towers) != 1:
        raise FeatureError(f"--feature-cache: the model has {len(towers)} modules named {TOWER}; leave the flag out")
    network: Any = model
    if not families.of_config(network.config).caches:
        raise FeatureError(
            f"--feature-cache: models of type {network.config.model_type!r} take another output of the vision tower "
            "than the hidden states that are kept; leave the flag out"
        )
    _check_frozen(towers[0])
    return FeatureCache(towers[0], Store(folder or folder_of("features"), limit * GB))


class FeatureCache:
    """A vision tower that asks the disk first. `hits` and `misses` count distinct pictures of each call.

    A picture is one [channels, height, width] tensor; LLaVA-NeXT cuts a picture into several.
    """

    def __init__(self, tower: nn.Module, store: Store) -> None:
        self.tower: Any = tower
        self.store = store
        self.model_key = fingerprint(tower)
        self.hits = 0
        self.misses = 0
        self._compute = self.tower.forward
        self._whole = False
        # The instance's forward and not another module in its place: the names in checkpoints stay as they are.
        self.tower.forward = self._forward

    def remove(self) -> None:
        """Make the tower compute again."""
        del self.tower.forward

    def _forward(self, pixel_values: Tensor, **asked: Any) -> Any:
        layers = self._layers(asked)
        if layers is None:
            return self._compute(pixel_values, **asked)
        self._check_whole()
        keys = [self._key(picture, layers) for picture in pixel_values]
        where = {key: row for row, key in enumerate(keys)}
        found = {key: self.store.get(key) for key in where}
        new = [key for key, features in found.items() if features is None]
        if new:
            found |= self._computed(pixel_values, {key: where[key] for key in new}, layers, asked)
        self.hits, self.misses = self.hits + len(where) - len(new), self.misses + len(new)
        hidden: list[Tensor | None] = [None] * self._depth
        for layer in layers:
            rows = [features[str(layer)] for key in keys if (features := found[key])]
            hidden[layer] = torch.stack([row.to(pixel_values.device) for row in rows])
        return BaseModelOutputWithPooling(hidden_states=tuple(hidden))  # type: ignore[arg-type] # as transformers does

    @property
    def _depth(self) -> int:
        return self.tower.config.num_hidden_layers + 1

    def _layers(self, asked: dict[str, Any]) -> list[int] | None:
        """The hidden states that are asked for, counted from 0; None if the answer needs more than these."""
        layers = asked.get("output_hidden_states")
        layers = [layers] if type(layers) is int else layers
        others = [value for name, value in asked.items() if name not in ("output_hidden_states", "return_dict")]
        plain = asked.get("return_dict") is True and all(value is None or value is False for value in others)
        if not plain or not isinstance(layers, list | tuple):
            return None
        return sorted({layer % self._depth for layer in layers if -self._depth <= layer < self._depth})

    @torch.no_grad()
    def _computed(
        self, pixel_values: Tensor, rows: dict[str, int], layers: list[int], asked: dict[str, Any]
    ) -> dict[str, dict[str, Tensor]]:
        """The features of these rows of the batch by key, computed together and stored."""
        states = self._compute(pixel_values[list(rows.values())], **asked).hidden_states
        found = {key: {str(layer): states[layer][i] for layer in layers} for i, key in enumerate(rows)}
        for key, features in found.items():
            self.store.put(key, features)
        return found

    def _key(self, picture: Tensor, layers: list[int]) -> str:
        device = picture.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        facts = f"{device} {autocast} {picture.dtype} {tuple(picture.shape)} {layers}"
        return f"{self.model_key}/{hashlib.sha256(facts.encode() + as_bytes(picture)).hexdigest()}"

    def _check_whole(self) -> None:
        """A process that finds its pictures on disk would leave the others waiting for its part of the tower."""
        if not self._whole and any(isinstance(part, FSDPModule) for part in list(self.tower.modules())[1:]):
            raise FeatureError("--feature-cache: the vision tower is split over processes by FSDP; leave the flag out")
        self._whole = True


def fingerprint(tower: nn.Module) -> str:
    """What decides the tower's features beside the picture: its weights, settings and the libraries' versions.

    SHA-256, half of it in hexadecimal digits. It reads each byte of the weights: under a second for LLaVA-1.5.
    """
    config: Any = tower.config
    settings = {name: value for name, value in config.to_dict().items() if not name.startswith("_")}
    facts = [settings, config._attn_implementation, version("torch"), version("transformers")]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(as_bytes(tensor))
    return digest.hexdigest()[:32]


def _check_frozen(tower: Any) -> None:
    if any(parameter.requires_grad for parameter in tower.parameters()):
        raise FeatureError("--feature-cache: the vision tower is trained, so its features change; leave the flag out")
    if any(isinstance(module, BaseTunerLayer) for module in tower.modules()):
        raise FeatureError("--feature-cache: the vision tower has an adapter that can be off; leave the flag out")
    if getattr(tower.config, "attention_dropout", 0):
        raise FeatureError("--feature-cache: the vision tower drops out at random; leave the flag out")
