"""Unlearning: the step, the loop, and checkpoints that resume to the same result as an uninterrupted run.

Everything random follows from the seed and the place in training: data order, refusal targets, LoRA's start, dropout.
So a run that was killed goes on as if nothing had happened, and several processes do what one would.
"""

import hashlib
import math
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from peft import PeftModel
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from safeeraser import losses
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset as Data
from safeeraser.errors import SafeEraserError
from safeeraser.generate.questions import look_questions
from safeeraser.losses import Term
from safeeraser.models import adapter, checks, families, features, gate, loading, tower
from safeeraser.models.encoder import Encoder, MicroBatch
from safeeraser.models.vicinity import Vicinity
from safeeraser.runs import processes, trackers
from safeeraser.runs.folder import Run
from safeeraser.runs.progress import Reporter, note
from safeeraser.unlearn import checkpoints, looks, reference, saliency
from safeeraser.unlearn.checkpoints import Trainer
from safeeraser.unlearn.examples import Examples, pictures
from safeeraser.unlearn.forward import term_losses
from safeeraser.unlearn.reference import Base


class TrainError(SafeEraserError):
    """Training cannot go on; the message says why and what to do. The last checkpoint is kept."""


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; a checkpoint was written and the same command goes on from it."""


def train(run: Run, data: Data, progress: Reporter | None = None) -> None:
    """Unlearn: from the run's config to its `adapter/`; goes on from the last checkpoint if there is one.

    Several processes (`accelerate launch`) share the work of each step; the result is that of one.
    """
    config = run.config
    terms = config.terms
    examples = Examples.of(data, config)
    steps = config.steps(len(examples.pairs))
    _check_processes(config)
    saved = checkpoints.last(run)
    processes.state(cpu=config.device == "cpu")  # first: 4-bit weights are made on this process's device
    how = {"precision": config.precision, "quantization": config.quantization, "device": config.device}
    network, processor = loading.load(config.model, **how)
    encoder = Encoder.of(processor, config)
    note(progress, families.alone(network.config.model_type) if config.pack else None)
    note(progress, tower.misread(network))
    unlearner = _unlearner(network, run, data, encoder, steps, saved)
    if any(isinstance(module, FSDPModule) for module in unlearner.base.modules()):
        _check_split(config)
        encoder.even = 0.0  # processes that share the weights need equally many forward passes
    if config.vicinal:
        _see_nothing(unlearner.base, encoder, data)
    if config.gate == "picture":
        harmful, safe = pictures(data)
        gate.attach(unlearner.base, gate.made(unlearner.base, encoder, harmful=harmful, safe=safe))
    done = checkpoints.load_trainer(saved, unlearner.base, unlearner.trainer)
    run.repair(run.log, keep=done)
    looks.rewind(run, done)
    asked = look_questions(data, config)
    batches = _batches(MicroBatches(examples, encoder, config, terms), unlearner.accelerator, steps=range(done, steps))
    task = progress and progress.add_task("unlearn", total=steps, completed=done, note="")
    unlearner.model.train()
    with (
        _stop_on_signal() as stop,
        checks.explain_memory(_less_memory(config)),
        trackers.tracking(run, done=done) as track,
    ):
        for step in range(done + 1, steps + 1):
            row = {
                "step": step,
                "epoch": step * config.accumulation * config.batch_size / len(examples.pairs),
                "lr": unlearner.trainer.schedule.get_last_lr()[0],
            }
            measured, told = unlearner.step(step, batches, stop)
            row |= measured
            run.append(run.log, [row])
            track(row)
            run.set_state("running", stage="unlearn", step=step, steps=steps)
            if progress:
                progress.update(task, completed=step, note=_note(row))
            if looks.due(config, step=step, steps=steps):
                with unlearner.accelerator.autocast():
                    looks.look(run, step, unlearner.base, encoder, asked)
            # Of several processes, all must stop after the same step.
            if (told or (stop and processes.count() == 1)) and step < steps:
                checkpoints.save(run, step, unlearner.base, unlearner.trainer)
                raise Interrupted(f"stopped after step {step} of {steps}; the same command goes on from here")
            if step % config.checkpoint_every == 0 and step < steps:
                checkpoints.save(run, step, unlearner.base, unlearner.trainer)
    checkpoints.finish(run, unlearner.base)
    if stop:
        raise Interrupted("stopped after the last training step; the same command goes on from here")


@dataclass(frozen=True)
class Unlearner:
    """What a training step works with. `model` is what accelerate made of `base`, the base model with its adapter."""

    config: RunConfig
    terms: tuple[Term, ...]
    accelerator: Accelerator
    model: Any
    base: PeftModel
    trainer: Trainer
    ask_base: Base
    masks: list[Tensor] | None

    def step(self, number: int, batches: Iterator[MicroBatch], stop: list[int]) -> tuple[dict[str, Any], bool]:
        """One optimizer step; returns its log row: each term's loss (unweighted, in nats) and what it took.

        Also whether any process was told to stop; stop: the signals caught by this one.
        """
        start = time.perf_counter()
        # What the processes add up at the end: each term's loss, the weighted loss, tokens, signals.
        sums = torch.zeros(len(self.terms) + 3, dtype=torch.float64, device=self.accelerator.device)
        for turn in range(self.config.accumulation // self.accelerator.num_processes):
            micro = next(batches)
            place = turn * self.accelerator.num_processes + self.accelerator.process_index
            # Dropout follows from the place in training alone, whichever process comes by.
            torch.manual_seed(_seed(self.config.seed, number, place))
            with self.accelerator.accumulate(self.model):
                sums += self._backward(micro)
        sums[-1] = len(stop)
        parts, told = self._gather(number, sums)
        trained = adapter.trainable(self.base)
        for parameter in trained:
            # Layers that no term looks at: the optimizer keeps a state for them too, which a checkpoint must have.
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        norm = self._clip(number)
        with _only(trained, self.masks):
            self.trainer.optimizer.step()
        self.trainer.optimizer.zero_grad()
        if not self.accelerator.optimizer_step_was_skipped:
            self.trainer.schedule.step()
        took = {
            "seconds": round(time.perf_counter() - start, 4),
            "peak_memory": _peak_memory(self.accelerator.device),
        }
        return parts | {"grad_norm": norm} | took, told

    def _backward(self, micro: MicroBatch) -> Tensor:
        """Add a micro-batch's gradient; returns what it adds to the sums of the step."""
        tokens, micro = micro.tokens, micro.to(self.accelerator.device)
        with self.accelerator.autocast():
            parts = term_losses(self.model, self.ask_base, micro, self.terms)
        zero = torch.zeros((), device=self.accelerator.device)
        loss = sum((t.weight * parts[t.name] for t in self.terms if t.name in parts), start=zero)
        self.accelerator.backward(loss)
        values = [*(parts.get(term.name, zero) for term in self.terms), loss]
        values = torch.stack([value.detach().double() for value in values]) / self.config.accumulation
        return torch.cat([values, values.new_tensor([tokens, 0])])

    def _gather(self, number: int, sums: Tensor) -> tuple[dict[str, Any], bool]:
        """The step's losses and tokens over all processes, and whether any of them was told to stop."""
        total = self.accelerator.reduce(sums, "sum")
        assert isinstance(total, Tensor)
        *values, loss, tokens, signals = total.tolist()
        parts = {term.name: value for term, value in zip(self.terms, values, strict=True)}
        if not math.isfinite(loss):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in parts.items())
            raise TrainError(f"the loss is not finite at step {number} ({shown}). {_START_LOWER}")
        return {"loss": loss, "terms": parts, "tokens": round(tokens)}, signals > 0

    def _clip(self, number: int) -> float:
        """Shorten the gradient if it is too long; returns how long it was."""
        norm = self.accelerator.clip_grad_norm_(adapter.trainable(self.base), self.config.clip)
        norm = norm.full_tensor().item() if isinstance(norm, DTensor) else torch.as_tensor(norm).item()
        # In fp16 the scaler skips such a step and lowers its scale.
        if not math.isfinite(norm) and self.config.precision != "fp16":
            raise TrainError(f"the gradient is not finite at step {number}. {_START_LOWER}")
        return norm


def _unlearner(
    network: PreTrainedModel, run: Run, data: Data, encoder: Encoder, steps: int, saved: Path | None
) -> Unlearner:
    """The model with its adapter, fresh or from a checkpoint, and what trains it, on the device."""
    config = run.config
    terms = config.terms
    state = processes.state(cpu=config.device == "cpu")
    distributed = DistributedDataParallelKwargs(
        # No buffer changes; without this, processes would wait for each other in each forward pass and need as many.
        broadcast_buffers=False,
        # Terms that look at hidden states alone leave the layers above theirs without a gradient.
        find_unused_parameters=all(term.layer is not None for term in terms),
    )
    accelerator = Accelerator(
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        gradient_accumulation_steps=config.accumulation // processes.count(),
        cpu=state.device.type == "cpu",
        kwargs_handlers=[distributed],
    )
    set_seed(config.seed)
    base = adapter.attach(network, config, training=True)
    with accelerator.autocast():
        masks = _masks(base.to(state.device), data, encoder, config) if config.saliency_mask else None
    # Both before anything spreads the weights over processes.
    checkpoints.load_adapter(saved, base)
    if config.feature_cache:
        features.cache(base, limit=config.feature_cache)
    if config.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(_decayed(base, config), lr=config.lr, weight_decay=config.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(config.warmup * steps), steps)
    with checks.explain_memory(_less_memory(config)):
        model, optimizer = accelerator.prepare(base, optimizer)
    trainer = Trainer(optimizer, schedule, accelerator.scaler)
    layer = losses.layer(terms)
    ask_base = reference.computed(base, layer)
    if config.base_cache and losses.base_sets(terms):
        ask_base = reference.Kept(
            base,
            limit=config.base_cache,
            layer=layer,
            max_length=config.max_length,
            system_prompt=config.system_prompt,
            end_token=config.end_token,
        )
    return Unlearner(config, terms, accelerator, model, base, trainer, ask_base, masks)


def _masks(base: PeftModel, data: Data, encoder: Encoder, config: RunConfig) -> list[Tensor]:
    """What of the fresh adapter may move; the same in all processes, and again when a run goes on."""
    terms = tuple(Term(name, losses.nll, (name,)) for name in saliency.SETS)
    examples = Examples(data, terms, config.seed, config.shuffle)
    batches = MicroBatches(examples, encoder, config, terms)
    count = min(saliency.MOST, math.ceil(len(examples.pairs) / config.batch_size))
    assert config.saliency_mask is not None
    return saliency.masks(base, (batches[number] for number in range(count)), config.saliency_mask)


@contextmanager
def _only(parameters: list[torch.nn.Parameter], masks: list[Tensor] | None) -> Iterator[None]:
    """What a mask leaves out stays as it was, whatever is done here; None leaves nothing out."""
    if masks is None:
        yield
        return
    before = [parameter.detach().clone() for parameter in parameters]
    yield
    with torch.no_grad():
        for parameter, mask, old in zip(parameters, masks, before, strict=True):
            parameter.copy_(torch.where(mask, parameter, old))


def _see_nothing(base: PeftModel, encoder: Encoder, data: Data) -> None:
    """Let the model be shown pictures of nothing, by what its tower makes of the training pictures."""
    network: Any = base.get_base_model()
    projector = families.projector(network)
    kind = network.config.model_type
    if families.FAMILIES[kind].grid:
        raise TrainError(
            f"--vicinal: models of type {kind!r} see a picture in as many patches as it is large, so that pictures "
            "have no mean; leave the flag out"
        )
    harmful, safe = pictures(data)
    # As the base model computes it: the weights that train are in another precision.
    with torch.autocast(network.device.type, enabled=False), base.disable_adapter():
        around = Vicinity.of(network, projector, encoder, harmful=harmful, safe=safe)
    around.attach(projector)


def _decayed(base: PeftModel, config: RunConfig) -> list[Any]:
    """What AdamW trains; biases as a group of their own where weight decay leaves them alone."""
    if config.decay_biases:
        return adapter.trainable(base)
    groups: dict[bool, list[torch.nn.Parameter]] = {False: [], True: []}
    for name, parameter in base.named_parameters():
        if parameter.requires_grad:
            groups["bias" in name.rsplit(".", 3)].append(parameter)
    return [{"params": groups[False]}, {"params": groups[True], "weight_decay": 0.0}]


def _check_processes(config: RunConfig) -> None:
    """The examples of a step are the same however many processes share them."""
    if config.accumulation % processes.count():
        raise TrainError(
            f"--accumulation {config.accumulation} cannot be shared by {processes.count()} processes: make it a "
            f"multiple of {processes.count()}, and lower --batch-size (now {config.batch_size}) so that their product "
            "stays."
        )


def _check_split(config: RunConfig) -> None:
    """What looks at whole tensors cannot go with FSDP, which splits them over processes."""
    for flag, given in (
        ("--vicinal", config.vicinal),
        ("--saliency-mask", config.saliency_mask),
        ("--sine-projector", config.sine_projector),
        ("--gate", config.gate != "none"),
    ):
        if given:
            raise TrainError(f"{flag}: the model is split over processes by FSDP; leave the flag out")


class MicroBatches(torch.utils.data.Dataset[MicroBatch]):
    """The endless stream of micro-batches, by number: `batch_size` examples each."""

    def __init__(self, examples: Examples, encoder: Encoder, config: RunConfig, terms: tuple[Term, ...]) -> None:
        self.examples, self.encoder, self.config, self.terms = examples, encoder, config, terms

    def __getitem__(self, number: int) -> MicroBatch:
        size = self.config.batch_size
        chosen = [self.examples[place] for place in range(number * size, (number + 1) * size)]
        return self.encoder.micro_batch(chosen, self.terms, pack=self.config.pack)


def _batches(micro_batches: MicroBatches, accelerator: Accelerator, *, steps: range) -> Iterator[MicroBatch]:
    """This process's micro-batches of these steps: every n-th of n processes."""
    config = micro_batches.config
    mine = range(
        steps.start * config.accumulation + accelerator.process_index,
        steps.stop * config.accumulation,
        accelerator.num_processes,
    )
    loader = DataLoader(
        micro_batches,
        batch_size=None,
        sampler=mine,
        num_workers=config.workers,
        generator=torch.Generator(),  # its own: a loader draws from the global one
        prefetch_factor=2 if config.workers else None,
    )
    return iter(loader)


def _seed(*parts: int) -> int:
    """A seed for torch that any change of its parts changes."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7])


def _peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: on a GPU by tensors, on the CPU by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


_START_LOWER = (
    "A checkpoint before it is kept, but the same command would end here again: start another run with a lower --lr or "
    "--clip."
)


def _note(row: dict[str, Any]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in row["terms"].items())


@contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Collects Ctrl+C and SIGTERM so that the step in hand can end; a second one stops at once."""
    caught: list[int] = []

    def catch(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _less_memory(config: RunConfig) -> str:
    return (
        f"Lower --batch-size (now {config.batch_size}) and raise --accumulation (now {config.accumulation}) by the "
        f"same factor, or lower --max-length (now {config.max_length}) or --lora-rank (now {config.lora_rank}); "
        "other settings make another run, which starts anew."
    )
