"""A run is a folder. This is the only module that knows the file names inside it.

When several processes work on a run, the main one alone writes (`processes.py`). A file that is damaged is a
`DamagedError`, whoever reads it.

Files: config.json, state.json, log.jsonl, adapter/, checkpoints/step-N/, answers.jsonl, verdicts.jsonl, scores.json;
looks.jsonl and looks-verdicts.jsonl (answers along training); attacks.jsonl and attacks-verdicts.jsonl (answers under
attack); tensorboard/ and wandb/ (what these trackers write); specificity.json, lmms-eval/ and merged-HASH/ (what
lmms-eval measured, its own files, and the model that it asks); job.json, log.txt and cancel (a run that was launched).
Not covered: what the stages write into them (`unlearn/train.py`, `generate/answering.py`, `judge/`,
`score/measuring.py`, `jobs.py`), and what makes a file's content whole (`contents.py`).
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from shlex import join
from typing import IO, Any

import psutil
from pydantic import ValidationError

from safeeraser import files
from safeeraser.assets import ASSETS
from safeeraser.config import RunConfig
from safeeraser.data.rows import Benchmarked, ScoreRow, Stage, Status
from safeeraser.runs import contents, processes
from safeeraser.runs.contents import Benchmarks, DamagedError, Facts, Launched, RunError, State

LIBRARIES = ("safeeraser", "torch", "transformers", "peft", "accelerate")
EXAMPLES = ASSETS / "runs"
DRY = "dry-"  # how the name of a dry run starts
LONGEST_NAME = 200  # bytes; a file system takes 255, and some are needed for the marks of a folder in the making


def root() -> Path:
    """The folder of runs: SAFEERASER_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("SAFEERASER_RUNS") or "runs")


def check_name(name: str) -> None:
    """Raise RunError unless a run may be called this."""
    if wrong := _wrong_name(name):
        raise RunError(f"--name {name[:LONGEST_NAME]}: {wrong}")


def is_name(name: str) -> bool:
    """Whether a run may be called this."""
    return _wrong_name(name) is None


def _wrong_name(name: str) -> str | None:
    """What is wrong with a name for a run, None for a good one."""
    if not name or set(name) & {"/", "\\"} or name in (".", ".."):
        return "must be a plain name, without folders"
    if name[0] in ".-":
        return "must not start with a dot or a dash"
    if not name.isprintable():
        return "must not hold control characters"
    if len(name.encode("utf-8", errors="replace")) > LONGEST_NAME:
        return f"must be at most {LONGEST_NAME} bytes long"
    return None


# The settings by which a run is made faster, and which leave its result alone.
_HOW = ("workers", "feature_cache", "base_cache")


class Run:
    """One run's folder: its config, its state and the rows of its stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.config_file = folder / "config.json"
        self.state_file = folder / "state.json"
        self.scores_file = folder / "scores.json"
        self.adapter = folder / "adapter"
        self.weights = self.adapter / "adapter_model.safetensors"
        self.checkpoints = folder / "checkpoints"
        self.log = folder / "log.jsonl"
        self.answers = folder / "answers.jsonl"
        self.verdicts = folder / "verdicts.jsonl"
        self.looks = folder / "looks.jsonl"
        self.looks_verdicts = folder / "looks-verdicts.jsonl"
        self.tensorboard = folder / "tensorboard"
        self.wandb = folder / "wandb"
        self.benchmarks_file = folder / "specificity.json"
        self.lmms_eval = folder / "lmms-eval"
        self.attacks = folder / "attacks.jsonl"
        self.attacks_verdicts = folder / "attacks-verdicts.jsonl"
        self.job = folder / "job.json"
        self.log_text = folder / "log.txt"
        self.cancel = folder / "cancel"
        self.lock_file = folder / ".lock"

    @classmethod
    def of(cls, config: RunConfig, *, name: str | None = None) -> "Run":
        """The user's run of this config, be it there or not; name: of the user's own. Raises RunError for a bad one."""
        if name is not None:
            check_name(name)
        return cls(root() / (name or config.run_name()))

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
        run = cls.of(config, name=name)
        with processes.main_first():
            run._open(config, data_hash=data_hash, force=force and processes.is_main(), imported=imported)
        return run

    def check(self, config: RunConfig, *, data_hash: str, imported: str | None = None) -> None:
        """Raise RunError unless the folder is free for this run or holds it already. Writes nothing."""
        if not self.config_file.exists():
            self.check_free()
        elif self.config != config or self.facts["imported"] != imported:
            raise RunError(f"{self.folder} holds a run with other settings; choose another --name or add --force")
        elif self.facts["data_hash"] != data_hash:
            raise RunError(
                f"{self.folder} was made on other data than {config.data} holds now; add --force or a --name"
            )

    def _open(self, config: RunConfig, *, data_hash: str, force: bool, imported: str | None) -> None:
        """Make the folder, or check that the one which is there holds this run."""
        if force and self.config_file.exists():
            self.delete()
        self.check(config, data_hash=data_hash, imported=imported)
        if self.config_file.exists():
            self._follow(config)
            return
        with files.explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with self.lock():
            facts = {"config": config.model_dump(), **_origin(), "data_hash": data_hash, "imported": imported}
            self.set_state("created")  # before the config, which makes the folder a run
            _write(self.config_file, facts)

    def _follow(self, config: RunConfig) -> None:
        """The last command says how the rest is done and where training is shown: what fails there can be left out."""
        if self.done:
            return
        followed = _HOW if self.adapter.exists() else (*_HOW, "track")
        before, told = ({name: getattr(each, name) for name in followed} for each in (self.config, config))
        if before != told:
            facts = self.facts
            with self.lock():
                _write(self.config_file, {**facts, "config": facts["config"] | told})

    def check_free(self) -> None:
        """Raise RunError if the folder holds files of somebody else.

        Those of a launch are there before its run, and a kill while a run is made leaves some of them half-made.
        """
        whole = (self.job, self.log_text, self.cancel, self.state_file)
        made = {path.name for path in (*whole, self.lock_file)}
        made |= {files.scratch_of(path).name for path in (*whole, self.config_file)}
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(f"{self.folder} is a file; choose another --name or move it away")
        found = (path.name for path in self.folder.iterdir()) if self.folder.exists() else ()
        if set(found) - made:
            raise RunError(f"{self.folder} is not a run and not empty; choose another --name or empty it")

    def delete(self) -> None:
        """Throw the run away; a kill in the middle leaves no half of it under its name, and the next time takes it."""
        grave = self.folder.with_name(f".deleted-{self.name}")
        with self.lock(), files.explained(self.folder, "deleted"):
            if grave.exists():
                shutil.rmtree(grave)
            self.folder.rename(grave)
        shutil.rmtree(grave)

    def size(self) -> int:
        """The bytes of all files in its folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def saved_steps(self) -> dict[int, Path]:
        """The checkpoints by the step after which they were saved, oldest first."""
        found = {folder.name.removeprefix("step-"): folder for folder in self.checkpoints.glob("step-*")}
        return {int(step): found[step] for step in sorted(filter(str.isdecimal, found), key=int)}

    def drop_checkpoints(self) -> None:
        """Throw the checkpoints away: the adapter is there, so they have served."""
        if processes.is_main():
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    @classmethod
    def find(cls, name: str) -> "Run":
        """A run by its folder or its name; example runs that ship with the project are found too."""
        for folder in (Path(name), root() / name, EXAMPLES / name):
            if os.path.exists(folder / "config.json"):  # unlike Path.exists, false for a name that is too long
                return cls(folder)
        own = sorted(run.name for run in every() if not run.ships)
        examples = sorted(run.name for run in every() if run.ships)
        raise RunError(
            f"no run {name[:200]!r}; in {root()}: {', '.join(own) or 'none'}; examples: {', '.join(examples) or 'none'}"
        )

    @property
    def ships(self) -> bool:
        """Whether this is an example run of the project: these stay as they are."""
        return self.folder.resolve().is_relative_to(EXAMPLES.resolve())

    @property
    def untrained(self) -> str:
        """Why its model cannot be asked, what it trains not being there, and what to do; empty where it can."""
        if not self.config.trains or self.adapter.exists():
            return ""
        if self.ships:
            return f"ships without its adapter; `{join(['safeeraser', 'run', *self.config.flags()])}` trains it"
        return "has no adapter yet; run `safeeraser unlearn` or `safeeraser run` first"

    def check_trained(self) -> None:
        """Raise RunError where what the run trains is not there."""
        if why := self.untrained:
            raise RunError(f"{self.name} {why}")

    @property
    def is_dry(self) -> bool:
        """Whether it was made to try settings in small: its numbers say nothing of the settings."""
        return self.name.startswith(DRY)

    @property
    def facts(self) -> Facts:
        """config.json: the config and where the run comes from (versions, commit, data hash)."""
        return contents.read(self.config_file, Facts)

    @property
    def answers_imported(self) -> bool:
        """Whether its answers come from elsewhere; a run with an imported adapter gives its own."""
        return bool(self.facts["imported"]) and not self.adapter.exists()

    @property
    def config(self) -> RunConfig:
        """Its settings. Raises DamagedError for settings that this version cannot read."""
        try:
            return RunConfig(**self.facts["config"])
        except ValidationError as error:
            raise DamagedError(self.config_file, f"its settings cannot be read: {contents.first(error)}") from error

    @property
    def base(self) -> "Run":
        """The base model's run that this run is compared with; its folder may not be there."""
        return self.beside(self.config.base())

    def beside(self, config: RunConfig) -> "Run":
        """The run of another config in the same folder of runs, be it there or not."""
        return Run(self.folder.parent / config.run_name())

    @property
    def state(self) -> State | None:
        """state.json: status, stage, step of steps, when, and which process wrote it; None where there is none yet."""
        return contents.read(self.state_file, State) if self.state_file.exists() else None

    def set_state(self, status: Status, *, stage: Stage | None = None, **details: Any) -> None:
        """Say where the run is; details: step, steps, message."""
        who = identity(psutil.Process())
        of_stage = {} if stage is None else {"stage": stage}
        _write(self.state_file, {"status": status, "time": time.time(), **who, **of_stage, **details})

    @property
    def done(self) -> bool:
        """Whether its last stage has ended and nothing changed since."""
        state = self.state
        return state is not None and state["status"] == "done" and self.scores_file.exists()

    @property
    def launched(self) -> Launched | None:
        """job.json: how the run was launched as a process of its own, None if it was not."""
        return contents.read(self.job, Launched) if self.job.exists() else None

    def save_launched(self, facts: Mapping[str, Any]) -> None:
        _write(self.job, facts)

    @property
    def scores(self) -> ScoreRow | None:
        """The run's score row, None until it is scored."""
        if not self.scores_file.exists():
            return None
        return {"settings": self.config.other_flags(), **contents.read(self.scores_file, ScoreRow)}

    def save_scores(self, row: Mapping[str, Any]) -> None:
        _write(self.scores_file, row)

    @property
    def benchmarks(self) -> dict[str, Benchmarked]:
        """What lmms-eval measured, by task; empty where it did not run."""
        return contents.read(self.benchmarks_file, Benchmarks)["tasks"] if self.benchmarks_file.exists() else {}

    def save_benchmarks(self, tasks: Mapping[str, Benchmarked]) -> None:
        _write(self.benchmarks_file, {"tasks": tasks})

    def check_merges(self) -> None:
        """Raise RunError where the adapter cannot become part of the weights, which an export and a server need."""
        if self.config.trains and self.config.gate != "none":
            raise RunError(
                f"{self.name}: --gate {self.config.gate} decides for each picture whether its adapter is on, which "
                "merged weights cannot; ask it here, by `safeeraser generate`, or make a run without --gate"
            )

    def weights_hash(self) -> str | None:
        """The SHA-256 of the adapter's weights, None for a run without."""
        if not self.weights.exists():
            return None
        with self.weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def merged(self, weights: str) -> Path:
        """Where the model with these adapter weights merged is kept while it is asked."""
        return self.folder / f"merged-{weights[:12]}"

    def rows(self, path: Path) -> list[Any]:
        """The rows of one of the run's tables, as `contents.row_of` says; a line that a kill cut short does not count.

        Raises DamagedError for a line that is none of its rows.
        """
        return contents.rows(path)

    def append(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to a table and make sure they are on the disk."""
        if processes.is_main():
            files.append(path, map(_json, rows))

    def append_answers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add answers; each of several processes has a file of its own until `join_answers`."""
        alone = processes.count() == 1
        path = self.answers if alone else self.folder / f"answers.{processes.rank()}.jsonl"
        files.append(path, map(_json, rows))

    def answered(self) -> int:
        """How many answers there are so far, in all parts."""
        return sum(files.count_lines(path) for path in (self.answers, *self.answers_parts()))

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
        lines: dict[tuple[str, int], bytes] = {}
        for path in (self.answers, *parts):
            for line, row in zip(files.lines(path), self.rows(path), strict=True):
                # A kill before the parts are gone leaves rows in both.
                lines.setdefault((row["id"], row["sample"]), line)
        if parts or self.answers.exists():
            asked = [key for key in order if key in lines]
            in_order = dict.fromkeys([*asked, *lines])  # what is asked no longer stays, at the end
            files.write(self.answers, b"".join(lines[key] + b"\n" for key in in_order))
        for part in parts:
            part.unlink()

    def answers_parts(self) -> list[Path]:
        """The files of several processes that are not joined yet."""
        return sorted(self.folder.glob("answers.*.jsonl"))

    def repair(self, path: Path, *, keep: int | None = None) -> None:
        """Drop what a kill left half-written at the end of a table, and all rows after the first `keep`."""
        if path.exists() and processes.is_main():
            files.write(path, b"".join(line + b"\n" for line in files.lines(path)[:keep]))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process and those it works with; another that wants it gets an error at once."""
        if not processes.is_main():
            yield
            return
        if self.ships:
            raise RunError(f"{self.name} ships with the project and stays as it is; copy its folder to {root()} first")
        with files.explained(self.lock_file):
            file = self.lock_file.open("a")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = (self.state or {}).get("pid")
                raise RunError(f"{self.name} is being worked on by another process (pid {pid})") from None
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
    """All runs, the user's own before the examples, in order of name; hidden folders are being made or deleted."""
    return [run for base in (root(), EXAMPLES) for run in map(Run, folders(base)) if run.config_file.exists()]


def folders(base: Path) -> list[Path]:
    """The folders that may be runs, in order of name."""
    try:
        with os.scandir(base) as entries:
            return [Path(e.path) for e in sorted(entries, key=lambda e: e.name) if e.is_dir() and e.name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return []


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


def _write(path: Path, content: Mapping[str, Any]) -> None:
    if processes.is_main():
        files.write(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)
