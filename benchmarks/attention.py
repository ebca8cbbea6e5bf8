"""Attention over packed rows: with a dense mask against without one, by the row's length.

    python benchmarks/attention.py --threads 1 --out benchmarks/attention.json

Forward and backward of one layer's attention (4 heads of width 64) over one row, in turn; a ratio above 1 says that the
mask takes longer. `safeeraser.models.encoder.LONG` is the length from which on training goes without the mask.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import rows
import torch

from safeeraser.models import attention, packing

# (tokens of the prefix, tokens of each segment, segments)
SHAPES = ((40, 20, 4), (80, 40, 4), (120, 60, 4), (300, 60, 4), (580, 40, 8), (580, 190, 4), (580, 190, 8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own)")
    parser.add_argument("--out", type=Path, help="JSON file to add the row to")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    lengths = [measured(*shape, rounds=options.rounds, device=options.device) for shape in SHAPES]
    for length in lengths:
        print(length)
    if options.out:
        rows.add({"benchmark": "attention", "lengths": lengths, **rows.circumstances()}, options.out)


def measured(prefix: int, own: int, segments: int, *, rounds: int, device: str) -> dict:
    """One shape: seconds with and without the mask, and the ratio's spread over the rounds."""
    behind = [segment for segment in range(1, segments + 1) for _ in range(own)]
    row = torch.tensor([[packing.PREFIX] * prefix + behind])
    packs = attention.packs(row)
    assert packs is not None
    length, mask, packs = row.shape[1], packing.mask(row).to(device), packs.to(torch.device(device))
    tensors = tuple(torch.randn(1, 4, length, 64, device=device, requires_grad=True) for _ in range(3))
    module: Any = torch.nn.Module()
    module.num_key_value_groups = 1

    def computed(told: attention.Packs | None) -> tuple[torch.Tensor, ...]:
        query, key, value = tensors
        attended, _ = attention.attend(module, query, key, value, mask, told)
        return attended, *torch.autograd.grad(attended.square().sum(), tensors)

    def seconds(told: attention.Packs | None) -> float:
        start = time.perf_counter()
        computed(told)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for masked, split in zip(computed(None), computed(packs), strict=True):  # and warm up
        if not torch.allclose(masked, split, rtol=1e-4, atol=1e-4):
            raise SystemExit(f"the two ways do not compute the same at {length} tokens")
    pairs = [(seconds(None), seconds(packs)) for _ in range(rounds)]
    masked, split = (statistics.median(each) for each in zip(*pairs, strict=True))
    return {
        "tokens": length,
        "shape": {"prefix": prefix, "segment": own, "segments": segments},
        "seconds": {"mask": round(masked, 5), "split": round(split, 5)},
        "ratio": rows.spread([a / b for a, b in pairs]),
    }


if __name__ == "__main__":
    main()
