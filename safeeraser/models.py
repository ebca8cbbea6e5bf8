"""Loading a vision-language checkpoint with its processor; attaching, saving and loading a LoRA adapter.

The base model is the adapted model with its adapter off. That holds only because the projector is trained through PEFT
(`modules_to_save`): PEFT keeps the original beside the trained copy.
"""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from safeeraser import attention, loading
from safeeraser.assets import ASSETS
from safeeraser.config import RunConfig
from safeeraser.loading import ModelError

# peft asks transformers for it under its old name.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Family:
    """The names of the modules that hold a model's parts."""

    language: str
    projector: str
    vision: str

    @property
    def lora_targets(self) -> str:
        """The linear layers of the language model; the vision tower has layers of the same names and stays frozen."""
        return rf".*{self.language}.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


_LLAVA = Family(language="language_model", projector="multi_modal_projector", vision="vision_tower")
# By the model_type in config.json.
FAMILIES = {
    "llava": _LLAVA,
    "llava_next": _LLAVA,
    "idefics3": Family(language="text_model", projector="connector", vision="vision_model"),
}


def checkpoint(model: str) -> str:
    """The folder or hub id that a model's name stands for."""
    return str(ASSETS / "demo" / "model") if model == "demo" else model


def load(
    model: str, *, precision: str = "fp32", quantization: str = "none", device: str = "auto"
) -> tuple[PreTrainedModel, Any]:
    """A vision-language model (frozen, in eval mode) and its processor, from a folder or the hub.

    On the CPU; with 4-bit weights, which are made where they are used, on the GPU if there is one and `device` is auto.
    Raises ModelError for what is missing, broken or does not fit, naming the first such file or tensor.
    """
    source = checkpoint(model)
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    with loading.explained(model, source):
        described = AutoConfig.from_pretrained(source)
        if described.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            raise ModelError(
                f"--model {model}: a model of type {described.model_type!r} does not answer questions about pictures; "
                "choose a vision-language model such as llava-hf/llava-1.5-7b-hf"
            )
        if Path(source).is_dir():
            loading.check_files(model, Path(source))
        how = {} if quantization == "none" else _four_bit(model, described.model_type, precision, device)
        with loading.quiet():
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                source, dtype=DTYPES[precision], output_loading_info=True, ignore_mismatched_sizes=True, **how
            )
        # Named outright: without torchvision, transformers would fall back to the PIL image processor with a warning.
        processor = AutoProcessor.from_pretrained(source, backend="pil")
    network, found = loaded
    loading.check_weights(model, found)
    complete(model, processor, network)
    network.requires_grad_(False)
    return network.eval(), processor


def _four_bit(model: str, model_type: str, precision: str, device: str) -> dict[str, Any]:
    """How to load the language model's linear layers in 4 bits (NF4, double quantization; QLoRA, arXiv 2305.14314)."""
    if find_spec("bitsandbytes") is None:
        raise ModelError("--quantization 4bit needs bitsandbytes: pip install 'bitsandbytes>=0.45'")
    family = _family(model, model_type)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES[precision],
        llm_int8_skip_modules=[f"model.{family.vision}", f"model.{family.projector}", "lm_head"],
    )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    return {
        "quantization_config": settings,
        "device_map": {"": "cpu" if on_cpu else torch.cuda.current_device()},
    }


def _family(model: str, model_type: str) -> Family:
    if model_type not in FAMILIES:
        raise ModelError(
            f"--model {model}: where the parts of a model of type {model_type!r} lie is not known; known: "
            f"{', '.join(FAMILIES)}. Add a row to FAMILIES in safeeraser/models.py."
        )
    return FAMILIES[model_type]


def complete(model: str, processor: Any, network: PreTrainedModel) -> None:
    """Give the processor what older published ones leave out, from the model itself.

    Without it LLaVA's processor counts 575 or 577 picture tokens where the model has 576 (transformers #36002).
    """
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(f"--model {model}: the processor has no chat template; add a chat_template.jinja to it")
    if processor.tokenizer.eos_token is None:
        raise ModelError(f"--model {model}: the tokenizer names no end token; is its tokenizer_config.json missing?")
    if hasattr(processor, "num_additional_image_tokens"):
        described = network.config
        processor.patch_size = described.vision_config.patch_size
        processor.vision_feature_select_strategy = described.vision_feature_select_strategy
        has_class_token = any(name.endswith("class_embedding") for name, _ in network.named_parameters())
        processor.num_additional_image_tokens = int(has_class_token)
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token  # padding is masked: any token will do


def attach_lora(network: PreTrainedModel, config: RunConfig) -> PeftModel:
    """LoRA on the language model's linear layers and, if asked for, the whole projector; only these train, in fp32."""
    family = _family(config.model, network.config.model_type)
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


def adapter_weights(model: PeftModel) -> dict[str, Tensor]:
    """The adapter's tensors, whole also where they are spread over processes, which must all call this."""
    trained = {
        name: tensor for name, tensor in model.state_dict().items() if "lora_" in name or "modules_to_save" in name
    }
    return {name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor for name, tensor in trained.items()}


def save_adapter(model: PeftModel, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
    """Write the adapter (PEFT format, safetensors) into a folder; weights: from `adapter_weights`, if at hand."""
    # No embedding is trained; asked to find out by itself, PEFT would look the base model up on the hub.
    state = adapter_weights(model) if weights is None else weights
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card


def load_adapter(network: PreTrainedModel, folder: Path) -> PeftModel:
    """Put a saved adapter on the base model, for answering; as strict as `load_adapter_weights`."""
    settings = PeftConfig.from_pretrained(str(folder))
    settings.inference_mode = True
    settings.base_model_name_or_path = network.name_or_path  # PEFT warns of another, and a run names its model itself
    adapted = get_peft_model(network, settings)
    assert isinstance(adapted, PeftModel)
    load_adapter_weights(adapted, folder)
    return adapted.eval()


def load_adapter_weights(model: PeftModel, folder: Path) -> None:
    """Load saved weights into an adapter that is attached already; see `set_adapter_weights`."""
    try:
        saved = load_file(folder / "adapter_model.safetensors")
    except (FileNotFoundError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter's weights cannot be read: {error}") from error
    set_adapter_weights(model, saved, origin=str(folder))


def set_adapter_weights(model: PeftModel, saved: Mapping[str, Tensor], *, origin: str) -> None:
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
