"""LoRA's dropout on a CPU: ours beside torch's, on activations of the demo model's size and larger ones.

python benchmarks/dropout.py
"""

import argparse
import time
from pathlib import Path

import rows
import torch

from safeeraser.models.dropout import Dropout

SHAPES = ((1900, 128), (1900, 320), (3500, 1024))
P = 0.25
CALLS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="a JSON file to add the rows to")
    options = parser.parse_args()
    for shape in SHAPES:
        x = torch.randn(shape)
        ways = {"torch": torch.nn.Dropout(P), "ours": Dropout(P)}
        kept = {name: (way(torch.ones(shape)) > 0).float().mean().item() for name, way in ways.items()}
        taken = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                taken[name].append(_seconds(way, x))
        ratios = [there / here for there, here in zip(taken["torch"], taken["ours"], strict=True)]
        row = {"benchmark": "dropout", "shape": list(shape), "p": P, "kept": kept, "ratio": rows.spread(ratios)}
        print(row)
        if options.out:
            rows.add(row | rows.circumstances(), options.out)


def _seconds(way: torch.nn.Module, x: torch.Tensor) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        way(x)
    return (time.perf_counter() - start) / CALLS


if __name__ == "__main__":
    main()
