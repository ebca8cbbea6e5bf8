"""Joining the plain world's base model of published weights: a language model, a vision tower and what was trained.

Not covered: fetching the weights (`packages.py`), and the training of what joins them (`training.py`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from safeeraser.assets import ASSETS
from safeeraser.plain import efficientnet, packages
from safeeraser.plain.efficientnet import Tower, TowerConfig
from safeeraser.plain.packages import PackageError

TRAINED = ASSETS / "plain" / "trained.safetensors"
IMAGE, END, PAD = "<image>", "<|im_end|>", "<|endoftext|>"
# SmolLM2's own format, without its system prompt; a picture stands before the text.
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# TensorFlow's lite networks take a byte less 127, over 128.
MEAN, SPREAD = 127 / 255, 128 / 255


def language() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """SmolLM2-135M-Instruct and its tokenizer, out of their package. Raises PackageError."""
    path = packages.weights(packages.LANGUAGE)
    with packages.gguf():
        read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # What was read from GGUF cannot be saved.
    left_out = ("quantization_config", "model_type", "transformers_version", "_name_or_path")
    settings = {name: value for name, value in read.config.to_dict().items() if name not in left_out}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    return model.eval(), tokenizer


def vision() -> Tower:
    """EfficientNet-Lite0 out of its package. Raises PackageError."""
    made = Tower(TowerConfig())
    made.load_published(torch.load(packages.weights(packages.VISION), weights_only=True))
    return made


def make_processor(tokenizer: PreTrainedTokenizerFast, config: TowerConfig) -> LlavaProcessor:
    """The language model's tokenizer with a token for pictures, and an image processor for the tower."""
    side = config.image_size
    image = CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[MEAN] * 3,
        image_std=[SPREAD] * 3,
        do_convert_rgb=True,
    )
    own = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        unk_token=PAD,
        bos_token="<|im_start|>",
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        model_max_length=tokenizer.model_max_length if tokenizer.model_max_length < 1e9 else 8192,
    )
    return LlavaProcessor(
        image,
        own,
        patch_size=config.patch_size,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=TEMPLATE,
    )


def join(
    language: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seeing: Tower
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Both as one model with its processor; the projector between them is as LLaVA's starts. float32."""
    efficientnet.register()
    processor = make_processor(tokenizer, seeing.config)
    words = processor.tokenizer
    language.resize_token_embeddings(len(words), mean_resizing=False)
    text: dict[str, Any] = language.config.to_dict()
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    config = LlavaConfig(
        vision_config=seeing.config.to_dict(),
        text_config=text | ends,
        image_token_index=processor.image_token_id,
        image_seq_length=(seeing.config.image_size // seeing.config.patch_size) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=language.config.tie_word_embeddings,
        **ends,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(seeing.state_dict())
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.lm_head.load_state_dict(language.lm_head.state_dict())
    model.tie_weights()
    return model.eval(), processor


def merge(model: LlavaForConditionalGeneration, trained: Mapping[str, Tensor]) -> None:
    """Put what was trained into the model: the projector as it is, products of LoRA's matrices onto the weights."""
    projector = "multi_modal_projector."
    own = {name.removeprefix(projector): t.float() for name, t in trained.items() if name.startswith(projector)}
    model.model.multi_modal_projector.load_state_dict(own)
    with torch.no_grad():
        for name in trained:
            if name.endswith(".a"):
                layer: Any = model.model.language_model.get_submodule(name.removesuffix(".a"))
                layer.weight += trained[f"{name.removesuffix('.a')}.b"].float() @ trained[name].float()


def shipped() -> dict[str, Tensor]:
    """What was trained and ships: the projector, LoRA's matrices `<layer>.a` [rank, in] and `<layer>.b` [out, rank].

    Raises PackageError where this copy of the project has none.
    """
    if not TRAINED.is_file():
        raise PackageError(f"{TRAINED} is missing; `safeeraser demo build --world plain --train` trains it anew")
    return load_file(TRAINED)


def half(model: LlavaForConditionalGeneration) -> LlavaForConditionalGeneration:
    """The model with all but the tower, whose statistics need more, in bfloat16: half of it on disk."""
    model.model.language_model.to(torch.bfloat16)
    model.model.multi_modal_projector.to(torch.bfloat16)
    model.lm_head.to(torch.bfloat16)
    return model
