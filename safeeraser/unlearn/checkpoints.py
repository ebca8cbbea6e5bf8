"""Checkpoints: all that the rest of a training run depends on, written whole or not at all."""

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
from safeeraser.models import adapter, tensors
from safeeraser.models.checks import ModelError
from safeeraser.runs import processes
from safeeraser.runs.folder import Run

KEPT = 2


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
    """Write the run's adapter; its checkpoints have served."""
    weights = adapter.weights(base)
    if processes.is_main():
        files.write_folder(run.adapter, lambda folder: adapter.save(base, folder, weights))
    run.drop_checkpoints()
    processes.wait()


def every(run: Run) -> list[Path]:
    return list(run.saved_steps().values())


def check(run: Run) -> None:
    """Raise ModelError if the last checkpoint cannot be gone on from: before the model is loaded."""
    if saved := every(run):
        adapter.read_for(run.config, saved[-1])
        _trainer_state(saved[-1])


def load_adapter(run: Run, base: PeftModel) -> None:
    """Put the weights of the last checkpoint, if there is one, into a fresh adapter."""
    if saved := every(run):
        adapter.load_weights(base, saved[-1])


def load_trainer(run: Run, base: PeftModel, trainer: Trainer) -> int:
    """Put the trainer into the state of the last checkpoint, if there is one; returns the number of steps done."""
    if not (saved := every(run)):
        return 0
    state = _trainer_state(saved[-1])
    trainer.load(base, state["trainer"])
    return state["step"]


def _trainer_state(folder: Path) -> dict[str, Any]:
    file = folder / "trainer.pt"
    state = tensors.unpickle(file)
    if not isinstance(state, dict) or state.keys() != {"step", "trainer"}:
        raise ModelError(f"{file}: must hold a trainer's step and state; delete {folder} to go on from the one before")
    return state
