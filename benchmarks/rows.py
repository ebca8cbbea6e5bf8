"""Rows of measurements: what was measured on which machine, kept as JSON beside the benchmarks."""

import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("safeeraser", "torch", "transformers", "peft", "accelerate")


def circumstances() -> dict[str, Any]:
    """Where and when a row was measured, and by which command; no path of the machine. load: of the last minute."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    named = [Path(argument).name if os.sep in argument else argument for argument in sys.argv[1:]]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        **gpu,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *named]),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {name: round(of(values), 3) for name, of in (("median", statistics.median), ("low", min), ("high", max))}


def add(row: dict[str, Any], file: Path) -> None:
    """Add a row to a file's list; repeats stay side by side, to be seen together."""
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    file.write_text(json.dumps([*rows, row], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
