"""The sizes of a model with a run's adapter, exact for every family, and without its weights.

The model and the adapter are built by the code that training uses, but on PyTorch's meta device, where a tensor has a
shape and no memory.
"""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from transformers import (
    AutoModelForImageTextToText,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from safeeraser.config import RunConfig
from safeeraser.models import adapter, checks, families, loading, tower
from safeeraser.models.checks import ModelError
from safeeraser.models.families import Family
from safeeraser.plan.sizes import Architecture

_VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}


def _published(hidden: int, intermediate: int, layers: int) -> dict[str, Any]:
    """LLaVA-1.5: CLIP ViT-L/14-336, a projector of two layers, and a LLaMA with heads of 128."""
    language = {
        "model_type": "llama",
        "vocab_size": 32064,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 128,
    }
    return {"text_config": language, "vision_config": _VISION, "vision_feature_layer": -2, "image_seq_length": 576}


# What config.json of these checkpoints says, so that planning needs no download.
PUBLISHED = {
    "llava-hf/llava-1.5-7b-hf": _published(4096, 11008, 32),
    "llava-hf/llava-1.5-13b-hf": _published(5120, 13824, 40),
}


def read(config: RunConfig) -> Architecture:
    """The sizes of a run's model and adapter; raises ModelError if its configuration cannot be read."""
    network, source = skeleton(config.model)
    described: Any = network.config
    family = families.of(config.model, described.model_type)
    parts, misread = _parts(network, family), tower.misread(network)
    with torch.device("meta"):
        adapted = adapter.attach(network, config)
    layers: list[Any] = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    weights = sum(layer.get_base_layer().weight.numel() for layer in layers)
    output: Any = network.get_output_embeddings()
    text = described.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Architecture(
        source=source,
        parts=parts,
        trained=_trained(adapted) if config.trains else {},
        linear=weights,
        quantized=weights,  # `loading.load` keeps the vision tower, the projector and lm_head as they are
        vision=parts[family.vision],
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        layers=text.num_hidden_layers,
        query=heads * head,
        key_value=(getattr(text, "num_key_value_heads", None) or heads) * head,
        vocabulary=output.weight.shape[0],
        picture_tokens=family.picture_tokens(described),
        alone=families.alone(described.model_type),
        misread=misread,
    )


def skeleton(model: str) -> tuple[PreTrainedModel, str]:
    """The model without its weights, and in words where its configuration comes from."""
    described, source = _described(model)
    with checks.explained(model, source), torch.device("meta"):
        return AutoModelForImageTextToText.from_config(described), source


def processor(model: str) -> Any:
    """The model's processor, complete as `loading.load` makes it; raises ModelError if it cannot be read."""
    network, _ = skeleton(model)
    source = loading.checkpoint(model)
    with checks.explained(model, source):
        found = loading.read_processor(source, network.config, local_files_only=model in PUBLISHED)
    loading.complete(model, found, network)
    return found


def _described(model: str) -> tuple[PreTrainedConfig, str]:
    """The model's configuration and where it comes from; models of known sizes are planned without the network."""
    source, known = loading.checkpoint(model), model in PUBLISHED
    try:
        with checks.explained(model, source):
            return loading.read_config(model, source, local_files_only=known), f"config.json of {model}"
    except ModelError:
        if not known:
            raise
        return LlavaConfig(**PUBLISHED[model]), f"the published architecture of {model}, whose files are not here"


def _parts(network: torch.nn.Module, family: Family) -> dict[str, int]:
    """Parameters by module below the top, such as vision_tower, language_model, lm_head; the projector's apart."""
    parts: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        below = name.removeprefix("model.")
        whole = (name for name in (family.projector, family.further) if name and below.startswith(f"{name}."))
        part = next(whole, below.split(".")[0])
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def _trained(adapted: torch.nn.Module) -> dict[str, int]:
    trained: dict[str, int] = {}
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            kind = "LoRA" if ".lora_" in name else "projector"
            trained[kind] = trained.get(kind, 0) + parameter.numel()
    return trained
