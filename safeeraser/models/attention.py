"""Attention over packed rows without computing what a mask would throw away.

A row holds a prefix and the segments behind it (`packing.py`). A dense mask lets every segment meet every other one
only to forget it, and rules the fastest kernels out. Here the prefix attends to itself, and each segment, as a row of
its own, to the prefix and itself: both are plain causal attention. The result is that of the mask, up to rounding.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from safeeraser.models import packing

NAME = "shared_prefix"


@dataclass(frozen=True)
class Packs:
    """Where the segments of a batch of packed rows are; all rows have prefixes of the same length.

    prefix: tokens. counts: how many segments each row has. token: [segments, longest], the place of each of a segment's
    tokens in the batch, rows one after the other. real: [segments, longest], False behind a segment's end.
    """

    prefix: int
    counts: tuple[int, ...]
    token: Tensor
    real: Tensor

    def to(self, device: torch.device) -> "Packs":
        return Packs(self.prefix, self.counts, self.token.to(device), self.real.to(device))


def packs(segments: Tensor) -> Packs | None:
    """The segments of a batch; [rows, length] as `packing.Row` has them. None if the prefixes differ in length."""
    prefixes = (segments == packing.PREFIX).sum(1)
    if len(prefixes.unique()) != 1:
        return None
    length = segments.shape[1]
    counts = tuple(segments.max(1).values.tolist())
    tokens = [
        (segments[row] == segment).nonzero().flatten() + row * length
        for row, count in enumerate(counts)
        for segment in range(1, count + 1)
    ]
    lengths = torch.tensor([len(each) for each in tokens])
    token = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    return Packs(int(prefixes[0]), counts, token, torch.arange(token.shape[1]) < lengths[:, None])


def use(network: PreTrainedModel) -> None:
    """Let the language model attend to packed rows this way when it is given their `packs`; all else stays SDPA."""
    network.set_attn_implementation({"text_config": NAME})


def masks(model: Any, mask: Tensor, seen: Tensor, seeing: Tensor) -> Tensor | dict[str, Tensor]:
    """A mask [rows, 1, queries, keys] as the model takes it: by kind of layer, where some see only what is near.

    seen, seeing: the positions of keys and queries, as `packing.near` takes them.
    """
    text = getattr(model, "module", model).config.get_text_config()
    if "sliding_attention" not in (getattr(text, "layer_types", None) or ()):
        return mask
    return {"full_attention": mask, "sliding_attention": mask & packing.near(seen, seeing, text.sliding_window)}


def masked(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs of a forward pass whose mask is as the model takes it; that of rows that are not packed stays."""
    mask = inputs["attention_mask"]
    if mask.dim() < 4:
        return inputs
    positions = inputs["position_ids"]
    return inputs | {"attention_mask": masks(model, mask, positions, positions)}


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packs: Packs | None = None,
    **how: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: [rows, heads, length, width] each -> [rows, length, heads, width]."""
    if packs is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    settings = {"dropout_p": how.get("dropout", 0.0), "scale": how.get("scaling")}
    rows, heads, length, width = query.shape
    prefix = (query[:, :, : packs.prefix], key[:, :, : packs.prefix], value[:, :, : packs.prefix])
    shared = scaled_dot_product_attention(*prefix, is_causal=True, **settings)

    def own(tensor: Tensor) -> Tensor:
        # index_select, because the gradient of plain indexing takes much longer.
        tokens = tensor.transpose(1, 2).reshape(rows * length, heads, width).index_select(0, packs.token.flatten())
        return tokens.view(*packs.token.shape, heads, width).transpose(1, 2)

    def repeated(before: Tensor) -> Tensor:
        each = zip(before.split(1), packs.counts, strict=True)
        return torch.cat([row.expand(count, -1, -1, -1) for row, count in each])

    keys, values = (
        torch.cat([repeated(before), own(tensor)], dim=2)
        for before, tensor in zip(prefix[1:], (key, value), strict=True)
    )
    # Keys behind a segment's end come after all of its queries.
    causal: Any = causal_lower_right(packs.token.shape[1], keys.shape[2])
    alone = scaled_dot_product_attention(own(query), keys, values, attn_mask=causal, **settings)
    result = query.new_zeros(rows, length, heads, width)
    result[:, : packs.prefix] = shared.transpose(1, 2)
    flat = result.view(rows * length, heads, width)
    flat[packs.token[packs.real]] = alone.transpose(1, 2)[packs.real]
    return result, None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
