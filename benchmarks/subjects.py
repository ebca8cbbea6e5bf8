"""What benchmarks measure: (model, processor), in eval mode, frozen. Nothing is downloaded; weights are random.

Only the demo model is a trained one. The others have its words, and tokens that mean nothing up to their vocabulary's
size; they never end an answer by themselves.
"""

import tempfile
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from safeeraser.demo import base_model
from safeeraser.models import loading

SIDE, PATCH = 336, 14  # pixels, as in LLaVA-1.5: 576 tokens a picture
MARKS = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>", "video": "<|video_pad|>"}
QWEN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + '\n' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><image><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}</s>\n{% endfor %}{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"
)


def _qwen_text(hidden: int, intermediate: int, layers: int, heads: tuple[int, int], vocabulary: int) -> dict[str, Any]:
    """heads: of queries, of keys and values. Half of a head turns with a position: a quarter with time, the rest with
    height and width alike."""
    turning = hidden // heads[0] // 2
    section = [turning // 4, turning * 3 // 8, turning * 3 // 8]
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": vocabulary,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section},
    }


QWEN: dict[str, dict[str, Any]] = {
    "shapes-qwen": {
        "text": _qwen_text(256, 688, 4, (4, 2), 1024),
        "vision": {
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "fullatt_block_indexes": [1],
        },
    },
    "qwen2.5-vl-7b": {
        "text": _qwen_text(3584, 18944, 28, (28, 4), 152064),
        "vision": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
    },
}


def subject(name: str, *, precision: str = "fp32", device: str = "cpu") -> tuple[Any, Any]:
    """The model of a benchmark's `--model`, on its device, and its processor."""
    if name == "demo":
        demo: tuple[Any, Any] = loading.load("demo", precision=precision)
        return demo[0].to(device), demo[1]
    if name == "shapes":
        return shapes(precision=precision, device=device)
    make = qwen if name in QWEN else llava
    return make(name, precision=precision, device=device)


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


def qwen(name: str, *, precision: str = "bf16", device: str = "cuda") -> tuple[Any, Any]:
    """The architecture of Qwen2.5-VL (config.json of Qwen/Qwen2.5-VL-7B-Instruct), and one as small as `shapes`."""
    described = QWEN[name]
    tokenizer = _tokenizer(described["text"]["vocab_size"], longest=32768, marks=tuple(MARKS.values()))
    tokenizer.chat_template = QWEN_TEMPLATE
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    config = Qwen2_5_VLConfig(
        text_config=described["text"] | ids,
        vision_config=described["vision"] | {"out_hidden_size": described["text"]["hidden_size"]},
        **{f"{mark}_token_id": tokenizer.convert_tokens_to_ids(token) for mark, token in MARKS.items()},
        image_token_id=tokenizer.image_token_id,
    )
    area = (2 * SIDE) ** 2  # a token of four patches: as many tokens as in LLaVA-1.5
    pictures = Qwen2VLImageProcessorPil(size={"shortest_edge": area, "longest_edge": area}, patch_size=PATCH)
    with tempfile.TemporaryDirectory() as folder:
        for part in (config, tokenizer, pictures):
            part.save_pretrained(folder)
        processor = loading.read_processor(folder, config)
    return _network(Qwen2_5_VLForConditionalGeneration, config, precision=precision, device=device), processor


MODELS = ("demo", "shapes", "llava-1.5-7b", "llava-1.5-13b", *QWEN)


def _picture() -> dict[str, Any]:
    return {"image_size": SIDE, "patch_size": PATCH}


def _tokenizer(vocabulary: int, *, longest: int, marks: tuple[str, ...] = ()) -> Any:
    """The demo world's words, marks of a chat format, and tokens that mean nothing up to the vocabulary's size."""
    tokenizer: Any = base_model.make_tokenizer()
    tokenizer.model_max_length = longest
    tokenizer.add_tokens(list(marks), special_tokens=True)
    tokenizer.add_tokens([f"[{number}]" for number in range(len(tokenizer), vocabulary)])
    return tokenizer


def _random(vision: CLIPVisionConfig, text: LlamaConfig, *, precision: str, device: str) -> tuple[Any, Any]:
    tokenizer = _tokenizer(text.vocab_size, longest=text.max_position_embeddings)
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
    return _network(LlavaForConditionalGeneration, config, precision=precision, device=device), processor


def _network(kind: Any, config: Any, *, precision: str, device: str) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        network = kind._from_config(config, dtype=loading.DTYPES[precision])
    network.lm_head.weight.data[config.text_config.eos_token_id] = 0  # a logit of 0 is never the largest of so many
    return network.requires_grad_(False).eval()
