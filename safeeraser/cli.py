"""The `safeeraser` command: finds the verb, lets it do its work, and prints errors. A verb is a file in `commands/`."""

import argparse
import sys
from importlib import import_module

from safeeraser import __version__
from safeeraser.commands import VERBS, console, flags
from safeeraser.errors import SafeEraserError
from safeeraser.runs import processes


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    verb = next((word for word in words if not word.startswith("-")), None)
    options = parser(only=verb).parse_args(words)
    try:
        status = options.command(options) or 0
        processes.leave()
        return status
    except KeyboardInterrupt as stop:
        console.err.print(f"stopped: {str(stop) or 'the same command goes on from here'}")
        return 130
    except SafeEraserError as error:
        console.err.print(f"error: {error}")
        return 1


def parser(*, only: str | None = None) -> argparse.ArgumentParser:
    """The parser of all verbs, with the flags of one of them: of no other has anything to be imported."""
    made = argparse.ArgumentParser(
        prog="safeeraser", description="Unlearning in multimodal models, and its over-forgetting."
    )
    made.add_argument("--version", action="version", version=f"safeeraser {__version__}")
    verbs = made.add_subparsers(required=True, metavar="COMMAND")
    for verb, help in VERBS.items():
        of_verb = verbs.add_parser(verb, help=help, description=flags.sentence(help))
        if verb == only:
            import_module(f"safeeraser.commands.{verb}").add_flags(of_verb)
    return made
