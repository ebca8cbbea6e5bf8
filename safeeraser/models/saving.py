"""Writing a checkpoint that transformers 4, and serving engines that stand on it, can read as well.

Left to itself, transformers 5 writes a model under the names that it read. Of a model made with it these are
`vision_tower.embeddings...`, where transformers 4 looks for `vision_tower.vision_model.embeddings...`: it would go on
with a random tower and only warn. And its settings of tokenizers are not all understood there.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # pyright: ignore[reportPrivateImportUsage]
from transformers.utils.hub import cached_file

from safeeraser import files

VIDEOS = "video_preprocessor_config.json"  # read by no one here, but the processor of a checkpoint may need it
LOADING = {"backend", "is_local", "local_files_only"}
# The same class under both names.
NEW, OLD = "TokenizersBackend", "PreTrainedTokenizerFast"


def save(model: PreTrainedModel, processor: Any, folder: Path, **how: Any) -> None:
    """Write model and processor into a folder under the names that published checkpoints have.

    how: as `save_pretrained` of the model takes it.
    """
    # `save_pretrained` goes by this, backwards.
    model._weight_conversions = get_model_conversion_mapping(model, add_legacy=False)  # type: ignore[assignment]
    model.save_pretrained(folder, **how)
    processor.save_pretrained(folder)
    # Not that of the class that read it here.
    own = {"processor_class": PROCESSOR_MAPPING_NAMES[model.config.model_type]}
    _rewrite(folder / "tokenizer_config.json", lambda settings: _tokenizer(settings) | own)
    _rewrite(folder / "processor_config.json", lambda settings: settings | own)
    if model.name_or_path and (videos := _file(model.name_or_path, VIDEOS)):
        files.put(folder / VIDEOS, videos.read_text(encoding="utf-8"))


def _rewrite(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    files.put(file, json.dumps(change(json.loads(file.read_bytes())), indent=2, ensure_ascii=False) + "\n")


def _file(source: str, name: str) -> Path | None:
    """A file beside the weights that a model was read from; None where there is none, or no such place any more."""
    missing = dict.fromkeys(("missing_entries", "connection_errors", "gated_repo"), False)
    found = cached_file(source, name, **{f"_raise_exceptions_for_{why}": not_so for why, not_so in missing.items()})
    return Path(found) if found else None


def _tokenizer(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a tokenizer in words of both, without how it was loaded here."""
    told = {name: value for name, value in settings.items() if name not in LOADING}
    if told.get("tokenizer_class") == NEW:
        told["tokenizer_class"] = OLD
    if isinstance(told.get("extra_special_tokens"), list):  # transformers 4 has names for them there
        extra = told.pop("extra_special_tokens")
        told |= {"additional_special_tokens": extra} if extra else {}
    return told
