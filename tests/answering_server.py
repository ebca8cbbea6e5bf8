"""A server that speaks the OpenAI format on this machine, and what it is told to reply instead of an answer."""

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from safeeraser.data.records import VQA

HANG_UP = 0  # no reply at all
RAW = -1  # the content is what to send, byte by byte, with the status line and the headers; the connection then ends
Reply = tuple[int, Any, dict[str, str]]  # status, JSON or raw bytes, headers


@dataclass
class Answering:
    """A server: what it was asked, and how it behaves. `before` may give another reply than an answer."""

    url: str = ""
    models: tuple[str, ...] = ("the-model",)
    asked: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    before: Callable[[int], Reply | None] = lambda number: None
    answer: Callable[[dict], Reply] | None = None  # to a request's body, instead of `said`
    delay: float = 0.0  # seconds
    most_at_once: int = 0


def said(picture: bytes, question: str) -> str:
    """What the server answers: nobody else can know it, and only for this picture and question."""
    return hashlib.sha256(picture + question.encode()).hexdigest()


def reply(text: Any) -> Reply:
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}, {}


def handler(state: Answering) -> type[BaseHTTPRequestHandler]:
    lock, busy = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each reply of two writes waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            assert self.path == "/v1/models"
            self.send((200, {"object": "list", "data": [{"id": name} for name in state.models]}, {}))

        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                state.asked.append(body)
                state.keys.append(self.headers["Authorization"])
                busy[0] += 1
                state.most_at_once = max(state.most_at_once, busy[0])
                instead = state.before(len(state.asked))
            time.sleep(state.delay)
            with lock:
                busy[0] -= 1
            self.send(instead or (state.answer(body) if state.answer else reply(said(*shown(body)))))

        def send(self, what: Reply) -> None:
            status, content, headers = what
            if status == HANG_UP:
                self.close_connection = True
                return
            if status == RAW:
                self.close_connection = True
                with suppress(OSError):  # the one who asked has gone
                    for piece in content:
                        self.wfile.write(piece)
                return
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(text))}).items():
                self.send_header(name, value)
            with suppress(ConnectionError):  # the one who asked was stopped
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *message: object) -> None:
            pass

    return Handler


def shown(body: dict) -> tuple[bytes, str]:
    """The picture's bytes, none for a question in words alone, and the question of a request."""
    *_, message = body["messages"]  # a system prompt may be first
    *pictures, question = message["content"]
    assert [part["type"] for part in message["content"]] == [*["image_url"] * len(pictures), "text"]
    if not pictures:
        return b"", question["text"]
    (picture,) = pictures
    media, content = picture["image_url"]["url"].removeprefix("data:").split(";base64,")
    decoded = base64.b64decode(content, validate=True)
    with Image.open(io.BytesIO(decoded)) as image:
        assert Image.MIME[image.format or ""] == media
    return decoded, question["text"]


def sent_for(item: VQA) -> bytes:
    """What `shown` finds of the picture of an item; none of a question in words alone."""
    return item.shown.read_bytes() if item.shown else b""


@contextmanager
def serving() -> Iterator[Answering]:
    state = Answering()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    server.daemon_threads = True
    server.block_on_close = False  # some replies have no end
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds from a stop to its end
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
