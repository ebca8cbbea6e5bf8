"""What each `safeeraser` command does with its options. Model libraries are imported only when a stage needs them."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import track as rich_track
from rich.table import Table

from safeeraser import cluster, forecast, forecast_tables, hardware, jobs, processes, stages, store, tables
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data import health, predictions
from safeeraser.errors import SafeEraserError
from safeeraser.progress import reporter
from safeeraser.runs import Run, RunError
from safeeraser.store import Store

# Methods, each without and with Prompt Decouple; the base model is always the first row.
SWEEPS: dict[str, tuple[str, ...]] = {"paper": ("ga", "gd", "kl", "po")}

# Piped output keeps its columns whatever the terminal is.
out = Console(width=None if sys.stdout.isatty() else 160, quiet=not processes.is_main())
err = Console(stderr=True, soft_wrap=True, quiet=not processes.is_main())


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
    engine = _engine(options, run)
    with reporter(err) as progress:
        stages.generate(run, _source_of(run), progress, engine=engine)
    out.print(f"answers: {run.answers} ({len(run.rows(run.answers))} rows)", highlight=False)


def _engine(options: argparse.Namespace, run: Run) -> Any:
    """Who answers: the endpoint that the flags name, None for the run's own model."""
    given = {"model": options.endpoint_model, "workers": options.endpoint_workers}
    given = {name: value for name, value in given.items() if value is not None}
    if options.endpoint is None:
        if given:
            raise ConfigError(f"--endpoint-{next(iter(given))}: give the address too, --endpoint URL")
        return None
    from safeeraser.endpoint import Endpoint

    return Endpoint(options.endpoint, run.config, **given)


def judge(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    stages.judge(run, _source_of(run), options.judge or run.config.judge)
    out.print(f"verdicts: {run.verdicts} ({len(run.rows(run.verdicts))} rows)", highlight=False)


def score(options: argparse.Namespace) -> None:
    runs = [Run.find(name) for name in options.runs]
    sources = {name: _load(name) for name in dict.fromkeys(run.config.data for run in runs)}
    rows = []
    for run in runs:
        source, judge = sources[run.config.data], options.judge or run.config.judge
        rows.append(stages.score(run, source, judge))
        if run.ships or judge != run.config.judge or rows[-1] == run.scores:
            continue
        if why := _not_final(run, source):
            err.print(f"note: {run.name}: {why}; these scores are not kept", highlight=False, markup=False)
        else:
            stages.finish(run, rows[-1])
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _show(rows)


def _not_final(run: Run, source: stages.Source) -> str | None:
    if source.hash != run.facts["data_hash"]:
        return f"it was made on other data than {run.config.data} holds now"
    return stages.unfinished(run, source)


def plan(options: argparse.Namespace) -> None:
    devices = [hardware.get(name) for name in ([options.hardware] if options.hardware else hardware.NAMES)]
    data = None if options.official_size else _source(options).readable[0]
    told = forecast.forecast(_config(options), data, devices, gpus=options.gpus)
    if options.json:
        print(json.dumps(told.as_dict(), indent=1))
        return
    for part in forecast_tables.render(told):
        out.print(part, highlight=False)


def sweep(options: argparse.Namespace) -> int:
    form, resources = _format(options), _resources(options)
    variants = [{"method": method, "pd": pd} for method in SWEEPS[options.sweep] for pd in (False, True)]
    configs = [_config(options, **variant, seed=seed) for seed, variant in product(options.seeds, variants)]
    source, rows, failed = _source(options), {}, 0
    if options.on != "here":
        stages.check_judge(configs[0].judge, source)
        _hand_over(configs, resources)
        return 0
    for config in configs:
        for one in (config.base(), config):
            run = stages.open_run(one, source)
            if run.name in rows:
                continue
            try:
                rows[run.name] = _finish(run, source)
            except SafeEraserError as error:  # the other methods can still be compared
                err.print(f"error: {run.name}: {error}", highlight=False, markup=False)
                failed = 1
    _show(list(rows.values()), form, options.output)
    return failed


def _hand_over(configs: list[RunConfig], resources: cluster.Resources | None) -> None:
    """Start the runs of a sweep elsewhere, and say what became of each."""
    if resources:
        said = cluster.hand_over(configs, resources)
    else:
        said = {name: jobs.watch(name).status for name in [jobs.launch(config) for config in configs]}
    for name, words in said.items():
        out.print(f"{name}: {words}", highlight=False, markup=False, soft_wrap=True)
    out.print("for the table, give the same command without --on when they are done", highlight=False)


def _resources(options: argparse.Namespace) -> cluster.Resources | None:
    """What the flags ask of Slurm, None unless the sweep goes there."""
    names = ("slurm_partition", "slurm_account", "gpus", "hours", "slurm_parameter")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.on != "slurm":
        if given:
            raise ConfigError(f"--{next(iter(given)).replace('_', '-')} has no effect without --on slurm; leave it out")
        return None
    extra = dict(given.pop("slurm_parameter", []))
    return cluster.Resources(**{name.removeprefix("slurm_"): value for name, value in given.items()}, extra=extra)


def _format(options: argparse.Namespace) -> str:
    """The table's format: as asked for, else by the file's ending; wrong ones are named before any work is done."""
    if options.on != "here" and (options.format or options.output):
        raise ConfigError(f"--format and --output have no effect with --on {options.on}, which prints no table")
    if options.output is None:
        return options.format or "text"
    form = options.format or {".md": "markdown", ".csv": "csv"}.get(options.output.suffix)
    if form not in ("markdown", "csv"):
        raise ConfigError(f"--output {options.output}: add --format markdown or csv, or end the name with .md or .csv")
    if not options.output.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no folder {options.output.parent}; make it first")
    return form


def data_check(options: argparse.Namespace) -> int:
    report = health.check(options.folder)
    if options.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        report.render(out)
    return 0 if report.usable else 1


def data_import(options: argparse.Namespace) -> None:
    if not hasattr(options, "method"):
        raise ConfigError("--method: say which method made the answers (base for none), and --pd or --no-pd")
    config, source = _config(options), _source(options)
    rows = predictions.read(options.file, source.dataset, split=options.split)
    run = stages.open_run(config, source, name=options.name, force=options.force, imported=options.file.name)
    with run.lock():
        if run.rows(run.answers):
            raise RunError(f"{run.folder} has answers already; choose another --name or add --force")
        run.append(run.answers, rows)
    run.set_state("ready", stage="generate")
    out.print(f"answers: {run.answers} ({len(rows)} rows); next: safeeraser judge {run.name}", highlight=False)


def adapter_import(options: argparse.Namespace) -> None:
    for flag in ("method", "lora_alpha"):
        if not hasattr(options, flag):
            raise ConfigError(f"--{flag.replace('_', '-')}: the file does not say it; give what it was trained with")
    from safeeraser import checkpoints, models, published

    tensors = published.read(options.file)
    config, source = _config(options, **published.settings(tensors, options.file)), _source(options)
    if not config.trains:
        raise ConfigError(f"--method {config.method} has no adapter; say which method the file was trained with")
    adapted = published.adapter(tensors, config, options.file)
    run = stages.open_run(config, source, name=options.name, force=options.force, imported=options.file.name)
    with run.lock():
        if run.adapter.exists():
            raise RunError(f"{run.folder} has an adapter already; choose another --name or add --force")
        checkpoints.write_whole(run.adapter, lambda folder: models.save_adapter(adapted, folder))
        run.set_state("ready", stage="unlearn")
    out.print(f"adapter: {run.adapter}; next: safeeraser generate {run.name}", highlight=False)


def export(options: argparse.Namespace) -> None:
    from safeeraser import export as exporting

    run = Run.find(options.run)
    folder = options.out or Path("exports") / run.name
    exporting.export(run, folder)
    out.print(f"model: {folder}; serve it: vllm serve {folder}", highlight=False, markup=False, soft_wrap=True)


def jobs_list(options: argparse.Namespace) -> None:
    found = jobs.every()
    if options.json:
        print(
            json.dumps(
                [asdict(job) | {"config": job.config and job.config.model_dump()} for job in found],
                indent=1,
                default=str,
            )
        )
        return
    table = Table(box=SIMPLE_HEAD)
    for column in ("Run", "Status", "Stage", "Step", "Place", "Device", "Since"):
        table.add_column(column, overflow="fold")
    for job in found:
        step = f"{job.step}/{job.steps}" if job.step is not None else None
        since = job.ended or job.started or job.created
        when = since and time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
        cells = (job.name, job.status, job.stage, step, job.place, job.device, when)
        table.add_row(*("–" if cell is None else escape(str(cell)) for cell in cells))
    out.print(table)
    for job in found:
        if job.status == "failed":
            out.print(f"{job.name}: {job.message or f'see {job.log}'}", highlight=False, markup=False)


def jobs_launch(options: argparse.Namespace) -> None:
    queue, options.device = options.device, "cpu" if options.device == "cpu" else "auto"
    device = None if queue == "auto" else queue
    _say(jobs.launch(_config(options), name=options.name, force=options.force, device=device))


def jobs_cancel(options: argparse.Namespace) -> None:
    jobs.cancel(options.run, force=options.force)
    _say(options.run)


def jobs_resume(options: argparse.Namespace) -> None:
    _say(jobs.resume(options.run))


def _say(name: str) -> None:
    job = jobs.watch(name)
    out.print(f"{name}: {job.status}; log: {job.log}", highlight=False, markup=False, soft_wrap=True)


def cache_list(options: argparse.Namespace) -> None:
    _show_caches(store.sizes(), as_json=options.json)


def cache_clear(options: argparse.Namespace) -> None:
    before = store.sizes()
    for row in before:
        Store(row["folder"]).clear()
    if not options.json:
        out.print("freed:")
    _show_caches(before, as_json=options.json)


def _show_caches(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return
    table = Table(box=SIMPLE_HEAD)
    for column in ("Cache", "Holds", "Files", "Size", "Folder"):
        table.add_column(column, overflow="fold")
    for row in rows:
        size = decimal(row["bytes"])
        table.add_row(row["cache"], row["holds"], f"{row['files']:,}", size, escape(str(row["folder"])))
    out.print(table)


def demo_build(options: argparse.Namespace) -> None:
    from safeeraser import demo_model

    if options.folder.exists() and any(options.folder.iterdir()):
        raise ConfigError(f"--folder {options.folder} is not empty; choose another or empty it first")
    demo_model.build(options.folder, seed=options.seed)
    out.print(f"model: {options.folder}", highlight=False)


def _config(options: argparse.Namespace, **settings: Any) -> RunConfig:
    given = {name: getattr(options, name) for name in RunConfig.model_fields if hasattr(options, name)}
    config = RunConfig.create(options.preset, **{**given, **settings})
    return config if config.trains else config.base()  # what only training uses does not make another base run


def _source(options: argparse.Namespace) -> stages.Source:
    return _load(_config(options).data)


def _load(name: str) -> stages.Source:
    with processes.main_first():  # the demo world is drawn once
        return stages.Source(name, track=_track)


def _source_of(run: Run) -> stages.Source:
    source = _load(run.config.data)
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
    if broken := source.readable[1]:
        err.print(f"note: {len(broken)} pictures cannot be read and their questions are left out, such as", end=" ")
        err.print(next(iter(broken)), highlight=False)
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
