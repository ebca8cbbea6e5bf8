"""What stands before the patches of a picture: counted as the model has it, said where it is taken for patches."""

import io
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from rich.console import Console
from rich.text import Text
from transformers import (
    AutoConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.models import loading, tower
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder
from safeeraser.plan import forecast, tables
from safeeraser.runs.progress import reporter

SIDE, PATCH = 32, 8  # 16 patches a picture
# Towers by model_type with what they put before the patches, and the tokens that the strategy `default` leaves.
TOWERS = {
    "clip_vision_model": (1, 0, 16),
    "siglip_vision_model": (0, 0, 15),
    "dinov2": (1, 0, 16),
    "dinov2_with_registers": (1, 4, 20),
}
SAID = {
    "siglip_vision_model": "one patch of every picture is lost",
    "dinov2_with_registers": "4 register tokens are taken for patches of every picture",
}


def vision(kind: str) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return AutoConfig.for_model(kind, image_size=SIDE, patch_size=PATCH, **sizes)


def llava(folder: Path, kind: str, strategy: str = "default") -> str:
    """A tiny random LLaVA with a tower of this type; its processor leaves out what `loading.complete` fills in."""
    families.tiny(folder, side=SIDE, patch=PATCH)
    config = LlavaConfig.from_pretrained(folder)
    config.vision_config = vision(kind)
    config.vision_feature_select_strategy = strategy
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("strategy", ["default", "full"])
@pytest.mark.parametrize("kind", TOWERS)
def test_the_processor_writes_as_many_tokens_as_the_model_makes_of_a_picture(
    kind: str, strategy: str, tiny_data: Dataset, tmp_path: Path
):
    network, processor = loading.load(llava(tmp_path, kind, strategy))
    classes, registers, left = TOWERS[kind]
    assert tower.before_patches(network) == (classes, registers)
    inputs = Encoder(processor).prompt_batch([tiny_data.train[0].forget[0]])
    written = (inputs["input_ids"] == processor.image_token_id).sum()
    assert written == (left if strategy == "default" else 16 + classes + registers)
    with torch.no_grad():
        assert network(**inputs).logits.isfinite().all()


@pytest.mark.parametrize("kind", TOWERS)
def test_patches_that_are_lost_and_registers_that_are_kept_are_told_by_run_and_plan(
    kind: str, config: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path
):
    config = config.model_copy(update={"model": llava(tmp_path / "model", kind), "max_steps": 1})
    source = Source(config.data)
    run = stages.open_run(config, source)
    with reporter(Console(file=(said := io.StringIO()), width=400)) as progress:
        stages.unlearn(run, source, progress)
        stages.generate(run, source, progress)
    notes = [line.removeprefix("note: ") for line in said.getvalue().splitlines() if line.startswith("note: ")]
    told = tables.render(forecast.forecast(config, tiny_data, []))
    planned = [line for part in told if isinstance(part, Text) for line in part.plain.splitlines()]
    if kind not in SAID:
        assert notes == []
        assert not [line for line in planned if "Pictures" in line]
        return
    assert len(notes) == 2
    assert "vision_feature_select_strategy" in notes[0]
    assert SAID[kind] in notes[0]
    assert f"- Pictures: {notes[0]}." in planned


def test_nothing_is_said_where_the_model_keeps_all_that_its_tower_makes(tmp_path: Path):
    for kind in SAID:
        assert tower.misread(loading.load(llava(tmp_path / kind, kind, "full"))[0]) is None


@pytest.mark.parametrize("kind", SAID)
def test_tiles_that_would_not_fit_together_are_an_error_of_loading(kind: str, tmp_path: Path):
    folder = families.llava_next(tmp_path)
    config = LlavaNextConfig.from_pretrained(folder)
    config.vision_config = vision(kind)
    LlavaNextForConditionalGeneration(config).save_pretrained(folder, max_shard_size="200KB")
    with pytest.raises(ModelError, match=f"--model {folder}: .*{SAID[kind]}.*cannot be put together") as caught:
        loading.load(str(folder))
    assert "vision_feature_select_strategy" in str(caught.value)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_nothing_is_said_of_a_checkpoint_as_it_is_published(family: str, tmp_path: Path):
    assert tower.misread(loading.load(str(families.FAMILIES[family](tmp_path)))[0]) is None
