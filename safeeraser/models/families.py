"""The model families: where the parts of a model lie. A new family is one row of `FAMILIES`.

Not covered: loading (`loading.py`), and how a family's rows are packed (`packing.py`).
"""

from dataclasses import dataclass
from typing import Any

from safeeraser.models.checks import ModelError


@dataclass(frozen=True)
class Family:
    """The names of the modules that hold a model's parts.

    lmms_eval: the name of the family among lmms-eval's models, None where it has none that takes such a checkpoint.
    """

    language: str
    projector: str
    vision: str
    lmms_eval: str | None

    @property
    def lora_targets(self) -> str:
        """The linear layers of the language model; the vision tower has layers of the same names and stays frozen."""
        return rf".*{self.language}.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


_LLAVA = Family(
    language="language_model", projector="multi_modal_projector", vision="vision_tower", lmms_eval="llava_hf"
)
# By the model_type in config.json.
FAMILIES = {
    "llava": _LLAVA,
    "llava_next": _LLAVA,
    "idefics3": Family(language="text_model", projector="connector", vision="vision_model", lmms_eval=None),
}


def of(model: str, model_type: str) -> Family:
    """The family of a model type; model: its name, for the error.

    Raises ModelError for a type without a row.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"--model {model}: where the parts of a model of type {model_type!r} lie is not known; known: "
            f"{', '.join(FAMILIES)}. Add a row to FAMILIES in safeeraser/models/families.py."
        )
    return FAMILIES[model_type]


def projector(network: Any) -> Any:
    """The module of a model that takes what the vision tower makes of a picture."""
    return getattr(network.model, of(network.name_or_path, network.config.model_type).projector)
