"""Attaching, saving and loading a LoRA adapter.

The base model is the adapted model with its adapter off. That holds only because the projector is trained through PEFT
(`modules_to_save`): PEFT keeps the original beside the trained copy.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from safeeraser.config import RunConfig
from safeeraser.models import attention, families
from safeeraser.models.checks import ModelError

# peft asks transformers for it under its old name.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)


def attach(network: PreTrainedModel, config: RunConfig) -> PeftModel:
    """LoRA on the language model's linear layers and, if asked for, the whole projector; only these train, in fp32."""
    family = families.of(config.model, network.config.model_type)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=family.lora_targets,
        modules_to_save=[family.projector] if config.train_projector else None,
        task_type="CAUSAL_LM",
    )
    attention.use(network)
    adapted = get_peft_model(network, lora)
    assert isinstance(adapted, PeftModel)
    # PEFT would write down where the model lay on this machine.
    adapted.peft_config["default"].base_model_name_or_path = config.model
    for parameter in trainable(adapted):
        parameter.data = parameter.data.float()
    return adapted


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that training changes."""
    return [p for p in model.parameters() if p.requires_grad]


def weights(model: PeftModel) -> dict[str, Tensor]:
    """The adapter's tensors, whole also where they are spread over processes, which must all call this."""
    trained = {
        name: tensor for name, tensor in model.state_dict().items() if "lora_" in name or "modules_to_save" in name
    }
    return {name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor for name, tensor in trained.items()}


def save(model: PeftModel, folder: Path, state: dict[str, Tensor] | None = None) -> None:
    """Write the adapter (PEFT format, safetensors) into a folder; state: from `weights`, if at hand."""
    # No embedding is trained; asked to find out by itself, PEFT would look the base model up on the hub.
    state = weights(model) if state is None else state
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card


def load(network: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter on the base model, for answering; as strict as `load_weights`."""
    settings = PeftConfig.from_pretrained(str(folder))
    settings.inference_mode = True
    settings.base_model_name_or_path = network.name_or_path  # PEFT warns of another, and a run names its model itself
    adapted = get_peft_model(network, settings)
    assert isinstance(adapted, PeftModel)
    load_weights(adapted, folder)
    return adapted.eval()


def load_weights(model: PeftModel, folder: Path) -> None:
    """Load saved weights into an adapter that is attached already; see `set_weights`."""
    try:
        saved = load_file(folder / "adapter_model.safetensors")
    except (FileNotFoundError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter's weights cannot be read: {error}") from error
    set_weights(model, saved, origin=str(folder))


def set_weights(model: PeftModel, saved: Mapping[str, Tensor], *, origin: str) -> None:
    """Load tensors, named as PEFT saves them, into an adapter.

    A name that is missing or left over, or another shape, is an error, never a silent no-op. origin: where they come
    from, for the message.
    """
    present = get_peft_model_state_dict(model, save_embedding_layers=False)
    if different := sorted(present.keys() ^ saved.keys()):
        raise ModelError(
            f"{origin}: the adapter does not fit this model: {len(different)} keys differ, such as {different[0]}. "
            "Was it trained on another model or by another version of transformers?"
        )
    for name, tensor in saved.items():
        if tensor.shape != present[name].shape:
            raise ModelError(
                f"{origin}: the adapter does not fit this model: {name} is {list(tensor.shape)}, "
                f"not {list(present[name].shape)}"
            )
    set_peft_model_state_dict(model, dict(saved))
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    for name, tensor in saved.items():
        if not torch.equal(loaded[name].cpu(), tensor.to(loaded[name].dtype)):
            raise ModelError(f"{origin}: {name} was not loaded")
