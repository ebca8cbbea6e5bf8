"""What benchmarks measure: (model, processor), in eval mode, frozen. Nothing is downloaded; weights are random.

Only the demo model is a trained one. The others have its words, and tokens that mean nothing up to their vocabulary's
size; they never end an answer by themselves.
"""

from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from safeeraser.demo import base_model
from safeeraser.models import loading

SIDE, PATCH = 336, 14  # pixels, as in LLaVA-1.5: 576 tokens a picture


def subject(name: str, *, precision: str = "fp32", device: str = "cpu") -> tuple[Any, Any]:
    """The model of a benchmark's `--model`, on its device, and its processor."""
    if name == "demo":
        demo: tuple[Any, Any] = loading.load("demo", precision=precision)
        return demo[0].to(device), demo[1]
    if name == "shapes":
        return shapes(precision=precision, device=device)
    return llava(name, precision=precision, device=device)


def shapes(*, precision: str = "fp32", device: str = "cpu") -> tuple[Any, Any]:
    """576 picture tokens before a small language model (4 layers, hidden size 256): what a picture costs, on a CPU."""
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, **_picture()
    )
    text = LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=4
    )
    return _random(vision, text, precision=precision, device=device)


def llava(name: str, *, precision: str = "bf16", device: str = "cuda") -> tuple[Any, Any]:
    """The architecture of LLaVA-1.5 (config.json of llava-hf/llava-1.5-7b-hf and -13b-hf)."""
    hidden, intermediate, layers, heads = {
        "llava-1.5-7b": (4096, 11008, 32, 32),
        "llava-1.5-13b": (5120, 13824, 40, 40),
    }[name]
    vision = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, **_picture()
    )
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    return _random(vision, text, precision=precision, device=device)


MODELS = ("demo", "shapes", "llava-1.5-7b", "llava-1.5-13b")


def _picture() -> dict[str, Any]:
    return {"image_size": SIDE, "patch_size": PATCH}


def _random(vision: CLIPVisionConfig, text: LlamaConfig, *, precision: str, device: str) -> tuple[Any, Any]:
    tokenizer: Any = base_model.make_tokenizer()
    tokenizer.model_max_length = text.max_position_embeddings
    tokenizer.add_tokens([f"[{number}]" for number in range(len(tokenizer), text.vocab_size)])
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_convert_rgb=True
    )
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=base_model.TEMPLATE,
    )
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    text.pad_token_id = tokenizer.pad_token_id
    config = LlavaConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_index=processor.image_token_id,
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = LlavaForConditionalGeneration._from_config(config, dtype=loading.DTYPES[precision])
    network.lm_head.weight.data[tokenizer.eos_token_id] = 0  # a logit of 0 is never the largest of so many
    return network.requires_grad_(False).eval(), processor
