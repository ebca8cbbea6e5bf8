"""`safeeraser adapter import`: a published adapter as a run."""

import argparse
from pathlib import Path

from safeeraser import files
from safeeraser.commands import flags
from safeeraser.commands.console import say
from safeeraser.config import ConfigError
from safeeraser.runs.folder import RunError


def add_flags(parser: argparse.ArgumentParser) -> None:
    imported = flags.below(
        parser.add_subparsers(required=True, metavar="COMMAND"),
        "import",
        _import,
        "make a run from a published checkpoint.pt (LoRA and projector tensors by name)",
        "safeeraser adapter import checkpoint.pt --model llava-hf/llava-1.5-7b-hf --data path/to/SafeEraser "
        "--preset paper --method po --pd --lora-alpha 256",
    )
    imported.add_argument("file", type=Path, help="a state dict saved by torch; rank and projector are read from it")
    flags.add_settings(imported, leave_out=("lora_rank", "train_projector"))
    flags.add_name(imported)


def _import(options: argparse.Namespace) -> None:
    for flag in ("method", "lora_alpha"):
        if not hasattr(options, flag):
            raise ConfigError(f"--{flag.replace('_', '-')}: the file does not say it; give what it was trained with")
    from safeeraser import stages
    from safeeraser.commands import running
    from safeeraser.models import adapter, published

    tensors = published.read(options.file)
    config = flags.config(options, **published.settings(tensors, options.file))
    source = running.source(options)
    if not config.trains:
        raise ConfigError(f"--method {config.method} has no adapter; say which method the file was trained with")
    if config.gate != "none":
        raise ConfigError(f"--gate {config.gate}: the file has no gate, which only training makes; leave the flag out")
    adapted = published.adapted(tensors, config, options.file)
    run = stages.open_run(config, source, name=options.name, force=options.force, imported=options.file.name)
    with run.lock():
        if run.adapter.exists():
            raise RunError(f"{run.folder} has an adapter already; choose another --name or add --force")
        files.write_folder(run.adapter, lambda folder: adapter.save(adapted, folder))
        run.set_state("ready", stage="unlearn")
    say(f"adapter: {run.adapter}; next: safeeraser generate {run.name}")
