"""What each `safeeraser` command does with its options. Model libraries are imported only when a stage needs them."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track as rich_track

from safeeraser import stages, tables
from safeeraser.config import ConfigError, RunConfig
from safeeraser.losses import METHODS
from safeeraser.progress import reporter
from safeeraser.runs import Run, RunError

SWEEPS: dict[str, list[dict[str, Any]]] = {
    "paper": [{"method": method, "pd": pd} for method in METHODS for pd in (False, True)],
}

# Piped output keeps its columns whatever the terminal is.
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, soft_wrap=True)


def run(options: argparse.Namespace) -> None:
    config, source = _config(options), _source(options)
    if not config.trains:
        _show([_finish(stages.open_run(config, source, name=options.name, force=options.force), source)])
        return
    base = _finish(stages.open_run(config.base(), source), source)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    _show([base, _finish(run, source)])


def unlearn(options: argparse.Namespace) -> None:
    config, source = _config(options), _source(options)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    with reporter(err) as progress:
        stages.unlearn(run, source, progress)
    out.print(f"adapter: {run.adapter}", highlight=False)


def generate(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    with reporter(err) as progress:
        stages.generate(run, _run_source(run), progress)
    out.print(f"answers: {run.answers} ({len(run.rows(run.answers))} rows)", highlight=False)


def judge(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    stages.judge(run, _run_source(run), options.judge or run.config.judge)
    out.print(f"verdicts: {run.verdicts} ({len(run.rows(run.verdicts))} rows)", highlight=False)


def score(options: argparse.Namespace) -> None:
    runs = [Run.find(name) for name in options.runs]
    sources = {name: _source_of(name) for name in dict.fromkeys(run.config.data for run in runs)}
    rows = []
    for run in runs:
        source, judge = sources[run.config.data], options.judge or run.config.judge
        if source.hash != run.facts["data_hash"]:
            err.print(f"note: {run.name} was made on other data than {run.config.data} holds now", highlight=False)
        rows.append(stages.score(run, source, judge))
        if judge == run.config.judge and rows[-1] != run.scores:
            stages.finish(run, rows[-1])
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _show(rows)


def sweep(options: argparse.Namespace) -> None:
    source, rows = _source(options), {}
    for seed in options.seeds:
        for variant in SWEEPS[options.sweep]:
            config = _config(options, **variant, seed=seed)
            for one in (config.base(), config):
                run = stages.open_run(one, source)
                if run.name not in rows:
                    rows[run.name] = _finish(run, source)
    _show(list(rows.values()), options.format, options.output)


def data_check(options: argparse.Namespace) -> int:
    from safeeraser.data import health

    report = health.check(options.folder)
    if options.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        report.render(out)
    return 0 if report.usable else 1


def data_import(options: argparse.Namespace) -> None:
    from safeeraser import stages
    from safeeraser.data import predictions

    config, source = _config(options), _source(options)
    rows = predictions.read(options.file, source.dataset, split=options.split)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    if run.answers.exists():
        raise RunError(f"{run.folder} has answers already; choose another --name or add --force")
    run.append(run.answers, rows)
    out.print(f"answers: {run.answers} ({len(rows)} rows); next: safeeraser judge {run.name}", highlight=False)


def demo_build(options: argparse.Namespace) -> None:
    from safeeraser import demo_model

    if options.folder.exists() and any(options.folder.iterdir()):
        raise ConfigError(f"--folder {options.folder} is not empty; choose another or empty it first")
    demo_model.build(options.folder, seed=options.seed)
    out.print(f"model: {options.folder}", highlight=False)


def _config(options: argparse.Namespace, **settings: Any) -> RunConfig:
    given = {name: getattr(options, name) for name in RunConfig.model_fields if hasattr(options, name)}
    return RunConfig.create(options.preset, **{**given, **settings})


def _source(options: argparse.Namespace) -> Any:
    return _source_of(_config(options).data)


def _source_of(name: str) -> Any:
    return stages.Source(name, track=_track)


def _run_source(run: Run) -> Any:
    source = _source_of(run.config.data)
    if source.hash != run.facts["data_hash"]:
        raise RunError(f"{run.name} was made on other data than {run.config.data} holds now")
    return source


def _track(plan: list) -> Any:
    return rich_track(plan, description="drawing the demo world", console=err, disable=not err.is_terminal)


def _finish(run: Run, source: Any) -> dict[str, Any]:
    """The run's score row: read if it is finished, computed if not."""
    if run.scores is not None and run.state["status"] == "done":
        err.print(f"{run.name}: finished already", highlight=False)
        return run.scores
    err.print(f"{run.name}: {run.folder}", highlight=False)
    with reporter(err) as progress:
        return stages.run_all(run, source, progress)


def _show(rows: list[dict[str, Any]], form: str = "text", output: Path | None = None) -> None:
    if form == "text" and output is None:
        for table in tables.as_text(rows):
            out.print(table)
        return
    text = {"markdown": tables.as_markdown, "csv": tables.as_csv}[form](rows)
    if output is None:
        print(text)
    else:
        output.write_text(text, encoding="utf-8")
        out.print(f"table: {output}", highlight=False)
