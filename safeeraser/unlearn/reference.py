"""The base model's predictions, which KL, NPO and others compare with: from the adapted model with its adapter off.

There is no second model. What the base model's last layer made of the answer tokens can be kept on disk, so that later
passes over the data do not compute it again; the logits follow from it by the head, which nothing trains.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from safeeraser.errors import SafeEraserError
from safeeraser.losses import SETS
from safeeraser.models import attention
from safeeraser.models.encoder import MicroBatch, Pair
from safeeraser.store import GB, Store, as_bytes, folder_of
from safeeraser.unlearn.forward import answers, behind, predictions

# What the base model predicts for the answer tokens of `micro.base`, in order of example and set: by name, as in
# `forward.Answers`.
Base = Callable[[MicroBatch], dict[str, Tensor]]
SAMPLE = 4096  # numbers of each weight that tell one base model from another


def computed(adapted: PeftModel, layer: float | None = None) -> Base:
    """A forward pass with the adapter off each time; layer: as in `forward.predictions`."""

    def base(micro: MicroBatch) -> dict[str, Tensor]:
        with torch.no_grad(), adapted.disable_adapter():
            return answers(predictions(adapted, layer), micro.base).predictions

    return base


class Kept:
    """The same, with the last hidden states of each pair ([tokens, width], the model's own precision) kept on disk.

    A pair that is found has what was computed when it was first seen, bit by bit; in a batch of another size its last
    bits may differ. limit: GB that the pairs of all models may take together. layer: as in `computed`, kept too.
    max_length, system_prompt, end_token: what else decides a pair's tokens, as in `encoder.Encoder`.

    Raises:
        SafeEraserError: the model is spread over processes (FSDP), where only whole forward passes work.
    """

    def __init__(
        self,
        adapted: PeftModel,
        *,
        limit: float,
        max_length: int,
        layer: float | None = None,
        system_prompt: str | None = None,
        end_token: bool = True,
        folder: Path | None = None,
    ) -> None:
        self.adapted = adapted
        self.network: Any = adapted.get_base_model()
        if any(isinstance(module, FSDPModule) for module in adapted.modules()):
            raise SafeEraserError("--base-cache: the model is split over processes by FSDP; leave the flag out")
        self.store = Store(folder or folder_of("base"), limit * GB)
        self.layer = layer
        self.keyed = (max_length, system_prompt, end_token, *([] if layer is None else [layer]))
        self.model_key = fingerprint(self.network)
        self.hits = 0
        self.misses = 0

    @torch.no_grad()
    def __call__(self, micro: MicroBatch) -> dict[str, Tensor]:
        pairs = sorted(micro.base_pairs, key=lambda pair: (pair[0], SETS.index(pair[1])))
        keys = [self._key(pair) for pair in pairs]
        found = [self.store.get(key) for key in keys]
        known = [states for states in found if states is not None]
        if len(known) == len(pairs):
            self.hits += len(pairs)
            device = micro.base[0].labels.device
            return self._predicted({name: torch.cat([one[name] for one in known]).to(device) for name in known[0]})
        self.misses += len(pairs)
        with self.adapted.disable_adapter():
            asked = answers(self._states, micro.base)
            for number, (pair, key) in enumerate(zip(pairs, keys, strict=True)):
                mine = (asked.example == pair[0]) & (asked.member == SETS.index(pair[1]))
                if found[number] is None:
                    self.store.put(key, {name: states[mine] for name, states in asked.predictions.items()})
            return self._predicted(asked.predictions)

    def _states(self, inputs: dict[str, Tensor], places: Tensor) -> dict[str, Tensor]:
        """What is kept, by the names that it has on disk."""
        made = self.network.model(**attention.masked(self.network, inputs), output_hidden_states=self.layer is not None)
        states = {"hidden": made.last_hidden_state[:, places]}
        return states if self.layer is None else states | {"layer": behind(self.layer, made.hidden_states)[:, places]}

    def _predicted(self, states: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = {"logits": self.network.get_output_embeddings()(states["hidden"])}
        return logits if self.layer is None else logits | {"hidden": states["layer"]}

    def _key(self, pair: Pair) -> str:
        _, _, vqa = pair
        assert vqa.picture is not None
        changed = vqa.changed and (_content(vqa.changed.path), vqa.changed.how, vqa.changed.seed)
        facts = (vqa.question, vqa.answer, changed or _content(vqa.picture), *self.keyed)
        return f"{self.model_key}/{hashlib.sha256(repr(facts).encode()).hexdigest()}"


@lru_cache(maxsize=100_000)
def _content(picture: Path) -> str:
    return hashlib.sha256(picture.read_bytes()).hexdigest()


def fingerprint(network: Any) -> str:
    """What tells one base model from another: names, types and shapes of all weights, and a sample of their numbers.

    SHA-256, half of it in hexadecimal digits; a second for 7 billion parameters, where reading all would take 20.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if "lora_" in name or "modules_to_save" in name:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().reshape(-1)
        digest.update(as_bytes(flat[:: max(1, len(flat) // SAMPLE)]))
    return digest.hexdigest()[:32]
