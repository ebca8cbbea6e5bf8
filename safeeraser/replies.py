"""What a server replies, with bounds: of bytes, also once decompressed, of time, and of the form that it must have.

Covered: an answer or a list of models out of any bytes that a server may send. Not covered: what is asked, and what is
tried again (`generate/endpoint.py`, `judge/asking.py`).
"""

import asyncio
import zlib
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Annotated, Any

import httpx2
from pydantic import BaseModel, FailFast, Field, ValidationError

AROUND = 64 * 1024  # bytes of a reply beside its answer's tokens
TOKEN = 256  # bytes of a token in JSON: no vocabulary has longer words than some 128 bytes
LONGEST_LIST = 4 * 1024**2  # bytes of a reply that lists the models
LONGEST_ERROR = 16 * 1024  # bytes that are read of any other reply: its first words are shown
LONGEST_EXCHANGE = 1200.0  # seconds from asking to the end of the reply; without it, a drip of bytes never ends
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class ReplyError(ValueError):
    """A reply is none; the message says why."""


@dataclass(frozen=True)
class Reply:
    """What came back: of a status other than 200 the start alone. `text` is for showing, `content` for reading."""

    status: int
    content: bytes
    wait: float  # seconds that the server asks to wait

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


class _Message(BaseModel):
    content: str | None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1), FailFast()]


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: Annotated[list[_Model], FailFast()]


def longest_answer(tokens: int) -> int:
    """Bytes that a reply with an answer of so many tokens may have."""
    return AROUND + TOKEN * tokens


async def ask(client: httpx2.AsyncClient, method: str, path: str, sent: dict | None, *, longest: int) -> Reply:
    """Send one request; longest: bytes that a reply of status 200 may have.

    Raises:
        ReplyError: the reply is longer, or is compressed in a way that cannot be read in bounds.
        httpx2.TransportError: there is no whole reply; another try may pass.
    """
    try:
        async with asyncio.timeout(LONGEST_EXCHANGE), client.stream(method, path, json=sent) as response:
            fine = response.status_code == 200
            content = await body(response, longest if fine else LONGEST_ERROR, whole=fine)
    except TimeoutError:
        raise httpx2.ReadTimeout(f"no whole reply in {LONGEST_EXCHANGE:.0f} seconds") from None
    return Reply(response.status_code, content, seconds_to_wait(response.headers.get("Retry-After", "")))


def answer(reply: Reply) -> str:
    """The text of a chat completion, "" for none. Raises ReplyError."""
    return (_parsed(_Completion, reply, "answer").choices[0].message.content or "").strip()


def model_names(reply: Reply) -> list[str]:
    """The models that a server lists. Raises ReplyError."""
    return [model.id for model in _parsed(_Models, reply, "list of models").data]


def seconds_to_wait(asked: str) -> float:
    """What a header Retry-After asks for, a number or a date; 0 for neither and for what is past."""
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time()
        except (ValueError, OverflowError):  # no date, or one that no clock can show
            return 0.0
    return max(0.0, seconds)  # in this order: of 0 and "nan" it is 0


async def body(response: httpx2.Response, longest: int, *, whole: bool) -> bytes:
    """The body, decompressed; if it is longer, its start, or ReplyError where it must be whole.

    Read raw, and inflated here: a few bytes may inflate to any number, and what follows the end of a compressed body
    would be kept without ever coming out of the client's decoder.
    """
    content = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > longest:
                break
    found = _inflated(bytes(content), response.headers.get("Content-Encoding", "identity"), longest, whole=whole)
    if whole and max(len(content), len(found)) > longest:
        raise ReplyError(f"the reply is longer than {longest // 1024} KiB")
    return found[:longest]


def _inflated(content: bytes, coding: str, longest: int, *, whole: bool) -> bytes:
    """Content as it was before a server compressed it, though it was asked not to; at most one byte too long."""
    if coding.lower() in ("identity", "") or not content:
        return content
    try:
        if coding.lower() in ("gzip", "x-gzip", "deflate"):
            return zlib.decompressobj(GZIP_OR_ZLIB).decompress(content, longest + 1)
        why = f"{coding!r:.100} was not asked for"
    except zlib.error as error:
        why = str(error)
    if whole:
        raise ReplyError(f"the reply cannot be decompressed: {why}")
    return b"(a compressed reply that cannot be read)"


def _parsed(kind: type[BaseModel], reply: Reply, name: str) -> Any:
    try:
        return kind.model_validate_json(reply.content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # Outside, so that the error does not hold on to what was read.
    place, why = ".".join(map(str, problem["loc"])), problem["msg"]
    if problem["type"] == "json_invalid":
        raise ReplyError(f"the reply is not JSON: {reply.text:.300} ({why})")
    raise ReplyError(f"the reply holds no {name}: {reply.text:.300} ({place or 'the whole'}: {why})")
