"""Unlearning: the step, the loop, and checkpoints that resume to the same result as an uninterrupted run.

Everything random follows from the seed and the step: data order, refusal targets, LoRA's start; dropout's generator is
saved with each checkpoint. So a run that was killed goes on as if nothing had happened.
"""

import math
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from peft import PeftModel
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from safeeraser import checkpoints, looks, losses, models
from safeeraser.batches import IGNORED, SETS, Batch, Encoder
from safeeraser.checkpoints import Trainer
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset as Data
from safeeraser.errors import SafeEraserError
from safeeraser.examples import Examples
from safeeraser.losses import Term, View
from safeeraser.progress import Reporter
from safeeraser.questions import look_questions
from safeeraser.runs import Run


class TrainError(SafeEraserError):
    """Training cannot go on; the message says why and what to do. The last checkpoint is kept."""


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; a checkpoint was written and the same command goes on from it."""


def view(batch: Batch, logits: Tensor, term: Term, base_logits: Tensor | None = None) -> View | None:
    """A term's part of a batch; logits: [rows, length, vocabulary]. None when the batch has no token of its sets."""
    labels, example, member = (t[:, 1:] for t in (batch.labels, batch.example, batch.member))
    wanted = torch.tensor([SETS.index(name) for name in term.sets], device=labels.device)
    mask = (labels != IGNORED) & torch.isin(member, wanted)
    if not mask.any():
        return None
    # Position i predicts token i + 1.
    base = base_logits[:, :-1][mask] if base_logits is not None and "base_logits" in term.needs else None
    return View(logits[:, :-1][mask], labels[mask], example[mask], base)


def term_losses(model: Any, base: PeftModel, batch: Batch, terms: tuple[Term, ...]) -> dict[str, Tensor]:
    """One forward pass for all terms, and one with the adapter off for those that ask for the base model."""
    logits = model(**batch.inputs).logits
    base_logits = _base_logits(base, batch, terms, logits)
    views = {term: view(batch, logits, term, base_logits) for term in terms}
    return {term.name: term.loss(v) for term, v in views.items() if v is not None}


def _base_logits(base: PeftModel, batch: Batch, terms: tuple[Term, ...], logits: Tensor) -> Tensor | None:
    """The base model's logits on the rows that need them; zero elsewhere, where no view looks."""
    sets = {name for term in terms if "base_logits" in term.needs for name in term.sets}
    if not sets:
        return None
    wanted = torch.tensor([SETS.index(name) for name in sets], device=logits.device)
    rows = torch.isin(batch.member, wanted).any(1)
    base_logits = torch.zeros_like(logits)
    with torch.no_grad(), base.disable_adapter():
        base_logits[rows] = base(**batch.rows(rows).inputs).logits
    return base_logits


def train(run: Run, data: Data, progress: Reporter | None = None) -> None:
    """Unlearn: from the run's config to its `adapter/`; goes on from the last checkpoint if there is one."""
    config = run.config
    terms = losses.terms(config.method, pd=config.pd, pd_weight=config.pd_weight, retain_weight=config.retain_weight)
    examples = Examples(data, terms, config.seed)
    steps = config.steps(len(examples.pairs))
    per_step = config.accumulation * config.batch_size
    examples.length = steps * per_step
    network, processor = models.load(config.model, precision=config.precision)
    encoder = Encoder(processor, max_length=config.max_length)
    unlearner = _unlearner(network, config, terms, steps)
    base, trainer = unlearner.base, unlearner.trainer
    done = checkpoints.resume(run, base, trainer)
    run.repair(run.log, keep=done)
    looks.rewind(run, done)
    asked = look_questions(data, config)
    batches = _batches(examples, encoder, config, start=done * per_step)
    task = progress and progress.add_task("unlearn", total=steps, completed=done, note="")
    unlearner.model.train()
    with _stop_on_signal() as stop, models.explain_memory(_less_memory(config)):
        for step in range(done + 1, steps + 1):
            row = {
                "step": step,
                "epoch": step * per_step / len(examples.pairs),
                "lr": trainer.schedule.get_last_lr()[0],
            }
            row |= unlearner.step(step, batches)
            run.append(run.log, [row])
            run.set_state("running", stage="unlearn", step=step, steps=steps)
            if progress:
                progress.update(task, completed=step, note=_note(row))
            if looks.due(config, step=step, steps=steps):
                with unlearner.accelerator.autocast():
                    looks.look(run, step, base, encoder, asked)
            if stop and step < steps:
                checkpoints.save(run, step, base, trainer)
                raise Interrupted(f"stopped after step {step} of {steps}; the same command goes on from here")
            if step % config.checkpoint_every == 0 and step < steps:
                checkpoints.save(run, step, base, trainer)
    checkpoints.write_whole(run.adapter, lambda folder: models.save_adapter(base, folder))
    shutil.rmtree(run.checkpoints, ignore_errors=True)
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

    def step(self, number: int, batches: Iterator[Batch]) -> dict[str, Any]:
        """One optimizer step; returns its log row: each term's loss (unweighted, in nats) and what it took."""
        start, tokens = time.perf_counter(), 0
        sums: dict[str, float] = {term.name: 0.0 for term in self.terms}
        total, norm = 0.0, 0.0
        for _ in range(self.config.accumulation):
            batch = next(batches).to(self.accelerator.device)
            with self.accelerator.accumulate(self.model):
                with self.accelerator.autocast():
                    parts = term_losses(self.model, self.base, batch, self.terms)
                loss = sum(
                    (t.weight * parts[t.name] for t in self.terms if t.name in parts),
                    start=torch.zeros(()).to(batch.labels.device),
                )
                if not torch.isfinite(loss):
                    raise TrainError(_not_finite("loss", number, parts))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    norm = self._clip()
                    # In fp16 the scaler skips such a step and lowers its scale.
                    if not math.isfinite(norm) and self.config.precision != "fp16":
                        raise TrainError(_not_finite("gradient", number, parts))
                self.trainer.optimizer.step()
                self.trainer.optimizer.zero_grad()
            tokens += int(batch.inputs["attention_mask"].sum())
            total += loss.item() / self.config.accumulation
            for name, value in parts.items():
                sums[name] += value.item() / self.config.accumulation
        if not self.accelerator.optimizer_step_was_skipped:
            self.trainer.schedule.step()
        return {
            "loss": total,
            "terms": sums,
            "grad_norm": norm,
            "tokens": tokens,
            "seconds": round(time.perf_counter() - start, 4),
            "peak_memory": _peak_memory(self.accelerator.device),
        }

    def _clip(self) -> float:
        """Shorten the gradient if it is too long; returns how long it was."""
        norm = self.accelerator.clip_grad_norm_(models.trainable(self.base), self.config.clip)
        return torch.as_tensor(norm).item()


def _unlearner(network: PreTrainedModel, config: RunConfig, terms: tuple[Term, ...], steps: int) -> Unlearner:
    """The model with a fresh adapter and what trains it, on the device."""
    accelerator = Accelerator(
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        gradient_accumulation_steps=config.accumulation,
        cpu=config.device == "cpu",
    )
    set_seed(config.seed)
    base = models.attach_lora(network, config)
    optimizer = torch.optim.AdamW(models.trainable(base), lr=config.lr, weight_decay=config.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(config.warmup * steps), steps)
    with models.explain_memory(_less_memory(config)):
        model, optimizer = accelerator.prepare(base, optimizer)
    return Unlearner(config, terms, accelerator, model, base, Trainer(optimizer, schedule, accelerator.scaler))


def _batches(examples: Examples, encoder: Encoder, config: RunConfig, *, start: int) -> Iterator[Batch]:
    """The training batches from this example on."""
    loader = DataLoader(
        torch.utils.data.Subset(examples, range(start, len(examples))),
        batch_size=config.batch_size,
        generator=torch.Generator(),  # its own: a loader draws from the global one, which dropout needs undisturbed
        collate_fn=lambda rows: encoder.training_batch(
            [(example, name, vqa) for example, row in enumerate(rows) for name, vqa in row]
        ),
    )
    return iter(loader)


def _peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: on a GPU by tensors, on the CPU by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _not_finite(what: str, step: int, parts: dict[str, Tensor]) -> str:
    shown = ", ".join(f"{name} {value.item():.4g}" for name, value in parts.items())
    return (
        f"the {what} is not finite at step {step} ({shown}). A checkpoint before it is kept, but the same command "
        "would end here again: start another run with a lower --lr or --clip."
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
