"""What hardware can do at best, for planning: memory, arithmetic and memory bandwidth, from the makers' data sheets."""

from dataclasses import dataclass

import psutil

from safeeraser.errors import SafeEraserError

GIB = 2**30
CPU = "cpu"


class HardwareError(SafeEraserError):
    """The hardware is not in the table; the message lists what is."""


@dataclass(frozen=True)
class Hardware:
    """One device. memory: bytes. peak: floating-point operations a second by precision, dense. bandwidth: bytes/s."""

    name: str
    memory: int
    peak: dict[str, float]
    bandwidth: float


def _gpu(name: str, *, gib: int, half: float, single: float, bandwidth: float) -> Hardware:
    """half: TFLOP/s in bf16 and fp16 with sums in fp32, single: in fp32 without TF32; bandwidth: TB/s."""
    peak = {"bf16": half * 1e12, "fp16": half * 1e12, "fp32": single * 1e12}
    return Hardware(name, gib * GIB, peak, bandwidth * 1e12)


_GPUS = (
    # NVIDIA H200 data sheet, SXM; its figures with sparsity are twice these.
    _gpu("h200", gib=141, half=989.5, single=67, bandwidth=4.8),
    # NVIDIA H100 data sheet, SXM.
    _gpu("h100", gib=80, half=989.5, single=67, bandwidth=3.35),
    # NVIDIA A100 data sheet, 80 GB SXM.
    _gpu("a100-80", gib=80, half=312, single=19.5, bandwidth=2.039),
    # NVIDIA A100 data sheet, 40 GB SXM.
    _gpu("a100-40", gib=40, half=312, single=19.5, bandwidth=1.555),
    # NVIDIA L40S data sheet.
    _gpu("l40s", gib=48, half=362, single=91.6, bandwidth=0.864),
    # NVIDIA Ada GPU architecture white paper, appendix A.
    _gpu("rtx4090", gib=24, half=165.2, single=82.6, bandwidth=1.008),
)
NAMES = (*(gpu.name for gpu in _GPUS), CPU)


def get(name: str) -> Hardware:
    """A row of the table, or this machine's CPU; raises HardwareError for another name."""
    if name == CPU:
        return _this_cpu()
    for gpu in _GPUS:
        if gpu.name == name:
            return gpu
    raise HardwareError(f"--hardware {name}: not in the table; known: {', '.join(NAMES)}")


def _this_cpu() -> Hardware:
    """This machine: cores taken to have 2.5 GHz and 32 fp32 operations a cycle (AVX2), and two channels of DDR4-3200.

    AVX2 has no half precision: it is computed in fp32.
    """
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    peak: dict[str, float] = dict.fromkeys(("bf16", "fp16", "fp32"), cores * 32 * 2.5e9)
    return Hardware(CPU, psutil.virtual_memory().total, peak, 51.2e9)
