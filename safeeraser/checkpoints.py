"""Checkpoints: all that the rest of a training run depends on, written whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from safeeraser import models
from safeeraser.models import ModelError
from safeeraser.runs import Run

KEPT = 2


def save(run: Run, step: int, base: PeftModel, optimizer: Any, schedule: Any) -> None:
    """Everything that the rest of the run depends on: weights, optimizer, schedule and random state."""

    def write(folder: Path) -> None:
        models.save_adapter(base, folder)
        trainer = {
            "step": step,
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        torch.save(trainer, folder / "trainer.pt")

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


def resume(run: Run, base: PeftModel, optimizer: Any, schedule: Any) -> int:
    """Load the last checkpoint, if any; returns the number of steps already done."""
    saved = every(run)
    if not saved:
        return 0
    trainer = torch.load(saved[-1] / "trainer.pt", map_location="cpu", weights_only=True)
    loaded = set_peft_model_state_dict(base, load_file(saved[-1] / "adapter_model.safetensors"))
    if loaded.unexpected_keys:
        raise ModelError(f"{saved[-1]} does not fit the model: {loaded.unexpected_keys[0]}; delete it to start anew")
    optimizer.load_state_dict(trainer["optimizer"])
    schedule.load_state_dict(trainer["schedule"])
    torch.set_rng_state(trainer["random"])
    if trainer["cuda"]:
        torch.cuda.set_rng_state_all(trainer["cuda"])
    return trainer["step"]
