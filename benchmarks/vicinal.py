"""Vicinal Prompt Decouple: what a step of PO+PD with it takes beside one without, on pictures of 576 tokens.

    python benchmarks/vicinal.py --threads 1

Both train on the same records in turn, four pairs a micro-batch as the preset `paper` has it, with new pictures of
nothing and near pictures each time; the tower runs in both. Random weights: only the time is measured.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import rows
import torch
from subjects import MODELS, subject

from safeeraser.config import RunConfig
from safeeraser.data.source import load
from safeeraser.models import adapter
from safeeraser.models.encoder import Encoder, MicroBatch
from safeeraser.models.vicinity import Vicinity
from safeeraser.unlearn import reference
from safeeraser.unlearn.examples import Examples, pictures
from safeeraser.unlearn.forward import term_losses
from safeeraser.unlearn.train import MicroBatches

KNOWN = 16  # training pictures that the vicinity is taken from, of each kind; it costs nothing in a step


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    network, processor = subject(options.model, precision=options.precision, device=options.device)
    share = {"vicinal_share": options.share, "vicinal_near": options.near}
    usual = RunConfig.create(batch_size=4, shuffle="pictures", lora_rank=32, lora_alpha=256)
    configs = {"PO+PD": usual, "with vicinal": usual.model_copy(update={"vicinal": 1.0, **share})}
    encoder, data = Encoder(processor), load("demo")
    harmful, safe = (some[:KNOWN] for some in pictures(data))
    projector = network.model.multi_modal_projector
    around = Vicinity.of(network, projector, encoder, harmful=harmful, safe=safe)
    adapted = adapter.attach(network, usual, training=True).to(options.device).train()
    around.attach(adapted.get_base_model().model.multi_modal_projector)  # pyright: ignore
    batches = {
        name: MicroBatches(Examples.of(data, config), encoder, config, config.terms) for name, config in configs.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in configs}
    with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
        for turn in range(options.rounds + 1):
            for name, config in configs.items():
                micro = [batches[name][turn * options.records + place] for place in range(options.records)]
                seconds = _step(adapted, micro, config)
                if turn:  # the first warms up
                    taken[name].append(seconds)
    ratios = [there / here for here, there in zip(taken["PO+PD"], taken["with vicinal"], strict=True)]
    found = {"seconds": {name: rows.spread(values) for name, values in taken.items()}, "ratio": rows.spread(ratios)}
    row = {"benchmark": "vicinal", "model": options.model, "precision": options.precision, **share, **found}
    print(row)
    if options.out:
        rows.add(row | rows.circumstances(), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="shapes")
    parser.add_argument("--share", type=float, default=1.0, help="--vicinal-share")
    parser.add_argument("--near", type=float, default=0.5, help="--vicinal-near")
    parser.add_argument("--records", type=int, default=4, help="micro-batches in a round, one record each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own)")
    parser.add_argument("--out", type=Path, help="a JSON file to add the row to")
    return parser.parse_args()


def _step(adapted: Any, micro: list[MicroBatch], config: RunConfig) -> float:
    """Seconds of forward and backward passes over some micro-batches."""
    adapted.zero_grad(set_to_none=True)
    _settle(adapted)
    start = time.perf_counter()
    for one in micro:
        parts = term_losses(adapted, reference.computed(adapted), one.to(adapted.device), config.terms)
        torch.stack([term.weight * parts[term.name] for term in config.terms if term.name in parts]).sum().backward()
    _settle(adapted)
    return time.perf_counter() - start


def _settle(model: Any) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
