"""The arithmetic of planning, against numbers worked out by hand and against real models."""

import contextlib
from dataclasses import replace
from pathlib import Path

import families
import pytest
import torch
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
)

from safeeraser.config import RunConfig
from safeeraser.models import adapter, loading
from safeeraser.models import families as rows
from safeeraser.models.checks import ModelError
from safeeraser.plan import hardware, model_sizes, sizes
from safeeraser.plan.hardware import GIB, HardwareError
from safeeraser.plan.sizes import Architecture

SMALL = Architecture(
    source="by hand",
    parts={"vision_tower": 100, "language_model": 1000},
    trained={"LoRA": 30, "projector": 5},
    linear=800,
    quantized=640,
    vision=100,
    hidden=8,
    intermediate=20,
    layers=3,
    query=8,
    key_value=4,
    vocabulary=50,
    picture_tokens=6,
)


def part(parts: list[sizes.Part], name: str) -> float:
    return next(part.bytes for part in parts if part.name == name)


@pytest.mark.parametrize("projector", [True, False])
def test_the_counts_are_those_of_the_model_that_is_really_loaded(config: RunConfig, projector: bool):
    config = RunConfig(**config.model_dump() | {"train_projector": projector})
    told = model_sizes.read(config)
    network, _ = loading.load(config.model)
    assert told.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert told.parts["lm_head"] == network.get_parameter("lm_head.weight").numel()
    adapted = adapter.attach(network, config)
    assert told.trainable == sum(parameter.numel() for parameter in adapter.trainable(adapted))
    assert ("projector" in told.trained) == projector
    assert model_sizes.read(config.base()).trained == {}


def test_the_counts_hold_for_other_families(tmp_path: Path):
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = small | {"model_type": "llama", "vocab_size": 90, "num_key_value_heads": 2}
    pictures = small | {"image_size": 28, "patch_size": 14}
    described = {
        "llava_next": LlavaNextConfig(
            text_config=text, vision_config=pictures | {"model_type": "clip_vision_model"}, image_token_index=89
        ),
        "idefics3": Idefics3Config(text_config=text, vision_config=pictures, scale_factor=1, image_token_id=89),
    }
    for name, config in described.items():
        config.save_pretrained(tmp_path / name)
        settings = RunConfig.create(model=str(tmp_path / name), lora_rank=4)
        told = model_sizes.read(settings)
        network = AutoModelForImageTextToText.from_config(config)
        assert told.parameters == sum(parameter.numel() for parameter in network.parameters())
        assert told.vision > 0
        adapted = adapter.attach(network.requires_grad_(False), settings)
        assert told.trainable == sum(parameter.numel() for parameter in adapter.trainable(adapted))
        assert (told.query, told.key_value, told.vocabulary) == (32, 16, 90)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_counts_hold_for_a_checkpoint_of_every_family(family: str, config: RunConfig, tmp_path: Path):
    config = config.model_copy(update={"model": str(families.FAMILIES[family](tmp_path))})
    told = model_sizes.read(config)
    network, _ = loading.load(config.model)
    row = rows.FAMILIES[family]
    inside = row.projector.startswith(f"{row.vision}.")
    tower = {name: part.numel() for name, part in network.model.get_submodule(row.vision).named_parameters()}
    projector = {
        part for each in rows.trained_whole(network) for part in network.model.get_submodule(each).parameters()
    }
    counted = sum(part.numel() for part in projector)
    assert told.trained["projector"] == counted
    assert told.vision == sum(tower.values()) - inside * counted
    assert told.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert told.trainable == sum(part.numel() for part in adapter.trainable(adapter.attach(network, config)))


def test_llava_7b_has_the_parameters_worked_out_by_hand():
    told = model_sizes.read(RunConfig.create("paper", model="llava-hf/llava-1.5-7b-hf"))
    # A LLaMA layer: q, k, v, o; gate, up, down; two norms. Then embeddings and the last norm.
    layer = 4 * 4096**2 + 3 * 4096 * 11008
    assert told.parts["language_model"] == 32 * (layer + 2 * 4096) + 32064 * 4096 + 4096
    assert told.parts["lm_head"] == 32064 * 4096
    assert told.linear == 32 * layer
    # A CLIP layer: four of attention and two of the MLP with biases, two norms. Then class, patches, positions, norms.
    clip = 4 * (1024**2 + 1024) + (1024 * 4096 + 4096) + (4096 * 1024 + 1024) + 4 * 1024
    assert told.parts["vision_tower"] == 24 * clip + 1024 + 3 * 14**2 * 1024 + 577 * 1024 + 4 * 1024
    projector = (1024 * 4096 + 4096) + (4096 * 4096 + 4096)
    assert told.parts["multi_modal_projector"] == projector == 20_979_712
    assert told.parameters == 7_063_427_072
    # LoRA of rank r on a layer from n to m features has r (n + m).
    lora = 32 * 32 * (4 * (4096 + 4096) + 2 * (4096 + 11008) + (11008 + 4096))
    assert told.trained == {"projector": projector, "LoRA": lora}
    assert told.trainable == 100_933_632
    assert (told.picture_tokens, told.vocabulary, told.layers) == (576, 32064, 32)
    assert "published architecture" in told.source


def test_llava_13b_has_the_published_number_of_parameters():
    told = model_sizes.read(RunConfig.create("paper", model="llava-hf/llava-1.5-13b-hf"))
    layer = 4 * 5120**2 + 3 * 5120 * 13824 + 2 * 5120
    assert told.parts["language_model"] == 40 * layer + 32064 * 5120 + 5120
    assert told.parameters == 13_351_494_656


def test_a_model_that_cannot_be_read_is_an_error(tmp_path: Path):
    with pytest.raises(ModelError, match=r"config\.json"):
        model_sizes.read(RunConfig.create(model=str(tmp_path)))


def test_each_part_of_the_training_memory_is_what_it_says():
    config = RunConfig.create(precision="bf16", lora_rank=2, lora_dropout=0.1)
    parts = sizes.training(SMALL, config, tokens=10, answer_tokens=7, base_answer_tokens=3)
    assert part(parts, "base weights") == 2 * 1100
    assert [part(parts, name) for name in ("trained weights", "gradients", "AdamW")] == [140, 140, 280]
    assert part(parts, "logits") == 14 * 50 * 7
    assert part(parts, "base logits") == 10 * 50 * 3
    # Norms 2 x 4 x 8; q, o of 8 and k, v of 4; 3 x 20; LoRA's inputs 8 each of q, k, v, o, gate, up and 20 of down, 3
    # bytes each, and 7 outputs of its rank. The last norm: 4 x 8.
    layer = 64 + 2 * 24 + 2 * 60 + 3 * 68 + 7 * 2 * 2
    assert part(parts, "activations") == 10 * (3 * layer + 32)
    less = RunConfig(**config.model_dump() | {"gradient_checkpointing": True})
    parts = sizes.training(SMALL, less, tokens=10, answer_tokens=7, base_answer_tokens=0)
    assert part(parts, "activations") == 10 * (3 * 16 + layer + 32)
    assert "base logits" not in [one.name for one in parts]


def test_four_bit_storage_shrinks_the_quantized_weights_alone():
    config = RunConfig.create(precision="bf16", quantization="4bit")
    # 640 weights: 320 bytes, 10 scales of a byte, and 4 bytes for each 256 scales; the other 460 stay.
    assert sizes.weights(SMALL, config).bytes == pytest.approx(320 + 10 + 10 * 4 / 256 + 2 * 460)


def test_answering_keeps_the_keys_and_values_of_every_answer():
    config = RunConfig.create(precision="fp16", answer_batch=16, max_new_tokens=9)
    # Three layers of keys and values, 4 wide, 2 bytes each.
    assert sizes.kv_bytes(SMALL, config) == 3 * 2 * 4 * 2
    assert part(sizes.answering(SMALL, config, prompt=11, answers=100), "KV cache") == 16 * 20 * 48
    assert part(sizes.answering(SMALL, config, prompt=11, answers=5), "KV cache") == 5 * 20 * 48


def test_operations_count_forward_backward_and_the_base_model():
    once = sizes.training_flops(SMALL, tokens=10, base_tokens=0, pictures=0, checkpointing=False)
    assert once == 10 * (4 * 800 + 6 * 30)
    again = sizes.training_flops(SMALL, tokens=10, base_tokens=4, pictures=2, checkpointing=True)
    assert again == 10 * (6 * 800 + 8 * 30) + 4 * 2 * 800 + 2 * 6 * 2 * 100
    assert sizes.prefill_flops(SMALL, tokens=10, pictures=2) == 10 * 2 * 830 + 2 * 6 * 2 * 100
    config = RunConfig.create(precision="bf16", answer_batch=4, max_new_tokens=10)
    # Three batches of at most four: ten steps each read the weights; each of nine answers reads its cache ten times.
    assert sizes.decode_bytes(SMALL, config, answers=9, prompt=20) == 30 * 2200 + 9 * 10 * 25 * 48


@pytest.mark.parametrize(("precision", "checkpointing"), [("fp32", False), ("bf16", False), ("bf16", True)])
def test_activations_are_what_the_forward_pass_keeps(precision: str, checkpointing: bool):
    """Dropout is off, whose masks take four bytes on a CPU and one on a GPU."""
    config = RunConfig.create(
        lora_rank=8, lora_dropout=0.0, precision=precision, gradient_checkpointing=checkpointing, train_projector=False
    )
    network = _random(hidden=128, intermediate=344, layers=3, key_value_heads=2)
    told = replace(SMALL, hidden=128, intermediate=344, layers=3, query=128, key_value=64)
    model = adapter.attach(network.to(loading.DTYPES[precision]), config)
    kept = _kept(model, precision, checkpointing=checkpointing, rows=2, length=150)
    parts = sizes.training(told, config, tokens=300, answer_tokens=0, base_answer_tokens=0)
    expected = part(parts, "activations")
    if checkpointing:  # the layer that is computed again comes in the backward pass
        alone = replace(told, layers=1)
        full = RunConfig(**config.model_dump() | {"gradient_checkpointing": False})
        layer = sizes.training(alone, full, tokens=300, answer_tokens=0, base_answer_tokens=0)
        expected -= part(layer, "activations") - 300 * 4 * told.hidden
    assert kept == pytest.approx(expected, rel=0.06)


def _random(*, hidden: int, intermediate: int, layers: int, key_value_heads: int) -> LlavaForConditionalGeneration:
    text = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        vocab_size=100,
    )
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    network = LlavaForConditionalGeneration(LlavaConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))
    network.requires_grad_(False)
    return network


def _kept(model: torch.nn.Module, precision: str, *, checkpointing: bool, rows: int, length: int) -> int:
    """Bytes of the different tensors, weights aside, that autograd keeps for the language model's backward pass."""
    network = model.get_base_model()  # type: ignore[operator]
    if checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        network.enable_input_require_grads()
    network.train()
    shapes = {shape for weight in adapter.trainable(model) for shape in (weight.shape, weight.shape[::-1])}
    known = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    # Kept alive, so that no storage is seen under the address of another. Autocast's copies of LoRA are weights too.
    found: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known and tuple(tensor.shape) not in shapes:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    mixed = torch.autocast("cpu", loading.DTYPES[precision]) if precision != "fp32" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), mixed:
        out = network.model.language_model(input_ids=torch.randint(5, 99, (rows, length))).last_hidden_state
    assert out.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


def test_unknown_hardware_is_an_error_that_lists_what_is_known():
    with pytest.raises(HardwareError, match=r"--hardware v100: .*known: h200, h100, a100-80.*rtx4090, cpu"):
        hardware.get("v100")


def test_the_table_holds_what_the_data_sheets_say():
    h100 = hardware.get("h100")
    assert (h100.memory, h100.peak["bf16"], h100.peak["fp32"], h100.bandwidth) == (80 * GIB, 989.5e12, 67e12, 3.35e12)
    for name in hardware.NAMES:
        assert hardware.get(name).peak["bf16"] >= hardware.get(name).peak["fp32"]
