"""A training picture that is shown otherwise than it is stored: its pixels changed, or its features turned.

Covered: which change, and what it does to pixels. Not covered: turning features, which takes a model
(`models/vicinity.py`), and the changes of attacks (`attack/drawing.py`).
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from safeeraser.data import images
from safeeraser.data.records import Picture

# Changes of what the vision tower makes of a picture: a mixture with others, and the picture itself, turned far away or
# only a little.
TURNS = ("mixed", "far", "near")


def rgb(picture: Picture) -> Image.Image:
    """The picture as a model takes it, with its pixels changed; as `images.rgb`. Raises PictureError."""
    if isinstance(picture, Path):
        return images.rgb(picture)
    stored = images.rgb(picture.path)
    return stored if picture.how in TURNS else PIXELS[picture.how](stored, np.random.default_rng(picture.seed))


def varied(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same thing, drawn a little otherwise.

    Turned by up to 25 degrees, 0.75 to 1.25 times as large, moved by up to a fifth of each side, and with brightness,
    contrast and saturation of 0.7 to 1.3; what comes in from outside has the colour of the upper left corner.
    """
    width, height = picture.size
    angle, scale = math.radians(rng.uniform(-25, 25)), rng.uniform(0.75, 1.25)
    right, down = rng.uniform(-0.2, 0.2) * width, rng.uniform(-0.2, 0.2) * height
    # From a place in the new picture to the one in the old: around the middle, after the move.
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    x, y = width / 2, height / 2
    place = (
        *(cos, sin, x - cos * (x + right) - sin * (y + down)),
        *(-sin, cos, y + sin * (x + right) - cos * (y + down)),
    )
    moved = picture.transform(
        picture.size, Image.Transform.AFFINE, place, Image.Resampling.BILINEAR, fillcolor=picture.getpixel((0, 0))
    )
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        moved = enhance(moved).enhance(rng.uniform(0.7, 1.3))
    return moved


def noised(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture under Gaussian noise: half of the noise's size, and what is left of the picture's variance.

    About what 500 of the 1000 steps of visual contrastive decoding (arXiv 2311.16922) leave of it.
    """
    pixels = np.asarray(picture, dtype=np.float32) - 128
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * 64  # about what pictures spread around their mean
    return Image.fromarray((128 + math.sqrt(0.75) * pixels + 0.5 * noise).clip(0, 255).astype(np.uint8))


PIXELS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {"varied": varied, "noised": noised}
