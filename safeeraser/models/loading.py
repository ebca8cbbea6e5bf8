"""Loading a vision-language checkpoint with its processor. Not covered: adapters (`adapter.py`)."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from safeeraser.assets import ASSETS
from safeeraser.models import checks, families, tower
from safeeraser.models.checks import ModelError
from safeeraser.plain import efficientnet, packages

VIDEOS = "video_processor"
# What processors call the number of tokens that they write for a picture, or for a tile of one.
TOKENS = ("image_seq_length", "image_seq_len", "num_image_tokens")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


efficientnet.register()


def checkpoint(model: str) -> str:
    """The folder or hub id that a model's name stands for. Raises PackageError for `plain` before it is built."""
    if model == "plain":
        return str(packages.built())
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
    with checks.explained(model, source):
        described = read_config(model, source)
        if Path(source).is_dir():
            checks.check_files(model, Path(source))
        how = {} if quantization == "none" else _four_bit(model, described.model_type, precision, device)
        with checks.quiet():
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                source,
                dtype=DTYPES[precision],
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
                **how,
            )
        processor = read_processor(source, described)
    network, found = loaded
    checks.check_weights(model, found)
    complete(model, processor, network)
    network.requires_grad_(False)
    return network.eval(), processor


def check_trains(model: str) -> None:
    """Raise ModelError unless a model, of which only config.json is read, is of a family that can be trained."""
    source = checkpoint(model)
    with checks.explained(model, source):
        families.of(model, read_config(model, source).model_type)


def read_config(model: str, source: str, **how: Any) -> PreTrainedConfig:
    """The configuration of a vision-language model, else ModelError. Code that comes with a checkpoint is never run."""
    described = AutoConfig.from_pretrained(source, trust_remote_code=False, **how)
    if described.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ModelError(
            f"--model {model}: a model of type {described.model_type!r} does not answer questions about pictures; "
            "choose a vision-language model such as llava-hf/llava-1.5-7b-hf"
        )
    return described


def read_processor(source: str, described: PreTrainedConfig, **how: Any) -> Any:
    """The processor of a checkpoint; one that takes videos too is read without that part, which needs torchvision.

    Of families without a row it is not known whether they can do without: these ask for torchvision.
    """
    if reader := families.of_config(described).reader:
        return reader.from_pretrained(source, backend="pil", **how)
    kind: Any = PROCESSOR_MAPPING.get(type(described), None)
    parts = kind.get_attributes() if kind else []
    known = described.model_type in families.FAMILIES
    if VIDEOS in parts and not known and not find_spec("torchvision"):
        raise ImportError(f"{kind.__name__} takes videos too and needs torchvision: pip install torchvision")
    if VIDEOS in parts and known:
        left = [part for part in parts if part != VIDEOS]
        # Asked for in reading, in making and in saving a processor.
        kind.get_attributes = classmethod(lambda cls: left)
    # Named outright: without torchvision, transformers would fall back to the PIL image processor with a warning.
    return AutoProcessor.from_pretrained(source, backend="pil", trust_remote_code=False, **how)


def skeleton(model: str) -> PreTrainedModel:
    """The model that `load` gives, without its weights: its tensors have shapes alone. Raises ModelError."""
    source = checkpoint(model)
    with checks.explained(model, source), torch.device("meta"):
        return AutoModelForImageTextToText.from_config(read_config(model, source))


def complete(model: str, processor: Any, network: PreTrainedModel) -> None:
    """Give the processor what older published ones leave out, from the model itself.

    Without it LLaVA's processor counts 575 or 577 picture tokens where the model has 576 (transformers #36002).
    """
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(f"--model {model}: the processor has no chat template; add a chat_template.jinja to it")
    if processor.tokenizer.eos_token is None:
        raise ModelError(f"--model {model}: the tokenizer names no end token; is its tokenizer_config.json missing?")
    tower.check(model, network)
    _check_fits(model, processor, network.config)
    if hasattr(processor, "num_additional_image_tokens"):
        described = network.config
        processor.patch_size = described.vision_config.patch_size
        processor.vision_feature_select_strategy = described.vision_feature_select_strategy
        processor.num_additional_image_tokens = sum(tower.before_patches(network))
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token  # padding is masked: any token will do


def _check_fits(model: str, processor: Any, described: Any) -> None:
    """Raise ModelError for a processor that writes pictures otherwise than the model's configuration has them."""
    family = families.of_config(described)
    if family is families.UNKNOWN:
        return
    wrong = None
    written = next((found for name in TOKENS if (found := getattr(processor, name, None))), None)
    if written and written != (taken := family.picture_tokens(described)):
        wrong = f"writes {written} tokens for a picture, the model takes {taken}"
    cut = getattr(processor.image_processor, "patch_size", None)
    if family.grid and cut != (taken := described.vision_config.patch_size):
        wrong = f"cuts patches of {cut} pixels, the model takes {taken}"
    if wrong:
        raise ModelError(f"--model {model}: the processor {wrong}; give it the files of the same checkpoint")


def _four_bit(model: str, model_type: str, precision: str, device: str) -> dict[str, Any]:
    """How to load the language model's linear layers in 4 bits (NF4, double quantization; QLoRA, arXiv 2305.14314)."""
    if find_spec("bitsandbytes") is None:
        raise ModelError("--quantization 4bit needs bitsandbytes: pip install 'bitsandbytes>=0.45'")
    family = families.of(model, model_type)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES[precision],
        llm_int8_skip_modules=family.unquantized,
    )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    return {
        "quantization_config": settings,
        "device_map": {"": "cpu" if on_cpu else torch.cuda.current_device()},
    }
