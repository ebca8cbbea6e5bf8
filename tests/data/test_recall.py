"""What is remembered about picture files between runs, and when they are looked at again."""

import os
from pathlib import Path

import pytest
from PIL import Image

from safeeraser.data import health, recall
from safeeraser.data.source import load
from safeeraser.store import folder_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(recall, "FEW", 5)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(made):
        path.write_bytes(b"picture %d" % number)
    return made


def ask(pictures: list[Path], **how: str | bool) -> tuple[list[str], list[str]]:
    """What was said about each picture, and which were looked at."""
    looked = []

    def find(path: Path) -> str:
        looked.append(path.name)
        return path.read_text()

    told = recall.of_each(pictures, find, root=Path("/data"), **how)  # type: ignore[arg-type]
    assert list(told) == pictures
    return list(told.values()), sorted(looked)


def test_a_file_is_looked_at_again_only_when_it_changed(pictures: list[Path]):
    said = [f"picture {number}" for number in range(8)]
    names = [path.name for path in pictures]
    assert ask(pictures) == (said, names)
    assert ask(pictures) == (said, [])
    pictures[3].write_bytes(b"longer than before")
    pictures[5].write_bytes(b"Picture 5")
    os.utime(pictures[5], ns=(1, 1))
    changed = [*said[:3], "longer than before", said[4], "Picture 5", *said[6:]]
    assert ask(pictures) == (changed, ["3.png", "5.png"])
    assert ask(pictures) == (changed, [])
    assert ask(pictures, anew=True) == (changed, names)
    assert ask(pictures, version="other") == (changed, names)


def test_a_few_pictures_leave_no_memory_behind(pictures: list[Path]):
    ask(pictures[:5])
    assert ask(pictures[:5])[1] == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert not folder_of("pictures").exists()


def test_a_damaged_memory_is_written_anew(pictures: list[Path]):
    said = ask(pictures)[0]
    (memory,) = folder_of("pictures").iterdir()
    memory.write_text(memory.read_text()[:40])
    assert ask(pictures) == (said, [path.name for path in pictures])
    assert ask(pictures) == (said, [])


def test_a_data_set_reads_its_pictures_once_and_a_check_each_time(
    tiny_data_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, opened = load(str(tiny_data_folder)), []
    real = Image.open

    def counted(file: Path, *rest: object, **named: object) -> Image.Image:
        opened.append(file)
        return real(file, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", counted)
    found = health.readable(dataset), health.clean_val(dataset)
    first = len(opened)
    assert first == len(health.picture_hashes(dataset)) == 2 * 48 + 12
    assert (health.readable(dataset), health.clean_val(dataset)) == found
    assert len(opened) == first
    assert health.check(tiny_data_folder).usable
    assert len(opened) == 2 * first


def test_a_picture_that_breaks_or_is_mended_later_is_seen(tiny_data_folder: Path, tmp_path: Path):
    dataset = load(str(tiny_data_folder))
    picture = dataset.val[0].picture
    assert picture is not None
    whole, facts = picture.read_bytes(), picture.stat()
    assert health.readable(dataset)[1] == {}
    try:
        picture.write_bytes(whole[: len(whole) // 2])
        assert list(health.readable(dataset)[1]) == [picture]
    finally:
        picture.write_bytes(whole)
        os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert health.readable(dataset)[1] == {}
