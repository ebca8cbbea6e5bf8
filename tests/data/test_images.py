"""The door for pictures: what is refused, and what is left of what is taken."""

import ast
import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from safeeraser.assets import ROOT
from safeeraser.data import images
from safeeraser.data.images import PictureError, UploadError


def saved(image: Image.Image, format: str, **how) -> bytes:
    file = BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(images.picture(data)), formats=("PNG",))


def png_header(*, width: int, height: int) -> bytes:
    """A PNG that claims a size and holds ten bytes of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", images.UPLOADS)
def test_a_picture_of_each_format_becomes_the_same_small_png(format: str):
    safe = opened(saved(Image.new("RGB", (30, 20), (200, 40, 90)), format))
    assert (safe.format, safe.mode, safe.size) == ("PNG", "RGB", (30, 20))
    pixel = safe.getpixel((15, 10))
    assert isinstance(pixel, tuple)
    assert all(abs(got - sent) <= 6 for got, sent in zip(pixel, (200, 40, 90), strict=True))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_turned_picture_is_set_upright_and_its_metadata_dropped(format: str):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned clockwise by a quarter: its left edge is the upper one
    exif[0x010E] = "taken at home"
    picture = Image.new("RGB", (64, 32), "black")
    picture.paste("white", (0, 0, 32, 32))
    data = saved(picture, format, exif=exif)
    assert b"taken at home" in data
    safe = opened(data)
    assert safe.size == (32, 64)
    assert safe.convert("L").getpixel((16, 16)) > 200 > 50 > safe.convert("L").getpixel((16, 48))
    assert b"taken at home" not in images.picture(data)
    assert not safe.info
    assert not safe.getexif()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_is_shrunk_to_1024_pixels_on_its_long_side(format: str):
    assert opened(saved(Image.new("RGB", (1500, 5000)), format)).size == (307, 1024)


def test_only_the_first_frame_of_an_animation_is_kept():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for format in ("GIF", "WEBP", "PNG"):
        how = {"lossless": True} if format == "WEBP" else {}
        safe = opened(saved(frames[0], format, save_all=True, append_images=frames[1:], **how))
        assert getattr(safe, "n_frames", 1) == 1
        assert safe.getpixel((4, 4)) == (255, 0, 0)


def test_what_is_transparent_becomes_white():
    assert opened(saved(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")).getpixel((4, 4)) == (255, 255, 255)


def test_16_bits_of_grey_become_8():
    assert opened(saved(Image.new("I;16", (8, 8), 128 * 256), "PNG")).getpixel((4, 4)) == (128, 128, 128)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [50_000, 8_000, 12_000])
def test_a_bomb_is_refused_from_its_header_without_being_decoded(side: int, monkeypatch: pytest.MonkeyPatch):
    def decode(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(UploadError, match=r"pixels.*make it smaller"):
        images.picture(png_header(width=side, height=side))


def test_a_file_over_8_mib_is_refused_unread():
    with pytest.raises(UploadError, match=r"9\.0 MiB; at most 8 MiB"):
        images.picture(bytes(9 * 2**20))


def test_other_content_is_refused_whatever_it_calls_itself():
    tiff = saved(Image.new("RGB", (8, 8)), "TIFF")
    postscript = saved(Image.new("RGB", (8, 8)), "EPS")
    for data in (b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", tiff, postscript, b"%PDF-1.7"):
        with pytest.raises(UploadError, match="cannot be read as JPEG, PNG, WEBP, GIF, BMP;"):
            images.picture(data)


@pytest.mark.parametrize("format", images.UPLOADS)
def test_a_picture_that_is_cut_short_is_refused(format: str):
    data = saved(Image.effect_noise((200, 200), 90).convert("RGB"), format)
    with pytest.raises(UploadError):
        images.picture(data[: len(data) // 2])


def test_pixels_that_are_missing_or_damaged_are_refused():
    with pytest.raises(UploadError, match="damaged or cut short"):
        images.picture(png_header(width=100, height=100))


# Every way in which a file is opened as a picture.
OPENERS: dict[str, Callable[[Path], object]] = {
    "rgb": images.rgb,
    "size": images.size,
    "shown": lambda path: images.shown(path, "RGB", 768),
    "encoded": lambda path: images.encoded(path, ("PNG",)),
}


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return OPENERS[request.param]


def refused(opener: Callable[[Path], object], path: Path, why: str) -> None:
    with pytest.raises(PictureError, match=rf"{path.name}: the picture .*{why}") as error:
        opener(path)
    assert str(error.value).startswith(str(path))
    assert images.why_broken(path) == error.value.why


def test_pictures_are_opened_behind_one_door():
    """The demo world opens the project's own sprites: it stands below the data."""
    doors = {
        path.relative_to(ROOT / "safeeraser").as_posix()
        for path in (ROOT / "safeeraser").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in ("Image.open", "PIL.Image.open"))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "PIL.Image"
            and any(name.name == "open" for name in node.names)
        )
    }
    assert doors == {"data/images.py", "demo/drawing.py"}


@pytest.mark.parametrize("size", [(40_000, 1), (1, 40_000), (1010, 10)])
def test_a_picture_that_is_far_longer_than_wide_is_refused_before_it_is_decoded(
    size: tuple[int, int], opener: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.new("RGB", size).save(tmp_path / "long.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("it was decoded"))
    refused(opener, tmp_path / "long.png", "more than 100 times as long")


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000), (1, 1), (7500, 300)])
def test_banners_and_panoramas_are_taken(size: tuple[int, int], opener: Callable[[Path], object], tmp_path: Path):
    Image.new("RGB", size).save(tmp_path / "wide.png")
    opener(tmp_path / "wide.png")
    assert images.why_broken(tmp_path / "wide.png") is None


def test_an_upload_that_is_far_longer_than_wide_is_refused():
    with pytest.raises(UploadError, match=r"400,000 x 1 pixels.*make it smaller"):
        images.picture(png_header(width=400_000, height=1))


def test_what_is_no_file_is_refused_without_waiting(opener: Callable[[Path], object], tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name, kind in {"pipe": "a pipe", "folder": "a folder", "device": "a device"}.items():
        refused(opener, tmp_path / f"{name}.png", kind)


def test_a_file_of_too_many_bytes_is_refused_unread(opener: Callable[[Path], object], tmp_path: Path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.write(saved(Image.new("RGB", (4, 4)), "PNG"))
        file.truncate(2**40)  # takes no room on the disk
    refused(opener, tmp_path / "huge.png", "has 1,099,511,627,776 bytes, more than 536,870,912")


def test_a_pointer_of_git_lfs_says_how_the_picture_is_fetched(opener: Callable[[Path], object], tmp_path: Path):
    (tmp_path / "a.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(opener, tmp_path / "a.jpg", "run `git lfs pull`")


def test_a_model_gets_the_pixels_as_they_are_stored_and_a_reader_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.effect_noise((30, 20), 80).convert("RGB")
    stored.save(tmp_path / "turned.png", exif=exif)
    assert images.rgb(tmp_path / "turned.png").tobytes() == stored.tobytes()
    assert images.size(tmp_path / "turned.png") == (30, 20)
    assert images.shown(tmp_path / "turned.png", "RGB", 768).size == (20, 30)


def test_an_endpoint_gets_the_bytes_of_the_file_or_a_png_of_it(tmp_path: Path):
    colours = Image.effect_noise((30, 20), 80).convert("RGB")
    (tmp_path / "a.jpg").write_bytes(jpeg := saved(colours, "JPEG"))
    assert images.encoded(tmp_path / "a.jpg", ("JPEG",)) == ("JPEG", jpeg)
    kind, png = images.encoded(tmp_path / "a.jpg", ("GIF",))
    assert kind == "PNG"
    assert Image.open(BytesIO(png)).tobytes() == images.rgb(tmp_path / "a.jpg").tobytes()
