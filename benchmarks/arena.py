"""Many people at the arena at once, by its interface for scripts: what is answered, refused and counted, and memory.

Example: python benchmarks/arena.py --clients 20 --seconds 120 --out benchmarks/arena.json

Starts an arena of its own on an empty folder of runs. Each client asks, votes twice on what it asked and asks again.
`full` counts questions that were told that the queue is full, and `often` those that were told to wait a moment; any
other failure is an error. `counted` are the votes that clients were told to count, `kept` those that the arena kept.
Memory is of the server and of the process that answers, in MiB, as it was after a tenth of the time and at the end.
Not measured: a network, a browser.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from gradio_client import Client

WORDS = {"queue is full": "full", "a minute; wait": "often"}
PATIENCE = 120  # seconds for the arena to start, and for one answer


def visit(url: str, number: int, *, goes_on: Callable[[int], bool]) -> Counter[str]:
    """One client: what happened, by kind; goes_on: whether to ask again after so many questions."""
    happened: Counter[str] = Counter()
    client = Client(url, verbose=False)
    items = client.predict(api_name="/items")
    asked = 0
    while goes_on(asked):
        item = items[(number * 37 + asked) % len(items)]
        asked += 1
        happened["asked"] += 1
        try:
            job = client.submit(question=item["question"], item=item["item"], api_name="/ask")
            last = job.result(timeout=PATIENCE)
            votes = [client.predict(token=last["token"], vote=vote, api_name="/vote") for vote in ("left", "right")]
            happened["answered"] += 1
            happened["counted"] += sum(vote["counted"] for vote in votes)
        except Exception as error:
            kind = next((kind for words, kind in WORDS.items() if words in str(error)), None)
            happened[kind or "error"] += 1
            if kind is None:
                print(f"client {number}: {type(error).__name__}: {error}", file=sys.stderr)
            time.sleep(1)
    client.close()
    return happened


def load(url: str, clients: int, *, goes_on: Callable[[int], bool]) -> dict[str, int]:
    """All clients at once: what happened to them, in sum."""
    found: list[Counter[str]] = []

    def one(number: int) -> None:
        found.append(visit(url, number, goes_on=goes_on))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = ("asked", "answered", "full", "often", "error", "counted")
    return {"clients": len(found)} | {name: sum(one[name] for one in found) for name in names}


def measure(clients: int, seconds: float, runs: Path) -> dict[str, Any]:
    """Start an arena, let clients at it for so many seconds, and count."""
    environment = os.environ | {"SAFEERASER_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "safeeraser", "arena", "--port", "7870"]
    with (runs.parent / "arena.log").open("w+") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE
            while "arena: http" not in (runs.parent / "arena.log").read_text(encoding="utf-8"):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((runs.parent / "arena.log").read_text(encoding="utf-8"))
                time.sleep(0.2)
            early: list[dict[str, float]] = []
            timer = threading.Timer(seconds / 10, lambda: early.append(memory(server.pid)))
            timer.start()
            end = time.monotonic() + seconds
            row = load("http://127.0.0.1:7870/", clients, goes_on=lambda _: time.monotonic() < end)
            timer.join()
            late = memory(server.pid)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    return {**row, "seconds": seconds, "kept": kept(environment), "memory_early": early[0], "memory_late": late}


def memory(pid: int) -> dict[str, float]:
    """MiB of the server and of its children."""
    server = psutil.Process(pid)
    answering = sum(child.memory_info().rss for child in server.children())
    return {"server": round(server.memory_info().rss / 2**20, 1), "answering": round(answering / 2**20, 1)}


def kept(environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "safeeraser", "arena", "results", "--format", "jsonl"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return len(said.stdout.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        row = measure(options.clients, options.seconds, Path(folder) / "runs")
    print(json.dumps(row, indent=1))
    if options.out:
        options.out.write_text(json.dumps([row], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
