"""Pictures to train the plain world's base model on, and new ones to ask it about: drawn from a seed."""

import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from safeeraser import files
from safeeraser.demo.drawing import draw
from safeeraser.plain import world
from safeeraser.plain.world import Thing


@dataclass(frozen=True)
class Pool:
    """Pictures to train on: what the tower sees of each [n, tokens, width], and the scene that each shows."""

    features: Tensor
    scenes: list[tuple[Thing, str]]


def make_pool(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    each: int,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Pool:
    """So many pictures of every thing, as the model's tower sees them; kept in the folder, so that it looks once."""
    shown = [
        (thing, f"plain base model {seed}/{number}") for thing, number in product(world.THINGS.values(), range(each))
    ]
    scenes = [(thing, _scene(thing, name)[0]) for thing, name in shown]
    file = folder / f"pool-{each}.safetensors"
    if file.is_file():
        return Pool(load_file(file)["features"], scenes)
    with torch.no_grad():
        features = [
            model.model.vision_tower(drawn(thing, name, processor)).last_hidden_state[0].half()
            for thing, name in progress.track(shown, description="drawing")
        ]
    files.write(file, save({"features": torch.stack(features)}))
    return Pool(torch.stack(features), scenes)


def _scene(thing: Thing, seed: str) -> tuple[str, str]:
    """The colour behind a thing, and its place."""
    rng = random.Random(f"{seed}/{thing.name}")
    return rng.choice(list(world.COLOURS)), rng.choice(list(world.PLACES))


def drawn(thing: Thing, seed: str, processor: LlavaProcessor) -> Tensor:
    """Pixels [1, 3, side, side] of a picture of the thing."""
    colour, place = _scene(thing, seed)
    picture = draw(thing.sprite, colour=colour, place=place, seed=f"{seed}/{thing.name}")
    return processor.image_processor(picture, return_tensors="pt")["pixel_values"]
