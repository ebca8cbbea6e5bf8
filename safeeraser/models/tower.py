"""What a vision tower puts before the patches of a picture, and what of it the model takes for patches.

Source: `get_image_features` of LLaVA in transformers, whose strategy `default` drops one token and no more.
"""

from typing import NamedTuple

from transformers import PreTrainedModel

from safeeraser.models.checks import ModelError

CLASS_TOKENS = ("class_embedding", "cls_token")
REGISTERS = "register_tokens"  # [1, how many, width]


class Before(NamedTuple):
    """How many tokens of each kind stand before the patches."""

    classes: int
    registers: int


def before_patches(network: PreTrainedModel) -> Before:
    """By the names of the model's parameters; those of a model without weights will do."""
    named = {name.rsplit(".", 1)[-1]: tensor for name, tensor in network.named_parameters()}
    registers = named[REGISTERS].shape[1] if REGISTERS in named else 0
    return Before(int(any(name in named for name in CLASS_TOKENS)), registers)


def check(model: str, network: PreTrainedModel) -> None:
    """Raise ModelError where pictures are cut into tiles, and these, read as `misread` says, do not fit together."""
    if hasattr(network.config, "image_grid_pinpoints") and (why := misread(network)):
        raise ModelError(f"--model {model}: {why}; the tiles of a picture cannot be put together so")


def misread(network: PreTrainedModel) -> str | None:
    """What to say of a model that drops a patch, or takes registers for patches; None where it does neither."""
    if getattr(network.config, "vision_feature_select_strategy", None) != "default":
        return None
    before = before_patches(network)
    drops = "vision_feature_select_strategy in config.json is 'default', which drops the first token of a picture"
    if not before.classes:
        return f"{drops}; this vision tower has no class token, so one patch of every picture is lost ('full' keeps it)"
    if before.registers:
        kept = f"this vision tower's {before.registers} register tokens are taken for patches of every picture"
        return f"{drops} alone; {kept}"
    return None
