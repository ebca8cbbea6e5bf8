"""Several processes on one run against one: the same losses and answers, and how much faster.

    python benchmarks/processes.py --out benchmarks/processes.json
    python benchmarks/processes.py --counts 1 2 4 --model llava-1.5-7b --precision bf16 --device cuda

Each number of processes trains the same run, without looks, and answers for the same base run, started as a user would
start it; `--launcher` is what starts the processes, with {count} in the place of their number. Training is measured by
its log: the examples of a step by the median of the steps' seconds, after the first steps. Answering is measured by the
clock, the whole command, with what it takes to start and to load the model. On the CPU each process has one thread, so
two have twice the cores of one; `load` is the machine's before, and other work on it shows in the ratios.
"""

import argparse
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rows
from subjects import MODELS, subject

from safeeraser import stages
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run

BATCH = 8
FIRST = 5  # steps that warm up
ALIKE = 1e-4  # relative difference of losses that counts as the same
LAUNCHER = f"{shlex.quote(sys.executable)} -m torch.distributed.run --standalone --nproc_per_node {{count}}"


def main() -> None:
    options, circumstances = _options(), rows.circumstances()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SAFEERASER_RUNS"] = str(Path(scratch, "runs"))
        model = _model(options, Path(scratch, options.model))
        trained = {count: _train(options, model, count) for count in options.counts}
        answered = {count: _answer(options, trained[count], count) for count in options.counts}
        row = _row(options, trained, answered) | circumstances
    print(f"training: {row['examples_a_second']} examples a second, {row['training_ratio']} x one process")
    print(f"losses differ by at most {row['loss_difference']} (relative)")
    print(f"answering: {row['answering_seconds']} s, {row['answering_ratio']} x one process, load {row['load']}")
    print(f"{row['identical']} of {row['questions']} answers identical")
    if options.out:
        rows.add(row, options.out)
    if max(row["loss_difference"].values()) >= ALIKE:
        sys.exit("the losses differ")
    if options.precision == "fp32" and min(row["identical"].values()) < row["questions"]:
        sys.exit("the answers differ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="demo", help="all but demo have random weights")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1, 2], help="of processes; the first is compared with"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--records", type=int, default=40, help="whose questions are asked, of each split")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--launcher", default=LAUNCHER, help="words before `-m safeeraser` (default: torchrun)")
    parser.add_argument("--out", type=Path, help="a JSON file to add the row to")
    options = parser.parse_args()
    if options.steps <= FIRST or len(options.counts) < 2:
        parser.error(f"--steps must be more than {FIRST}, and --counts at least two numbers")
    return options


def _model(options: argparse.Namespace, folder: Path) -> str:
    """What `--model` of safeeraser is given: demo, or the folder that the model is saved to."""
    if options.model == "demo":
        return "demo"
    network, processor = subject(options.model, precision=options.precision)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def _train(options: argparse.Namespace, model: str, count: int) -> Run:
    flags = {
        "--model": model,
        "--precision": options.precision,
        "--device": "cpu" if options.device == "cpu" else "auto",
        "--batch-size": BATCH,
        "--accumulation": math.lcm(*options.counts),
        "--max-steps": options.steps,
        "--checkpoint-every": options.steps,
        "--eval-records": options.records,
        "--name": f"trained-{count}",
    }
    _launch(options, count, "unlearn", "--no-look-every", *(str(word) for pair in flags.items() for word in pair))
    return Run.find(f"trained-{count}")


def _answer(options: argparse.Namespace, trained: Run, count: int) -> tuple[Run, float]:
    """The base model's run and the seconds of the command."""
    config = trained.config.base()
    run = stages.open_run(config, Source(config.data), name=f"answered-{count}")
    return run, _launch(options, count, "generate", run.name)


def _launch(options: argparse.Namespace, count: int, *words: str) -> float:
    """Run a `safeeraser` command in so many processes; returns its seconds."""
    starter = [word.format(count=count) for word in shlex.split(options.launcher)]
    on_cpu = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} if options.device == "cpu" else {}
    start = time.perf_counter()
    subprocess.run([*starter, "-m", "safeeraser", *words], env=os.environ | on_cpu, stdout=sys.stderr, check=True)
    return time.perf_counter() - start


def _row(
    options: argparse.Namespace, trained: dict[int, Run], answered: dict[int, tuple[Run, float]]
) -> dict[str, Any]:
    first, *others = options.counts
    log = {count: run.rows(run.log) for count, run in trained.items()}
    speed = {count: _examples_a_second(options, steps) for count, steps in log.items()}
    answers = {
        count: {(row["id"], row["sample"]): row["answer"] for row in run.rows(run.answers)}
        for count, (run, _) in answered.items()
    }
    same = {count: sum(answers[count].get(key) == text for key, text in answers[first].items()) for count in others}
    seconds = {count: took for count, (_, took) in answered.items()}
    return {
        "benchmark": "processes",
        "model": options.model,
        "precision": options.precision,
        "device": options.device,
        "examples_a_step": BATCH * math.lcm(*options.counts),
        "steps": options.steps,
        "examples_a_second": {count: round(speed[count], 2) for count in options.counts},
        "training_ratio": {count: round(speed[count] / speed[first], 2) for count in others},
        "loss_difference": {count: _difference(log[first], log[count]) for count in others},
        "questions": len(answers[first]),
        "identical": same,
        "answering_seconds": {count: round(seconds[count], 1) for count in options.counts},
        "answering_ratio": {count: round(seconds[first] / seconds[count], 2) for count in others},
    }


def _examples_a_second(options: argparse.Namespace, steps: list[dict[str, Any]]) -> float:
    return BATCH * math.lcm(*options.counts) / statistics.median(step["seconds"] for step in steps[FIRST:])


def _difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """The largest relative difference of a step's loss."""
    return max(abs(a["loss"] - b["loss"]) / abs(a["loss"]) for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
