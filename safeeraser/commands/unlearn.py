"""`safeeraser unlearn`: the first stage alone."""

import argparse

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, say
from safeeraser.runs.progress import reporter


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser unlearn --method ga --max-steps 100")
    flags.add_settings(parser)
    flags.add_name(parser)


def do(options: argparse.Namespace) -> None:
    config, source = flags.config(options), running.source(options)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    with reporter(err) as progress:
        stages.unlearn(run, source, progress)
    say(f"adapter: {run.adapter}")
