"""Checkpoints: all that the rest of a training run depends on, written whole or not at all."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from safeeraser import models
from safeeraser.models import ModelError
from safeeraser.runs import Run

KEPT = 2


@dataclass(frozen=True)
class Trainer:
    """What changes while training, beside the weights; `scaler` is None unless fp16 needs one."""

    optimizer: Any
    schedule: Any
    scaler: Any

    def state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in vars(self).items() if part is not None}

    def load(self, state: dict[str, Any]) -> None:
        for name, part in vars(self).items():
            if part is not None:
                part.load_state_dict(state[name])


def save(run: Run, step: int, base: PeftModel, trainer: Trainer) -> None:
    """Everything that the rest of the run depends on: weights, optimizer, schedule and random state."""

    def write(folder: Path) -> None:
        models.save_adapter(base, folder)
        state = {
            "step": step,
            "trainer": trainer.state(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        torch.save(state, folder / "trainer.pt")

    write_whole(run.checkpoints / f"step-{step}", write)
    for old in every(run)[:-KEPT]:
        shutil.rmtree(old)


def write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under another name first: a kill leaves the whole of it or nothing."""
    scratch = target.with_name(f".{target.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    write(scratch)
    for file in scratch.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def every(run: Run) -> list[Path]:
    return sorted(run.checkpoints.glob("step-*"), key=lambda folder: int(folder.name.removeprefix("step-")))


def resume(run: Run, base: PeftModel, trainer: Trainer) -> int:
    """Load the last checkpoint, if any; returns the number of steps already done."""
    saved = every(run)
    if not saved:
        return 0
    state = torch.load(saved[-1] / "trainer.pt", map_location="cpu", weights_only=True)
    loaded = set_peft_model_state_dict(base, load_file(saved[-1] / "adapter_model.safetensors"))
    if loaded.unexpected_keys:
        raise ModelError(f"{saved[-1]} does not fit the model: {loaded.unexpected_keys[0]}; delete it to start anew")
    trainer.load(state["trainer"])
    torch.set_rng_state(state["random"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    return state["step"]
