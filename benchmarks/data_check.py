"""Measures how long a large data set takes to be read, hashed and checked, and how much memory.

Example: python benchmarks/data_check.py --records 100000 --rounds 3 --out benchmarks/data_check.json

`load` is what every command does first, `hash` what every run does next, in one process; `check` is
`safeeraser data check FOLDER --json`, which reads the data set and decodes each picture, in another. `seconds` are by
the clock, `cpu` is what the process worked, which other programs on the machine disturb least; `peak_MiB` is the
process's largest resident memory, Python and the imports included. The pictures are distinct JPEG files of `--side`
pixels, so small that their decoding does not hide the rest: one of 1,024 pixels takes 3 ms more (`growth.py`). All
files are in the system's file cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import big_folder
import growth

from safeeraser.data.source import Source

MAKE, READ = "--make", "--read"


def main() -> None:
    parser = argparse.ArgumentParser(description="Reading, hashing and checking a large data set.")
    parser.add_argument("--records", type=int, default=100_000, help="three quarters of them train")
    parser.add_argument("--side", type=int, default=64, help="pixels of a picture")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="the file of rows to which this one is added")
    for work in (MAKE, READ):
        parser.add_argument(work, type=Path, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.make:
        split = {"train": options.records * 3 // 4, "val": options.records // 4}
        big_folder.data_set(options.make, split, partial(growth.photo, side=options.side))
        return
    if options.read:
        print(json.dumps(read(options.read)))
        return
    facts, found = measured(options.records, options.side, options.rounds)
    # Not before: it loads torch, and the peak of a process is at least that of the one that started it.
    import rows

    spreads = {name: rows.spread(values) for name, values in found.items()}
    row = {"benchmark": "data_check", **facts, **spreads, **rows.circumstances()}
    print(json.dumps(row))
    if options.out:
        rows.add(row, options.out)


def measured(records: int, side: int, rounds: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What was read; and by round the seconds of each part, and the CPU seconds and MiB of each process."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "data")
        _run([__file__, MAKE, str(folder), "--records", str(records), "--side", str(side)])
        size = sum(file.stat().st_size for file in folder.glob("*.json"))
        for turn in range(rounds):
            parts = _in_a_process([__file__, READ, str(folder)]) | _checked(folder, records)
            for name, value in parts.items():
                found.setdefault(name, []).append(value)
            print(f"round {turn + 1}: {parts}", file=sys.stderr, flush=True)
    facts = {"records": records, "pictures": records * 5 // 4, "side": side, "json_MB": round(size / 1e6)}
    return facts, found


def read(folder: Path) -> dict[str, float]:
    """Seconds of reading and hashing."""
    started = time.perf_counter()
    source = Source(str(folder))
    loaded = time.perf_counter()
    assert source.hash
    assert source.dataset.notes == ()
    return {"load_seconds": loaded - started, "hash_seconds": time.perf_counter() - loaded}


def _in_a_process(command: list[str]) -> dict[str, float]:
    output, facts = _run(command)
    return json.loads(output) | {f"read_{name}": value for name, value in facts.items()}


def _checked(folder: Path, records: int) -> dict[str, float]:
    started = time.perf_counter()
    output, facts = _run(["-m", "safeeraser", "data", "check", str(folder), "--json"])
    seconds = time.perf_counter() - started
    report = json.loads(output)
    assert report["usable"]
    assert not report["broken"]
    assert sum(count["records"] for count in report["counts"]) == records
    return {"check_seconds": seconds} | {f"check_{name}": value for name, value in facts.items()}


def _run(command: list[str]) -> tuple[str, dict[str, float]]:
    """What the command prints, its CPU seconds and its peak memory in MiB."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        process = subprocess.Popen([sys.executable, *command], stdout=output, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return output.read(), {"cpu": used.ru_utime + used.ru_stime, "peak_MiB": used.ru_maxrss / 1024}


if __name__ == "__main__":
    main()
