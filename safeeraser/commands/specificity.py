"""`safeeraser specificity`: lmms-eval on the merged model, task by task; its results go into the run's scores."""

import argparse
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safeeraser.commands import flags, running
from safeeraser.commands.console import err, out, say, table
from safeeraser.config import ConfigError
from safeeraser.data.rows import Benchmarked
from safeeraser.errors import SafeEraserError
from safeeraser.generate import lmms_eval
from safeeraser.generate.lmms_eval import Asked, Engine
from safeeraser.runs.folder import Run, RunError
from safeeraser.score import specificity

TASKS = ",".join(specificity.BY_TASK)


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser specificity RUN --lmms-eval path/to/its/environment")
    flags.add_run(parser)
    parser.add_argument("--tasks", default=TASKS, help="of lmms-eval, with commas (default: the paper's seven)")
    parser.add_argument("--lmms-eval", help="its environment, a folder or a python (default: $SAFEERASER_LMMS_EVAL)")
    parser.add_argument("--limit", type=flags.positive, metavar="N", help="ask N questions a task, to try it")
    parser.add_argument("--include-path", type=Path, help="a folder with more tasks of lmms-eval's, as YAML")


def do(options: argparse.Namespace) -> int:
    run, tasks = Run.find(options.run), _tasks(options.tasks)
    _check(run)
    engine = lmms_eval.find(options.lmms_eval)
    weights = run.weights_hash()
    failed: dict[str, str] = {}
    with run.lock():
        done = {task: found for task, found in run.benchmarks.items() if found["weights"] == weights}
        if len(done) < len(run.benchmarks):
            err.print(f"note: {run.name}: results of another adapter are dropped")
            run.save_benchmarks(done)
        open_ = [task for task in tasks if not _is_done(done.get(task), options.limit)]
        for task in set(tasks) - set(open_):
            err.print(f"{task}: measured already")
        failed |= {task: why for task in open_ if (why := _why_not(task))}
        asked = _asked(run, weights) if open_ and len(failed) < len(open_) else None
        for task in open_:
            if asked and task not in failed:
                failed |= _measure(run, engine, task, asked, options, done)
        if not failed and weights:
            shutil.rmtree(run.merged(weights), ignore_errors=True)
    for why in failed.values():
        err.print(f"error: {why}")
    _show(done)
    _score_again(run)
    return 1 if failed else 0


def _tasks(text: str) -> list[str]:
    tasks = list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if not tasks or any(not task.replace("_", "").replace("-", "").isalnum() for task in tasks):
        raise ConfigError(
            f"--tasks {text}: must be names of lmms-eval's tasks with commas between them, such as {TASKS}"
        )
    return tasks


def _check(run: Run) -> None:
    """Raise before any work if there is no model to ask or the run stays as it is."""
    if run.ships:
        raise RunError(f"{run.name} ships with the project and stays as it is; copy its folder first")
    run.check_merges()
    if run.answers_imported:
        raise RunError(f"{run.name} has imported answers and no model; import its adapter: `safeeraser adapter import`")
    run.check_trained()


def _is_done(found: Benchmarked | None, limit: int | None) -> bool:
    """Whether a task needs not be asked again: it was asked in full, or as far as is wanted."""
    return found is not None and (found["limit"] is None or found["limit"] == limit)


def _why_not(task: str) -> str | None:
    """Why a task is not even started, None where it can be."""
    graded = task in specificity.BY_TASK and specificity.BY_TASK[task].graded
    if not graded or any(map(os.environ.get, ("OPENAI_API_KEY", "API_TYPE"))):
        return None
    return f"{task}: a GPT grades its answers and lmms-eval makes grades up without one; set OPENAI_API_KEY"


def _asked(run: Run, weights: str | None) -> Asked:
    """The model that lmms-eval asks: merged now, or by an earlier call; the base model itself for its own run."""
    import torch
    from transformers import AutoConfig

    from safeeraser.models import export, families, loading

    config = run.config
    model = loading.checkpoint(config.model)
    kind = AutoConfig.from_pretrained(model).model_type
    if (backend := families.of(config.model, kind).lmms_eval) is None:
        raise RunError(f"{run.name}: lmms-eval has no model that takes a checkpoint of type {kind!r}")
    if weights:
        folder = run.merged(weights)
        if not folder.exists():
            err.print(f"{run.name}: merging the adapter into {config.model}")
            export.export(run, folder)
        model = str(folder.absolute())
    device = "cpu" if config.device == "cpu" or not torch.cuda.is_available() else "cuda"
    return Asked(model, backend, device, str(loading.DTYPES[config.precision]).removeprefix("torch."), weights)


def _measure(
    run: Run, engine: Engine, task: str, asked: Asked, options: argparse.Namespace, done: dict[str, Benchmarked]
) -> dict[str, str]:
    """Run one task and keep what it gave in the run; returns why it failed, by its name, nothing where it did not."""
    folder = run.lmms_eval / task
    err.print(f"{task}: lmms-eval {engine.version} at work; log: {folder / 'log.txt'}")
    try:
        done[task] = lmms_eval.measure(
            engine, task, asked, folder=folder, limit=options.limit, include=options.include_path
        )
    except SafeEraserError as error:  # the other tasks can still be measured
        return {task: str(error)}
    run.save_benchmarks(done)
    return {}


def _show(done: Mapping[str, Benchmarked]) -> None:
    shown = table("Task", "Metric", "Value", "Standard error", "n", "Of Specificity")
    for task, found in done.items():
        part = task in specificity.BY_TASK
        scale = 100 if part else 1
        error = "unknown" if found["stderr"] is None else f"{scale * found['stderr']:.2f}"
        counted = "no: --limit" if found["limit"] else "yes" if part else "no"
        shown.add_row(task, found["metric"], f"{scale * found['value']:.2f}", error, f"{found['n']:,}", counted)
    if done:
        out.print(shown)
    score = specificity.score(done)
    if score["value"] is None:
        say(f"Specificity: unknown, {score.get('why')}")
        return
    interval = "" if score["low"] is None else f" [{100 * score['low']:.1f}, {100 * (score['high'] or 0):.1f}]"
    say(f"Specificity: {100 * score['value']:.1f} %{interval}, the mean of {len(specificity.BENCHMARKS)} benchmarks")


def _score_again(run: Run) -> None:
    """Put it into the run's scores, where there are any."""
    from safeeraser.commands.score import scored
    from safeeraser.score.metrics import METRICS

    if run.config.judge == METRICS["specificity"].judge:
        err.print("note: the demo world's own Specificity stays in the scores, its judge knows the answers")
    elif run.scores is not None:
        scored(run, running.load(run.config.data), run.config.judge)
