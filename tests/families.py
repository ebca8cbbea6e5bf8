"""Tiny random checkpoints of each model family, in the file formats in which they are published."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from safeeraser.config import RunConfig
from safeeraser.demo import base_model
from safeeraser.models import adapter, loading

INDEX = "model.safetensors.index.json"
SIDE, PATCH = 32, 8  # pixels
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VICUNA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ ' [/INST]' }}{% else %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}{% endif %}{% endfor %}"
)
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INTERNVL = CHATML.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")
# As Gemma's, this one tells a system prompt with the first question, and refuses turns out of order.
GEMMA = (
    "{{ bos_token }}{% set told = messages[0]['role'] == 'system' %}{% for message in messages[told | int:] %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('not in turn') }}{% endif %}"
    "{{ '<start_of_turn>' + message['role'].replace('assistant', 'model') }}\n"
    "{% if told and loop.first %}{{ messages[0]['content'][0]['text'] }}\n\n{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def _vision() -> dict[str, Any]:
    return CLIPVisionConfig(**SMALL, image_size=SIDE, patch_size=PATCH).to_dict()


def _text(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return LlamaConfig(
        **SMALL,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ).to_dict()


def _tokenizer() -> PreTrainedTokenizerFast:
    """One that starts every text with `<s>`, as Llama's does."""
    tokenizer = base_model.make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


def _marked(marks: list[str], **special: Any) -> PreTrainedTokenizerFast:
    """One with the demo world's words and the marks of a chat format in the place of LLaVA's."""
    backend = base_model.make_tokenizer().backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", **special)
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in marks])
    return tokenizer


def tiny(
    folder: Path, *, side: int = base_model.SIDE, patch: int = base_model.PATCH, width: int = 32, layers: int = 2
) -> Path:
    """A random LLaVA with the demo world's words, whose pictures have (side / patch)^2 tokens."""
    torch.manual_seed(0)
    processor = base_model.make_processor()
    processor.image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_convert_rgb=True
    )
    processor.patch_size = patch
    sizes = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
    }
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=side, patch_size=patch).to_dict(),
        text_config=LlamaConfig(**sizes, vocab_size=len(processor.tokenizer), pad_token_id=3).to_dict(),
        image_token_index=processor.image_token_id,
        image_seq_length=(side // patch) ** 2,
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llava(folder: Path) -> Path:
    """As llava-hf/llava-1.5-7b-hf lies on the hub: sharded, old names of weights, an incomplete processor."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = LlavaConfig(
        vision_config=_vision(),
        text_config=_text(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    _save(LlavaForConditionalGeneration(config), folder)
    rename_weights(folder, old="vision_tower.", new="vision_tower.vision_model.")
    tokenizer.save_pretrained(folder)
    write_json(folder / "chat_template.json", {"chat_template": VICUNA})
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": SIDE, "width": SIDE},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"shortest_edge": SIDE},
        },
    )
    return folder


def llava_next(folder: Path) -> Path:
    """As llava-hf/llava-v1.6-mistral-7b-hf: a picture is cut into as many patches as its shape asks for."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = LlavaNextConfig(
        vision_config=_vision(),
        text_config=_text(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
    )
    pictures = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=grid
    )
    _save(LlavaNextForConditionalGeneration(config), folder)
    rename_weights(folder, old="vision_tower.", new="vision_tower.vision_model.")
    LlavaNextProcessor(pictures, tokenizer, chat_template=MISTRAL).save_pretrained(folder)
    return folder


def idefics3(folder: Path) -> Path:
    """As HuggingFaceTB/SmolVLM-256M-Instruct: other module names, tiles with text between them, its own end of turn."""
    torch.manual_seed(0)
    tokenizer = base_model.make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>"})
    tokenizer.add_tokens(["<global-img>", *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2))])
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    tokens = (SIDE // PATCH // 2) ** 2
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=tokens, chat_template=SMOLVLM)
    config = Idefics3Config(
        vision_config={**SMALL, "image_size": SIDE, "patch_size": PATCH},
        text_config=_text(tokenizer),
        scale_factor=2,
        image_token_id=processor.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _save(Idefics3ForConditionalGeneration(config), folder)
    processor.save_pretrained(folder)
    return folder


def qwen2_5_vl(folder: Path) -> Path:
    """As Qwen/Qwen2.5-VL-3B-Instruct: pictures of any size as patches in a row, positions in three dimensions."""
    torch.manual_seed(0)
    marks = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _marked(marks, eos_token="<|im_end|>")
    token = dict(zip(marks, tokenizer.convert_tokens_to_ids(marks), strict=True))
    text = SMALL | {"num_key_value_heads": 1, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    text |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    # Of a head's 32 numbers 16 turn with a position: 4 with time, 6 with height, 6 with width.
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": PATCH, "window_size": 4 * PATCH, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
    )
    _save(Qwen2_5_VLForConditionalGeneration(config), folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "chat_template.json", {"chat_template": CHATML})
    size = {"shortest_edge": SIDE**2, "longest_edge": 4 * SIDE**2}
    pictures = Qwen2VLImageProcessorPil(size=size, patch_size=PATCH)
    pictures._processor_class = "Qwen2_5_VLProcessor"
    pictures.save_pretrained(folder)
    return folder


def gemma3(folder: Path) -> Path:
    """As google/gemma-3-4b-it: a picture attends both ways, and every second layer here sees 8 tokens back alone."""
    torch.manual_seed(0)
    pictured = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    marks = ["<start_of_turn>", "<end_of_turn>"]
    tokenizer = _marked(marks, bos_token="<s>", eos_token="</s>", extra_special_tokens=pictured)
    text = SMALL | {"num_key_value_heads": 1, "head_dim": 32, "vocab_size": len(tokenizer), "query_pre_attn_scalar": 32}
    text |= {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
    text |= {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    image = {"image_size": SIDE, "patch_size": PATCH, "vision_use_head": False}
    config = Gemma3Config(
        text_config=text,
        vision_config=SMALL | image,
        mm_tokens_per_image=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
    )
    network = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(network.model.multi_modal_projector.mm_input_projection_weight)  # made of zeros
    _save(network, folder)
    rename_weights(folder, old="vision_tower.", new="vision_tower.vision_model.")
    pictures = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    Gemma3Processor(pictures, tokenizer, chat_template=GEMMA, image_seq_length=4).save_pretrained(folder)
    return folder


def internvl(folder: Path) -> Path:
    """As OpenGVLab/InternVL3-1B-hf: tiles by a picture's shape, and all of it once more."""
    torch.manual_seed(0)
    marks = {"start_image": "<img>", "end_image": "</img>", "context_image": "<IMG_CONTEXT>", "video": "<video>"}
    pictured = {f"{name}_token": mark for name, mark in marks.items()}
    tokenizer = _marked(["<|im_start|>"], eos_token="<|im_end|>", extra_special_tokens=pictured)
    text = SMALL | {"model_type": "qwen2", "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
    text |= {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    config = InternVLConfig(
        text_config=text,
        vision_config=SMALL | {"image_size": SIDE, "patch_size": PATCH},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    _save(InternVLForConditionalGeneration(config), folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(INTERNVL)
    pictures = GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, min_patches=1, max_patches=4)
    pictures.save_pretrained(folder)
    write_json(folder / "processor_config.json", {"processor_class": "InternVLProcessor", "image_seq_length": 4})
    return folder


def smolvlm(folder: Path) -> Path:
    """As HuggingFaceTB/SmolVLM2-256M-Video-Instruct: Idefics3 with a processor that takes videos too."""
    torch.manual_seed(0)
    idefics3(folder)
    config = Idefics3Config.from_pretrained(folder).to_dict()
    del config["model_type"], config["architectures"], config["vision_config"]["model_type"]
    for file in folder.glob("model*"):
        file.unlink()
    _save(SmolVLMForConditionalGeneration(SmolVLMConfig(**config)), folder)
    pictures = SmolVLMImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    pictures.save_pretrained(folder)
    settings = read_json(folder / "processor_config.json")
    kept = {"processor_class": "SmolVLMProcessor", "image_seq_len": settings["image_seq_len"]}
    write_json(folder / "processor_config.json", kept)
    return folder


def llava_onevision(folder: Path) -> Path:
    """As llava-hf/llava-onevision-qwen2-0.5b-ov-hf: tiles, a vector of its own behind each row of them."""
    torch.manual_seed(0)
    tokenizer = _marked(["<|im_start|>", "<image>", "<video>"], eos_token="<|im_end|>")
    text = SMALL | {"model_type": "qwen2", "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
    text |= {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    tower = {"model_type": "siglip_vision_model", "image_size": SIDE, "patch_size": PATCH, "vision_use_head": False}
    grid = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = LlavaOnevisionConfig(
        text_config=text,
        vision_config=SMALL | tower,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )
    _save(LlavaOnevisionForConditionalGeneration(config), folder)
    rename_weights(folder, old="vision_tower.", new="vision_tower.vision_model.")
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(INTERNVL.replace("<IMG_CONTEXT>", "<image>"))
    pictures = LlavaOnevisionImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=grid)
    pictures.save_pretrained(folder)
    settings = {"num_image_tokens": (SIDE // PATCH) ** 2, "vision_feature_select_strategy": "full"}
    write_json(folder / "processor_config.json", {"processor_class": "LlavaOnevisionProcessor"} | settings)
    return folder


def qwen3_vl(folder: Path) -> Path:
    """As Qwen/Qwen3-VL-2B-Instruct: what several layers of the tower see reaches the language model."""
    torch.manual_seed(0)
    qwen2_5_vl(folder)
    described = Qwen2_5_VLConfig.from_pretrained(folder)
    for file in folder.glob("model*"):
        file.unlink()
    text = SMALL | {"num_key_value_heads": 1, "head_dim": 32, "vocab_size": described.text_config.vocab_size}
    text |= {"pad_token_id": described.text_config.pad_token_id, "eos_token_id": described.text_config.eos_token_id}
    text |= {"rope_parameters": described.text_config.rope_parameters | {"mrope_interleaved": True}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": PATCH, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    marks = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    marked = {mark: getattr(described, mark) for mark in marks}
    _save(Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **marked)), folder)
    settings = read_json(folder / "preprocessor_config.json")
    write_json(folder / "preprocessor_config.json", settings | {"_processor_class": "Qwen3VLProcessor"})
    return folder


FAMILIES = {
    "llava": llava,
    "llava_next": llava_next,
    "idefics3": idefics3,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "gemma3": gemma3,
    "internvl": internvl,
    "smolvlm": smolvlm,
    "llava_onevision": llava_onevision,
}


def perturbed(config: RunConfig) -> PeftModel:
    """A config's model with an adapter that changes what it answers."""
    network, _ = loading.load(config.model, precision=config.precision, quantization=config.quantization, device="cpu")
    torch.manual_seed(0)
    adapted = adapter.attach(network, config)
    generator = torch.Generator().manual_seed(1)
    for parameter in adapter.trainable(adapted):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return adapted.eval()


def _save(network: PreTrainedModel, folder: Path) -> None:
    network.save_pretrained(folder, max_shard_size="200KB")


def rename_weights(folder: Path, *, old: str, new: str) -> None:
    """Give the tensors of a sharded checkpoint that start with `old` another start."""
    for shard in sorted(folder.glob("*.safetensors")):
        save_file(
            {
                new + name.removeprefix(old) if name.startswith(old) else name: tensor
                for name, tensor in load_file(shard).items()
            },
            shard,
            metadata={"format": "pt"},
        )
    index = read_json(folder / INDEX)
    places = index["weight_map"].items()
    index["weight_map"] = {
        new + name.removeprefix(old) if name.startswith(old) else name: file for name, file in places
    }
    write_json(folder / INDEX, index)


def read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2))
