"""`safeeraser report`: runs beside their base model as one HTML file; their tables or drawn answers as text."""

import argparse
from datetime import datetime
from pathlib import Path
from shlex import join

from safeeraser import files
from safeeraser.commands import flags, running
from safeeraser.commands.console import printable, say
from safeeraser.config import ConfigError
from safeeraser.runs.folder import Run

ENDINGS = {".html": "html", ".tex": "latex", ".md": "markdown"}
FORMS = (*ENDINGS.values(), "examples")
WITH_EXAMPLES = ("html", "examples")


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser report demo-po-s0-6c48dc demo-po-pd-s0-44136f --output report.html")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's name or folder; its base model is added")
    parser.add_argument("--output", type=Path, help="the file (default: report.html; tables are printed)")
    parser.add_argument(
        "--format",
        choices=FORMS,
        help="html; the tables alone, as latex or markdown; examples: drawn answers alone, as a Markdown table "
        "(default: by --output, else html)",
    )
    parser.add_argument("--judge", help="whose verdicts (default: each run's own)")
    parser.add_argument("--seed", type=_not_negative, default=0, help="draws the examples (default: 0)")
    parser.add_argument("--examples", type=_not_negative, default=4, metavar="N", help="how many (default: 4)")
    parser.add_argument(
        "--harmful-pictures",
        action="store_true",
        help="also show, unblurred, the harmful picture of each example and what was answered about it",
    )


def _not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)


def do(options: argparse.Namespace) -> None:
    form = _form(options)
    runs = [Run.find(name) for name in options.runs]
    sources = running.sources_of(runs)
    from safeeraser.report import collecting, page, texts  # large

    groups, command = collecting.collect(runs, sources, judge=options.judge), _command(options, form)
    if form == "html":
        made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        chosen = page.Choices(command, made, options.seed, options.examples, options.harmful_pictures)
        text = page.as_html(groups, chosen)
    elif form == "examples":
        text = texts.as_examples(groups, n=options.examples, seed=options.seed)
    else:
        text = {"latex": texts.as_latex, "markdown": texts.as_markdown}[form](groups, command)
    output = options.output or (Path("report.html") if form == "html" else None)
    if output is None:
        print(printable(text))
        return
    files.write(output, text)
    say(f"report: {output}")


def _form(options: argparse.Namespace) -> str:
    """The form: as asked for, else by the file's ending; wrong ones are named before any work is done."""
    output = options.output
    if output is not None and not output.parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.parent}; make it first")
    form = options.format or ("html" if output is None else ENDINGS.get(output.suffix))
    if form is None:
        endings = ", ".join(ENDINGS)
        raise ConfigError(f"--output {output}: add --format {', '.join(FORMS)}, or end the name with {endings}")
    if form not in WITH_EXAMPLES and options.seed:
        raise ConfigError(f"--seed has no effect with --format {form}, which has no examples")
    if form != "html" and options.harmful_pictures:
        raise ConfigError(f"--harmful-pictures has no effect with --format {form}, which has no pictures")
    return form


def _command(options: argparse.Namespace, form: str) -> str:
    """What makes the same report again."""
    words = ["safeeraser", "report", *options.runs]
    given = {"--format": form if form != "html" else None, "--judge": options.judge, "--seed": options.seed or None}
    words += [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
    if form in WITH_EXAMPLES and options.examples != 4:
        words += ["--examples", str(options.examples)]
    return join([*words, *(["--harmful-pictures"] if options.harmful_pictures else [])])
