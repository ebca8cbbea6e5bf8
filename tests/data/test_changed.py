"""Pictures that training shows otherwise than they are stored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safeeraser.data import changed, images
from safeeraser.data.records import Changed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A red square in the middle of white, a quarter of the picture."""
    picture = Image.new("RGB", (64, 48), "white")
    picture.paste("red", (16, 12, 48, 36))
    picture.save(tmp_path / "square.png")
    return tmp_path / "square.png"


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=float)


@pytest.mark.parametrize("how", changed.PIXELS)
def test_a_change_follows_from_its_seed_and_keeps_size_and_mode(path: Path, how: str):
    drawn = [changed.rgb(Changed(path, how, seed)) for seed in (1, 1, 2)]
    assert all(picture.size == (64, 48) and picture.mode == "RGB" for picture in drawn)
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0] != images.rgb(path)


def test_a_picture_that_is_turned_has_its_own_pixels_and_one_without_a_change_too(path: Path):
    assert changed.rgb(path) == images.rgb(path)
    assert all(changed.rgb(Changed(path, how, 3)) == images.rgb(path) for how in changed.TURNS)


def test_a_variation_still_shows_the_thing_about_as_large_and_about_where_it_was(path: Path):
    shares, places = [], []
    for seed in range(40):
        found = pixels(changed.rgb(Changed(path, "varied", seed)))
        red = found[..., 0] - found[..., 1] > 60
        shares.append(red.mean())
        places.append(np.argwhere(red).mean(0) / (48, 64))
    # A quarter of the picture, 0.75^2 to 1.25^2 times as large; the middle moved by up to a fifth of each side.
    assert min(shares) > 0.25 * 0.75**2 * 0.85
    assert max(shares) < 0.25 * 1.25**2 * 1.1
    assert np.abs(np.array(places) - 0.5).max() < 0.22
    assert np.std(shares) > 0.03
    assert np.std(places) > 0.05


def test_noise_has_half_its_size_and_the_picture_what_is_left_of_the_variance(tmp_path: Path):
    Image.new("RGB", (200, 200), (168, 128, 88)).save(tmp_path / "plain.png")
    found = pixels(changed.rgb(Changed(tmp_path / "plain.png", "noised", 0)))
    assert found.mean((0, 1)) == pytest.approx([128 + 0.75**0.5 * 40, 128, 128 - 0.75**0.5 * 40], abs=1)
    assert found.std((0, 1)) == pytest.approx([32, 32, 32], abs=1)


def test_a_missing_picture_is_named(tmp_path: Path):
    with pytest.raises(images.PictureError, match=r"gone\.png: the picture is missing"):
        changed.rgb(Changed(tmp_path / "gone.png", "varied", 0))
