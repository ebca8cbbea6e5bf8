"""RunConfig: everything that decides a run's result. Command line, form and config.json are all made from it."""

import hashlib
import json
import math
import shlex
from collections.abc import Collection
from types import NoneType
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from safeeraser import losses
from safeeraser.errors import SafeEraserError
from safeeraser.judge import grading
from safeeraser.judge.contract import JudgeError
from safeeraser.losses import BASE, METHODS, UNTRAINED, Term, term_names

TRACKERS = ("tensorboard", "wandb", "trackio")
LARGEST = 2**31 - 1  # of a whole number: no library takes more everywhere
LONGEST = 1_000  # letters of a text
LONGEST_MODEL = 120  # bytes of a model's name in a run's, so that a file system takes it


class ConfigError(SafeEraserError):
    """A setting is wrong; the message names the flag, shows the value and says what is allowed."""


class RunConfig(BaseModel):
    """The settings of one run; the defaults are the preset `demo`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field("demo", description="'demo', a folder, or a Hugging Face id such as llava-hf/llava-1.5-7b-hf")
    data: str = Field("demo", description="'demo' or a folder in the official SafeEraser layout")
    method: str = Field(
        "po", description=f"unlearning method: {', '.join(METHODS)}; trains nothing: {', '.join(UNTRAINED)}"
    )
    pd: bool = Field(True, description="add the Prompt Decouple loss")
    pd_weight: float | None = Field(None, gt=0, description="weight of Prompt Decouple (default: as published)")
    retain_weight: float | None = Field(None, ge=0, description="weight of the retain term (default: as published)")
    vicinal: float | None = Field(
        None,
        gt=0,
        description="weight of Vicinal Prompt Decouple: stay as before on pictures of nothing (default: off)",
    )
    vicinal_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the decouple pictures that a picture of nothing is asked about too",
    )
    vicinal_near: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the harmful pictures that --vicinal shows one near it in the place of",
    )
    variations: int = Field(
        0, ge=0, description="variations of each harmful picture that take turns with it in forgetting; 0: none"
    )
    seed: int = Field(0, ge=0, description="decides data order, refusal targets, LoRA's start, dropout and sampling")

    epochs: float = Field(4.0, gt=0, description="passes over the forget pairs")
    max_steps: int | None = Field(None, gt=0, description="optimizer steps, instead of epochs")
    batch_size: int = Field(16, gt=0, description="examples per forward pass (forget pair + retain and decouple pair)")
    accumulation: int = Field(1, gt=0, description="forward passes per optimizer step")
    lr: float = Field(1.5e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    decay_biases: bool = Field(True, description="decay biases too, not only the other weights")
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    shuffle: Literal["pairs", "pictures"] = Field(
        "pairs", description="what each pass puts in a new order: all pairs, or pictures with their pairs together"
    )
    pack: bool = Field(True, description="put the pairs of a picture behind one prefix: the same losses, fewer tokens")
    gradient_checkpointing: bool = Field(False, description="compute activations twice to need less memory")
    max_length: int = Field(
        512, gt=1, description="longest question and answer, in tokens without the picture's and the system prompt's"
    )
    end_token: bool = Field(True, description="train on the token that ends an answer too")
    lora_rank: int = Field(16, gt=0, description="rank of LoRA")
    lora_alpha: int = Field(32, gt=0, description="scale of LoRA is alpha / rank")
    lora_dropout: float = Field(0.25, ge=0, lt=1, description="dropout before LoRA")
    train_projector: bool = Field(True, description="train the projector in full, through PEFT")
    sine_projector: bool = Field(False, description="train the projector as W + sin(dW), as SineProject does")
    saliency_mask: float | None = Field(
        None,
        gt=0,
        description="train only where forgetting's squared gradient is at least so many times retaining's, as "
        "MMUnlearner does (default: everywhere)",
    )
    gate: Literal["none", "picture"] = Field(
        "none",
        description="'picture': the adapter is on only for pictures near the harmful training pictures; not exported",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of training and generation")
    quantization: Literal["none", "4bit"] = Field("none", description="store the frozen base weights in 4 bits")
    device: Literal["auto", "cpu"] = Field("auto", description="'auto' takes a GPU when there is one")
    workers: int = Field(0, ge=0, description="processes that read pictures ahead; 0 reads them when they are needed")
    feature_cache: float | None = Field(
        None,
        gt=0,
        description="GB of disk that the frozen vision tower's features of pictures may take; none: no cache",
    )
    base_cache: float | None = Field(
        None, gt=0, description="GB of disk that the base model's outputs for KL and NPO may take; none: no cache"
    )
    checkpoint_every: int = Field(50, gt=0, description="optimizer steps between checkpoints")
    look_every: int | None = Field(
        40, gt=0, description="optimizer steps between looks at the answers of some held-out items"
    )
    look_records: int = Field(6, gt=0, description="held-out records that a look asks")
    track: str | None = Field(
        None, description=f"where training is shown too, besides the run's own log: {', '.join(TRACKERS)}; with commas"
    )

    system_prompt: str | None = Field(
        None, min_length=1, description="what the model is told before every question, in training and in answering"
    )
    temperature: float = Field(0.0, ge=0, description="0 decodes greedily")
    top_k: int | None = Field(None, gt=0, description="sample from so many of the likeliest tokens (default: all)")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus of sampling")
    samples: int = Field(1, gt=0, description="answers sampled per forget question (other sets: 1)")
    max_new_tokens: int = Field(48, gt=0, description="longest answer, in tokens")
    answer_batch: int = Field(128, gt=0, description="answers generated at once")
    engine: Literal["shared", "plain"] = Field(
        "shared", description="'shared' computes a picture once for all its questions, 'plain' once for each"
    )
    eval_split: Literal["val", "dev"] = Field(
        "val", description="held-out split that is asked: 'dev' to choose settings on, 'val' to report"
    )
    eval_records: int | None = Field(None, gt=0, description="records asked per split (default: all)")
    judge: str = Field("demo", description=f"who grades: {', '.join(grading.known())}")

    @field_validator("*")
    @classmethod
    def _of_usual_size(cls, value: Any) -> Any:
        if isinstance(value, int) and value > LARGEST:
            raise ValueError(f"must be at most {LARGEST:,}")
        if isinstance(value, str) and (len(value) > LONGEST or "\0" in value):
            raise ValueError(f"must be a text of at most {LONGEST:,} characters, none of them a null")
        return value

    @field_validator("top_k", mode="before")
    @classmethod
    def _zero_is_off(cls, value: Any) -> Any:
        return None if value == 0 else value  # as transformers and vLLM have it

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str) -> str:
        if method not in (*METHODS, *UNTRAINED):
            raise ValueError(f"unknown method {method!r}; known: {', '.join((*METHODS, *UNTRAINED))}")
        return method

    @field_validator("track")
    @classmethod
    def _known_trackers(cls, track: str | None) -> str | None:
        names = dict.fromkeys(filter(None, map(str.strip, (track or "").split(","))))
        if unknown := [name for name in names if name not in TRACKERS]:
            raise ValueError(f"unknown tracker {unknown[0]!r}; known: {', '.join(TRACKERS)}")
        return ",".join(names) or None

    @field_validator("judge")
    @classmethod
    def _known_judge(cls, judge: str) -> str:
        try:
            return grading.get(judge).name
        except JudgeError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _no_idle_weight(self) -> Self:
        if self.pd_weight is not None and not self.pd:
            raise ValueError("--pd-weight has no effect with --no-pd; leave one out")
        if self.sine_projector and not self.train_projector:
            raise ValueError("--sine-projector has no effect with --no-train-projector; leave one out")
        if self.retain_weight is not None and "retain" not in term_names(self.method):
            raise ValueError(f"--retain-weight has no effect on {self.method!r}, which has no retain term")
        return self

    @classmethod
    def create(cls, preset: str = "demo", **settings: Any) -> Self:
        """A config from a preset and what differs from it; raises ConfigError naming every wrong flag."""
        if preset not in PRESETS:
            raise ConfigError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
        try:
            return cls(**{**preset_settings(preset, settings.get("method")), **settings})
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(e) for e in error.errors())) from None

    @property
    def terms(self) -> tuple[Term, ...]:
        """What training minimizes."""
        weights = {"pd_weight": self.pd_weight, "retain_weight": self.retain_weight, "vicinal": self.vicinal}
        return losses.terms(self.method, pd=self.pd, **weights)

    @property
    def trains(self) -> bool:
        return self.method in METHODS

    @property
    def parts(self) -> tuple[str, ...]:
        """What the method is combined with, besides Prompt Decouple: the names in PARTS of those that are on."""
        return tuple(name for name, fields in PARTS.items() if getattr(self, next(iter(fields))) not in _OFF)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The trackers that training is shown in."""
        return tuple(self.track.split(",")) if self.track else ()

    def base(self) -> "RunConfig":
        """The config of the base model's run that this run is compared with: the same questions, nothing trained."""
        return self._untrained(BASE)

    def needed(self) -> "RunConfig":
        """This config without what it does not need: what only training uses does not make another untrained run."""
        return self if self.trains else self._untrained(self.method)

    def _untrained(self, method: str) -> "RunConfig":
        kept = self.model_dump(include=_ANSWERING)
        seed = self.seed if self.temperature else 0
        return RunConfig(**kept, method=method, pd=False, seed=seed)

    def steps(self, examples: int) -> int:
        """Optimizer steps of a run that trains on so many forget pairs."""
        return self.max_steps or math.ceil(self.epochs * examples / (self.batch_size * self.accumulation))

    def flags(self, *, leave_out: Collection[str] = ()) -> list[str]:
        """What a user types for these settings: only the flags that differ from the preset `demo`."""
        words: list[str] = []
        for field, value in self.model_dump(exclude_defaults=True, exclude=set(leave_out)).items():
            flag = field.replace("_", "-")
            if value is None or value is False:
                words.append(f"--no-{flag}")
            else:
                words += [f"--{flag}"] if value is True else _written(flag, str(value))
        return words

    def other_flags(self) -> str:
        """The flags of all that decides the result and that a score row has no column for; empty for the defaults."""
        named = {field for part in self.parts for field, usual in PARTS[part].items() if getattr(self, field) == usual}
        return shlex.join(self.flags(leave_out={*IN_COLUMNS, *_WITHOUT_EFFECT, *named}))

    def differences(self, other: "RunConfig") -> dict[str, tuple[Any, Any]]:
        """The settings that decide a result and differ, with the value here and there."""
        here, there = (one.model_dump(exclude=_WITHOUT_EFFECT) for one in (self, other))
        return {name: (value, there[name]) for name, value in here.items() if value != there[name]}

    def is_twin(self, other: "RunConfig") -> bool:
        """Whether both train and differ in Prompt Decouple alone: what one does and the other does not is its doing."""
        return self.trains and other.trains and {"pd"} <= self.differences(other).keys() <= {"pd", "pd_weight"}

    def hash(self) -> str:
        """Six hexadecimal digits that stand for all that decides the result: neither looks nor caches make another run.

        A setting added later leaves older names alone.
        """
        settings = self.model_dump(exclude_defaults=True, exclude=_WITHOUT_EFFECT)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]

    def __eq__(self, other: object) -> bool:
        """Whether both configs make the same run; so a run is found again whatever its looks and caches were."""
        if not isinstance(other, RunConfig):
            return NotImplemented
        return self.model_dump(exclude=_WITHOUT_EFFECT) == other.model_dump(exclude=_WITHOUT_EFFECT)

    def __hash__(self) -> int:
        return hash(self.hash())

    def run_name(self) -> str:
        """For example `demo-po-pd-s0-1a2b3c`: model, method, PD, seed, hash of the settings that decide the result."""
        last = self.model.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1]
        plain = "".join(filter(str.isprintable, last)).lstrip(".-").encode()[:LONGEST_MODEL]
        model = plain.decode(errors="ignore") or "model"
        pd = ["pd"] if self.pd and self.trains else []
        return "-".join([model, self.method, *pd, *self.parts, f"s{self.seed}", self.hash()])


# What any method can be combined with: a part's name -> its settings as they usually are together. The first says
# whether the part is there. A score row names the part in a column of its own, and of its settings the unusual ones.
PARTS: dict[str, dict[str, Any]] = {
    "vicinal": {"vicinal": 1.0, "vicinal_share": 1.0, "vicinal_near": 0.5},
    "sine": {"sine_projector": True},
    "mask": {"saliency_mask": 1.0},
    "gate": {"gate": "picture"},
}
_OFF = (None, False, "none")

# The settings that watch a run or make it faster, and leave its result alone.
_WITHOUT_EFFECT = {"look_every", "look_records", "track", "workers", "feature_cache", "base_cache"}

# The settings that a score row names in columns of their own.
IN_COLUMNS = (
    *("model", "data", "method", "pd", "pd_weight", "seed", "judge"),
    *("temperature", "top_k", "top_p", "max_new_tokens"),
)

# The settings that decide the base model's answers.
_ANSWERING = {
    *("model", "data", "precision", "quantization", "device", "max_length", "workers", "feature_cache"),
    *("system_prompt", "temperature", "top_k", "top_p", "samples", "max_new_tokens", "answer_batch", "engine"),
    *("eval_split", "eval_records", "judge"),
}

# What stays as it is while other settings are chosen.
_WHAT_IS_TUNED = {"method", "pd", "seed"}

# What LLaVA tells its model before a question, by its conversation `vicuna_v1`.
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)

# Of each method what `safeeraser tune` chose on dev, where it is not the demo's. All that was tried: docs/results.md.
TUNED: dict[str, dict[str, Any]] = {
    "kl": {"lr": 7.5e-4},
    "npo": {"lr": 3e-3},
    "dpo": {"lr": 7.5e-4},
    "simnpo": {"lr": 3e-3},
    "satimp": {"lr": 3e-3},
    "undial": {"lr": 3e-3},
    "rmu": {"lr": 3e-3},
}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "tuned": {},  # and what TUNED has for the method
    # Passes and rate were chosen on dev (docs/plain-world.md).
    "plain": {
        "model": "plain",
        "data": "plain",
        "precision": "bf16",
        "batch_size": 8,
        "epochs": 2,
        "lr": 1e-3,
        "look_every": 42,
    },
    # The published settings. The published code takes a step from 32 examples too (two GPUs x 16 accumulation steps of
    # one example), with the four pairs of a picture one after the other. Where it differs: docs/paper.md.
    "paper": {
        "epochs": 10,
        "batch_size": 4,
        "accumulation": 8,
        "shuffle": "pictures",
        "lr": 1e-4,
        "weight_decay": 0.01,
        "decay_biases": False,
        "end_token": False,
        "warmup": 0.06,
        "clip": 1.0,
        "max_length": 512,
        "seed": 233,
        "lora_rank": 32,
        "lora_alpha": 256,
        "lora_dropout": 0.05,
        "precision": "bf16",
        "system_prompt": VICUNA,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 0.9,
        "samples": 3,
        "max_new_tokens": 512,
        "answer_batch": 64,
        "workers": 4,
        "checkpoint_every": 100,
        "look_every": None,
        "judge": "rules",
    },
}


def preset_settings(preset: str, method: str | None = None) -> dict[str, Any]:
    """What a preset says of a method (the default one for None) where it is not the fields' defaults."""
    of_method = TUNED.get(method or RunConfig.model_fields["method"].default, {}) if preset == "tuned" else {}
    return PRESETS[preset] | of_method


def tunable() -> list[str]:
    """The settings that training alone depends on: base model, questions and judge stay the same whatever they are.

    Not the method, which is what is tuned; nor the seed: the best of several is luck, and does not come again on val.
    """
    return [name for name in RunConfig.model_fields if name not in {*_ANSWERING, *_WITHOUT_EFFECT, *_WHAT_IS_TUNED}]


def optional(name: str) -> bool:
    """Whether a setting can be off, by its default or in some preset, so that there is a flag to say so."""
    field = RunConfig.model_fields[name]
    some = (field.default, *(preset.get(name) for preset in PRESETS.values()))
    return NoneType in get_args(field.annotation) and any(value is not None for value in some)


def _written(flag: str, value: str) -> list[str]:
    """A flag with its value as two words, or as one where the value would be taken for a flag."""
    return [f"--{flag}={value}"] if value.startswith("-") else [f"--{flag}", value]


def _explain(error: Any) -> str:
    """One line for a user: the flag, the value, what is wrong."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    flag = "--" + str(error["loc"][0]).replace("_", "-")
    if error["type"] == "extra_forbidden":
        return f"{flag}: no such setting; known: {', '.join(RunConfig.model_fields)}"
    if error["type"] == "value_error":  # our own words, which show the value
        return f"{flag}: {error['msg'].removeprefix('Value error, ')}"
    return f"{flag}: {error['msg']}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    """A value for a message, cut where it is long; a number may have more digits than Python writes."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
