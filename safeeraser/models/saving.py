"""Writing a checkpoint that transformers 4, and serving engines that stand on it, can read as well.

Left to itself, transformers 5 writes a model under the names that it read. Of a model made with it these are
`vision_tower.embeddings...`, where transformers 4 looks for `vision_tower.vision_model.embeddings...`: it would go on
with a random tower and only warn. And its settings of tokenizers are not all understood there.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping

from safeeraser import files

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
    settings = folder / "tokenizer_config.json"
    files.put(settings, json.dumps(_tokenizer(json.loads(settings.read_bytes())), indent=2, ensure_ascii=False) + "\n")


def _tokenizer(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a tokenizer in words of both, without how it was loaded here."""
    told = {name: value for name, value in settings.items() if name not in LOADING}
    if told.get("tokenizer_class") == NEW:
        told["tokenizer_class"] = OLD
    if isinstance(told.get("extra_special_tokens"), list):  # transformers 4 has names for them there
        extra = told.pop("extra_special_tokens")
        told |= {"additional_special_tokens": extra} if extra else {}
    return told
