"""Flags that several verbs share; those of a run's settings are made from `RunConfig`, where each stands once."""

import argparse
from collections.abc import Callable
from types import NoneType
from typing import Any, get_args

from safeeraser.config import PRESETS, RunConfig, optional

_PRESETS = "the demo's; tuned, the demo's with what was chosen on dev for the method; paper, as published"


def describe(parser: argparse.ArgumentParser, do: Callable[[argparse.Namespace], int | None], example: str) -> None:
    """What a command does with its options, and the example below its help."""
    parser.epilog = f"example: {example}"
    parser.set_defaults(command=do)


def below(group: Any, name: str, do: Callable, help: str, example: str) -> argparse.ArgumentParser:
    """A command below a verb, such as `clear` below `cache`."""
    parser = group.add_parser(name, help=help, description=sentence(help))
    describe(parser, do, example)
    return parser


def sentence(help: str) -> str:
    """A line of help as a sentence."""
    return f"{help[0].upper()}{help[1:]}."


def add_settings(
    parser: argparse.ArgumentParser, *, preset_flag: str = "--preset", leave_out: tuple[str, ...] = ()
) -> None:
    """One flag for each field of RunConfig; only what the user gives overrides the preset."""
    parser.add_argument(
        preset_flag, dest="preset", choices=PRESETS, default="demo", help=f"settings to start from: {_PRESETS}"
    )
    for name, field in RunConfig.model_fields.items():
        if name in leave_out:
            continue
        kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
        how: dict[str, Any] = (
            {"type": kinds[0], "metavar": kinds[0].__name__.upper()}
            if isinstance(kinds[0], type)
            else {"choices": kinds}
        )
        if kinds == [bool]:
            how = {"action": argparse.BooleanOptionalAction}
        shown = "" if field.default is None else f" (demo: {field.default})"
        parser.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            default=argparse.SUPPRESS,
            help=f"{field.description}{shown}".replace("%", "%%"),
            **how,
        )
        if optional(name):
            off = {"dest": name, "action": "store_const", "const": None, "default": argparse.SUPPRESS}
            parser.add_argument("--no-" + name.replace("_", "-"), help=f"no --{name.replace('_', '-')}", **off)


def add_name(parser: argparse.ArgumentParser) -> None:
    """What the run is called, and whether it may replace one that is there."""
    parser.add_argument("--name", help="a name of your own for the run (default: made from its settings)")
    parser.add_argument("--force", action="store_true", help="throw an existing run of that name away first")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The run that a command is about."""
    parser.add_argument("run", help="a run's name or folder")


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Whether to print JSON for a program instead of words for a person."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def config(options: argparse.Namespace, **settings: Any) -> RunConfig:
    """The settings that the flags say, over those of the preset. Raises ConfigError naming every wrong flag."""
    given = {name: getattr(options, name) for name in RunConfig.model_fields if hasattr(options, name)}
    return RunConfig.create(options.preset, **{**given, **settings}).needed()


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)
