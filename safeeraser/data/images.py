"""The one door through which a picture is opened, be it a file or the bytes of an upload.

Covered: what a picture may be (a regular file of bounded size, in one of a few formats, of bounded size and shape in
pixels), judged by its content, never by its name, and before anything is decoded; and the forms in which a model, the
app, an endpoint and the health report take it. Not covered: what it shows, and where it is (`finding.py`).
"""

import base64
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import PIL
from PIL import Image, ImageFilter, ImageOps

from safeeraser.data import regular
from safeeraser.data.records import DataError
from safeeraser.errors import SafeEraserError

# Photographs and drawings only: Pillow would try 40 more, and run Ghostscript for a picture that is PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
UPLOADS = FORMATS[:-1]  # what browsers show
MOST_PIXELS = 50_000_000  # a larger picture is reported instead of decoded: it may be a decompression bomb
# The long side by the short one; the longest panoramas and banners have about 20. A model's processor makes the short
# side 336 pixels long before it cuts the rest off, which would turn 400,000 x 1 pixels into 45 billion.
MOST_STRETCHED = 100
MOST_BYTES = 512 * 2**20  # MOST_PIXELS take 400 million bytes at most: four bands of 16 bits, not compressed
# What decides whether a picture is broken.
RULES = f"Pillow {PIL.__version__} {FORMATS} {MOST_PIXELS} {MOST_STRETCHED} {MOST_BYTES}"

# What endpoints read as it is; Pillow calls a JPEG with a second picture MPO.
MEDIA = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}

MAX_BYTES = 8 * 2**20  # of an upload
LONGEST_SIDE = 1024  # pixels that are left of an upload
PREVIEW = 24  # pixels of a hidden picture
LARGEST = 768  # pixels of a picture that is looked at


class PictureError(DataError):
    """A picture cannot be used; `why` goes on after its name, `advice` says what to do where that does not."""

    def __init__(self, why: str, advice: str | None = None, path: Path | None = None) -> None:
        name = f"{path}: the picture" if path else "the picture"
        super().__init__(f"{name} {why}; {advice}" if advice else f"{name} {why}")
        self.why = why
        self.advice = advice


class UploadError(SafeEraserError):
    """An upload is refused; the message says why and what would be taken."""


def rgb(path: Path) -> Image.Image:
    """The picture as a model takes it: RGB, as it is stored, not turned. Raises PictureError."""
    with _file(path) as file, _decoded(file) as picture:
        return picture.convert("RGB")


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, read from the header alone. Raises PictureError."""
    with _file(path) as file, _decoded(file) as picture:
        return picture.size


def shown(path: Path, mode: str, side: int) -> Image.Image:
    """The picture upright, in Pillow's `mode`; a JPEG is decoded at about `side` pixels. Raises PictureError."""
    with _file(path) as file, _decoded(file) as picture:
        picture.draft(mode, (side, side))
        return ImageOps.exif_transpose(picture).convert(mode)


def seen(path: Path, *, hidden: bool, side: int = LARGEST, form: Literal["PNG", "WEBP"] = "PNG") -> bytes | None:
    """The picture as its reader may see it; None when it cannot be decoded. side: the longest, in pixels.

    form: PNG to the last bit, or WEBP, which takes a tenth of a photograph's room. Nothing else of the file, such as
    where a photograph was taken, is in it.

    hidden: 24 pixels of grey, blurred: enough to see that there is a picture, not what it shows.
    """
    try:
        image = shown(path, "L", 2 * PREVIEW) if hidden else shown(path, "RGB", side)
    except PictureError:
        return None
    if hidden:
        return _saved(ImageOps.contain(image, (PREVIEW, PREVIEW)).filter(ImageFilter.GaussianBlur(2)), form)
    return _saved(ImageOps.contain(image, (side, side)) if max(image.size) > side else image, form)


def encoded(path: Path, formats: Container[str]) -> tuple[str, bytes]:
    """The file's format and its own bytes; "PNG" and one made from it if it is in none of `formats`.

    Raises PictureError. The file's own bytes are not decoded.
    """
    with _file(path) as file, _decoded(file) as picture:
        if (kind := picture.format or "") in formats:
            file.seek(0)
            return kind, file.read()
        return "PNG", _png(picture.convert("RGB"))


@lru_cache(maxsize=16)  # the questions of a picture follow each other
def data_url(path: Path) -> str:
    """The file's own bytes as a `data:` URL; a format that endpoints do not read is turned into PNG.

    Raises PictureError.
    """
    kind, content = encoded(path, MEDIA)
    return f"data:{MEDIA[kind]};base64,{base64.b64encode(content).decode()}"


def why_broken(path: Path) -> str | None:
    """Why the picture cannot be decoded in full, to go on after its name; None if it can."""
    try:
        with _file(path) as file, _decoded(file) as picture:
            picture.draft(None, (1, 1))  # a JPEG is read to its end all the same, and small, in less time and memory
            picture.load()
    except PictureError as error:
        return error.why
    return None


def picture(data: bytes) -> bytes:
    """A PNG of an upload's first frame: RGB on white, upright, without metadata, at most LONGEST_SIDE pixels long.

    Raises UploadError for more than MAX_BYTES bytes and for what the door refuses. Nothing touches the disk.
    """
    if len(data) > MAX_BYTES:
        raise UploadError(f"the file has {len(data) / 2**20:.1f} MiB; at most {MAX_BYTES / 2**20:g} MiB are taken")
    try:
        with _decoded(BytesIO(data), UPLOADS) as opened:
            return _png(_upright(opened))
    except PictureError as error:
        raise UploadError(str(error)) from error


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    """The picture's file; a PictureError from here or from what is done with it names the file."""
    try:
        with regular.opened(path, most=MOST_BYTES) as file:
            yield file
    except FileNotFoundError:
        raise PictureError("is missing", "put the file there", path) from None
    except PictureError as error:
        raise PictureError(error.why, error.advice, path) from error
    except regular.FileKindError as error:
        raise PictureError(str(error), "put the picture in its place", path) from None
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}", "check its permissions", path) from error


@contextmanager
def _decoded(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """The picture in a file, once its header has passed; pixels are decoded when they are asked for.

    Whatever that raises is a PictureError: a hostile or damaged file can make a decoder raise anything.
    """
    try:
        with Image.open(file, formats=formats) as picture:
            _check_shape(*picture.size)
            yield picture
    except PictureError:
        raise
    except Image.UnidentifiedImageError:
        file.seek(0)
        if regular.is_lfs_pointer(file.read(100)):
            raise PictureError(regular.LFS_POINTER) from None
        known = ", ".join(formats)
        raise PictureError(f"cannot be read as {known}", "take one that is what its name says") from None
    # The warning counts as well where warnings are errors.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"cannot be decoded: {error}", "make it smaller") from None
    except Exception as error:
        raise PictureError(f"cannot be decoded: {error}", "it is damaged or cut short: save it again") from error


def _check_shape(width: int, height: int) -> None:
    long, short = max(width, height), min(width, height)
    if width * height > MOST_PIXELS:
        why = f"is {width:,} x {height:,} pixels large, more than {MOST_PIXELS:,} in all"
    elif long > MOST_STRETCHED * short:
        why = f"is {width:,} x {height:,} pixels large, one side more than {MOST_STRETCHED} times as long as the other"
    else:
        return
    raise PictureError(why, "make it smaller or cut it")


def _upright(opened: Image.Image) -> Image.Image:
    """The first frame of an upload as it is meant to be seen, RGB."""
    opened.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))  # a large JPEG need not be decoded in full
    ImageOps.exif_transpose(opened, in_place=True)
    flat = _flat(opened)
    flat.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return flat


def _flat(opened: Image.Image) -> Image.Image:
    if opened.has_transparency_data:
        layer = opened.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    if opened.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255: all white
        return Image.fromarray((np.asarray(opened) // 256).astype(np.uint8)).convert("RGB")
    return opened.convert("RGB")


def _png(picture: Image.Image) -> bytes:
    return _saved(picture, "PNG")


def _saved(picture: Image.Image, form: str) -> bytes:
    file = BytesIO()
    picture.save(file, form)
    return file.getvalue()
