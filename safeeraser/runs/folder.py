"""A run is a folder. This is the only module that knows the file names inside it.

When several processes work on a run, the main one alone writes (`processes.py`).

Files: config.json, state.json, log.jsonl, adapter/, checkpoints/step-N/, answers.jsonl, verdicts.jsonl, scores.json;
looks.jsonl and looks-verdicts.jsonl (answers along training); job.json, log.txt and cancel (a run that was launched).
Not covered: what the stages write into them (`unlearn/train.py`, `generate/answering.py`, `judge/`, `score/metrics.py`,
`jobs.py`).
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import psutil
from pydantic import ValidationError

from safeeraser.assets import ASSETS
from safeeraser.config import RunConfig
from safeeraser.errors import SafeEraserError
from safeeraser.runs import processes

LIBRARIES = ("safeeraser", "torch", "transformers", "peft", "accelerate")
EXAMPLES = ASSETS / "demo" / "runs"


class RunError(SafeEraserError):
    """A run folder cannot be used; the message names the file and says what to do."""


def root() -> Path:
    """The folder of runs: SAFEERASER_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("SAFEERASER_RUNS") or "runs")


class Run:
    """One run's folder: its config, its state and the rows of its stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.adapter = folder / "adapter"
        self.checkpoints = folder / "checkpoints"
        self.log = folder / "log.jsonl"
        self.answers = folder / "answers.jsonl"
        self.verdicts = folder / "verdicts.jsonl"
        self.looks = folder / "looks.jsonl"
        self.looks_verdicts = folder / "looks-verdicts.jsonl"
        self.job = folder / "job.json"
        self.log_text = folder / "log.txt"
        self.cancel = folder / "cancel"

    @classmethod
    def create(
        cls,
        config: RunConfig,
        *,
        data_hash: str,
        name: str | None = None,
        force: bool = False,
        imported: str | None = None,
    ) -> "Run":
        """The run of this config: a new folder, or the one that is there already.

        name: a folder name of the user's own. force: throw an existing run of that name away first. imported: the file
        that the answers come from, for a run that this project did not make.
        """
        if name is not None and (Path(name).name != name or name == ".."):
            raise RunError(f"--name {name}: must be a plain name, without folders")
        run = cls(root() / (name or config.run_name()))
        with processes.main_first():
            run._open(config, data_hash=data_hash, force=force and processes.is_main(), imported=imported)
        return run

    def _open(self, config: RunConfig, *, data_hash: str, force: bool, imported: str | None) -> None:
        """Make the folder, or check that the one which is there holds this self."""
        file = self.folder / "config.json"
        if force and file.exists():
            self.delete()
        if file.exists():
            if self.config != config or self.facts.get("imported") != imported:
                raise RunError(f"{self.folder} holds a run with other settings; choose another --name or add --force")
            if self.facts["data_hash"] != data_hash:
                raise RunError(
                    f"{self.folder} was made on other data than {config.data} holds now; add --force or a --name"
                )
            return
        self.check_free()
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {"config": config.model_dump(), **_origin(), "data_hash": data_hash, "imported": imported}
        _write(file, facts)
        self.set_state("created")

    def check_free(self) -> None:
        """Raise RunError if the folder holds files of somebody else; those of a launch are there before its run."""
        ours = {self.job.name, self.log_text.name, self.cancel.name, ".lock"}
        found = (path.name for path in self.folder.iterdir()) if self.folder.exists() else ()
        if any(name not in ours and not name.startswith(f".{self.job.name}.") for name in found):
            raise RunError(f"{self.folder} is not a run and not empty; choose another --name or empty it")

    def delete(self) -> None:
        """Throw the run away; a kill in the middle leaves no half of it under its name."""
        with self.lock():
            grave = self.folder.with_name(f".deleted-{self.name}-{os.getpid()}")
            self.folder.rename(grave)
        shutil.rmtree(grave)

    @classmethod
    def find(cls, name: str) -> "Run":
        """A run by its folder or its name; example runs that ship with the project are found too."""
        for folder in (Path(name), root() / name, EXAMPLES / name):
            if (folder / "config.json").exists():
                return cls(folder)
        known = sorted({run.name for run in every()})
        raise RunError(f"no run {name!r}; known: {', '.join(known) or 'none'} (in {root()})")

    @property
    def ships(self) -> bool:
        """Whether this is an example run of the project: these stay as they are."""
        return self.folder.resolve().is_relative_to(EXAMPLES.resolve())

    @property
    def facts(self) -> dict[str, Any]:
        """config.json: the config and where the run comes from (versions, commit, data hash)."""
        return _read(self.folder / "config.json")

    @property
    def answers_imported(self) -> bool:
        """Whether its answers come from elsewhere; a run with an imported adapter gives its own."""
        return bool(self.facts["imported"]) and not self.adapter.exists()

    @property
    def config(self) -> RunConfig:
        try:
            return RunConfig(**self.facts["config"])
        except (KeyError, ValidationError) as error:
            raise RunError(f"{self.folder / 'config.json'}: not a run's config: {error}") from error

    @property
    def state(self) -> dict[str, Any]:
        """state.json: status, stage, step of steps, when, and which process wrote it."""
        return _read(self.folder / "state.json")

    def set_state(self, status: str, **details: Any) -> None:
        """Say where the run is. status: created, running, ready (for the next stage), done, failed or interrupted."""
        who = identity(psutil.Process())
        _write(self.folder / "state.json", {"status": status, "time": time.time(), **who, **details})

    @property
    def launched(self) -> dict[str, Any] | None:
        """job.json: how the run was launched as a process of its own, None if it was not."""
        return _read(self.job) if self.job.exists() else None

    def save_launched(self, facts: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.job, facts)

    @property
    def scores(self) -> dict[str, Any] | None:
        """The run's score row, None until it is scored."""
        path = self.folder / "scores.json"
        return _read(path) if path.exists() else None

    def save_scores(self, row: dict[str, Any]) -> None:
        _write(self.folder / "scores.json", row)

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """The rows of one of the run's tables; a last line that a kill cut short does not count."""
        return [json.loads(line) for line in _whole_lines(path)]

    def append(self, path: Path, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows to a table and make sure they are on the disk."""
        if processes.is_main():
            _append(path, rows)

    def append_answers(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add answers; each of several processes has a file of its own until `join_answers`."""
        alone = processes.count() == 1
        _append(self.answers if alone else self.folder / f"answers.{processes.rank()}.jsonl", rows)

    def answered(self) -> int:
        """How many answers there are so far, in all parts."""
        return sum(path.read_bytes().count(b"\n") for path in (self.answers, *self.answers_parts()) if path.exists())

    def join_answers(self, order: Iterable[tuple[str, int]]) -> None:
        """Move the answers of all processes to `answers`, each once, and drop what a kill left half-written.

        order: of the (id, sample) of what was asked, in which the answers stand afterwards, however they ended.
        Nobody may be writing answers; so the processes wait for each other before it and after it.
        """
        processes.wait()
        if processes.is_main():
            self._join_answers(order)
        processes.wait()

    def _join_answers(self, order: Iterable[tuple[str, int]]) -> None:
        parts = self.answers_parts()
        lines: dict[tuple[str, int], str] = {}
        for path in (self.answers, *parts):
            for line, row in zip(_whole_lines(path), self.rows(path), strict=True):
                # A kill before the parts are gone leaves rows in both.
                lines.setdefault((row["id"], row["sample"]), line)
        if parts or self.answers.exists():
            asked = [key for key in order if key in lines]
            in_order = dict.fromkeys([*asked, *lines])  # what is asked no longer stays, at the end
            _replace(self.answers, "".join(lines[key] + "\n" for key in in_order))
        for part in parts:
            part.unlink()

    def answers_parts(self) -> list[Path]:
        """The files of several processes that are not joined yet."""
        return sorted(self.folder.glob("answers.*.jsonl"))

    def repair(self, path: Path, *, keep: int | None = None) -> None:
        """Drop what a kill left half-written at the end of a table, and all rows after the first `keep`."""
        lines = _whole_lines(path)
        if path.exists() and processes.is_main():
            _replace(path, "".join(line + "\n" for line in lines[:keep]))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process and those it works with; another that wants it gets an error at once."""
        if not processes.is_main():
            yield
            return
        if self.ships:
            raise RunError(f"{self.name} ships with the project and stays as it is; copy its folder to {root()} first")
        with (self.folder / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{self.name} is being worked on by another process (pid {self.state.get('pid')})"
                ) from None
            _held.add(file)
            try:
                yield
            finally:
                _held.discard(file)


# Locks of this process. A forked process, such as one that reads pictures ahead, shares them and outlives a kill by
# seconds, in which nobody could go on with the run.
_held: set[IO[str]] = set()
os.register_at_fork(after_in_child=lambda: [file.close() for file in _held])


def identity(process: psutil.Process) -> dict[str, Any]:
    """What tells a process from any other, a later one of its pid too: host, boot, pid, born (times in epoch s)."""
    return {
        "host": platform.node(),
        "boot": psutil.boot_time(),
        "pid": process.pid,
        "born": process.create_time(),
    }


def every() -> list[Run]:
    """All runs, the user's own before the examples, in order of name."""
    folders = [path.parent for base in (root(), EXAMPLES) for path in sorted(base.glob("*/config.json"))]
    return [Run(folder) for folder in folders]


def _origin() -> dict[str, Any]:
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {library: version(library) for library in LIBRARIES},
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The checkout's commit, None outside one."""
    package = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(package), "rev-parse", "HEAD"]
    if not (package.parent / ".git").exists() or not shutil.which("git"):
        return None
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return text[: text.rfind("\n") + 1].split("\n")[:-1]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing; is {path.parent} a run folder?") from None
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is not valid JSON: {error}") from error


def _write(path: Path, content: dict[str, Any]) -> None:
    if processes.is_main():
        _replace(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, text: str) -> None:
    """Write all or nothing: a kill leaves the old file or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
