"""`safeeraser generate`: the answers of a run, by its own model or by a server of the exported one."""

import argparse
from typing import Any

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, say
from safeeraser.config import ConfigError
from safeeraser.runs.folder import Run
from safeeraser.runs.progress import reporter


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser generate demo-po-pd-s0-1a2b3c")
    flags.add_run(parser)
    parser.add_argument(
        "--endpoint", metavar="URL", help="ask a server of the exported model, such as http://localhost:8000/v1"
    )
    parser.add_argument("--endpoint-model", metavar="NAME", help="its name there (default: the only one served)")
    parser.add_argument("--endpoint-workers", metavar="INT", type=int, help="questions under way at once (default: 16)")


def do(options: argparse.Namespace) -> None:
    run = Run.find(options.run)
    engine = _engine(options, run)
    with reporter(err) as progress:
        stages.generate(run, running.source_of(run), progress, engine=engine)
    say(f"answers: {run.answers} ({len(run.rows(run.answers))} rows)")


def _engine(options: argparse.Namespace, run: Run) -> Any:
    """Who answers: the endpoint that the flags name, None for the run's own model."""
    given = {"model": options.endpoint_model, "workers": options.endpoint_workers}
    given = {name: value for name, value in given.items() if value is not None}
    if options.endpoint is None:
        if given:
            raise ConfigError(f"--endpoint-{next(iter(given))}: give the address too, --endpoint URL")
        return None
    run.check_merges()
    from safeeraser.generate.endpoint import Endpoint

    return Endpoint(options.endpoint, run.config, **given)
