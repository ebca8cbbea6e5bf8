"""Slots: the keys and values of answers that grow side by side, each at its own length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache

GROWTH = 64  # columns by which slots grow


@dataclass(frozen=True)
class Source:
    """Where a prompt's keys and values are: in these columns of one row of a cache."""

    cache: DynamicCache
    row: int
    columns: list[int]


class Slots(Cache):
    """Of each layer keys and values, [slots, heads, columns, dimension]; the first `used` slots hold answers.

    Before each call of the model, `aim` says where its new keys and values go.
    """

    def __init__(self, size: int) -> None:
        super().__init__(layers=[])
        self.size = size
        self.used = 0
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._filled = 0  # no slot has more columns in use
        self._seen = 0
        self._slots = self._columns = torch.tensor([])

    def add(self, prompts: Sequence[Source], *, room: int) -> None:
        """Copy prompts into the next slots; room: how many tokens may follow them."""
        for _, group in groupby(prompts, key=lambda prompt: id(prompt.cache)):
            some = list(group)
            layers: list[Any] = some[0].cache.layers
            width = max(len(prompt.columns) for prompt in some)
            self._reserve(layers, width + room)
            self._filled = max(self._filled, width)
            device = layers[0].keys.device
            rows = torch.tensor([[prompt.row] for prompt in some], device=device)
            padded = [prompt.columns + [0] * (width - len(prompt.columns)) for prompt in some]
            columns = torch.tensor(padded, device=device)
            into = slice(self.used, self.used + len(some))
            for layer, (keys, values) in zip(layers, self._kept, strict=True):
                keys[into, :, :width] = layer.keys[rows, :, columns].transpose(1, 2)
                values[into, :, :width] = layer.values[rows, :, columns].transpose(1, 2)
            self.used += len(some)

    def drop(self, ended: Sequence[int]) -> list[tuple[int, int]]:
        """Give slots back; the last ones move into the gaps. Returns the moves as (to, from)."""
        self.used -= len(ended)
        gaps = [slot for slot in ended if slot < self.used]
        last = [slot for slot in range(self.used, self.used + len(ended)) if slot not in ended]
        if gaps:
            device = self._kept[0][0].device
            to, source = torch.tensor(gaps, device=device), torch.tensor(last, device=device)
            for tensor in (tensor[:, :, : self._filled] for kept in self._kept for tensor in kept):
                tensor[to] = tensor[source]
        return list(zip(gaps, last, strict=True))

    def aim(self, columns: Sequence[int]) -> Tensor:
        """Each answer's next key goes into this column of its slot; returns the mask, [used, 1, 1, columns], bool."""
        device = self._kept[0][0].device
        self._seen = max(columns) + 1
        self._filled = max(self._filled, self._seen)
        self._columns = torch.tensor(columns, device=device)
        self._slots = torch.arange(self.used, device=device)
        return (torch.arange(self._seen, device=device) <= self._columns[:, None])[:, None, None]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by a layer of the model with its new keys and values, [used, heads, 1, dimension]."""
        keys, values = self._kept[layer_idx]
        keys[self._slots, :, self._columns] = key_states[:, :, 0]
        values[self._slots, :, self._columns] = value_states[:, :, 0]
        return keys[: self.used, :, : self._seen], values[: self.used, :, : self._seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._seen

    def _reserve(self, layers: Sequence[Any], columns: int) -> None:
        if not self._kept:
            self._kept = [(layer.keys[:0, :, :0], layer.values[:0, :, :0]) for layer in layers]
        if columns > self._kept[0][0].shape[2]:
            columns = -(-columns // GROWTH) * GROWTH
            for index, (keys, values) in enumerate(self._kept):
                self._kept[index] = self._larger(keys, columns), self._larger(values, columns)

    def _larger(self, tensor: Tensor, columns: int) -> Tensor:
        larger = tensor.new_zeros(self.size, tensor.shape[1], columns, tensor.shape[3])
        larger[: self.used, :, : tensor.shape[2]] = tensor[: self.used]
        return larger
