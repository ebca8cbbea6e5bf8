"""Measures how reading, checking and shuffling a data set grow from 100 to 2,400 records.

Example: python benchmarks/growth.py --out benchmarks/growth.json

Each size is measured in processes of its own, `--rounds` times; rows hold the median. `first` is the first start on a
data set: each picture is read and decoded. `later` is any other start: the pictures of a large data set that have not
changed are not read again. `parts` and their sum `seconds` are by the clock, `cpu` is what the process worked, which
other programs on the machine disturb least; `ratio` compares that per record with the smallest size. The pictures are
distinct JPEG files of 1,024 x 1,024 pixels and 0.26 MB, whatever their names end with; all are in the system's file
cache. `peak_MiB` is the process's largest resident memory, `own_MiB` that without what it had before the data set
(Python and the imports). Not measured: a slow disk, and models.
"""

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import big_folder
import numpy as np
from PIL import Image

from safeeraser.data.source import Source

SIZES = (100, 600, 2400)  # records, three quarters of them train
PASSES = 10  # epochs that are shuffled
SIDE = 1024  # pixels
PARTS = ("load", "hash", "readable", "clean_val", "examples", "shuffle")


def main() -> None:
    parser = argparse.ArgumentParser(description="Reading, checking and shuffling data sets of 100 to 2,400 records.")
    parser.add_argument("--out", type=Path, help="where the rows go as JSON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    rows = [row for size in SIZES for row in grown(size, options.rounds)]
    for row in rows:
        first = next(other for other in rows if other["start"] == row["start"])
        row["ratio"] = round(row["cpu_ms_per_record"] / first["cpu_ms_per_record"], 2)
        print(json.dumps(row))
    if options.out:
        facts = {"command": "python benchmarks/growth.py", "date": time.strftime("%Y-%m-%d", time.gmtime())}
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
        versions = {name: version(name) for name in ("safeeraser", "pillow")} | {"python": platform.python_version()}
        facts |= {"machine": machine, "versions": versions, "rounds": options.rounds}
        options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def grown(records: int, rounds: int) -> list[dict[str, Any]]:
    """A first and a later start on a data set of so many records: medians."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "data")
        big_folder.data_set(folder, {"train": records * 3 // 4, "val": records // 4}, photo)
        found: dict[str, list[dict[str, float]]] = {"first": [], "later": []}
        for turn in range(rounds):
            for start, measured in found.items():
                measured.append(_apart(folder, Path(scratch, f"cache-{turn}")))
                print(f"{records} records, {start}, round {turn + 1}", file=sys.stderr, flush=True)
    rows = []
    for start, measured in found.items():
        medians = {name: round(statistics.median(one[name] for one in measured), 3) for name in measured[0]}
        parts = {name: medians.pop(name) for name in PARTS}
        sizes = {"records": records, "pictures": records * 5 // 4}
        cpu = {"cpu_ms_per_record": round(1000 * medians["cpu"] / records, 2)}
        rows.append(
            {**sizes, "start": start, "seconds": round(sum(parts.values()), 2), **cpu, **medians, "parts": parts}
        )
    return rows


def _apart(folder: Path, cache_folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(folder)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache_folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder: Path) -> dict[str, float]:
    """Seconds of each part, and memory in MiB."""
    from safeeraser import losses
    from safeeraser.unlearn.examples import Examples

    before, worked = _peak(), time.process_time()
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        done = work()
        found[name] = time.perf_counter() - started
        return done

    source = timed("load", lambda: Source(str(folder)))
    dataset = source.dataset
    assert dataset.notes == ()
    timed("hash", lambda: source.hash)
    _, broken = timed("readable", lambda: source.readable)
    clean = timed("clean_val", lambda: source.clean)
    assert (len(broken), len(clean)) == (0, 12 * len(dataset.val))
    examples = timed("examples", lambda: Examples(dataset, losses.METHODS["po"].terms, 0))
    timed("shuffle", lambda: [examples.order(epoch) for epoch in range(PASSES)])
    return found | {"cpu": time.process_time() - worked, "peak_MiB": _peak(), "own_MiB": _peak() - before}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def photo(path: Path, *, seed: int, side: int = SIDE) -> None:
    """A noisy pattern as JPEG; a comment in the file makes each distinct."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = f"picture {seed}".encode()
    comment = b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said
    path.write_bytes(_jpeg(side)[:2] + comment + _jpeg(side)[2:])


@cache
def _jpeg(side: int) -> bytes:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(6.28 * (a * x + b * y + c)) for a, b, c in rng.uniform(-20, 20, (3, 3))]
    noisy = 127 + 60 * np.stack(waves, axis=-1) + rng.normal(0, 8, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


if __name__ == "__main__":
    main()
