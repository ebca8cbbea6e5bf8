"""Loading a LLaVA checkpoint with its processor; attaching, saving and loading a LoRA adapter.

The base model is the adapted model with its adapter off. That holds only because the projector is trained through PEFT
(`modules_to_save`): PEFT keeps the original beside the trained copy.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedModel

from safeeraser.assets import ASSETS
from safeeraser.config import RunConfig
from safeeraser.errors import SafeEraserError

# The linear layers of the language model; the vision tower has layers of the same names and stays frozen.
LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
PROJECTOR = "multi_modal_projector"
# peft asks transformers for it under its old name.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class ModelError(SafeEraserError):
    """A model or an adapter cannot be used; the message says which and what to do."""


def checkpoint(model: str) -> str:
    """The folder or hub id that a model's name stands for."""
    return str(ASSETS / "demo" / "model") if model == "demo" else model


def load(model: str, *, precision: str = "fp32", quantization: str = "none") -> tuple[PreTrainedModel, Any]:
    """A LLaVA model (frozen, in eval mode, on the CPU) and its processor."""
    source = checkpoint(model)
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    try:
        network = LlavaForConditionalGeneration.from_pretrained(source, dtype=DTYPES[precision])
        # Named outright: without torchvision, transformers would fall back to the PIL image processor with a warning.
        processor = AutoProcessor.from_pretrained(source, backend="pil")
    except (OSError, ValueError) as error:
        raise ModelError(f"--model {model}: cannot be loaded from {source}: {error}") from error
    network.requires_grad_(False)
    return network.eval(), processor


def attach_lora(network: PreTrainedModel, config: RunConfig) -> PeftModel:
    """LoRA on the language model's linear layers and, if asked for, the whole projector; only these train, in fp32."""
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=[PROJECTOR] if config.train_projector else None,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(network, lora)
    assert isinstance(adapted, PeftModel)
    # PEFT would write down where the model lay on this machine.
    adapted.peft_config["default"].base_model_name_or_path = config.model
    for parameter in trainable(adapted):
        parameter.data = parameter.data.float()
    return adapted


@contextmanager
def explain_memory(advice: str) -> Iterator[None]:
    """Turn "out of memory", on a GPU or on the CPU, into an error that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)
        if not out_of_memory:
            raise
        raise ModelError(f"out of memory. {advice}") from error


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that training changes."""
    return [p for p in model.parameters() if p.requires_grad]


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter (PEFT format, safetensors) into a folder."""
    # No embedding is trained; asked to find out by itself, PEFT would look the base model up on the hub.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card


def load_adapter(network: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter on the base model; a key that is missing or left over is an error, never a silent no-op."""
    adapted = PeftModel.from_pretrained(network, str(folder))
    saved = load_file(folder / "adapter_model.safetensors")
    present = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    if missing := sorted(present.keys() ^ saved.keys()):
        raise ModelError(
            f"{folder}: the adapter does not fit this model: {len(missing)} keys differ, such as {missing[0]}. "
            "Was it trained on another model or by another version of transformers?"
        )
    for name, tensor in saved.items():
        if not torch.equal(present[name].cpu(), tensor.to(present[name].dtype)):
            raise ModelError(f"{folder}: {name} was not loaded")
    return adapted
