"""The cache of the vision tower's features, on tiny random models of the true classes."""

from pathlib import Path
from typing import Any

import families
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.models import adapter, features, loading
from safeeraser.models import families as rows
from safeeraser.models.encoder import Encoder


@pytest.fixture
def items(tiny_data: Dataset) -> list[VQA]:
    """Six questions about two pictures."""
    first, second = tiny_data.train[:2]
    return [*first.forget, *second.forget[:2]]


@pytest.fixture
def tiny(tiny_model: Path) -> tuple[Any, Encoder]:
    network, processor = loading.load(str(tiny_model))
    return network, Encoder(processor)


def llava_next(layer: int | list[int]) -> LlavaNextForConditionalGeneration:
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**small, image_size=16, patch_size=8).to_dict(),
        text_config=LlamaConfig(**small, vocab_size=60).to_dict(),
        image_token_index=50,
        image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]],
        vision_feature_layer=layer,
    )
    return LlavaNextForConditionalGeneration(config).requires_grad_(False).eval()


def seen(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def count_computed(network: Any) -> list[int]:
    """How many pictures each call of the tower computes; to be set up before the cache."""
    tower, sizes = network.model.vision_tower, []
    tower.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    return sizes


def test_each_distinct_picture_is_computed_once_and_comes_back_identical(
    tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path
):
    network, encoder = tiny
    inputs = encoder.prompt_batch(items)
    without = seen(network, inputs)
    computed = count_computed(network)
    cached = features.cache(network, limit=1, folder=tmp_path)
    first = seen(network, inputs)
    assert (computed, cached.hits, cached.misses) == ([2], 0, 2)
    assert torch.allclose(first, without, atol=1e-6, rtol=0)
    again = seen(network, inputs)
    assert (computed, cached.hits, cached.misses) == ([2], 2, 2)
    assert torch.equal(again, first)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    cached.remove()
    assert torch.equal(seen(network, inputs), without)
    assert computed == [2, 6]


def test_a_batch_of_known_and_new_pictures_computes_the_new_alone(
    tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path
):
    network, encoder = tiny
    without = seen(network, encoder.prompt_batch(items))
    computed = count_computed(network)
    features.cache(network, limit=1, folder=tmp_path)
    seen(network, encoder.prompt_batch(items[-1:]))
    assert torch.allclose(seen(network, encoder.prompt_batch(items)), without, atol=1e-6, rtol=0)
    assert computed == [1, 1]


def test_another_model_of_the_same_shape_finds_nothing(tiny_model: Path, items: list[VQA], tmp_path: Path):
    for change in (0.0, 1e-3):
        network, processor = loading.load(str(tiny_model))
        network.model.vision_tower.post_layernorm.bias += change
        cached = features.cache(network, limit=1, folder=tmp_path)
        seen(network, Encoder(processor).prompt_batch(items))
        assert (cached.hits, cached.misses) == (0, 2)
    network, processor = loading.load(str(tiny_model), precision="bf16")
    cached = features.cache(network, limit=1, folder=tmp_path)
    inputs = Encoder(processor).prompt_batch(items)
    seen(network, inputs | {"pixel_values": inputs["pixel_values"].bfloat16()})
    assert (cached.hits, cached.misses) == (0, 2)
    assert len(list(tmp_path.iterdir())) == 3


def test_autocast_does_not_find_the_features_of_full_precision(
    tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path
):
    network, encoder = tiny
    cached = features.cache(network, limit=1, folder=tmp_path)
    inputs = encoder.prompt_batch(items)
    seen(network, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        low = seen(network, inputs)
        assert (cached.hits, cached.misses) == (0, 4)
        cached.remove()
        assert torch.allclose(seen(network, inputs).float(), low.float(), atol=2e-2)


def test_training_under_peft_gives_the_losses_and_gradients_it_had_and_the_adapter_its_names(
    tiny_model: Path, config: RunConfig, items: list[VQA], tmp_path: Path
):
    gradients, losses = [], []
    for limit in (None, 1, 1):
        network, processor = loading.load(str(tiny_model))
        torch.manual_seed(1)
        adapted = adapter.attach(network, config.model_copy(update={"lora_dropout": 0.0})).train()
        if limit:
            features.cache(adapted, limit=limit, folder=tmp_path / "cache")
        inputs = Encoder(processor).prompt_batch(items)
        loss = adapted(**inputs, labels=inputs["input_ids"]).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append([parameter.grad for parameter in adapter.trainable(adapted)])
        adapter.save(adapted, tmp_path / f"adapter-{len(losses)}")
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[1] == losses[2]
    for plain, first, again in zip(*gradients, strict=True):
        assert torch.allclose(plain, first, atol=1e-6)
        assert torch.equal(first, again)
    names = [set(load_file(tmp_path / f"adapter-{k}" / "adapter_model.safetensors")) for k in (1, 2)]
    assert names[0] == names[1]


def test_a_model_with_a_cache_is_saved_under_its_own_names_and_loads_again(
    tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path
):
    network, encoder = tiny
    inputs = encoder.prompt_batch(items)
    names = network.state_dict().keys()
    features.cache(network, limit=1, folder=tmp_path / "cache")
    seen(network, inputs)
    assert network.state_dict().keys() == names
    network.save_pretrained(tmp_path / "model")
    loaded = type(network).from_pretrained(tmp_path / "model")
    assert torch.allclose(seen(loaded, inputs), seen(network, inputs), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layer", [-2, 1, [-1, 1]])
def test_llava_next_with_its_parts_of_a_picture_and_any_choice_of_layers(layer: int | list[int], tmp_path: Path):
    network = llava_next(layer)
    pixels = torch.randn(2, 3, 3, 16, 16)
    sizes = torch.tensor([[32, 16], [16, 32]])
    call = {"pixel_values": pixels, "image_sizes": sizes}
    without = network.model.get_image_features(**call).pooler_output
    cached = features.cache(network, limit=1, folder=tmp_path)
    for hits in (0, 6):
        found = network.model.get_image_features(**call).pooler_output
        assert (cached.hits, cached.misses) == (hits, 6)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(without, found, strict=True))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_finds_its_features_again_or_is_refused(family: str, items: list[VQA], tmp_path: Path):
    network, processor = loading.load(str(families.FAMILIES[family](tmp_path / "model")))
    inputs = Encoder(processor).prompt_batch(items[:5])
    without = seen(network, inputs)
    if not rows.FAMILIES[family].caches:
        with pytest.raises(features.FeatureError, match=r"--feature-cache: .*; leave the flag out"):
            features.cache(network, limit=1, folder=tmp_path / "cache")
        assert torch.equal(seen(network, inputs), without)
        return
    cached = features.cache(network, limit=1, folder=tmp_path / "cache")
    assert torch.allclose(seen(network, inputs), without, atol=1e-6)
    assert torch.allclose(seen(network, inputs), without, atol=1e-6)
    assert cached.hits == cached.misses > 0


def test_generation_in_inference_mode_gives_the_same_answers(
    tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path
):
    network, encoder = tiny
    inputs = encoder.prompt_batch(items)
    how = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": encoder.tokenizer.pad_token_id}
    with torch.inference_mode():
        without = network.generate(**inputs, **how)
        cached = features.cache(network, limit=1, folder=tmp_path)
        for _ in range(2):
            assert torch.equal(network.generate(**inputs, **how), without)
    assert (cached.hits, cached.misses) == (2, 2)
    loss = network(**inputs, labels=inputs["input_ids"]).loss  # what inference stored, training may read
    assert loss.isfinite()
    assert cached.hits == 4


def test_a_call_for_all_hidden_states_goes_to_the_tower(tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path):
    network, encoder = tiny
    cached = features.cache(network, limit=1, folder=tmp_path)
    pixels = encoder.prompt_batch(items)["pixel_values"]
    states = network.model.get_image_features(pixels, output_hidden_states=True).hidden_states
    assert all(state is not None for state in states)
    assert (cached.hits, cached.misses) == (0, 0)


def test_a_damaged_file_is_computed_again(tiny: tuple[Any, Encoder], items: list[VQA], tmp_path: Path):
    network, encoder = tiny
    cached = features.cache(network, limit=1, folder=tmp_path)
    inputs = encoder.prompt_batch(items)
    first = seen(network, inputs)
    damaged = next(tmp_path.rglob("*.safetensors"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-40] + bytes(40))
    assert torch.allclose(seen(network, inputs), first, atol=1e-6, rtol=0)
    assert (cached.hits, cached.misses) == (1, 3)
    assert len(damaged.read_bytes()) == len(whole)


def test_a_tower_whose_features_change_is_refused(tiny: tuple[Any, Encoder], tmp_path: Path):
    network, _ = tiny
    network.model.vision_tower.requires_grad_(True)
    with pytest.raises(features.FeatureError, match="is trained"):
        features.cache(network, limit=1, folder=tmp_path)
    network.model.vision_tower.requires_grad_(False)
    network.model.vision_tower.config.attention_dropout = 0.1
    with pytest.raises(features.FeatureError, match="drops out at random"):
        features.cache(network, limit=1, folder=tmp_path)
    with pytest.raises(features.FeatureError, match="0 modules named vision_tower"):
        features.cache(network.model.language_model, limit=1, folder=tmp_path)
