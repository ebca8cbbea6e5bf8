"""`safeeraser plan`: what a run would need, before anything is loaded."""

import argparse
import json

from safeeraser.commands import flags
from safeeraser.commands.console import out
from safeeraser.plan import hardware


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(
        parser,
        do,
        "safeeraser plan --preset paper --model llava-hf/llava-1.5-7b-hf --method kl --official-size --hardware h100",
    )
    parser.add_argument("--hardware", help=f"one of {', '.join(hardware.NAMES)} (default: all of them)")
    parser.add_argument("--gpus", type=flags.positive, default=1, metavar="INT", help="how many of them share the work")
    parser.add_argument(
        "--official-size", action="store_true", help="take the numbers of the official data set, which need not be here"
    )
    flags.add_json(parser, "all of it")
    flags.add_settings(parser)


def do(options: argparse.Namespace) -> None:
    from safeeraser.commands import running
    from safeeraser.plan import forecast, tables

    devices = [hardware.get(name) for name in ([options.hardware] if options.hardware else hardware.NAMES)]
    data = None if options.official_size else running.source(options).readable[0]
    found = forecast.forecast(flags.config(options), data, devices, gpus=options.gpus)
    if options.json:
        print(json.dumps(found.as_dict(), indent=1))
        return
    for part in tables.render(found):
        out.print(part)
