"""lmms-eval, in a Python environment of its own: finds it, runs one task, reads what it wrote. Nothing is installed.

lmms-eval ends with status 0 after an error, gives an answer that failed as an empty one, and answers for a GPT that it
cannot reach. So only its results file counts, and only where its log has none of these.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from safeeraser.data.rows import Benchmarked
from safeeraser.errors import SafeEraserError
from safeeraser.score import specificity

VARIABLE = "SAFEERASER_LMMS_EVAL"
HOW = (
    "make an environment for it, python3 -m venv lmms-eval && lmms-eval/bin/pip install 'lmms-eval>=0.7' decord, and "
    f"name it by --lmms-eval lmms-eval or {VARIABLE}"
)
PROBE = "from importlib.metadata import version; print(version('lmms_eval'))"
OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # of our environment, which must not mix with its
# What lmms-eval says where it goes on with an empty, a random or a worst answer.
FAILED = re.compile(r"Error .* in generating|failed to get a score|Failed to obtain answer via API|GPT API failed")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LAST = 5  # lines of its log that an error shows


class LmmsEvalError(SafeEraserError):
    """lmms-eval is not there or did not do its work; the message says what to do or where its log is."""


@dataclass(frozen=True)
class Engine:
    """An environment with lmms-eval: its Python and lmms-eval's version."""

    python: Path
    version: str


@dataclass(frozen=True)
class Asked:
    """The model to ask. model: a folder or hub id; backend: what lmms-eval calls its family; dtype: torch's name."""

    model: str
    backend: str
    device: str
    dtype: str
    weights: str | None


def find(given: str | None) -> Engine:
    """The environment that the flag names, else SAFEERASER_LMMS_EVAL: a folder or its Python. Raises LmmsEvalError."""
    name = given or os.environ.get(VARIABLE)
    if not name:
        raise LmmsEvalError(f"lmms-eval runs in an environment of its own, and none is named: {HOW}")
    path = Path(name).absolute()
    python = path / "bin" / "python" if path.is_dir() else path
    try:
        told = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, env=_environment(), check=False)
    except OSError as error:
        raise LmmsEvalError(f"--lmms-eval {name}: {python} cannot be started ({error.strerror}); {HOW}") from error
    if told.returncode:
        raise LmmsEvalError(f"--lmms-eval {name}: lmms-eval is not installed there; {HOW}")
    return Engine(python, told.stdout.strip())


def measure(
    engine: Engine, task: str, asked: Asked, *, folder: Path, limit: int | None = None, include: Path | None = None
) -> Benchmarked:
    """Run one task and read its results. folder: for lmms-eval's own files, emptied first; include: of more tasks.

    Raises LmmsEvalError for a task that failed, was killed or was not asked in full, ResultsError for other results.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    words = command(engine, task, asked, folder=folder.absolute(), limit=limit, include=include)
    status = _run(words, log)
    text = log.read_text(encoding="utf-8", errors="replace")
    results = sorted(folder.glob("*/*_results.json"))
    if status < 0:
        raise LmmsEvalError(f"{task}: lmms-eval was killed ({_signal(-status)}); log: {log}")
    if not results:
        said = COLOUR.sub("", "\n".join(text.splitlines()[-LAST:]))
        raise LmmsEvalError(f"{task}: lmms-eval ended with status {status} and no results; log: {log}\n{said}")
    if failed := len(FAILED.findall(text)):
        raise LmmsEvalError(f"{task}: {failed} times an answer or its grade failed, which lmms-eval counts; log: {log}")
    return specificity.read(
        results[-1].read_bytes(),
        task=task,
        model=asked.model,
        limit=limit,
        weights=asked.weights,
        version=engine.version,
    )


def command(
    engine: Engine, task: str, asked: Asked, *, folder: Path, limit: int | None, include: Path | None
) -> list[str]:
    """What is started. Raises LmmsEvalError for a path that lmms-eval would take apart."""
    if set(asked.model) & set(",="):
        raise LmmsEvalError(f"lmms-eval cannot load a model from {asked.model}: its path has a comma or an equals sign")
    # Without a device map of its own, lmms-eval's LLaVA fails in transformers 5.
    how = f"pretrained={asked.model},device={asked.device},device_map={asked.device},dtype={asked.dtype}"
    words = [str(engine.python), "-m", "lmms_eval", "--model", asked.backend, "--model_args", how]
    words += ["--tasks", task, "--batch_size", "1", "--output_path", str(folder), "--log_samples"]
    words += [] if limit is None else ["--limit", str(limit)]
    return words + ([] if include is None else ["--include_path", str(include.absolute())])


def _run(words: list[str], log: Path) -> int:
    """Run it in an empty folder, for it would take a folder named like a task for the task; it ends with us."""
    with TemporaryDirectory(prefix="lmms-eval-") as empty, log.open("ab") as out:
        out.write(f"$ {shlex.join(words)}\n".encode())
        out.flush()
        process = subprocess.Popen(words, cwd=empty, env=_environment(), stdout=out, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OWN}


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
