"""Checkpoints: all that the rest of a training run depends on, written whole or not at all."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from safeeraser import files
from safeeraser.models import adapter, sine, tensors
from safeeraser.models.checks import ModelError
from safeeraser.runs import processes
from safeeraser.runs.folder import Run

KEPT = 2
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainer:
    """What changes while training, beside the weights; `scaler` is None unless fp16 needs one."""

    optimizer: torch.optim.Optimizer
    schedule: Any
    scaler: Any

    def state(self, base: PeftModel) -> dict[str, Any]:
        """On the main process the whole state, also where the optimizer is spread over several."""
        rest = {name: part.state_dict() for name, part in self._rest()}
        return rest | {"optimizer": get_optimizer_state_dict(base, self.optimizer, options=_WHOLE)}

    def load(self, base: PeftModel, state: dict[str, Any]) -> None:
        set_optimizer_state_dict(base, self.optimizer, state["optimizer"], options=_WHOLE)
        for name, part in self._rest():
            part.load_state_dict(state[name])

    def _rest(self) -> Iterator[tuple[str, Any]]:
        return ((name, part) for name, part in (("schedule", self.schedule), ("scaler", self.scaler)) if part)


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def save(run: Run, step: int, base: PeftModel, trainer: Trainer) -> None:
    """Everything that the rest of the run depends on: weights, optimizer and schedule."""
    # All processes take part in gathering what is spread over them; the main one writes.
    weights, state = adapter.weights(base), {"step": step, "trainer": trainer.state(base)}

    def write(folder: Path) -> None:
        adapter.save(base, folder, weights)
        torch.save(state, folder / "trainer.pt")

    if processes.is_main():
        files.write_folder(run.checkpoints / f"step-{step}", write)
        for old in every(run)[:-KEPT]:
            shutil.rmtree(old)
    processes.wait()


def finish(run: Run, base: PeftModel) -> None:
    """Write the run's adapter; its checkpoints have served, and so has what was trained in place of the weights."""
    sine.bake(base)
    weights = adapter.weights(base)
    if processes.is_main():
        files.write_folder(run.adapter, lambda folder: adapter.save(base, folder, weights))
    run.drop_checkpoints()
    processes.wait()


def every(run: Run) -> list[Path]:
    return list(run.saved_steps().values())


def last(run: Run) -> Path | None:
    """The last checkpoint that can be gone on from, None for a start from nothing; says which later ones cannot.

    Before the model is loaded.
    """
    for folder in reversed(every(run)):
        try:
            adapter.read_for(run.config, folder, training=True)
            _trainer_state(folder)
        except ModelError as error:
            if processes.is_main():
                LOG.warning("note: %s Training goes on from the checkpoint before it, or from the start.", error)
        else:
            return folder
    return None


def load_adapter(saved: Path | None, base: PeftModel) -> None:
    """Put the weights of a checkpoint into a fresh adapter."""
    if saved:
        adapter.load_weights(base, saved)


def load_trainer(saved: Path | None, base: PeftModel, trainer: Trainer) -> int:
    """Put the trainer into the state of a checkpoint; returns the number of steps done, 0 without one."""
    if not saved:
        return 0
    state = _trainer_state(saved)
    trainer.load(base, state["trainer"])
    return state["step"]


def _trainer_state(folder: Path) -> dict[str, Any]:
    file = folder / "trainer.pt"
    state = tensors.unpickle(file)
    if not isinstance(state, dict) or state.keys() != {"step", "trainer"}:
        raise ModelError(f"{file}: must hold a trainer's step and state.")
    return state
