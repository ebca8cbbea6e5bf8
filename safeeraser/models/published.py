"""A published `checkpoint.pt` -> an adapter of today's model.

Such a file is a state dict, saved by torch, of LoRA and projector tensors alone, named after the model classes of its
time: LLaVA's own code, or transformers before 4.52, where language model and projector lay at the top.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from peft import PeftModel
from torch import Tensor

from safeeraser.config import RunConfig
from safeeraser.models import adapter, loading
from safeeraser.models import tensors as stored
from safeeraser.models.checks import ModelError

# Applied in this order; the result is the name that PEFT saves today.
RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^module\.", ""),  # wrapped by DistributedDataParallel
        (r"^base_model\.model\.", ""),  # wrapped by PEFT
        (r"\.modules_to_save(?=\.)", ""),
        (r"\.default(?=\.)", ""),  # the adapter's name
        (r"^model\.(?=(layers|mm_projector)\.)", ""),  # LLaVA's own code
        (r"^model\.(?=(language_model|multi_modal_projector)\.)", ""),  # transformers since 4.52
        (r"^language_model\.model\.", "language_model."),  # transformers before
        (r"^layers\.", "language_model.layers."),
        (r"^mm_projector\.0\.", "multi_modal_projector.linear_1."),
        (r"^mm_projector\.2\.", "multi_modal_projector.linear_2."),
        (r"^", "base_model.model.model."),
    )
)


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint under today's names; raises ModelError naming the first that cannot be."""
    saved = stored.unpickle(file, mapped=True)
    if not isinstance(saved, Mapping) or not saved:
        raise ModelError(f"{file}: must hold tensors by name, holds {type(saved).__name__}")
    found: dict[str, Tensor] = {}
    for name, tensor in saved.items():
        if not isinstance(name, str):
            raise ModelError(f"{file}: the key {name!r:.100} is no name but {type(name).__name__}")
        if not isinstance(tensor, Tensor):
            raise ModelError(f"{file}: {name} is no tensor but {type(tensor).__name__}; give the state dict alone")
        new = today(name)
        if new in found:
            raise ModelError(f"{file}: {name} stands for {new}, which is there twice")
        found[new] = tensor
    stored.check(found, file)
    return found


def today(name: str) -> str:
    """A tensor's name in the files that PEFT writes for today's model."""
    for pattern, replacement in RULES:
        name = pattern.sub(replacement, name, count=1)
    return name


def lora_rank(tensors: Mapping[str, Tensor], file: Path) -> int:
    """The rank that all LoRA pairs have; raises ModelError for half a pair, none, or several ranks."""
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if parts := stored.LORA.fullmatch(name):
            pairs.setdefault(parts[1], {})[parts[2]] = tensor
    if not pairs:
        raise ModelError(f"{file}: holds no LoRA tensors (names that end in lora_A and lora_B)")
    for layer, pair in pairs.items():
        if len(pair) < 2:
            raise ModelError(f"{file}: {layer} has lora_{next(iter(pair))} alone; a LoRA pair must be whole")
    ranks = stored.lora_ranks(tensors)
    if len(ranks) > 1:
        raise ModelError(f"{file}: LoRA of several ranks ({', '.join(map(str, sorted(ranks)))}) is not supported")
    return ranks.pop()


def settings(tensors: Mapping[str, Tensor], file: Path) -> dict[str, int | bool]:
    """What the tensors themselves say of their run's config."""
    projector = any(".multi_modal_projector." in name for name in tensors)
    return {"lora_rank": lora_rank(tensors, file), "train_projector": projector}


def adapted(tensors: Mapping[str, Tensor], config: RunConfig, file: Path) -> PeftModel:
    """The model of a config with these tensors as its adapter; each must find its place, with its shape."""
    adapter.check_fit(tensors, config, origin=str(file))
    network, _ = loading.load(config.model)
    adapted = adapter.attach(network, config)
    adapter.set_weights(adapted, tensors, origin=str(file))
    return adapted
