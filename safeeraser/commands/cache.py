"""`safeeraser cache`: what is kept on disk to save time; `cache clear` empties it."""

import argparse
import json
from typing import Any

from rich.filesize import decimal

from safeeraser import store
from safeeraser.commands import flags
from safeeraser.commands.console import out, say, table


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser cache --json")
    flags.add_json(parser, "the list")
    clear = flags.below(
        parser.add_subparsers(metavar="COMMAND"),
        "clear",
        _clear,
        "empty the caches; what is needed again is computed again",
        "safeeraser cache clear",
    )
    flags.add_json(clear, "what was freed")


def do(options: argparse.Namespace) -> None:
    _show(store.sizes(), as_json=options.json)


def _clear(options: argparse.Namespace) -> None:
    before = store.sizes()
    for row in before:
        store.Store(row["folder"]).clear()
    if not options.json:
        say("freed:")
    _show(before, as_json=options.json)


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return
    shown = table("Cache", "Holds", "Files", "Size", "Folder")
    for row in rows:
        shown.add_row(row["cache"], row["holds"], f"{row['files']:,}", decimal(row["bytes"]), str(row["folder"]))
    out.print(shown)
