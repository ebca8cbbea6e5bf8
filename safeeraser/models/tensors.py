"""Tensors out of files that nobody vouches for: read without running, waiting or allocating what a file asks for.

Covered: what is no file, what is no tensor, and tensors that no adapter can have. Not covered: which tensors an adapter
has (`adapter.py`), and how published ones are named (`published.py`).
"""

import pickle
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from safeeraser.models.checks import ModelError

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LARGEST = torch.finfo(torch.float32).max  # adapters are loaded in 32 bits
LORA = re.compile(r"(.*)\.lora_([AB])\.weight")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_file(file: Path) -> None:
    """Raise ModelError unless this is a file with something in it: to open a pipe is to wait for ever."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        raise ModelError(f"{file}: there is no such file") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(facts.st_mode):
        kind = next((name for fits, name in KINDS if fits(facts.st_mode)), "something else")
        raise ModelError(f"{file}: must be a file, is {kind}")
    if not facts.st_size:
        raise ModelError(f"{file}: the file is empty")


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped, each as an adapter can have it. Raises ModelError."""
    check_file(file)
    try:
        found = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: the adapter's weights cannot be read: {error}") from error
    check(found, file)
    return found


def unpickle(file: Path, *, mapped: bool = False) -> Any:
    """What torch saved into a file, if that is only tensors and plain values; raises ModelError.

    mapped: leave the tensors in the file until they are used; it then takes no more memory than it has bytes.
    """
    check_file(file)
    try:
        mapped = mapped and zipfile.is_zipfile(file)  # torch before 1.6 saved otherwise
        if mapped:
            _check_stored(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except ModelError:
        raise
    except Exception as error:  # torch fails on damaged bytes in whatever way they lead it to
        why = (
            "; it is never opened" if isinstance(error, pickle.UnpicklingError) else f": {str(error).split(chr(10))[0]}"
        )
        raise ModelError(f"{file}: not a state dict saved by torch, or more than tensors{why}.") from error


def _check_stored(file: Path) -> None:
    """A file that is mapped is read as it lies there; torch itself never compresses."""
    with zipfile.ZipFile(file) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ModelError(f"{file}: was compressed after torch saved it; save it anew with torch.save")


def check(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError naming the first tensor that no adapter can have."""
    for name, tensor in tensors.items():
        if problem := _problem(name, tensor):
            raise ModelError(f"{file}: {name} {problem}")


def _problem(name: str, tensor: Tensor) -> str | None:
    if tensor.is_nested or tensor.is_meta or tensor.layout is not torch.strided:
        return f"is no plain tensor with values ({tensor.layout} on {tensor.device})"
    if tensor.dtype not in DTYPES:
        return f"is {tensor.dtype}; must be floating point: {', '.join(map(str, DTYPES))}"
    if not tensor.dim():
        return "is a single number, without dimensions"
    if not tensor.numel():
        return f"is empty: its shape is {list(tensor.shape)}"
    if LORA.fullmatch(name) and tensor.dim() != 2:
        return f"is no matrix: its shape is {list(tensor.shape)}"
    claimed, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if claimed > stored:
        return f"is expanded: {claimed} bytes out of {stored}; save what `.contiguous()` gives"
    low, high = (end.item() for end in tensor.detach().aminmax())  # numbers: LARGEST as a half is infinite
    if not (low >= -LARGEST and high <= LARGEST):
        return "holds a value that is not finite"
    return None


def lora_ranks(tensors: Mapping[str, Tensor]) -> set[int]:
    """The ranks of all LoRA matrices, which `check` has seen."""
    halves = {name: parts[2] for name in tensors if (parts := LORA.fullmatch(name))}
    return {tensors[name].shape[0 if half == "A" else 1] for name, half in halves.items()}
