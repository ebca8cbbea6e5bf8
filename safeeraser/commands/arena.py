"""`safeeraser arena`: people vote between two models that answer side by side; `safeeraser arena results` counts."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from safeeraser.commands import flags
from safeeraser.commands.console import err, out, say, table
from safeeraser.config import ConfigError
from safeeraser.score import votes
from safeeraser.score.preference import Standing, groups, standings
from safeeraser.score.tables import no_formula

RESULTS = "results"
FORMATS = ("table", "csv", "jsonl")
HOST = "127.0.0.1"


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser arena; then: safeeraser arena results --format csv")
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="runs that answer, by name or folder, 'base' too; of one run, the base model beside it; of none, the "
        f"examples PO and PO+PD. The word '{RESULTS}' before them: print how the votes between them went, instead",
    )
    parser.add_argument("--host", help=f"where it listens (default: {HOST}); any other needs a password")
    parser.add_argument("--port", type=_port, metavar="INT", help="where it listens (default: 7860, or next)")
    parser.add_argument(
        "--share", action="store_true", help="also a public address, by Gradio's tunnel; needs a password"
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="of results: win rates as a table (default) or csv; or every vote, as jsonl"
    )
    parser.add_argument("--votes", action="store_true", help="of results, with csv: every vote instead of win rates")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {2**16 - 1}, got {text!r}")
    return int(text)


def do(options: argparse.Namespace) -> None:
    if options.runs[:1] == [RESULTS]:
        _refuse(options, {"host": "--host", "port": "--port", "share": "--share"}, f"{RESULTS}")
        _print(options)
        return
    _refuse(options, {"format": "--format", "votes": "--votes"}, "the arena itself; write `safeeraser arena results`")
    _serve(options)


def _refuse(options: argparse.Namespace, names: dict[str, str], what: str) -> None:
    if given := [flag for name, flag in names.items() if getattr(options, name)]:
        raise ConfigError(f"{given[0]} has no effect on {what}")


def _serve(options: argparse.Namespace) -> None:
    from safeeraser.arena import server  # large
    from safeeraser.arena.matches import Arena

    host = options.host or HOST
    password, made = server.password(host, share=options.share)
    arena = Arena(options.runs)
    say(f"two of these answer: {', '.join(arena.labels.values())}")
    if made:
        err.print(f"password, shown only now ({server.PASSWORD} sets your own): {password}", highlight=False)
    server.serve(arena, host=host, port=options.port, share=options.share, password=password, say=say)


def _print(options: argparse.Namespace) -> None:
    every, wanted = votes.every(), options.runs[1:]
    known = {run for vote in every for run in (vote.left, vote.right)}
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"no vote on {unknown[0]!r}; there are votes on {', '.join(sorted(known)) or 'no run'}")
    found = [vote for vote in every if not wanted or {vote.left, vote.right} <= set(wanted)]
    compared = [(group[0].data, standings(group)) for group in groups(found)]
    if options.format == "jsonl":
        sys.stdout.write(votes.as_jsonl(found))
    elif options.format == "csv":
        sys.stdout.write(votes.as_csv(found) if options.votes else _csv(compared))
    elif options.votes:
        raise ConfigError("--votes needs --format csv (jsonl has every vote anyway)")
    elif not found:
        out.print("no vote yet: `safeeraser arena` collects them")
    else:
        for data, of_group in compared:
            out.print(_table(data, of_group))


def _csv(compared: Sequence[tuple[str, Sequence[Standing]]]) -> str:
    """group: runs of one number met each other, and compare."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["group", "data", *Standing.__dataclass_fields__], lineterminator="\n")
    writer.writeheader()
    for number, (data, found) in enumerate(compared):
        place = {"group": number, "data": no_formula(data)}
        writer.writerows({**place, **asdict(one), "tags": json.dumps(one.tags)} for one in found)
    return text.getvalue()


def _table(data: str, found: Sequence[Standing]):
    made = table("Run", "Votes", "Won", "Lost", "Both fine", "Both bad", "Won, % [95 %]", "Preferred, % [95 %]", "Tags")
    for one in found:
        counts = map(str, (one.n, one.won, one.lost, one.both_fine, one.both_bad))
        tags = ", ".join(f"{tag} {times}" for tag, times in one.tags.items())
        made.add_row(one.run, *counts, *_rates(one), tags)
    made.title = Text(f"On {data}")
    made.caption = (
        "Won: a tie is half a win. Preferred: to each of the others, in the mean, by Bradley-Terry with one tie more "
        "in each pair. Intervals take votes on one question together."
    )
    return made


def _rates(one: Standing) -> tuple[str, str]:
    from safeeraser.score.agreement import written

    won = written(one.share, one.low, one.high, scale=100)
    return won, written(one.rating, one.rating_low, one.rating_high, scale=100)
