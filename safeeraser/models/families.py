"""The model families: where the parts of a model lie, how it numbers tokens. A new family is one row of `FAMILIES`.

Not covered: loading (`loading.py`), and how a family's rows are packed (`packing.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import Idefics3Processor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES  # pyright: ignore[reportPrivateImportUsage]

from safeeraser.models.checks import ModelError


def _picture_token(processor: Any) -> int:
    return processor.image_token_id


def _behind_the_start(processor: Any) -> int:
    """Gemma 3's processor calls the mark of a picture's start the picture's token."""
    return processor.tokenizer.image_token_id


def _of_a_square(config: Any) -> int:
    """A token for each patch, or for a square of them that the family joins; per piece where pictures are cut up."""
    vision, joined = config.vision_config, getattr(config, "scale_factor", 1)
    return (vision.image_size // vision.patch_size // joined) ** 2


def _of_any_size(config: Any) -> int:
    """Pictures stay as large as they are: the tokens of one of 448 x 448 pixels."""
    return (448 // config.vision_config.patch_size // config.vision_config.spatial_merge_size) ** 2


def _pooled(config: Any) -> int:
    return config.mm_tokens_per_image


def _shuffled(config: Any) -> int:
    """Of each tile."""
    vision = config.vision_config
    return int((vision.image_size[0] // vision.patch_size[0] * config.downsample_ratio) ** 2)


@dataclass(frozen=True)
class Family:
    """The names of the modules that hold a model's parts, the projector's below `model` in full; and its ways.

    further: a list of projectors beside the first, each of which takes what another layer of the tower makes.

    lmms_eval: the name of the family among lmms-eval's models, None where it has none that takes such a checkpoint.
    packs: whether tests show that pairs which share a picture's tokens get what rows of their own get; where not, they
    get rows of their own. caches: whether the projector reads hidden states of the tower, which `features.py` keeps.
    grid: what the processor calls the size of a picture in patches, where positions have three dimensions. both_ways:
    whether the tokens of a picture see each other both ways, and some layers only what is near. token_types: what the
    model calls the marks of picture tokens, where it needs them. not_for_model: what the image processor counts for the
    processor alone. reader: the class of processors that writes pictures as the family's own does, where that one
    cannot be made without what only videos need. picture_token: of a processor, the token that stands for a part of a
    picture. picture_tokens: by a model's configuration, how many.
    """

    language: str
    projector: str
    vision: str
    further: str | None = None
    lmms_eval: str | None = None
    packs: bool = False
    caches: bool = False
    grid: str | None = None
    both_ways: bool = False
    token_types: str | None = None
    not_for_model: tuple[str, ...] = ()
    reader: Any = None
    picture_token: Callable[[Any], int] = _picture_token
    picture_tokens: Callable[[Any], int] = _of_a_square

    @property
    def lora_targets(self) -> str:
        """The linear layers of the language model; the vision tower has layers of the same names and stays frozen."""
        return rf".*{self.language}.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"

    @property
    def unquantized(self) -> list[str]:
        """The names of the modules that 4-bit storage leaves as they are: all but the language model's layers."""
        return [f"model.{self.vision}", f"model.{self.projector}", "lm_head"]


_LLAVA = Family(
    language="language_model",
    projector="multi_modal_projector",
    vision="vision_tower",
    lmms_eval="llava_hf",
    packs=True,
    caches=True,
)
# By the model_type in config.json.
FAMILIES = {
    "llava": _LLAVA,
    "llava_next": _LLAVA,
    "idefics3": Family(language="text_model", projector="connector", vision="vision_model", packs=True),
    "qwen2_5_vl": Family(
        language="language_model",
        projector="visual.merger",
        vision="visual",
        grid="image_grid_thw",
        token_types="mm_token_type_ids",
        picture_tokens=_of_any_size,
        packs=True,
    ),
    "qwen3_vl": Family(
        language="language_model",
        projector="visual.merger",
        further="visual.deepstack_merger_list",
        vision="visual",
        grid="image_grid_thw",
        token_types="mm_token_type_ids",
        picture_tokens=_of_any_size,
        packs=True,
    ),
    "gemma3": Family(
        language="language_model",
        projector="multi_modal_projector",
        vision="vision_tower",
        both_ways=True,
        token_types="token_type_ids",
        not_for_model=("num_crops",),
        picture_token=_behind_the_start,
        picture_tokens=_pooled,
        packs=True,
    ),
    "internvl": Family(
        language="language_model",
        projector="multi_modal_projector",
        vision="vision_tower",
        picture_tokens=_shuffled,
        packs=True,
    ),
    "smolvlm": Family(
        language="text_model", projector="connector", vision="vision_model", reader=Idefics3Processor, packs=True
    ),
    "llava_onevision": Family(
        language="language_model",
        projector="multi_modal_projector",
        vision="vision_tower",
        packs=True,
        caches=True,
    ),
}
UNKNOWN = Family(language="", projector="", vision="")


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


def of_config(config: Any) -> Family:
    """The family of a loaded model; of one without a row nothing is known."""
    return FAMILIES.get(config.model_type, UNKNOWN)


def of_processor(processor: Any) -> Family:
    """The family whose processor this is; of one without a row nothing is known, so that its pairs are not packed."""
    name = type(processor).__name__
    return next((family for kind, family in FAMILIES.items() if PROCESSOR_MAPPING_NAMES[kind] == name), UNKNOWN)


def projector(network: Any) -> Any:
    """The module of a model that takes what the vision tower makes of a picture."""
    return network.model.get_submodule(of(network.name_or_path, network.config.model_type).projector)


def trained_whole(network: Any) -> list[str]:
    """The names, below `model`, of the modules that make tokens of what the vision tower sees."""
    family = of_config(network.config)
    further = network.model.get_submodule(family.further).named_children() if family.further else ()
    return [family.projector, *(f"{family.further}.{name}" for name, _ in further)]


def alone(kind: str) -> str | None:
    """What to say of a type of model whose pairs are not packed; None where they are, or where nothing is known."""
    if kind not in FAMILIES or FAMILIES[kind].packs:
        return None
    return f"models of type {kind!r} are not known to share a picture's tokens: each question gets a row of its own"
