"""Why a checkpoint cannot be loaded, said so that the reader knows what to do."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import errors as hub
from safetensors import SafetensorError

from safeeraser.errors import SafeEraserError

# What a checkpoint's folder has to hold beside its config and weights: one file of each row.
FILES = (
    ("tokenizer.json", "tokenizer.model", "vocab.json"),
    ("tokenizer_config.json",),
    ("processor_config.json", "preprocessor_config.json"),
)
INDEX = "model.safetensors.index.json"
# Why a checkpoint cannot be read, by the error at the bottom of it, and what to do; the first row that fits counts.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (
        hub.GatedRepoError,
        "its licence has to be accepted first: open https://huggingface.co/{source}, accept it and run `hf auth login`",
    ),
    (
        hub.RepositoryNotFoundError,
        "the hub has no such model, or it is private: check the name; for a private one run `hf auth login`",
    ),
    (hub.HFValidationError, "there is no such folder, and it is no hub id like llava-hf/llava-1.5-7b-hf either"),
    (
        hub.LocalEntryNotFoundError,
        "the hub cannot be reached and the model is not in the local cache: go online once, or copy the checkpoint "
        "here and give its folder",
    ),
    (
        hub.OfflineModeIsEnabled,
        "HF_HUB_OFFLINE is set and the model is not in the local cache: unset it once, or copy the checkpoint here "
        "and give its folder",
    ),
    (SafetensorError, "a weights file is cut short or broken; download it again ({error})"),
)
# The same by what transformers says.
WORDS = (
    (
        "does not recognize this architecture",
        f"transformers {transformers.__version__} does not know the model_type in its config.json; if it is a new one, "
        "install a newer transformers, else choose another model",
    ),
    (
        "custom code",
        "its architecture is code that comes with the checkpoint, and that is not run here; choose a model that "
        "transformers has itself",
    ),
)


class ModelError(SafeEraserError):
    """A model or an adapter cannot be used; the message says which and what to do."""


@contextmanager
def explained(model: str, source: str) -> Iterator[None]:
    """Turn what loading raises into a ModelError that says what to do."""
    if Path(source).is_dir() and not (Path(source) / "config.json").exists():
        raise ModelError(f"--model {model}: the folder holds no checkpoint: there is no config.json in it")
    if Path(source).is_dir():
        _check_object(model, Path(source) / "config.json")
    try:
        yield
    except (OSError, ValueError, ImportError, SafetensorError, hub.StrictDataclassError) as error:
        causes: list[BaseException] = [error]
        while cause := causes[-1].__cause__ or causes[-1].__context__:
            causes.append(cause)
        known = [advice for kind, advice in REASONS if any(isinstance(cause, kind) for cause in causes)]
        known += [advice for words, advice in WORDS if words in str(error)]
        why = next(iter(known), "{error}").format(source=source, error=error)
        raise ModelError(f"--model {model}: cannot be loaded: {why}") from error


def _check_object(model: str, file: Path) -> None:
    """Raise ModelError for JSON that is no object, on which transformers would stumble; other faults it names."""
    with suppress(ValueError):
        if not isinstance(json.loads(file.read_bytes()), dict):
            raise ModelError(f"--model {model}: its config.json holds no object, as {{...}} is one")


def check_files(model: str, folder: Path) -> None:
    """Raise ModelError naming every file that a checkpoint's folder lacks."""
    missing = [" or ".join(names) for names in FILES if not any((folder / name).exists() for name in names)]
    if (folder / INDEX).exists():
        shards = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        missing += [f"{shard} (named in {INDEX})" for shard in sorted(set(shards)) if not (folder / shard).exists()]
    if missing:
        raise ModelError(
            f"--model {model}: the folder is no whole checkpoint: it lacks {', '.join(missing)}. Copy what is missing "
            "from where the checkpoint comes from."
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' report of tensors that do not fit: each of them is an error here."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)


def check_weights(model: str, found: Mapping[str, Any]) -> None:
    """Raise ModelError unless every tensor of the checkpoint found its place and no place stayed empty.

    found: the loading info of transformers.
    """
    wrong = {
        "is missing in the checkpoint": sorted(found["missing_keys"]),
        "is left over: the model has no place for it": sorted(found["unexpected_keys"]),
        "has another shape than the model": sorted(name for name, *_ in found["mismatched_keys"]),
    }
    for what, names in wrong.items():
        if names:
            raise ModelError(f"--model {model}: {names[0]} {what} ({len(names)} such tensors)")


@contextmanager
def explain_memory(advice: str) -> Iterator[None]:
    """Turn "out of memory", on a GPU or on the CPU, into an error that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)
        if not out_of_memory:
            raise
        raise ModelError(f"out of memory. {advice}") from error
