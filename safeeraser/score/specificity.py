"""What lmms-eval measured on general benchmarks -> Specificity, the mean over the paper's seven.

Not covered: running lmms-eval (`generate/lmms_eval.py`). Its results are those of version 0.7.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from safeeraser.data.rows import Benchmarked, Score
from safeeraser.errors import SafeEraserError
from safeeraser.runs.contents import first

QUANTILE = 1.96  # of the normal distribution, for 95 %


class ResultsError(SafeEraserError):
    """A results file of lmms-eval is not what it should be; the message says in what."""


@dataclass(frozen=True)
class Benchmark:
    """One of the paper's benchmarks and lmms-eval's names for it and for the number that counts.

    best: the number of a model without fault. graded: a GPT reads the answers. shares: each answer is right or wrong,
    and lmms-eval gives no error.
    """

    name: str
    task: str
    metric: str
    best: float = 1
    graded: bool = False
    shares: bool = False


BENCHMARKS = (
    Benchmark("GQA", "gqa", "exact_match"),
    Benchmark("VizWiz", "vizwiz_vqa_val", "exact_match"),
    Benchmark("ScienceQA", "scienceqa_img", "exact_match"),
    Benchmark("VQAv2", "vqav2_val", "exact_match"),
    Benchmark("POPE", "pope", "pope_accuracy"),
    Benchmark("MM-Vet", "mmvet", "gpt_eval_score", best=100, graded=True),
    Benchmark("MMBench", "mmbench_en_dev", "gpt_eval_score", best=100, graded=True, shares=True),
)
BY_TASK = {benchmark.task: benchmark for benchmark in BENCHMARKS}


_Count = with_config(ConfigDict(extra="allow"))(TypedDict("_Count", {"effective": int}))
_Results = with_config(ConfigDict(extra="allow"))(
    TypedDict(
        "_Results",
        {
            "results": dict[str, dict[str, Any]],
            "n-samples": dict[str, _Count],
            "model_name": str,
            "date": str,
        },
    )
)


def read(content: bytes, *, task: str, model: str, limit: int | None, weights: str | None, version: str) -> Benchmarked:
    """What a results file of lmms-eval says of a task. model: what it was told to ask, as it must say itself.

    Raises ResultsError for a file that is cut short, of another model, or without the task or its number.
    """
    try:
        found: Any = TypeAdapter(_Results).validate_json(content)
    except ValidationError as error:
        raise ResultsError(f"lmms-eval's results cannot be read: {first(error)}") from error
    if found["model_name"] != model:
        raise ResultsError(f"lmms-eval's results are of another model, {found['model_name']}, not {model}")
    if task not in found["results"] or task not in found["n-samples"]:
        raise ResultsError(f"lmms-eval's results say nothing of {task}; they know {', '.join(found['results'])}")
    numbers, n = found["results"][task], found["n-samples"][task]["effective"]
    name = _counting(task, numbers)
    best = BY_TASK[task].best if task in BY_TASK else 1
    value = numbers[name] / best
    if not math.isfinite(value) or n < 1 or (task in BY_TASK and not 0 <= value <= 1):
        raise ResultsError(f"lmms-eval's results have {name} {numbers[name]} over {n} answers of {task}")
    stderr = _stderr(numbers, name, best)
    if stderr is None and task in BY_TASK and BY_TASK[task].shares and n > 1:
        stderr = math.sqrt(value * (1 - value) / (n - 1))
    return {
        "metric": name.split(",")[0],
        "value": value,
        "stderr": stderr,
        "n": n,
        "limit": limit,
        "weights": weights,
        "lmms_eval": version,
        "date": found["date"],
    }  # type: ignore[return-value]


def _counting(task: str, numbers: Mapping[str, Any]) -> str:
    """The key `METRIC,FILTER` of the number that counts; of an unknown task, the first."""
    wanted = BY_TASK[task].metric if task in BY_TASK else None
    for key, value in numbers.items():
        metric, comma, _ = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if comma and number and "_stderr" not in metric and wanted in (None, metric):
            return key
    raise ResultsError(f"lmms-eval's results have no number {wanted or 'at all'} for {task}")


def _stderr(numbers: Mapping[str, Any], name: str, best: float) -> float | None:
    """lmms-eval's standard error, 0 to 1: the metric's own, else that of the answers' scores, which go from 0 to 1."""
    metric, _, kind = name.partition(",")
    for suffix, scale in (("stderr", best), ("stderr_clt", 1)):
        found = numbers.get(f"{metric}_{suffix},{kind}")
        if isinstance(found, int | float) and math.isfinite(found):
            return found / scale
    return None


def missing(tasks: Mapping[str, Benchmarked]) -> list[str]:
    """The benchmarks that were not asked all their questions, by name, with how many were where some were."""
    found = []
    for benchmark in BENCHMARKS:
        done = tasks.get(benchmark.task)
        if done is None:
            found.append(benchmark.name)
        elif done["limit"] is not None:
            found.append(f"{benchmark.name} (only {done['n']} questions, --limit)")
    return found


def score(tasks: Mapping[str, Benchmarked]) -> Score:
    """The mean over all seven benchmarks, each of the same weight; unknown where one is missing.

    Its interval is the normal one, from lmms-eval's standard errors, which take answers as independent.
    """
    if lacking := missing(tasks):
        why = f"lmms-eval has still to run on {', '.join(lacking)}; `safeeraser specificity`"
        return {"value": None, "low": None, "high": None, "n": 0, "unscored": 0, "why": why, "tasks": dict(tasks)}
    of = [tasks[benchmark.task] for benchmark in BENCHMARKS]
    value = sum(one["value"] for one in of) / len(of)
    errors = [error for one in of if (error := one["stderr"]) is not None]
    half = QUANTILE * math.hypot(*errors) / len(of) if len(errors) == len(of) else None
    return {
        "value": value,
        "low": None if half is None else max(value - half, 0.0),
        "high": None if half is None else min(value + half, 1.0),
        "n": sum(one["n"] for one in of),
        "unscored": 0,
        "unit": "question",
        "tasks": dict(tasks),
    }
