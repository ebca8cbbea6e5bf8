"""`safeeraser run`: every stage of a run that is not done yet, and the table beside the base model."""

import argparse

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import show_scores


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser run --method gd --no-pd")
    flags.add_settings(parser)
    flags.add_name(parser)


def do(options: argparse.Namespace) -> None:
    config, source = flags.config(options), running.source(options)
    if not config.trains:
        run = stages.open_run(config, source, name=options.name, force=options.force)
        show_scores([running.finish(run, source)])
        return
    stages.check_run(config, source, name=options.name, force=options.force)
    base = running.finish(stages.open_run(config.base(), source), source)
    run = stages.open_run(config, source, name=options.name, force=options.force)
    show_scores([base, running.finish(run, source)])
