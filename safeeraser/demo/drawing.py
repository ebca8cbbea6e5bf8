"""Drawing the demo world: one pictogram on a coloured ground, with clutter and noise."""

import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from safeeraser.assets import ASSETS
from safeeraser.demo.world import COLOURS, PLACES

SIDE = 224  # pixels
OUTLINE = 4  # pixels of a sprite's 128
INK = (32, 32, 40, 255)


@cache
def sprite(concept: str) -> Image.Image:
    """The concept's pictogram, RGBA, with a dark outline, so that it stands out from a ground of its own colour."""
    pictogram = Image.open(ASSETS / "demo" / "sprites" / f"{concept.replace(' ', '-')}.png").convert("RGBA")
    pictogram = ImageOps.expand(pictogram, OUTLINE)
    outline = pictogram.getchannel("A").filter(ImageFilter.MaxFilter(2 * OUTLINE + 1))
    outlined = Image.new("RGBA", pictogram.size, INK)
    outlined.putalpha(outline)
    return Image.alpha_composite(outlined, pictogram)


def draw(concept: str, *, colour: str, place: str, seed: str) -> Image.Image:
    """A picture of the concept, RGB, 224 x 224; everything that is not named is drawn from the seed."""
    rng = random.Random(seed)
    picture = Image.new("RGB", (SIDE, SIDE), tuple(_jitter(c, 14, rng) for c in COLOURS[colour]))
    _clutter(ImageDraw.Draw(picture), rng)
    _paste(picture, sprite(concept), place, rng)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 6), (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def _jitter(value: int, spread: int, rng: random.Random) -> int:
    return max(0, min(255, value + rng.randint(-spread, spread)))


def _clutter(canvas: ImageDraw.ImageDraw, rng: random.Random) -> None:
    for _ in range(rng.randint(3, 9)):
        x, y, size = rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(4, 16)
        ink = tuple(rng.randint(40, 215) for _ in range(3))
        box = (x - size, y - size, x + size, y + size)
        match rng.randrange(3):
            case 0:
                canvas.ellipse(box, fill=ink)
            case 1:
                canvas.rectangle(box, outline=ink, width=3)
            case _:
                canvas.line((x, y, x + rng.uniform(-50, 50), y + rng.uniform(-50, 50)), fill=ink, width=3)


def _paste(picture: Image.Image, pictogram: Image.Image, place: str, rng: random.Random) -> None:
    size = round(SIDE * rng.uniform(0.48, 0.62))
    pictogram = pictogram.resize((size, size), Image.Resampling.BILINEAR)
    pictogram = pictogram.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True)
    *bands, alpha = pictogram.split()
    tinted = Image.merge("RGB", [ImageEnhance.Brightness(band).enhance(rng.uniform(0.9, 1.1)) for band in bands])
    pictogram = ImageEnhance.Brightness(tinted).enhance(rng.uniform(0.9, 1.1))
    x, y = (SIDE * (centre + rng.uniform(-0.05, 0.05)) for centre in PLACES[place])
    picture.paste(pictogram, (round(x - alpha.width / 2), round(y - alpha.height / 2)), alpha)
