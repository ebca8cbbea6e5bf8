"""What a run would need, worked out before anything is loaded: parameters, memory, tokens, and time on given hardware.

`measured.py` tells what runs that were measured say; this is arithmetic beside it. Not covered: several GPUs that share
one model's weights (every GPU is taken to hold them all), reading pictures, grading, and looks along training.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.plan import measured, sizes
from safeeraser.plan.hardware import Hardware
from safeeraser.plan.measured import Plan
from safeeraser.plan.sizes import Architecture, Part

if TYPE_CHECKING:
    from safeeraser.plan.tokens import Evaluation, Pass

# The share of its peak, in arithmetic and in memory bandwidth, that hardware is taken to reach.
UTILISATION = 0.4


@dataclass(frozen=True)
class Machine:
    """The run on some devices of one kind; memory: bytes of each; training, answering: seconds.

    answering holds the base model's own answers if these are missing. The booleans say whether the memory is enough.
    """

    name: str
    gpus: int
    memory: int
    training_fits: bool
    answering_fits: bool
    training: float
    answering: float


@dataclass(frozen=True)
class Forecast:
    """All that is told about a run; counted: how the tokens were counted, in words. No `passes` for the base model.

    passes: over the forget pairs, from the number of steps.
    """

    plan: Plan
    model: Architecture
    training_memory: tuple[Part, ...]
    answering_memory: tuple[Part, ...]
    tokens: "Pass | None"
    passes: float
    evaluation: "Evaluation"
    counted: str
    machines: tuple[Machine, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON takes it; bytes, seconds and numbers of tokens."""
        return {
            "run": asdict(self.plan) | {"seconds": self.plan.seconds},
            "model": asdict(self.model) | {"parameters": self.model.parameters, "trainable": self.model.trainable},
            "memory": {
                "training": [asdict(part) for part in self.training_memory],
                "answering": [asdict(part) for part in self.answering_memory],
            },
            "tokens": {
                "counted": self.counted,
                "passes": self.passes,
                "training": asdict(self.tokens) if self.tokens else None,
                "answering": asdict(self.evaluation),
            },
            "hardware": [asdict(machine) for machine in self.machines],
            "utilisation": UTILISATION,
        }


def forecast(config: RunConfig, data: Dataset | None, hardware: Sequence[Hardware], *, gpus: int = 1) -> Forecast:
    """Work everything out; data: the run's data set, None for one of the official size that is not here.

    gpus: devices that share the work evenly. Raises ModelError if the model's configuration cannot be read.
    """
    from safeeraser.plan import model_sizes, tokens

    config = config.needed()
    model = model_sizes.read(config)
    encoder, counted = tokens.encoder(config, model, official_size=data is None)
    data = data or tokens.official_size()
    told = measured.of_data(config, data)
    one_pass = tokens.training(data, config, encoder) if config.trains else None
    asked = tokens.evaluation(data, config, encoder)
    passes = told.steps * config.accumulation * config.batch_size / one_pass.examples if one_pass else 0.0
    memory = _training_memory(model, config, one_pass) if one_pass else ()
    answering = tuple(sizes.answering(model, config, prompt=asked.longest, answers=asked.count))
    work = _Work(
        training=_training_flops(model, config, one_pass, passes) if one_pass else 0.0,
        reading=sizes.prefill_flops(model, tokens=asked.computed, pictures=asked.pictures),
        writing=sizes.prefill_flops(model, tokens=asked.answers, pictures=0),
        moved=sizes.decode_bytes(model, config, answers=asked.count, prompt=asked.separate // max(asked.count, 1)),
        evaluations=2 if told.base else 1,
    )
    needs = [sum(part.bytes for part in parts) for parts in (memory, answering)]
    machines = tuple(_on(device, config.precision, work, needs, gpus) for device in hardware)
    return Forecast(told, model, memory, answering, one_pass, passes, asked, counted, machines)


@dataclass(frozen=True)
class _Work:
    """Floating-point operations of training, of reading the prompts and of writing the answers of one evaluation.

    moved: bytes that writing reads from memory. evaluations: the run's own, and the base model's if it is missing.
    """

    training: float
    reading: float
    writing: float
    moved: float
    evaluations: int


def _on(device: Hardware, precision: str, work: _Work, needs: list[float], gpus: int) -> Machine:
    flops, bandwidth = UTILISATION * device.peak[precision], UTILISATION * device.bandwidth
    answering = work.reading / flops + max(work.writing / flops, work.moved / bandwidth)
    training_fits, answering_fits = (need <= device.memory for need in needs)
    return Machine(
        name=device.name,
        gpus=gpus,
        memory=device.memory,
        training_fits=training_fits,
        answering_fits=answering_fits,
        training=work.training / flops / gpus,
        answering=work.evaluations * answering / gpus,
    )


def _training_memory(model: Architecture, config: RunConfig, one_pass: "Pass") -> tuple[Part, ...]:
    return tuple(
        sizes.training(
            model,
            config,
            tokens=one_pass.largest,
            answer_tokens=one_pass.largest_answers,
            base_answer_tokens=one_pass.largest_base_answers,
        )
    )


def _training_flops(model: Architecture, config: RunConfig, one_pass: "Pass", passes: float) -> float:
    """What caches keep is computed in the first pass alone."""
    base_passes = min(passes, 1) if config.base_cache else passes
    encoding_passes = min(passes, 1) if config.feature_cache else passes
    return sizes.training_flops(
        model,
        tokens=round(passes * one_pass.computed),
        base_tokens=round(base_passes * one_pass.base),
        pictures=round(encoding_passes * one_pass.pictures),
        checkpointing=config.gradient_checkpointing,
    )
