"""An untrusted picture -> a safe one: small, plain RGB, in a format we write ourselves. Nothing touches the disk.

Judged by content, never by name. Not covered: what the picture shows.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from safeeraser.data.health import MOST_PIXELS
from safeeraser.errors import SafeEraserError

MAX_BYTES = 8 * 2**20
LONGEST_SIDE = 1024
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # what browsers show; Pillow would try 40 more, some through programs


class UploadError(SafeEraserError):
    """An upload is refused; the message says why and what would be taken."""


def picture(data: bytes) -> bytes:
    """A PNG of the upload's first frame: RGB on white, upright, without metadata, at most LONGEST_SIDE pixels long.

    Raises UploadError for more than MAX_BYTES bytes, another format, more than MOST_PIXELS pixels (judged from the
    header, before anything is decoded) and a picture that is cut short or damaged.
    """
    if len(data) > MAX_BYTES:
        raise UploadError(f"the file has {len(data) / 2**20:.1f} MiB; at most {MAX_BYTES / 2**20:g} MiB are taken")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            _check_size(opened)
            safe = _upright(opened)
    except UploadError:
        raise
    except Image.UnidentifiedImageError:
        raise UploadError(f"the file is not a picture that can be read; take one of {', '.join(FORMATS)}") from None
    # DecompressionBombWarning counts as well where warnings are errors.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UploadError(f"the picture has more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # whatever a hostile or damaged file makes a decoder raise, the picture is refused
        raise UploadError(f"the picture is damaged or cut short ({error}); save it again and retry") from error
    png = BytesIO()
    safe.save(png, "PNG")
    return png.getvalue()


def _check_size(opened: Image.Image) -> None:
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise UploadError(f"the picture has {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}; make it smaller")


def _upright(opened: Image.Image) -> Image.Image:
    """The first frame as it is meant to be seen, RGB."""
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
