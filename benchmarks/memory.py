"""Memory of a training step of KL or NPO: a second model to compare with, against the adapter switched off.

    python benchmarks/memory.py --model shapes --out benchmarks/memory.json
    python benchmarks/memory.py --model llava-1.5-7b --precision bf16 --device cuda --gradient-checkpointing

Both ways take the same model, adapter and micro-batch of one record, packed, and do a step: forward, backward, AdamW.
Each is measured in a process of its own. The peak is, on a GPU, the most that tensors took, weights and all; on the
CPU, the most that the process took above what Python and the imports had. The weights are those of all models there,
with the adapter. Only the model that is asked for the base's predictions differs. On the CPU the peak scatters by tens
of MB from process to process, more than the second model of `shapes` has (16 MB); what 7B saves is seen on a GPU.
"""

import argparse
import json
import resource
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import rows
import torch
from peft import PeftModel
from subjects import MODELS, subject
from training import ALIKE, make_adapted, make_records

from safeeraser import losses
from safeeraser.models import adapter, attention
from safeeraser.models.encoder import Encoder, MicroBatch
from safeeraser.unlearn import reference
from safeeraser.unlearn.forward import answers, predictions, term_losses
from safeeraser.unlearn.reference import Base

WAYS = ("second model", "ours")
STEPS = 2  # the first makes the optimizer's state


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(_measure(options)))
        return
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, measured in found.items():
            measured.append(_apart(way))
    row = _row(options, found)
    print(f"peak {row['peak_GB']} GB; weights {row['weights_GB']} GB")
    print(f"losses differ by {row['loss_difference']:.2g} (relative)")
    if options.out:
        rows.add(row, options.out)
    if row["loss_difference"] > ALIKE[options.precision]:
        raise SystemExit("the two ways do not compute the same")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="shapes")
    parser.add_argument("--method", choices=[name for name in losses.METHODS if _asks_base(name)], default="kl")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way")
    parser.add_argument("--precision", choices=ALIKE, default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own)")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file to add the row to")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)  # in a process of its own
    parser.set_defaults(records=1)
    return parser.parse_args()


def _asks_base(method: str) -> bool:
    return bool(losses.base_sets(losses.terms(method, pd=True)))


def _apart(way: str) -> dict[str, Any]:
    command = [sys.executable, *sys.argv, "--measure", way]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """One way's losses of each step ([steps, terms]), and bytes: peak, weights."""
    before = _peak("cpu")
    torch.manual_seed(0)
    network, processor = subject(options.model, precision=options.precision, device=options.device)
    second = deepcopy(network) if options.measure == "second model" else None
    adapted = make_adapted(network, options)
    terms = losses.terms(options.method, pd=True)
    (record,) = make_records(Encoder(processor), terms, options)
    micro = Encoder(processor, max_length=512).micro_batch(record, terms, pack=True).to(adapted.device)
    ask_base = _of_second(second) if second else reference.computed(adapted)
    optimizer = torch.optim.AdamW(adapter.trainable(adapted), lr=1e-4)
    with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
        steps = [_step(adapted, ask_base, micro, terms, optimizer) for _ in range(STEPS)]
    taken = _peak(options.device) - (before if options.device == "cpu" else 0)
    resident = [*adapted.parameters(), *(second.parameters() if second else ())]
    weights = sum(parameter.numel() * parameter.element_size() for parameter in resident)
    return {"losses": steps, "peak": taken, "weights": weights, "tokens": micro.tokens}


def _of_second(second: Any) -> Base:
    """The base model's predictions by a model of its own, on the device beside the one in training."""
    attention.use(second)

    @torch.no_grad()
    def ask_base(micro: MicroBatch) -> dict[str, torch.Tensor]:
        return answers(predictions(second), micro.base).predictions

    return ask_base


def _step(
    adapted: PeftModel,
    ask_base: Base,
    micro: MicroBatch,
    terms: tuple[losses.Term, ...],
    optimizer: torch.optim.Optimizer,
) -> list[float]:
    """Each term's loss, before the step."""
    parts = term_losses(adapted, ask_base, micro, terms)
    torch.stack([term.weight * parts[term.name] for term in terms]).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return [parts[term.name].item() for term in terms]


def _peak(device: str) -> int:
    """Bytes: on a GPU the most that tensors took, on the CPU the most that the process took (Linux counts in KiB)."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated()


def _row(options: argparse.Namespace, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    one = {way: measured[0] for way, measured in found.items()}
    second, ours = (torch.tensor(one[way]["losses"], dtype=torch.float64) for way in WAYS)
    return {
        "benchmark": "memory",
        "model": options.model,
        "method": f"{options.method}+pd",
        "precision": options.precision,
        "gradient_checkpointing": options.gradient_checkpointing,
        "tokens": one["ours"]["tokens"],
        "peak_GB": {way: rows.spread([each["peak"] / 1e9 for each in measured]) for way, measured in found.items()},
        "weights_GB": {way: round(measured["weights"] / 1e9, 3) for way, measured in one.items()},
        "losses": {way: measured["losses"] for way, measured in one.items()},
        "loss_difference": ((ours - second).abs() / second.abs()).max().item(),
        **rows.circumstances(),
    }


if __name__ == "__main__":
    main()
