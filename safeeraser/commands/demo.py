"""`safeeraser demo build`: the demo world's base model, trained anew."""

import argparse
from pathlib import Path

from safeeraser import files
from safeeraser.commands import flags
from safeeraser.commands.console import say
from safeeraser.config import ConfigError


def add_flags(parser: argparse.ArgumentParser) -> None:
    build = flags.below(
        parser.add_subparsers(required=True, metavar="COMMAND"),
        "build",
        _build,
        "train the demo world's base model anew",
        "safeeraser demo build --folder my-demo-model --seed 1",
    )
    build.add_argument("--folder", type=Path, default=Path("demo-model"), help="where the checkpoint goes")
    build.add_argument("--seed", type=int, default=0)


def _build(options: argparse.Namespace) -> None:
    from safeeraser.demo import base_model
    from safeeraser.models import saving

    if options.folder.exists() and any(options.folder.iterdir()):
        raise ConfigError(f"--folder {options.folder} is not empty; choose another or empty it first")
    model, processor = base_model.build(seed=options.seed)
    files.write_folder(options.folder, lambda folder: saving.save(model, processor, folder))
    say(f"model: {options.folder}")
