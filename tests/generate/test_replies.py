"""Replies that no server should give: each is one clear error, and takes neither the other answers nor the memory."""

import gzip
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from answering_server import RAW, Answering, Reply, reply, said, sent_for, serving, shown

from safeeraser import replies, stages
from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.generate import endpoint
from safeeraser.generate.endpoint import Endpoint, EndpointError
from safeeraser.generate.questions import questions
from safeeraser.runs.folder import Run

MIB = 1024**2
MOST = 200 * MIB  # of memory above what the process takes before it asks
TOO_LONG = json.dumps({"choices": [{"message": {"content": "long " * 2 * MIB}}]}).encode()  # 10 MiB
LONGEST = replies.longest_answer(5)


@pytest.fixture
def server() -> Iterator[Answering]:
    with serving() as state:
        yield state


@pytest.fixture
def run(config: RunConfig, runs_folder: Path) -> Run:
    """68 questions, as `test_answering.py` counts them."""
    base = config.base()
    return stages.open_run(base, Source(base.data), name="asked")


def raw(*pieces: bytes, then: Iterator[bytes] | tuple[bytes, ...] = ()) -> Reply:
    return RAW, chain(pieces, then), {}


def ok(body: bytes, *headers: str) -> Reply:
    """A reply of status 200 whose headers are these alone."""
    return raw("\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode() + body)


def endless(*headers: str, status: str = "200 OK", start: bytes = b"", piece: bytes = b" " * 65_536) -> Reply:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()
    return raw(head, start, then=repeat(piece))


def endless_headers() -> Reply:
    return raw(b"HTTP/1.1 200 OK\r\n", then=repeat(b"X-More: " + b"x" * 60_000 + b"\r\n"))


def zeros(size: int) -> bytes:
    """Gzip of so many zeros, made without holding them."""
    made, some = zlib.compressobj(9, wbits=31), bytes(MIB)
    return b"".join([*(made.compress(some) for _ in range(size // MIB)), made.flush()])


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def filled(start: str, piece: str, end: str) -> bytes:
    """JSON as long as a reply may be, of many small pieces."""
    count = (LONGEST - len((start + end).encode())) // len(piece)
    return (start + piece * count + end).encode()


# --- memory

# Asks for each run and address that it is given, in a fork of its own: memory is a process's, imports happen once.
ASK_ALL = """
import json, os, sys
from pathlib import Path
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.generate.endpoint import Endpoint
from safeeraser.generate.questions import questions
from safeeraser.runs.folder import Run

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def ask(folder, url):
    run = Run.find(folder)
    asked, kept = questions(Source(run.config.data).readable[0], run.config), []
    engine = Endpoint(url, run.config, model="m", workers=16, pause=0.001)
    before, problem = peak(), None
    try:
        kept.extend(engine.answers(asked))  # all 68: before they are written, as many as 64 are kept
    except SafeEraserError as error:
        problem = str(error)
    print(json.dumps([peak() - before, problem]), flush=True)

for line in sys.stdin:
    if not os.fork():
        ask(*json.loads(line))
        os._exit(0)
    if os.wait()[1]:
        print("null", flush=True)
"""


@pytest.fixture(scope="module")
def asking() -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", ASK_ALL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.communicate(timeout=300)


GREEDY = {
    "a gzip bomb": lambda: (200, BOMB, {"Content-Encoding": "gzip"}),
    "a gzip bomb that says deflate": lambda: (200, BOMB, {"Content-Encoding": "deflate"}),
    "a gzip bomb of an error": lambda: (400, BOMB, {"Content-Encoding": "gzip"}),
    "a reply without end": lambda: endless("Content-Type: application/json"),
    "chunks without end": lambda: endless("Transfer-Encoding: chunked", piece=chunk(b" " * 65_536)),
    "an error without end": lambda: endless(status="500 Internal Server Error"),
    "bytes without end after a compressed reply": lambda: endless("Content-Encoding: gzip", start=gzip.compress(b"{}")),
    "headers without end": endless_headers,
    "10 MiB": lambda: (200, TOO_LONG, {}),
    "an error of 10 MiB": lambda: (429, TOO_LONG, {}),
    "many lists": lambda: (200, filled('{"choices": [{"message": {"content": ""}}], "x": [', "[],", "[]]}"), {}),
    "many choices that are none": lambda: (200, filled('{"choices": [', "{},", "{}]}"), {}),
    "an answer that is many lists": lambda: (
        200,
        filled('{"choices": [{"message": {"content": [', "[],", "[]]}}]}"),
        {},
    ),
    "the longest answers": lambda: (200, filled('{"choices": [{"message": {"content": "😀', "a", '"}}]}'), {}),
}
BOMB = zeros(60 * MIB)


@pytest.mark.slow
@pytest.mark.parametrize("greedy", GREEDY)
def test_no_reply_takes_more_than_200_mb_of_memory(server: Answering, run: Run, asking: subprocess.Popen, greedy: str):
    assert len(BOMB) < LONGEST  # what it is, only inflating it shows
    server.before = lambda number: GREEDY[greedy]()
    assert asking.stdin is not None
    assert asking.stdout is not None
    asking.stdin.write(json.dumps([str(run.folder), server.url]) + "\n")
    asking.stdin.flush()
    took, problem = json.loads(asking.stdout.readline())
    print(f"{greedy}: {took / 1e6:.0f} MB; {problem or '':.150}")
    assert took <= MOST
    assert len(server.asked) >= 16


# --- odd replies


def answered(content: str) -> bytes:
    return b'{"choices": [{"message": {"content": %s}}]}' % content.encode()


NOT_JSON, NO_ANSWER = "the reply is not JSON: .*", "the reply holds no answer: .*"
NO_REPLY = "no reply in 6 tries; "
FAILS: dict[str, tuple[Any, str]] = {
    "deep nesting": (lambda: (200, b"[" * 30_000 + b"]" * 30_000, {}), NOT_JSON + "recursion limit"),
    "deep nesting beside": (
        lambda: (200, b'{"x": %s, "choices": []}' % (b'{"a":' * 9_000 + b"1" + b"}" * 9_000), {}),
        NOT_JSON + "recursion limit",
    ),
    "half a character": (lambda: (200, answered(r'"\ud800"'), {}), NOT_JSON + "hex escape"),
    "the other half": (lambda: (200, answered(r'"a \udc00 b"'), {}), NOT_JSON + "lone leading surrogate"),
    "half a character as bytes": (lambda: (200, answered('"?"').replace(b"?", b"\xed\xa0\x80"), {}), NOT_JSON),
    "not UTF-8": (lambda: (200, answered('"?"').replace(b"?", b"\xff"), {}), NOT_JSON + "invalid unicode"),
    "null": (lambda: (200, b"null", {}), NO_ANSWER + "should be an object"),
    "a list": (lambda: (200, b"[1, 2]", {}), NO_ANSWER + "should be an object"),
    "a number": (lambda: (200, b"12", {}), NO_ANSWER + "should be an object"),
    "NaN": (lambda: (200, b"NaN", {}), NO_ANSWER + "should be an object"),
    "a huge number": (lambda: (200, b"9" * 10_000, {}), NOT_JSON + "number out of range"),
    "a number as the answer": (lambda: (200, answered("1" * 300), {}), NO_ANSWER + "valid string"),
    "NaN as the answer": (lambda: (200, answered("NaN"), {}), NO_ANSWER + "valid string"),
    "parts as the answer": (lambda: reply([{"type": "text", "text": "a"}]), NO_ANSWER + "valid string"),
    "choices by name": (lambda: (200, b'{"choices": {"0": {}}}', {}), NO_ANSWER + "valid array"),
    "a choice that is none": (lambda: (200, b'{"choices": [7]}', {}), NO_ANSWER + "choices.0: "),
    "no message": (lambda: (200, b'{"choices": [{"message": null}]}', {}), NO_ANSWER + "choices.0.message: "),
    "nothing": (lambda: (200, b"", {}), NOT_JSON + "EOF"),
    "nothing, compressed": (lambda: (200, b"", {"Content-Encoding": "gzip"}), NOT_JSON + "EOF"),
    "two replies in one": (lambda: (200, answered('"a"') * 2, {}), NOT_JSON + "trailing"),
    "too long": (lambda: (200, TOO_LONG, {}), "the reply is longer than 65 KiB"),
    "too long once inflated": (
        lambda: (200, gzip.compress(TOO_LONG), {"Content-Encoding": "gzip"}),
        "the reply is longer than 65 KiB",
    ),
    "compressed otherwise": (lambda: (200, b"abc", {"Content-Encoding": "br"}), "cannot be decompressed: 'br'"),
    "not compressed at all": (lambda: (200, b"abc", {"Content-Encoding": "gzip"}), "cannot be decompressed: .*header"),
    "cut while compressed": (
        lambda: (200, gzip.compress(answered('"a"'))[:30], {"Content-Encoding": "gzip"}),
        NOT_JSON,
    ),
    "a redirect": (lambda: (302, b"", {"Location": "http://127.0.0.1:9/"}), "status 302: "),
    "a redirect to nowhere": (lambda: (301, b"", {"Location": "http://[::"}), "status 301: "),
    "no content": (lambda: raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "status 204: "),
    "another protocol": (lambda: raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), NO_REPLY),
    "a status of its own": (lambda: (799, b"what", {}), NO_REPLY + "status 799: what"),
    "a cut-off body": (lambda: ok(b"{", "Content-Length: 100"), NO_REPLY + "RemoteProtocolError: peer closed"),
    "a body with two lengths": (lambda: ok(b"{}", "Content-Length: 1", "Content-Length: 2"), NO_REPLY),
    "a length that is none": (lambda: ok(b"{}", "Content-Length: -1"), NO_REPLY + "RemoteProtocolError: "),
    "cut-off chunks": (lambda: ok(b"5\r\nab", "Transfer-Encoding: chunked"), NO_REPLY + "RemoteProtocolError: "),
    "chunks that are none": (
        lambda: ok(b"what?\r\n", "Transfer-Encoding: chunked"),
        NO_REPLY + "RemoteProtocolError: ",
    ),
    "a huge chunk": (lambda: ok(b"f" * 30 + b"\r\n", "Transfer-Encoding: chunked"), NO_REPLY + "RemoteProtocolError: "),
    "no HTTP": (lambda: raw(b"SSH-2.0-OpenSSH_9.2\r\n"), NO_REPLY + "RemoteProtocolError: "),
    "bytes": (lambda: raw(b"\x00\xff\x16\x03" * 9), NO_REPLY + "RemoteProtocolError: "),
    "half a header": (lambda: raw(b"HTTP/1.1 200 OK\r\nConte"), NO_REPLY + "RemoteProtocolError: "),
    "headers without end": (endless_headers, NO_REPLY + "RemoteProtocolError: "),
    "a header that is none": (lambda: ok(b"{}", "Retry-After\x00: 1"), NO_REPLY + "RemoteProtocolError: "),
    "an error that is compressed": (
        lambda: (400, gzip.compress(b"no such model"), {"Content-Encoding": "gzip"}),
        "status 400: no such model",
    ),
    "an error that seems compressed": (
        lambda: (400, b"no such model", {"Content-Encoding": "gzip"}),
        r"status 400: \(a compressed reply that cannot be read\)",
    ),
    "an error that is no text": (lambda: (400, b"\xff\xfe\x00", {}), "status 400: "),
}


def one_fails(server: Answering, asked: Any, number: int, odd: Any) -> None:
    """Let the question that stands in this place in the run fail, however often it is asked."""
    item = asked[number].item

    def instead(_: int) -> Reply | None:
        picture, words = shown(server.asked[-1])
        return odd() if (picture, words) == (sent_for(item), item.question) else None

    server.before = instead


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILS)
def test_an_odd_reply_is_one_error_and_no_other_answer_is_lost(server: Answering, run: Run, name: str):
    odd, message = FAILS[name]
    source = Source(run.config.data)
    asked = questions(source.readable[0], run.config)
    one_fails(server, asked, 17, odd)
    engine = Endpoint(server.url, run.config, model="m", workers=3, pause=0.0001)
    with pytest.raises(EndpointError, match=message) as told:
        stages.generate(run, source, engine=engine)
    assert str(told.value).startswith(f"--endpoint {server.url}: ")
    assert str(told.value).endswith("What was answered is kept; the same command goes on.")
    assert len(str(told.value)) < 700
    assert str(told.value).encode()
    arrived = len({json.dumps(body) for body in server.asked}) - 1  # all that were asked but the one
    assert [run.answered(), len(run.rows(run.answers))] == [arrived, arrived]
    server.before = lambda number: None
    stages.generate(run, source, engine=engine)
    wanted = {q.key: said(sent_for(q.item), q.item.question) for q in asked}
    rows = run.rows(run.answers)
    assert {(row["id"], row["sample"]): row["answer"] for row in rows} == wanted
    assert len(rows) == len(wanted)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_answer_that_is_compressed_unasked_is_read(server: Answering, run: Run, coding: str):
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    server.before = lambda number: (200, compress(answered('"a chain"')), {"Content-Encoding": coding})
    asked = questions(Source(run.config.data).readable[0], run.config)[:2]
    engine = Endpoint(server.url, run.config, model="m")
    assert [text for _, text in engine.answers(asked)] == ["a chain", "a chain"]


def drip(status: str, piece: bytes) -> Iterator[bytes]:
    yield status.encode()
    while True:
        time.sleep(0.01)
        yield piece


@pytest.mark.slow
@pytest.mark.parametrize(
    "dripping",
    [
        ("HTTP/1.1 200 OK\r\n\r\n", b" "),
        ("HTTP/1.1 503 Busy\r\n\r\n", b" "),
        ("", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["a body", "an error", "Processing"],
)
def test_a_reply_that_drips_for_ever_ends(
    server: Answering, run: Run, dripping: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replies, "LONGEST_EXCHANGE", 0.3)
    server.before = lambda number: raw(then=drip(*dripping))
    asked = questions(Source(run.config.data).readable[0], run.config)[:1]
    engine = Endpoint(server.url, run.config, model="m", pause=0.001)
    with pytest.raises(EndpointError, match="no reply in 6 tries; ReadTimeout: no whole reply in 0 seconds"):
        list(engine.answers(asked))
    assert len(server.asked) == 6


# --- what is under way when one fails


def test_after_a_failure_no_other_question_is_asked_and_those_under_way_are_kept(server: Answering, run: Run):
    def slow(text: str) -> Iterator[bytes]:
        time.sleep(0.5)
        yield b"HTTP/1.1 200 OK\r\n\r\n" + answered(f'"{text}"')

    server.before = lambda number: (400, b"no", {}) if number == 2 else raw(then=slow(f"answer {number}"))
    engine = Endpoint(server.url, run.config, model="m", workers=5)
    with pytest.raises(EndpointError, match="status 400: no"):
        stages.generate(run, Source(run.config.data), engine=engine)
    assert len(server.asked) == 5
    assert {row["answer"] for row in run.rows(run.answers)} == {f"answer {number}" for number in (1, 3, 4, 5)}


def test_those_under_way_are_not_waited_for_without_end(server: Answering, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "LAST_WAIT", 0.2)
    server.before = lambda number: (400, b"no", {}) if number == 2 else raw(then=drip("", b"HTTP/1.1 102 P\r\n\r\n"))
    engine = Endpoint(server.url, run.config, model="m", workers=5)
    with pytest.raises(EndpointError, match="status 400: no"):
        stages.generate(run, Source(run.config.data), engine=engine)
    assert len(server.asked) == 5


# --- Retry-After and the list of models


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("1.5", 1.5),
        ("7", 7),
        ("-3", 0),
        ("nan", 0),
        ("-inf", 0),
        ("", 0),
        ("soon", 0),
        ("1, 2", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", 0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0),
        ("9" * 400, float("inf")),
        ("1e999", float("inf")),
    ],
)
def test_an_odd_time_to_wait_is_none(asked: str, seconds: float):
    assert replies.seconds_to_wait(asked) == seconds


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["nan", "-1", "soon", "Wed, 21 Oct 99999 07:28:00 GMT", "\xff"])
def test_an_odd_time_to_wait_stops_nothing(server: Answering, run: Run, asked: str):
    server.before = lambda number: (429, b"busy", {"Retry-After": asked}) if number == 1 else None
    stages.generate(run, Source(run.config.data), engine=Endpoint(server.url, run.config, model="m", pause=0.001))
    assert (len(server.asked), len(run.rows(run.answers))) == (69, 68)


def test_a_wait_without_end_is_told(server: Answering, run: Run):
    server.before = lambda number: (503, b"busy", {"Retry-After": "9" * 400})
    engine = Endpoint(server.url, run.config, model="m")
    with pytest.raises(EndpointError, match="status 503: busy; it asks to come back in inf seconds"):
        stages.generate(run, Source(run.config.data), engine=engine)


def test_a_list_of_models_that_is_none_is_told(server: Answering, run: Run):
    for names, message in (
        ([7], r"the reply holds no list of models: .* \(data.0.id: Input should be a valid string"),
        (["\ud800"], "the reply is not JSON"),
        (["m" * 5 * MIB], "the reply is longer than 4096 KiB"),
        (["m" * 100] * 100, r"serves 100 models \(m{100}, .{0,400}\); add --endpoint-model"),
    ):
        server.models = tuple(names)
        with pytest.raises(EndpointError, match=message) as told:
            Endpoint(server.url, run.config)
        assert len(str(told.value)) < 700


def test_a_model_name_that_cannot_be_sent_is_told(run: Run):
    with pytest.raises(EndpointError, match=r"--endpoint-model 'm\\udcff': "):
        Endpoint("http://localhost/v1", run.config, model="m\udcff")
