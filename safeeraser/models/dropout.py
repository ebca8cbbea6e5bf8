"""LoRA's dropout on a CPU, where drawing torch's mask takes longer than the layer behind it.

torch draws a float for each element, one after the other; here 16 random bits decide, drawn 64 at once from the same
generator. So it follows from the same seed, though it is another mask (`benchmarks/dropout.py` has the times).
"""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

BITS = 16


class Dropout(nn.Module):
    """As `nn.Dropout`, which it is on other devices: elements become 0 with probability p, the others grow by 1/(1-p).

    p is rounded to a multiple of 2 ** -BITS; 1/(1-p) to the precision of the input, by 0.4 % at most in bfloat16.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = round(p * 2**BITS)  # of the numbers that so many bits make
        self.plain = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return self.plain(x)
        words = torch.empty(-(-x.numel() * BITS // 64), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits >= self.dropped - 2 ** (BITS - 1)
        return x * kept.to(x.dtype).mul_(2**BITS / (2**BITS - self.dropped))


def use(adapted: nn.Module) -> None:
    """Let all LoRA layers of a model drop out this way."""
    found: list[Any] = [layer for layer in adapted.modules() if isinstance(layer, LoraLayer)]
    for layer in found:
        for name, one in layer.lora_dropout.items():
            if isinstance(one, nn.Dropout):
                layer.lora_dropout[name] = Dropout(one.p)
