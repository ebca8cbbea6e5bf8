"""The worker process behind `ask.py`: `python -m safeeraser.generate.answerer` answers questions about pictures.

It reads requests from stdin and writes replies to stdout, one JSON object a line, one reply a request:

    {"id", "question", "path" | "data" (base64), "runs": [{"run", "folder", "adapted"}], "stream", "decoding"}
    {"id", "answers": [{"run", "answer", "seconds"}]} or {"id", "error"}

decoding: settings of a run in the place of its own. With "stream", the answers grow side by side, and other lines go
before the reply: {"id", "texts": [TEXT]}, the answers as far as they are. {"give_up": ID} ends such a request.

The base model and the adapters last asked stay in memory. The process ends by itself: when stdin closes (whoever
started it is gone), when nothing was asked for a while, and when it takes more memory than it was given.
"""

import argparse
import base64
import json
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn, TextIO

import psutil

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA
from safeeraser.errors import SafeEraserError
from safeeraser.generate.questions import Question
from safeeraser.runs.folder import Run

KEPT = 4  # adapters in memory
MOST_NEW_TOKENS = 256  # somebody is waiting
GIB = 2**30
GIVE_UP = '{"give_up"'  # how such a line starts
OUT_OF_MEMORY = (
    "A training run or another program may hold it: ask again when that is done, or ask a run with --device cpu."
)


class QuestionError(SafeEraserError):
    """A question must not be asked as it stands."""


class Shelf:
    """The base model last asked, and the adapters last asked, each on a copy that shares the base model's weights."""

    def __init__(self) -> None:
        self._base: tuple[Any, Any, Any] | None = None  # what it was loaded from, model, processor
        self._adapted: dict[Any, Any] = {}  # by base model and adapter, the longest unused first

    def take(self, run: Run, *, adapted: bool) -> tuple[Any, Any]:
        """The run's model, or the base model beneath it, and the processor."""
        from safeeraser.models import adapter, checks, loading

        config = run.config
        with checks.explain_memory(OUT_OF_MEMORY):
            how = {"precision": config.precision, "quantization": config.quantization, "device": config.device}
            base = (config.model, *how.values(), _stamp(Path(loading.checkpoint(config.model))))
            source = (base, run.adapter, _stamp(run.adapter))
            # Before the base model: what is broken is told at once.
            saved = adapter.read(run.adapter) if adapted and source not in self._adapted else None
            if saved:
                adapter.check_gate(saved, config)
            network, processor = self._take_base(config, base, how)
            return self._take_adapted(network, source, saved) if adapted else network, processor

    def _take_base(self, config: RunConfig, source: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        from safeeraser.models import loading

        if self._base is None or self._base[0] != source:
            self._base = None
            self._adapted.clear()
            network, processor = loading.load(config.model, **how)
            self._base = source, network.to(_device(config)), processor
        return self._base[1:]

    def _take_adapted(self, network: Any, source: Any, saved: Any) -> Any:
        """saved: the adapter, None if it is on the shelf."""
        from safeeraser.models import adapter

        if saved is None:
            model = self._adapted.pop(source)
        else:
            while len(self._adapted) >= KEPT:
                del self._adapted[next(iter(self._adapted))]
            # Loaded as for the run's own answers, one adapter a model: adapters side by side in one model could mix.
            shared = deepcopy(network, {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())})
            model = adapter.put(shared, saved).to(network.device).eval()
        self._adapted[source] = model
        return model


def _stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    """Which weights a folder holds: a run made anew, or a model trained anew, must not be answered by the old one."""
    return tuple(sorted((file.name, file.stat().st_mtime_ns) for file in folder.glob("*.safetensors")))


def _device(config: RunConfig) -> Any:
    import torch

    gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return gpu if gpu is not None and config.device != "cpu" else torch.device("cpu")


def reply(shelf: Shelf, request: dict[str, Any], tell: Callable[[list[str]], None]) -> list[dict[str, Any]]:
    """The answers of all runs of a request, in its order.

    tell: is told the answers as far as they are, where the request streams; what it raises ends them.
    """
    with _picture(request) as picture:
        growing = [_answer(shelf, asked, picture, request) for asked in request["runs"]]
        ended = _side_by_side(growing, tell) if request.get("stream") else list(map(_alone, growing))
    rows = zip(request["runs"], ended, strict=True)
    return [{"run": asked["run"], "answer": text, "seconds": seconds} for asked, (text, seconds) in rows]


def _alone(growing: Iterator[str]) -> tuple[str, float]:
    """The text as it is at last, and the seconds that it took."""
    start = time.monotonic()
    *_, text = growing
    return text, time.monotonic() - start


def _side_by_side(growing: list[Iterator[str]], tell: Callable[[list[str]], None]) -> list[tuple[str, float]]:
    """The texts as they are at last, and the seconds that each took; one after the other grows by a token."""
    start = time.monotonic()
    texts, seconds = [""] * len(growing), [0.0] * len(growing)
    waiting = dict(enumerate(growing))
    try:
        while waiting:
            for place, of_run in list(waiting.items()):
                text = next(of_run, None)
                if text is None:
                    del waiting[place]
                else:
                    texts[place], seconds[place] = text, time.monotonic() - start
            tell(texts)
    finally:
        for of_run in waiting.values():
            of_run.close()  # pyright: ignore[reportAttributeAccessIssue]  # lets go of what it computes
    return list(zip(texts, seconds, strict=True))


def _answer(shelf: Shelf, asked: dict[str, Any], picture: Path, request: dict[str, Any]) -> Iterator[str]:
    """A run's answer, in a stream also as far as it is."""
    from safeeraser.generate import answering
    from safeeraser.models import checks
    from safeeraser.models.encoder import Encoder, special_tokens

    run, question = Run(Path(asked["folder"])), request["question"]
    config = run.config
    most = min(config.max_new_tokens, MOST_NEW_TOKENS)
    config = config.model_copy(update={"max_new_tokens": most, **request.get("decoding", {})})
    model, processor = shelf.take(run, adapted=asked["adapted"])
    if written := special_tokens(processor, question):
        raise QuestionError(
            f"the question contains {', '.join(written)}, which means something else to the model; leave it out"
        )
    asked_once = Question(VQA("", "general", "val", "", picture, question, ""), sample=0)
    with checks.explain_memory(OUT_OF_MEMORY):
        # The encoder is new each time because it remembers pictures by path.
        encoder = Encoder.of(processor, config)
        for _, text in answering.answers(
            model, encoder, [asked_once], config, growing_too=request.get("stream", False)
        ):
            yield text


@contextmanager
def _picture(request: dict[str, Any]) -> Iterator[Path]:
    """The picture as a path; one that came as bytes has no name on the disk, so a kill leaves nothing behind."""
    if "path" in request:
        yield Path(request["path"])
        return
    with tempfile.TemporaryFile() as file:
        file.write(base64.b64decode(request["data"]))
        file.seek(0)
        yield Path(f"/dev/fd/{file.fileno()}")


def serve(
    requests: "queue.Queue[str]", replies: TextIO, *, idle: float, given_up: Collection[int] = frozenset()
) -> None:
    """Answer until nothing was asked for `idle` seconds, or until a model could not be used.

    given_up: the ids of requests that nobody waits for any more; it may grow meanwhile.
    """
    from safeeraser.models.checks import ModelError

    def write(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    def tell(texts: list[str]) -> None:
        if request["id"] in given_up:
            raise QuestionError("the question was given up")
        write({"id": request["id"], "texts": texts})

    shelf = Shelf()
    while True:
        try:
            request = json.loads(requests.get(timeout=idle))
        except queue.Empty:
            return
        failed = None
        try:
            outcome = {"answers": reply(shelf, request, tell)}
        except SafeEraserError as error:
            failed, outcome = error, {"error": str(error)}
        write({"id": request["id"], **outcome})
        if isinstance(failed, ModelError):  # what is half loaded may hold memory: end, and the next one starts clean
            return


def _read(requests: "queue.Queue[str]", given_up: set[int]) -> NoReturn:
    for line in sys.stdin:
        if line.startswith(GIVE_UP):
            given_up.add(json.loads(line)["give_up"])
        else:
            requests.put(line)
    os._exit(0)


def _watch_memory(limit: float) -> NoReturn:
    """End the process when it takes more than `limit` GiB of main memory."""
    process = psutil.Process()
    while (taken := process.memory_info().rss) <= limit * GIB:
        time.sleep(0.1)
    print(
        f"the model needs more than the {limit:.1f} GiB of memory it may take ({taken / GIB:.1f} GiB and growing)",
        file=sys.stderr,
        flush=True,
    )
    os._exit(3)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m safeeraser.generate.answerer", description="Answer questions, one JSON object a line."
    )
    parser.add_argument("--memory", type=float, required=True, help="GiB of main memory it may take")
    parser.add_argument("--idle", type=float, required=True, help="seconds without a question after which it ends")
    limits = parser.parse_args()
    # Libraries print; what they print must not end up between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[str] = queue.Queue()
    given_up: set[int] = set()
    threading.Thread(target=_read, args=(requests, given_up), daemon=True).start()
    threading.Thread(target=_watch_memory, args=(limits.memory,), daemon=True).start()
    import torch

    torch.set_num_threads(1)  # a training run beside it must not starve
    serve(requests, replies, idle=limits.idle, given_up=given_up)
    replies.flush()
    os._exit(0)  # the reading thread would hold a normal end up


if __name__ == "__main__":
    main()
