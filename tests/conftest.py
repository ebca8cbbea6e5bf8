"""A tiny random LLaVA and a small demo world: the real classes and file formats, in a second."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
# Before torch is imported: ten times faster on models this small, and tests run side by side.
os.environ["OMP_NUM_THREADS"] = "1"
# Else each process that a test starts would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import load
from safeeraser.demo import dataset

if TYPE_CHECKING:
    from browser import Server, Visit
    from playwright.sync_api import Browser


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a core: a test often waits for a disk, a server or a browser."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def tiny_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo world with one record per harmful concept and split."""
    folder = tmp_path_factory.mktemp("data") / "demo"
    dataset.write(folder, each={"train": 1, "val": 1})
    return folder


@pytest.fixture(scope="session")
def tiny_data(tiny_data_folder: Path) -> Dataset:
    return load(str(tiny_data_folder))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer LLaVA checkpoint with the demo world's processor."""
    import families  # loads torch, which the process that hands out the tests does not need

    return families.tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def config(tiny_model: Path, tiny_data_folder: Path) -> RunConfig:
    """Four steps of PO + PD on the tiny model."""
    return RunConfig.create(
        model=str(tiny_model),
        data=str(tiny_data_folder),
        max_steps=4,
        batch_size=3,
        checkpoint_every=1,
        lora_rank=4,
        eval_records=2,
        max_new_tokens=5,
        device="cpu",
    )


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Debian's chromium, started once."""
    from browser import FLAGS, needs_chromium  # only here: most tests need no browser
    from playwright.sync_api import expect, sync_playwright

    path = needs_chromium()
    expect.set_options(timeout=60_000)  # milliseconds
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def reader(browser: "Browser", server: "Server") -> Iterator["Visit"]:
    """A reader of the test file's server who agreed already; at the end nothing may have left the machine."""
    from browser import visit

    reader = visit(browser, server)
    yield reader
    reader.context.close()
    assert reader.outside == []
