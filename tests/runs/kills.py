"""Kills `safeeraser run` before one file operation after the other, resumes it each time, and prints what became of it.

    python kills.py FOLDER FIRST EVERY -- WORDS OF THE COMMAND

This process runs the command once, whole. Then it runs in a fork, which before every such operation forks itself and is
killed: what it leaves is copied and resumed, while its copy goes on to be killed at the next. So nothing is done twice
but what a resumption does. Prints a line for each kill: the operation, and `same` or what differs. Ends when no
operation is left.
"""

import gc
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from safeeraser import cli

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.scandir", "os.listdir"}
MEASURED = ("seconds", "peak_memory")


def resumed(words: list[str], runs: Path) -> int:
    """Run the command in a fork; returns its wait status."""
    child = os.fork()
    if not child:
        os.environ["SAFEERASER_RUNS"] = str(runs)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # errors are worth reading
        os._exit(cli.main(words))
    return os.waitpid(child, 0)[1]


def killed(words: list[str], runs: Path, first: int, every: int) -> Iterator[tuple[int, str]]:
    """Run the command in a fork that is killed time and again; yields each kill's number and the operation before it.

    The folder stays as the killed process left it until the next is asked for.
    """
    told, tell = os.pipe()
    asked, ask = os.pipe()
    child = os.fork()
    if not child:
        os.close(ask)
        os.close(told)
        os.environ["SAFEERASER_RUNS"] = str(runs)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.addaudithook(killer(range(first, sys.maxsize, every), f"{runs}/", tell, asked))
        os._exit(cli.main(words))
    os.close(tell)
    os.close(asked)
    with os.fdopen(told) as kills, os.fdopen(ask, "wb", buffering=0) as go_on:
        for kill in kills:
            number, operation = kill.rstrip("\n").split(" ", 1)
            yield int(number), operation
            go_on.write(b".")
    os.waitpid(child, 0)


def killer(numbers: range, inside: str, tell: int, asked: int) -> Any:
    """An audit hook that kills this process before the operations of these numbers among those below a folder.

    A copy of the process is left, which tells of it once the process is dead, and goes on when it is asked to.
    """
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in OPERATIONS or not str(arguments[0]).startswith(inside):
            return
        count += 1
        if count not in numbers:
            return
        before = os.getpid()
        if os.fork():
            os.kill(before, signal.SIGKILL)
        while os.getppid() == before:
            time.sleep(0.001)
        os.write(tell, f"{count} {event} {str(arguments[0]).removeprefix(inside)}\n".encode())
        os.read(asked, 1)

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
    left = folder / "left"
    for number, operation in killed(words, folder / "killed", first, every):
        if (folder / "killed").exists():
            shutil.copytree(folder / "killed", left)
        status, now = resumed(words, left), found(left)
        differs = sorted(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name))
        print(f"{number} {operation}: {f'exit {status}, {differs}' if status or differs else 'same'}", flush=True)
        shutil.rmtree(left)
    assert found(folder / "killed") == whole, "what went on from every kill ended otherwise"


if __name__ == "__main__":
    end = sys.argv.index("--")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[end + 1 :])
