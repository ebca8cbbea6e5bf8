"""`safeeraser export`: a run as a checkpoint of its own."""

import argparse
from pathlib import Path

from safeeraser.commands import flags
from safeeraser.commands.console import say
from safeeraser.runs.folder import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser export demo-po-pd-s0-1a2b3c --out my-model")
    flags.add_run(parser)
    parser.add_argument("--out", type=Path, help="an empty or new folder (default: exports/ and the run's name)")


def do(options: argparse.Namespace) -> None:
    from safeeraser.models import export

    run = Run.find(options.run)
    folder = options.out or Path("exports") / run.name
    export.export(run, folder)
    say(f"model: {folder}; serve it: vllm serve {folder}")
