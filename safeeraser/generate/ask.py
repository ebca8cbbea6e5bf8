"""Ask a question of one's own: the base model and runs answer it, in a worker process that is started on demand.

The model lives in `answerer.py`, never in the process that asks. Such answers stand outside every metric.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from safeeraser.config import BASE
from safeeraser.data import images
from safeeraser.errors import SafeEraserError
from safeeraser.losses import CONTROLS
from safeeraser.runs import jobs, lanes
from safeeraser.runs.folder import Run

LONGEST_QUESTION = 500  # characters


class AskError(SafeEraserError):
    """A question was not answered; the message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """What one run said. run: the name that was asked; seconds: how long it took, with loading."""

    run: str
    answer: str
    seconds: float


class Asker:
    """Puts questions to one worker process; any number of threads may share it, one is answered at a time.

    seconds: how long a question may take, with waiting for its turn and loading the model. idle: seconds without a
    question after which the worker ends. memory: GiB of main memory it may take, half of the machine's by default.
    beside_runs: answer also while a launched run works on the device; else wait for its end.
    """

    def __init__(
        self, *, seconds: float = 120, idle: float = 300, memory: float | None = None, beside_runs: bool = True
    ) -> None:
        self.seconds = seconds
        self.idle = idle
        self.beside_runs = beside_runs
        self.memory = psutil.virtual_memory().total / 2**31 if memory is None else memory
        self._turn = threading.Lock()
        self._worker: _Worker | None = None
        self._asked = 0

    def ask(
        self, *, runs: Sequence[str], picture: Path | bytes, question: str, seconds: float | None = None
    ) -> list[Answer]:
        """The answers of runs, in their order.

        runs: names or folders; "base" is the base model of the first other one. picture: a file of the data set, or the
        bytes of an upload. Raises AskError, UploadError, and RunError for an unknown run.
        """
        request = {"question": _checked(question), **_shown(picture), "runs": _resolved(runs)}
        *_, last = self._replies(request, seconds=seconds or self.seconds)
        return [Answer(**row) for row in last["answers"]]

    def stream(
        self,
        *,
        runs: Sequence[str],
        picture: Path | bytes,
        question: str,
        temperature: float = 0,
        seed: int = 0,
        seconds: float | None = None,
    ) -> Generator[list[str]]:
        """The answers of runs, in their order, each time they grew; the last ones are whole.

        temperature: 0 decodes greedily, else what is drawn depends on seed alone. Closing the iterator ends the answers
        after their next token. Raises like `ask`.
        """
        request = {"question": _checked(question), **_shown(picture), "runs": _resolved(runs), "stream": True}
        request["decoding"] = {"temperature": temperature, "seed": seed}
        with closing(self._replies(request, seconds=seconds or self.seconds)) as replies:
            for reply in replies:
                yield reply["texts"] if "texts" in reply else [row["answer"] for row in reply["answers"]]

    def start(self) -> None:
        """Start the worker if none lives, so that the first question need not wait for it."""
        if self._turn.acquire(blocking=False):
            try:
                self._live()
            finally:
                self._turn.release()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none lives."""
        worker = self._worker
        return worker.process.pid if worker and worker.lives else None

    @property
    def warm(self) -> bool:
        """Whether a worker lives: the next question need not start one."""
        return self.pid is not None

    def stop(self) -> None:
        """End the worker, also in the middle of a question. The next question starts a new one."""
        if worker := self._worker:
            worker.kill("the answering process was stopped; ask again")

    def _replies(self, request: dict[str, Any], *, seconds: float) -> Generator[dict[str, Any]]:
        """The worker's lines to a request, the reply last, once it is this one's turn. Raises AskError."""
        deadline = time.monotonic() + seconds
        if not self._turn.acquire(timeout=seconds):
            raise AskError(f"other questions were still being answered after {seconds:g} s; ask again later")
        try:
            with self._lane(request["runs"], deadline=deadline, seconds=seconds):
                for reply in self._exchange(request, deadline=deadline, seconds=seconds):
                    if "error" in reply:
                        raise AskError(reply["error"])
                    yield reply
        finally:
            self._turn.release()

    @contextmanager
    def _lane(self, asked: Sequence[dict[str, Any]], *, deadline: float, seconds: float) -> Iterator[None]:
        """Hold the device: no other process asks on it meanwhile and, unless `beside_runs`, none trains."""
        device = jobs.first_device(Run(Path(asked[0]["folder"])).config)
        holders = {"another process that answers questions": lanes.of_questions(device)}
        if not self.beside_runs:
            holders["a run that was launched"] = lanes.of_runs(device)
        with ExitStack() as stack:
            for holder, lock in holders.items():
                try:
                    stack.enter_context(lanes.held(lock, deadline=deadline))
                except lanes.BusyError:
                    raise AskError(f"{holder} has had {device} for {seconds:g} s; ask again when it is done") from None
            yield

    def _exchange(self, request: dict[str, Any], *, deadline: float, seconds: float) -> Iterator[dict[str, Any]]:
        self._asked += 1
        line = json.dumps({"id": self._asked, **request}).encode() + b"\n"
        late = (
            f"no answer within {seconds:g} s, so the answering process was stopped; ask again with more time or fewer "
            "runs (the first question takes longest: it loads the model)"
        )
        while True:
            worker = self._live()
            with closing(worker.exchange(self._asked, line, deadline=deadline, late=late)) as replies:
                yield from replies
            if worker.replied == self._asked:
                return
            if not worker.ended_well:  # else it went idle just before the question reached it
                raise AskError(worker.last_words())

    def _live(self) -> "_Worker":
        if self._worker is None or not self._worker.lives:
            self._worker = _Worker(idle=self.idle, memory=self.memory)
        return self._worker


class _Worker:
    """One answering process and the end of what it wrote to stderr."""

    def __init__(self, *, idle: float, memory: float) -> None:
        # The app makes no request outside the machine: a model that is not here is an error, not a download.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "safeeraser.generate.answerer", "--idle", str(idle), "--memory", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl+C in the app's terminal is not for it, and its group can be killed whole
        )
        self.replied: int | None = None  # the last request, once its reply is here
        self._killed: str | None = None
        self._tail: deque[bytes] = deque(maxlen=50)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def lives(self) -> bool:
        return self._killed is None and self.process.poll() is None

    @property
    def ended_well(self) -> bool:
        return self._killed is None and self.process.wait() == 0

    def exchange(self, number: int, line: bytes, *, deadline: float, late: str) -> Generator[dict[str, Any]]:
        """The lines to a request, the reply last unless the worker ended first; at the deadline it is killed."""
        assert self.process.stdin
        assert self.process.stdout
        alarm = threading.Timer(max(deadline - time.monotonic(), 0), self.kill, [late])
        alarm.start()
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            # A reply with another id is to a question that nobody waits for any more.
            while (reply := self.process.stdout.readline()).endswith(b"\n"):
                if (content := json.loads(reply))["id"] == number:
                    self.replied = None if "texts" in content else number
                    yield content
                    if self.replied:
                        return
        except BrokenPipeError:
            pass  # it ended; the exit status says how
        except GeneratorExit:
            if not self.replied:
                self._give_up(number)
            raise
        finally:
            alarm.cancel()
            alarm.join()

    def _give_up(self, number: int) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(f'{{"give_up": {number}}}\n'.encode())
            self.process.stdin.flush()

    def kill(self, why: str) -> None:
        """End the whole process group."""
        self._killed = self._killed or why
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Why there is no reply, and what to do."""
        status = self.process.wait()
        self._listener.join()
        if self._killed:
            return self._killed
        if status == -signal.SIGKILL:
            return "the answering process was killed, perhaps because the machine ran out of memory; ask again"
        said = [text for text in (line.decode(errors="replace").strip() for line in self._tail) if text]
        return f"the answering process ended (exit status {status}): {said[-1] if said else 'it said nothing'}"

    def _listen(self) -> None:
        assert self.process.stderr
        while line := self.process.stderr.readline(2000):
            self._tail.append(line)
        self.process.wait()  # so that no dead process is left in the table


def _checked(question: str) -> str:
    question = question.strip()
    if not 1 <= len(question) <= LONGEST_QUESTION:
        raise AskError(f"a question has 1 to {LONGEST_QUESTION} characters, this one {len(question)}")
    if strange := [sign for sign in question if unicodedata.category(sign) in ("Cc", "Cs")]:
        raise AskError(
            f"the question contains the control character {strange[0]!r}; write it on one line of plain text"
        )
    return question


def _shown(picture: Path | bytes) -> dict[str, str]:
    if isinstance(picture, Path):
        return {"path": str(picture.resolve())}
    return {"data": base64.b64encode(images.picture(picture)).decode()}


def _resolved(names: Sequence[str]) -> list[dict[str, Any]]:
    """What the worker needs to know of each run. Raises AskError for a run that has no model to ask."""
    runs = {name: Run.find(name) for name in names if name != BASE}
    if not runs:
        raise AskError("name at least one run to ask ('base' alone does not say whose base model)")
    for name, run in runs.items():
        if run.answers_imported:
            raise AskError(f"{name} was imported: its answers are here, its model is not; leave it out")
        if run.config.method in CONTROLS:
            raise AskError(f"{name} is a control, which has no model of its own; leave it out")
        if why := run.untrained:
            raise AskError(f"{name} {why}")
    first = next(iter(runs.values()))
    return [_described(name, run=runs.get(name, first)) for name in names]


def _described(name: str, *, run: Run) -> dict[str, Any]:
    return {"run": name, "folder": str(run.folder.resolve()), "adapted": name != BASE and run.config.trains}
