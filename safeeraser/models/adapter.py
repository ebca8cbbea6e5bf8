"""Attaching, saving and loading a LoRA adapter. An adapter's folder is read by `read` alone.

The base model is the adapted model with its adapter off. That holds only because the projector is trained through PEFT
(`modules_to_save`): PEFT keeps the original beside the trained copy.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from safeeraser import files
from safeeraser.config import RunConfig
from safeeraser.models import attention, dropout, families, gate, loading, sine, tensors
from safeeraser.models.checks import ModelError

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
HASHES = "sha256.json"  # of both and of the gate, by name; adapters that were saved before it was written have none
Parsed = TypeVar("Parsed")

# peft asks transformers for it under its old name.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)


class Settings(BaseModel):
    """What adapter_config.json must say: that what makes an adapter of this project, and nothing that would change it.

    Of its other fields none is used: some of PEFT's name modules to import.
    """

    model_config = ConfigDict(strict=True)

    peft_type: Literal["LORA"]
    r: int = Field(gt=0)
    lora_alpha: int = Field(gt=0)
    lora_dropout: float = Field(ge=0, lt=1)
    target_modules: str | list[str]
    modules_to_save: list[str] | None = None
    use_rslora: Literal[False] = False
    use_dora: Literal[False] = False
    rank_pattern: dict = Field({}, max_length=0)
    alpha_pattern: dict = Field({}, max_length=0)


@dataclass(frozen=True)
class Saved:
    """An adapter out of its folder, checked as far as it can be without the model; the tensors as PEFT names them."""

    folder: Path
    settings: Settings
    tensors: dict[str, Tensor]
    gate: gate.Gate | None


def attach(network: PreTrainedModel, config: RunConfig, *, training: bool = False) -> PeftModel:
    """LoRA on the language model's linear layers and, if asked for, the whole projector; only these train, in fp32.

    training: as it is until training ends: with the settings' dropout and what the projector is trained as.
    """
    family = families.of(config.model, network.config.model_type)
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=family.lora_targets,
        modules_to_save=families.trained_whole(network) if config.train_projector else None,
        task_type="CAUSAL_LM",
    )
    attention.use(network)
    adapted = get_peft_model(network, lora)
    assert isinstance(adapted, PeftModel)
    # PEFT would write down where the model lay on this machine.
    adapted.peft_config["default"].base_model_name_or_path = config.model
    if training:
        dropout.use(adapted)
        _take_as_it_comes(adapted)
        if config.sine_projector:
            sine.attach(adapted)
    for parameter in trainable(adapted):
        parameter.data = parameter.data.float()
    return adapted


def _take_as_it_comes(adapted: PeftModel) -> None:
    """LoRA's input is not made fp32 first: training computes in the base model's precision, by autocast."""
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            layer.cast_input_dtype_enabled = False


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
    """Write the adapter (PEFT format, safetensors), the gate that it is behind, if any, and their hashes into a folder.

    state: from `weights`, if at hand.
    """
    # No embedding is trained; asked to find out by itself, PEFT would look the base model up on the hub.
    state = weights(model) if state is None else state
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card
    if own := gate.of(model):
        own.save(folder)
    files.write(folder / HASHES, json.dumps(_hashes(folder), indent=1) + "\n")


def read(folder: Path) -> Saved:
    """The adapter of a folder, before any model is loaded.

    Raises ModelError naming the file, and the tensor, that is missing, broken, not what an adapter has, or not as it
    was written.
    """
    settings = _parsed(TypeAdapter(Settings), folder / SETTINGS)
    found = tensors.read_safetensors(folder / WEIGHTS)
    ranks = tensors.lora_ranks(found)
    if settings.r not in ranks:
        raise ModelError(
            f"{folder / SETTINGS}: r is {settings.r}, but the tensors in {WEIGHTS} are of rank "
            f"{', '.join(map(str, sorted(ranks))) or 'none'}"
        )
    if (folder / HASHES).exists():
        written = _parsed(TypeAdapter(dict[str, str]), folder / HASHES)
        for name, found_now in _hashes(folder).items():
            if written.get(name) != found_now:
                raise ModelError(
                    f"{folder / name}: the file is not as it was written: its hash differs from the one in {HASHES}. "
                    "Take both from a copy, or make the adapter anew."
                )
    return Saved(folder, settings, found, gate.read(folder))


def check_gate(saved: Saved, config: RunConfig) -> None:
    """Raise ModelError where an adapter is behind a gate and its run's settings say that it is not, or the reverse."""
    file = saved.folder / gate.FILE
    if config.gate != "none" and saved.gate is None:
        raise ModelError(f"{file}: there is no such file, and --gate {config.gate} needs it; take it from a copy")
    if config.gate == "none" and saved.gate is not None:
        raise ModelError(f"{file}: the run was made without --gate; take the file away")


def _hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for name in (SETTINGS, WEIGHTS, *([gate.FILE] if (folder / gate.FILE).exists() else [])):
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _parsed(form: TypeAdapter[Parsed], file: Path) -> Parsed:
    """A JSON file of this form; raises ModelError naming the first field that is not."""
    tensors.check_file(file)
    try:
        return form.validate_json(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"{part}: " for part in wrong["loc"])
        raise ModelError(f"{file}: {place}{wrong['msg']}") from None


def load(network: PreTrainedModel, folder: Path) -> PeftModel:
    """Read a saved adapter and put it on the base model; see `put`."""
    return put(network, read(folder))


def put(network: PreTrainedModel, saved: Saved) -> PeftModel:
    """Put an adapter, with its gate, on the base model, for answering; each tensor must find its place and shape."""
    settings = saved.settings
    lora = LoraConfig(
        r=settings.r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=settings.target_modules,
        modules_to_save=settings.modules_to_save,
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=network.name_or_path,  # PEFT warns of another, and a run names its model itself
    )
    adapted = get_peft_model(network, lora)
    assert isinstance(adapted, PeftModel)
    set_weights(adapted, saved.tensors, origin=str(saved.folder / WEIGHTS))
    if saved.gate:
        gate.attach(adapted, saved.gate)
    return adapted.eval()


def load_weights(model: PeftModel, folder: Path) -> None:
    """Load saved weights into an adapter that is attached already; see `read` and `set_weights`."""
    set_weights(model, read(folder).tensors, origin=str(folder / WEIGHTS))


def read_for(config: RunConfig, folder: Path, *, training: bool = False) -> Saved:
    """As `read`, and checked against a run's model, which is not loaded for it; training: as in `attach`."""
    saved = read(folder)
    check_gate(saved, config)
    check_fit(saved.tensors, config, origin=str(folder / WEIGHTS), training=training)
    return saved


def check_fit(saved: Mapping[str, Tensor], config: RunConfig, *, origin: str, training: bool = False) -> None:
    """Raise ModelError unless the tensors fit a run's model, which stays unloaded; origin: as in `set_weights`."""
    with torch.device("meta"):
        adapted = attach(loading.skeleton(config.model), config, training=training)
    _check_fit(get_peft_model_state_dict(adapted, save_embedding_layers=False), saved, origin)


def set_weights(model: PeftModel, saved: Mapping[str, Tensor], *, origin: str) -> None:
    """Load tensors, named as PEFT saves them, into an adapter.

    A name that is missing or left over, or another shape, is an error, never a silent no-op. origin: where they come
    from, for the message.
    """
    present = get_peft_model_state_dict(model, save_embedding_layers=False)
    _check_fit(present, saved, origin)
    set_peft_model_state_dict(model, dict(saved))
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    for name, tensor in saved.items():
        if not torch.equal(loaded[name].cpu(), tensor.to(loaded[name].dtype)):
            raise ModelError(f"{origin}: {name} was not loaded")


def _check_fit(present: Mapping[str, Tensor], saved: Mapping[str, Tensor], origin: str) -> None:
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
