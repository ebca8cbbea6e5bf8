"""`safeeraser app`: the app that `streamlit run app.py` starts in a checkout, wherever the project is installed."""

import argparse
import os
import sys

from safeeraser.assets import ROOT
from safeeraser.commands import flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser app --port 8600")
    parser.add_argument("--port", type=flags.positive, metavar="INT", help="where it listens (default: 8501)")


def do(options: argparse.Namespace) -> None:
    port = ["--server.port", str(options.port)] if options.port else []
    words = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), *port]
    os.execv(words[0], words)  # this process becomes the server, so that Ctrl+C and a kill reach it
