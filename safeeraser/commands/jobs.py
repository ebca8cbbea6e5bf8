"""`safeeraser jobs`: the runs and their states; below it what can be done to one that is a process of its own."""

import argparse
import json
import time
from dataclasses import asdict

from safeeraser.commands import flags
from safeeraser.commands.console import out, say, table
from safeeraser.runs import jobs


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser jobs --json")
    flags.add_json(parser, "the list")
    actions = parser.add_subparsers(metavar="COMMAND")
    launch = flags.below(
        actions,
        "launch",
        _launch,
        "start a run in the background, or queue it behind the one on its device",
        "safeeraser jobs launch --method gd --no-pd",
    )
    flags.add_settings(launch, leave_out=("device",))
    launch.add_argument("--device", default="auto", help="cpu, cuda:0, ... (default: the GPU with the shortest queue)")
    flags.add_name(launch)
    cancel = flags.below(
        actions,
        "cancel",
        _cancel,
        "stop a run at its next step, with a checkpoint; or take it out of the queue",
        "safeeraser jobs cancel demo-po-pd-s0-1a2b3c",
    )
    cancel.add_argument("run", help="a run's name")
    cancel.add_argument("--force", action="store_true", help="kill it at once")
    resume = flags.below(
        actions,
        "resume",
        _resume,
        "continue a stopped run in the background from its last checkpoint",
        "safeeraser jobs resume demo-po-pd-s0-1a2b3c",
    )
    resume.add_argument("run", help="a run's name")


def do(options: argparse.Namespace) -> None:
    found = jobs.every()
    if options.json:
        rows = [asdict(job) | {"config": job.config and job.config.model_dump()} for job in found]
        print(json.dumps(rows, indent=1, default=str))
        return
    shown = table("Run", "Status", "Stage", "Step", "Place", "Device", "Since")
    for job in found:
        step = f"{job.step}/{job.steps}" if job.step is not None else None
        since = job.ended or job.started or job.created
        when = since and time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
        cells = (job.name, job.status, job.stage, step, job.place, job.device, when)
        shown.add_row(*("–" if cell is None else str(cell) for cell in cells))
    out.print(shown)
    for job in found:
        if job.status == "failed":
            say(f"{job.name}: {job.message or f'see {job.log}'}")


def _launch(options: argparse.Namespace) -> None:
    queue, options.device = options.device, "cpu" if options.device == "cpu" else "auto"
    device = None if queue == "auto" else queue
    _say(jobs.launch(flags.config(options), name=options.name, force=options.force, device=device))


def _cancel(options: argparse.Namespace) -> None:
    jobs.cancel(options.run, force=options.force)
    _say(options.run)


def _resume(options: argparse.Namespace) -> None:
    _say(jobs.resume(options.run))


def _say(name: str) -> None:
    job = jobs.watch(name)
    say(f"{name}: {job.status}; log: {job.log}")
