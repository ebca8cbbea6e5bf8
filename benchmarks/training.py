"""Training: the published recipe's way of computing a step against ours, on the same model and pairs.

    python benchmarks/training.py --model shapes --out benchmarks/training.json
    python benchmarks/training.py --model llava-1.5-7b --precision bf16 --device cuda --out benchmarks/training.json

The reference computes one pair at a time: a row of its own behind its own picture prefix, all logits, one backward pass
for each example (forget, retain and decouple pair). Ours packs the pairs of each picture. Both take the same records,
4 examples each, forward and backward, in turn; a round is the time of each over all records. Weights are random except
`demo`'s. In `shapes` and LLaVA, a question has 40 tokens and an answer 150, about what the published data has.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rows
import torch
from peft import PeftModel
from subjects import MODELS, subject

from safeeraser import losses
from safeeraser.config import RunConfig
from safeeraser.data.records import VQA
from safeeraser.data.source import load
from safeeraser.losses import IGNORED, Term, View
from safeeraser.models import adapter
from safeeraser.models.encoder import Encoder
from safeeraser.unlearn import reference
from safeeraser.unlearn.examples import Example, Examples
from safeeraser.unlearn.forward import behind, term_losses

QUESTION, ANSWER = 20, 75  # words of two tokens each
# Difference of losses that counts as the same, relative to the loss, or to 1 nat: near 0 a loss is what terms leave.
ALIKE = {"fp32": 1e-5, "bf16": 1e-3}
ALIKE_GRADIENTS = {"fp32": 1e-5, "bf16": 5e-2}  # of the gradient's norm: each bf16 number has a relative error of 4e-3


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    network, processor = subject(options.model, precision=options.precision, device=options.device)
    adapted = make_adapted(network, options)
    terms = losses.terms(options.method, pd=True)
    records = make_records(Encoder(processor), terms, options)
    encoder = Encoder(processor, max_length=512)
    ways = {"reference": _reference, "ours": _ours}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
        found = {name: _step(way, adapted, encoder, records, terms)[1:] for name, way in ways.items()}  # and warm up
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(_step(way, adapted, encoder, records, terms)[0])
    row = _row(options, seconds, found, encoder, records, terms)
    ratio = row["ratio"]
    print(f"{row['records_a_second']} records a second; ratio {ratio['median']} ({ratio['low']} to {ratio['high']})")
    print(f"loss differs by {row['loss_difference']:.2g}, gradient by {row['gradient_difference']:.2g} (relative)")
    if options.out:
        rows.add(row, options.out)
    limits = ALIKE[options.precision], ALIKE_GRADIENTS[options.precision]
    if row["loss_difference"] > limits[0] or row["gradient_difference"] > limits[1]:
        raise SystemExit("the two ways do not compute the same")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="shapes")
    parser.add_argument("--method", choices=losses.METHODS, default="po")
    parser.add_argument("--records", type=int, default=2, help="records of 12 pairs in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=ALIKE, default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own)")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file to add the row to")
    return parser.parse_args()


def make_adapted(network: Any, options: argparse.Namespace) -> PeftModel:
    """The model with the published recipe's adapter, in training mode; dropout would hide what is to be compared."""
    config = RunConfig.create(lora_rank=32, lora_alpha=256, lora_dropout=0.0)
    adapted = adapter.attach(network, config).to(options.device)
    if options.gradient_checkpointing:
        adapted.activation_checkpointing_enable({"use_reentrant": False})
    adapted.train()
    for name, parameter in adapted.named_parameters():  # a fresh LoRA has half of its gradients zero
        if parameter.requires_grad and "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    return adapted


def make_records(
    encoder: Encoder, terms: tuple[Term, ...], options: argparse.Namespace
) -> list[list[list[tuple[str, VQA]]]]:
    """Records as lists of 4 examples each; those of the demo world, with longer texts for the other models."""
    examples = Examples(load("demo"), terms, seed=0, shuffle="pictures")
    if options.model != "demo":
        rng = random.Random(0)
        examples.pairs = [_lengthened(example, encoder, rng) for example in examples.pairs[: 4 * options.records]]
    return [[examples[4 * record + place] for place in range(4)] for record in range(options.records)]


def _lengthened(example: Example, encoder: Encoder, rng: random.Random) -> Example:
    """The same pictures, with questions and answers as long as in the published data; the decouple pair's question is
    the forget pair's."""

    def words(count: int) -> str:
        return " ".join(f"[{rng.randrange(600, 1000)}]" for _ in range(count))

    question = words(QUESTION)
    return {
        name: replace(vqa, question=words(QUESTION) if name == "retain" else question, answer=words(ANSWER))
        for name, vqa in example.items()
    }


def _ours(model: Any, encoder: Encoder, record: list, terms: tuple[Term, ...]) -> torch.Tensor:
    micro = encoder.micro_batch(record, terms, pack=True).to(model.device)
    parts = term_losses(model, reference.computed(model, losses.layer(terms)), micro, terms)
    loss = sum((term.weight * parts[term.name] for term in terms), start=torch.zeros((), device=model.device))
    loss.backward()
    return loss.detach()


def _reference(model: Any, encoder: Encoder, record: list, terms: tuple[Term, ...]) -> torch.Tensor:
    total = torch.zeros((), device=model.device)
    for example in record:
        parts = [term.weight * _alone(model, encoder, dict(example), term) for term in terms]
        loss = torch.stack(parts).sum() / len(record)
        loss.backward()
        total += loss.detach()
    return total


def _alone(model: Any, encoder: Encoder, example: dict[str, VQA], term: Term) -> torch.Tensor:
    """A term's loss on one example, each of its pairs in a forward pass of its own."""
    parts = [_view(model, encoder, name, example[name], term) for name in term.sets]
    given = (name for name in View.__dataclass_fields__ if getattr(parts[0], name) is not None)
    return term.loss(View(**{name: torch.cat([getattr(part, name) for part in parts]) for name in given}))


def _view(model: Any, encoder: Encoder, name: str, vqa: VQA, term: Term) -> View:
    (batch,) = encoder.training_batches([(0, name, vqa)], pack=False)
    batch = batch.to(model.device)
    answered = batch.labels[0, 1:] != IGNORED
    labels, member = batch.labels[0, 1:][answered], batch.member[0, 1:][answered]

    def predicted() -> dict[str, torch.Tensor]:
        made = model(**batch.inputs, output_hidden_states=term.layer is not None)
        found = {"logits": made.logits[0, :-1][answered]}
        return (
            found
            if term.layer is None
            else found | {"hidden": behind(term.layer, made.hidden_states)[0, :-1][answered]}
        )

    current, base = predicted(), {}
    if any(need.startswith("base_") for need in term.needs):
        with torch.no_grad(), model.disable_adapter():
            base = {f"base_{name}": tensor for name, tensor in predicted().items()}
    return View(labels=labels, member=member, example=torch.zeros_like(labels), **current, **base)


def _step(
    way: Any, model: Any, encoder: Encoder, records: Sequence[list], terms: tuple[Term, ...]
) -> tuple[float, float, torch.Tensor]:
    """Seconds, mean loss and gradient of all records."""
    model.zero_grad(set_to_none=True)
    _settle(model)
    start = time.perf_counter()
    loss = sum(way(model, encoder, record, terms).item() for record in records) / len(records)
    _settle(model)
    seconds = time.perf_counter() - start
    gradients = [parameter.grad for parameter in adapter.trainable(model) if parameter.grad is not None]
    return seconds, loss, torch.cat([gradient.flatten().cpu() for gradient in gradients])


def _settle(model: Any) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _row(
    options: argparse.Namespace, seconds: dict, found: dict, encoder: Encoder, records: list, terms: tuple[Term, ...]
) -> dict[str, Any]:
    (reference, gradient), (ours, our_gradient) = found["reference"], found["ours"]
    tokens = {
        name: sum(encoder.micro_batch(record, terms, pack=pack).tokens for record in records) // len(records)
        for name, pack in (("reference", False), ("ours", True))
    }
    peak = torch.cuda.max_memory_allocated() if options.device == "cuda" else None
    return {
        "benchmark": "training",
        "model": options.model,
        "method": f"{options.method}+pd",
        "precision": options.precision,
        "records": len(records),
        "tokens_a_record": tokens,
        "records_a_second": {name: round(len(records) / min(each), 3) for name, each in seconds.items()},
        "seconds": {name: [round(each, 4) for each in times] for name, times in seconds.items()},
        "ratio": rows.spread([a / b for a, b in zip(seconds["reference"], seconds["ours"], strict=True)]),
        "loss_difference": abs(ours - reference) / max(abs(reference), 1.0),
        "gradient_difference": ((our_gradient - gradient).norm() / gradient.norm()).item(),
        "peak_gpu_memory": peak,
        **rows.circumstances(),
    }


if __name__ == "__main__":
    main()
