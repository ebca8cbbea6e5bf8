"""`safeeraser bundle`: runs beside their base model as one folder that a browser opens from the disk."""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from shlex import join
from typing import Any

from safeeraser.commands import flags, running
from safeeraser.commands.console import err, say
from safeeraser.config import ConfigError
from safeeraser.errors import SafeEraserError
from safeeraser.runs.folder import Run

CONFIRMATION = "show harmful pictures"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser bundle demo-po-s0-6c48dc demo-po-pd-s0-44136f --out over-forgetting")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder; its base model is added")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--judge", help="whose verdicts (default: each run's own)")
    parser.add_argument("--seed", type=int, default=0, help="draws the order of the cases (default: 0)")
    parser.add_argument(
        "--space", action="store_true", help="add the README.md that a static space on a model hub needs"
    )
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    parser.add_argument(
        "--with-originals",
        action="store_true",
        help="also show, unblurred, harmful pictures and what was answered about them; asks first",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before originals are shown")


def do(options: argparse.Namespace) -> None:
    if not options.out.parent.is_dir():
        raise ConfigError(f"--out {options.out}: there is no folder {options.out.parent}; make it first")
    from safeeraser.bundle import folder  # large
    from safeeraser.report import collecting

    folder.check_place(options.out, replace=options.force)
    runs = [Run.find(name) for name in options.runs]
    sources = running.sources_of(runs)
    group = folder.only(collecting.collect(runs, sources, judge=options.judge))
    if options.with_originals and folder.hides(group.source, originals=False) and not options.yes:
        _confirm(group.rows[0]["data"])
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    command = _command(options, [run.name for run in runs])
    chosen = folder.Choices(command, made, options.seed, options.with_originals, options.space)
    folder.write(group, options.out.resolve(), chosen, track=_track)
    say(f"bundle: {options.out / 'index.html'}")


def _confirm(data: str) -> None:
    """Raise SafeEraserError unless a person types that harmful pictures are to be shown."""
    if not sys.stdin.isatty():
        raise SafeEraserError(
            "--with-originals: nobody is here to agree to this; add --yes to go on without being asked"
        )
    err.print(
        f"{data} does not say that it is harmless. The bundle will show its harmful pictures to whoever opens it."
    )
    err.print(f"Type “{CONFIRMATION}” to go on: ", end="")
    if input().strip().lower() != CONFIRMATION:
        raise SafeEraserError("--with-originals: not confirmed, so nothing was made; without it they are blurred")


def _command(options: argparse.Namespace, names: list[str]) -> str:
    """What makes the same bundle again."""
    words = ["safeeraser", "bundle", *names, "--out", options.out.name]
    given = {"--judge": options.judge, "--seed": options.seed or None}
    words += [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
    switches = {"--space": options.space, "--with-originals": options.with_originals}
    return join([*words, *(flag for flag, on in switches.items() if on)])


def _track(plan: list) -> Any:
    from rich.progress import track

    return track(plan, description="drawing the pictures", console=err, disable=not err.is_terminal)
