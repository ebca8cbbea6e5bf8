"""The benchmarks run, and find that both ways compute the same; how fast they are is not a test's business."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from warm import Started

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# `python benchmarks/NAME ...`
SCRIPT = f"""
import runpy, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def measured(words: list[str], file: Path) -> None:
    """Run a benchmark that writes its rows to the file."""
    process = Started(
        ["-c", SCRIPT, str(BENCHMARKS / words[0]), *words[1:], "--threads", "1", "--out", str(file)],
        output=file.with_suffix(".txt"),
    )
    assert process.wait() == 0, process.said()


@pytest.mark.parametrize(
    "words",
    [
        ["training.py", "--model", "demo", "--method", "kl", "--records", "1", "--rounds", "1"],
        ["training.py", "--model", "shapes", "--records", "1", "--rounds", "1"],
        ["training.py", "--model", "shapes-qwen", "--records", "1", "--rounds", "1"],
        ["generation.py", "--model", "demo", "--questions", "24", "--rounds", "1"],
        ["generation.py", "--model", "shapes-qwen", "--random-weights", "--questions", "12", "--rounds", "1"],
    ],
    ids=["training-demo", "training-shapes", "training-qwen", "generation-demo", "generation-qwen"],
)
def test_a_benchmark_compares_two_ways_that_compute_the_same(words: list[str], tmp_path: Path):
    file = tmp_path / "rows.json"
    measured(words, file)
    (row,) = json.loads(file.read_text(encoding="utf-8"))
    assert row["ratio"]["low"] > 0
    assert row["versions"]["torch"]
    assert str(tmp_path) not in row["command"]
    if words[0] == "training.py":
        assert row["loss_difference"] < 1e-5
        assert row["gradient_difference"] < 1e-5
        assert row["tokens_a_record"]["ours"] < row["tokens_a_record"]["reference"]
    else:
        assert row["identical"] == row["questions"]


def test_repeats_of_a_benchmark_stay_side_by_side(tmp_path: Path):
    file = tmp_path / "rows.json"
    for _ in range(2):
        measured(["attention.py", "--rounds", "1"], file)
    first, second = json.loads(file.read_text(encoding="utf-8"))
    assert first["command"] == second["command"]
    assert [length["tokens"] for length in first["lengths"]] == [120, 240, 360, 540, 900, 1340, 2100]


def test_a_step_with_the_vicinal_term_is_timed_beside_one_without(tmp_path: Path):
    file = tmp_path / "rows.json"
    measured(["vicinal.py", "--model", "demo", "--records", "1", "--rounds", "1"], file)
    (row,) = json.loads(file.read_text(encoding="utf-8"))
    assert row["ratio"]["low"] > 0
    assert set(row["seconds"]) == {"PO+PD", "with vicinal"}


def test_the_gpu_script_goes_on_after_a_failure_and_names_it(tmp_path: Path):
    """With a `python` in its place that fails for one of them, and takes too long for another."""
    shutil.copytree(BENCHMARKS, tmp_path / "benchmarks", ignore=shutil.ignore_patterns("*.json", "__pycache__"))
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$1" in *memory.py) exit 1;; *vicinal.py) sleep 60;; esac\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LONGEST": "1", "OUT": str(tmp_path / "rows")}
    done = subprocess.run(
        ["bash", str(tmp_path / "benchmarks" / "gpu.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.findall(r"^== (\S+): ", done.stdout, re.MULTILINE) == [
        *("training", "training-kl", "generation", "memory", "vicinal", "training-further", "generation-further")
    ]
    assert done.stderr == "not measured: memory vicinal\n"
