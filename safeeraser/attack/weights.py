"""Changes of a run's weights, each on a copy of the model that is loaded anew: the run's own files stay as they are.

The model that is changed is the merged one, which is what gets handed on: the adapter is part of its weights, and no
gate is before it.
"""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from safeeraser.attack.suite import OriginalProjector, Rounded, WithoutGate
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.generate import answering
from safeeraser.losses import Term, nll
from safeeraser.models import adapter, families, loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs import processes
from safeeraser.runs.folder import Run
from safeeraser.unlearn.examples import Examples
from safeeraser.unlearn.forward import no_base, term_losses
from safeeraser.unlearn.train import MicroBatches

# The budget of relearning, the same for every run and its base model.
BUDGET: dict[str, Any] = {"lr": 3e-4, "batch_size": 16, "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0}


def merged(run: Run, *, original_projector: bool = False) -> tuple[Any, Encoder]:
    """The run's model with its adapter merged, on its device, in eval mode; in its precision, not in 4 bits.

    original_projector: with the base model's projector in place of the trained one.
    """
    config = run.config
    device = processes.state(cpu=config.device == "cpu").device
    network, processor = loading.load(config.model, precision=config.precision)
    model: Any = network
    if config.trains:
        adapted = adapter.put(network, adapter.read_for(config, run.adapter))
        if original_projector:
            restore_projector(adapted)
        model = adapted.merge_and_unload()
    return model.to(device).eval(), Encoder.of(processor, answering.own_config(run))


def restore_projector(adapted: Any) -> None:
    """Give each module that was trained whole the weights that it had before: PEFT keeps them beside the trained."""
    for module in adapted.modules():
        if hasattr(module, "modules_to_save") and hasattr(module, "original_module"):
            module.modules_to_save["default"].load_state_dict(module.original_module.state_dict())


def changed(run: Run, change: Rounded | OriginalProjector | WithoutGate) -> tuple[Any, Encoder]:
    """The run's model after a change of its weights that needs no training."""
    model, encoder = merged(run, original_projector=isinstance(change, OriginalProjector))
    if isinstance(change, Rounded):
        targets = families.of(run.config.model, model.config.model_type).lora_targets
        for name, module in model.named_modules():
            if re.fullmatch(targets, name):
                module.weight.data = round_to_nearest(module.weight.data, bits=change.bits, group=change.group)
    return model, encoder


def round_to_nearest(weight: Tensor, *, bits: int, group: int | None) -> Tensor:
    """Weights as they come back from signed integers of so many bits, by one scale for each group of a row's weights.

    weight: [out, in] -> the same shape and type. The scale maps the group's largest magnitude to the largest integer
    (absmax), and each weight goes to the nearest. group: how many neighbours share a scale, None for a whole row; the
    last group of a row may be shorter. It simulates what is stored in so many bits; the arithmetic stays as it was.
    """
    size = weight.shape[1] if group is None else group
    most = 2 ** (bits - 1) - 1
    parts = []
    for part in weight.float().split(size, dim=1):
        scale = part.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / most
        parts.append((part / scale).round() * scale)
    return torch.cat(parts, 1).to(weight.dtype)


def tuned(run: Run, data: Dataset, on: str) -> Iterator[tuple[int, Any, Encoder]]:
    """The merged model after each step of training with a new LoRA and the projector on one set of train: endless.

    Yields the step, the model and what makes its batches. The budget is BUDGET: AdamW without decay, a constant
    learning rate, the mean token NLL; which pairs each step sees follows from seed 0. The answers of train's forget
    pairs are those that were to be forgotten.
    """
    config = run.config.model_copy(update={**BUDGET, "train_projector": True, "seed": 0, "shuffle": "pairs"})
    term = Term(on, nll, (on,))
    examples = Examples(data, (term,), config.seed)
    network, encoder = merged(run)
    torch.manual_seed(config.seed)
    model = adapter.attach(network, config).to(network.device).eval()
    batches = MicroBatches(examples, encoder, config, (term,))
    optimizer = torch.optim.AdamW(adapter.trainable(model), lr=config.lr, weight_decay=0)
    scaler = torch.amp.GradScaler(model.device.type, enabled=config.precision == "fp16")
    step = 0
    while True:
        micro = batches[step].to(model.device)
        with torch.enable_grad(), autocast(model, config):
            loss = term_losses(model, no_base, micro, (term,))[on]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        step += 1
        yield step, model, encoder


def autocast(model: Any, config: RunConfig) -> torch.autocast:
    """The arithmetic of a model in training: its new weights are in fp32, the others in the run's precision."""
    return torch.autocast(model.device.type, loading.DTYPES[config.precision], enabled=config.precision != "fp32")
