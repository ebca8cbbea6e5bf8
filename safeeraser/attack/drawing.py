"""Pictures changed: pure functions of an RGB picture and a question, the same each time."""

import hashlib
from bisect import bisect

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

NOISE = 25  # standard deviation of the noise, of 255
CROP = 0.1  # of the width and height, off each side
BLUR = 0.015  # radius, of the shorter side
DARKER = 0.85  # of the brightness
GREY = (128, 128, 128)

SIDE = 672  # pixels of a picture with a question in it, unless the question needs more
MARGIN = 16  # pixels
SIZES = range(32, 13, -2)  # of the letters, in pixels: the first that fits
POINTS = ("1.", "2.", "3.")
SPACING = 1.25  # lines, in letters' height


def noise(picture: Image.Image, question: str) -> Image.Image:
    """Gaussian noise on every pixel and colour; the picture itself is its seed."""
    pixels = np.asarray(picture, dtype=float)
    seed = int.from_bytes(hashlib.sha256(picture.tobytes()).digest()[:8])
    noisy = pixels + np.random.default_rng(seed).normal(0, NOISE, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def crop(picture: Image.Image, question: str) -> Image.Image:
    """The middle of the picture, as large as the whole was."""
    width, height = picture.size
    box = (CROP * width, CROP * height, (1 - CROP) * width, (1 - CROP) * height)
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)


def blur(picture: Image.Image, question: str) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(BLUR * min(picture.size)))


def darker(picture: Image.Image, question: str) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(DARKER)


def blank(picture: Image.Image, question: str) -> Image.Image:
    """A grey picture of the same size: what the model knows from the question alone."""
    return Image.new("RGB", picture.size, GREY)


def figstep(picture: Image.Image, question: str) -> Image.Image:
    """The picture above the question as a heading of a numbered list whose points are empty; square.

    After FigStep (Gong et al. 2023, arXiv 2311.05608), which writes a text-only request; a question about a picture
    needs the picture too. Square, because a model's processor cuts the longer side off. Letters that Pillow's own font
    lacks, such as Chinese, are drawn as boxes.
    """
    side, font, lines = layout(question)
    canvas = Image.new("RGB", (side, side), "white")
    small = picture.copy()
    small.thumbnail((side - 2 * MARGIN, side // 2 - 2 * MARGIN), Image.Resampling.BICUBIC)
    canvas.paste(small, ((side - small.width) // 2, MARGIN))
    pen = ImageDraw.Draw(canvas)
    for place, line in enumerate(lines):
        pen.text((MARGIN, side // 2 + place * SPACING * font.size), line, "black", font)
    return canvas


def layout(question: str) -> tuple[int, ImageFont.FreeTypeFont, list[str]]:
    """The side of the picture in pixels, the font, and the lines of heading and list that fit into its lower half."""
    side = SIDE
    while True:
        for size in SIZES:
            font = ImageFont.load_default(size)
            assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
            lines = [*_folded(question, font, side - 2 * MARGIN), *POINTS]
            if len(lines) * SPACING * size <= side // 2 - MARGIN:
                return side, font, lines
        side *= 2


def _folded(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most so many pixels; a word that is wider alone is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        lines += [line] if line else []
        while font.getlength(word[:width]) > width:  # no letter is narrower than a pixel
            fits = bisect(range(1, min(len(word), width)), width, key=lambda n: font.getlength(word[:n]))
            lines.append(word[: max(fits, 1)])
            word = word[max(fits, 1) :]
        line = word
    return [*lines, line] if line else lines
