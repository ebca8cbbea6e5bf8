"""Kills `safeeraser run` before one file operation after the other, resumes it each time, and prints what became of it.

    python kills.py FOLDER FIRST EVERY -- WORDS OF THE COMMAND

This process runs the command once, whole; each kill and each resumption is a fork of it, which needs no import any
more. Prints a line for each kill: the operation, and `same` or what differs. Ends when no operation is left.
"""

import gc
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from safeeraser import cli

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.scandir", "os.listdir"}
MEASURED = ("seconds", "peak_memory")


def forked(words: list[str], runs: Path, *, kill_at: int | None = None) -> tuple[int, str]:
    """Run the command in a fork; returns its wait status, and the operation before which it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.environ["SAFEERASER_RUNS"] = str(runs)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        if kill_at is not None:  # of a resumption, errors are worth reading
            os.dup2(nowhere, 2)
            sys.addaudithook(killer(kill_at, f"{runs}/", writer))
        os._exit(cli.main(words))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        operation = pipe.read().decode()
    return os.waitpid(child, 0)[1], operation


def killer(kill_at: int, inside: str, told: int) -> Any:
    """An audit hook that kills this process before the operation of this number among those below a folder."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in OPERATIONS or not str(arguments[0]).startswith(inside):
            return
        count += 1
        if count == kill_at:
            os.write(told, f"{event} {str(arguments[0]).removeprefix(inside)}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def found(runs: Path) -> dict[str, Any]:
    """All files below a folder of runs with what is in them, but for times and what was measured."""
    return {str(path.relative_to(runs)): content(path) for path in sorted(runs.rglob("*")) if path.is_file()}


def content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return {name: tensor.tolist() for name, tensor in load_file(path).items()}
    if path.name == "log.jsonl":
        rows = map(json.loads, path.read_text().splitlines())
        return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]
    if path.name == "config.json":
        return {key: value for key, value in json.loads(path.read_text()).items() if key != "created"}
    if path.name == "state.json":
        return json.loads(path.read_text())["status"]
    return path.read_bytes()


def main(folder: Path, first: int, every: int, words: list[str]) -> None:
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["SAFEERASER_RUNS"] = str(folder / "whole")
    assert cli.main(words) == 0, "the command fails even when nobody kills it"
    whole = found(folder / "whole")
    gc.freeze()  # a fork need not walk through, and so copy, what was imported
    number = first
    while True:
        runs = folder / f"killed-{number}"
        status, operation = forked(words, runs, kill_at=number)
        if not os.WIFSIGNALED(status):
            return
        status, _ = forked(words, runs)
        now = found(runs)
        differs = sorted(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name))
        print(f"{number} {operation}: {f'exit {status}, {differs}' if status or differs else 'same'}", flush=True)
        shutil.rmtree(runs)
        number += every


if __name__ == "__main__":
    end = sys.argv.index("--")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[end + 1 :])
