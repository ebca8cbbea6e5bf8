"""Asks an OpenAI-compatible endpoint, each thing once: what it replied is kept on this disk.

Covered: many requests at once, retries (the client's own, which honours Retry-After), bounds of every reply, errors
without the key. Not covered: what is asked and how a reply is read (`chat.py`). Address and key are read from
OPENAI_BASE_URL and OPENAI_API_KEY; the key is sent, never shown or kept.
"""

import asyncio
import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx2
from anyio.from_thread import start_blocking_portal

from safeeraser import files, replies, store
from safeeraser.judge.contract import JudgeError, UndecidedError

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
OPENAI = "https://api.openai.com/v1"
LONGEST_REPLY = replies.AROUND  # bytes; a verdict is one word
RETRIES = 6  # of one request, by the client
IN_A_ROW = 20  # requests without a reply, one after the other, after which the endpoint is not asked any more
AHEAD = 4  # times as many requests wait behind those under way, so that a slow one holds up no other
TIMEOUT = httpx2.Timeout(600, connect=10)  # seconds; a reply may wait in the server's queue

One = TypeVar("One")
Made = TypeVar("Made")


class Endpoint:
    """Where an endpoint is, and what it replied before."""

    def __init__(self) -> None:
        """Raises JudgeError for an address or a key that is none."""
        self.address = _address()
        self.host = httpx2.URL(self.address).netloc.decode("ascii", "replace")
        self.key = _key()

    def name(self, body: dict[str, Any]) -> str:
        """What stands for a request to this endpoint: SHA-256, in hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.address, body], sort_keys=True).encode()).hexdigest()

    def knows(self, body: dict[str, Any]) -> bool:
        """Whether it was asked this before, and replied."""
        return _kept(self.name(body)) is not None

    def without_key(self, text: str) -> str:
        """A text that may come from the server, which may repeat what it was sent."""
        return text.replace(self.key, "***") if self.key else text


class Session:
    """An endpoint while it is asked, inside one event loop."""

    def __init__(self, endpoint: Endpoint, *, at_once: int) -> None:
        """at_once: requests under way at once."""
        from openai import AsyncOpenAI

        self._endpoint = endpoint
        self._client = AsyncOpenAI(
            api_key=endpoint.key or "none",  # servers on one's own machine need none, the client does
            base_url=endpoint.address,
            max_retries=RETRIES,
            http_client=httpx2.AsyncClient(
                transport=_Bounded(endpoint.address), timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
            ),
        )
        self._free = asyncio.Semaphore(at_once)
        self._alone: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failed = 0

    async def text(self, body: dict[str, Any]) -> str:
        """What it says to a chat completion; of equal requests only one is sent.

        Raises:
            UndecidedError: there was no reply to this request, after all retries.
            JudgeError: there will be none to any.
        """
        name = self._endpoint.name(body)
        async with self._alone[name]:
            if (kept := _kept(name)) is not None:
                return kept
            async with self._free:
                said = await self._counted(body)
            _keep(name, said)
            return said

    async def close(self) -> None:
        await self._client.close()

    async def _counted(self, body: dict[str, Any]) -> str:
        try:
            said = await self._said(body)
        except UndecidedError as reason:
            self._failed += 1
            if self._failed >= IN_A_ROW:
                raise self._no_use(f"no reply to {self._failed} requests in a row; the last: {reason}") from None
            raise
        self._failed = 0
        return said

    async def _said(self, body: dict[str, Any]) -> str:
        import openai

        try:
            raw = await self._client.chat.completions.with_raw_response.create(**body)
            return self._endpoint.without_key(replies.answer(replies.Reply(raw.status_code, raw.content, 0.0)))
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._no_use(f"set {KEY} to a key that it takes; {self._words(error)}") from None
        except openai.NotFoundError as error:
            raise self._no_use(self._words(error)) from None
        except (openai.OpenAIError, replies.ReplyError) as error:
            raise UndecidedError(f"no reply: {self._words(error)}") from None

    def _no_use(self, why: str) -> JudgeError:
        host = self._endpoint.host
        return JudgeError(f"{host} cannot be asked: {why}. What it replied is kept; the same command goes on.")

    def _words(self, error: Exception) -> str:
        """What is wrong, with its cause where the client only says that there is one."""
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return f"{self._endpoint.without_key(f'{error}{cause}'):.300}"


def in_order(
    work: Callable[[Session, One], Awaitable[Made]], many: Iterable[One], *, endpoint: Endpoint, at_once: int
) -> Iterator[Made]:
    """What `work` makes of each, in their order, as it comes; at an error what is under way is stopped.

    The event loop runs in a thread of its own, so that whoever asks may have one already, as notebooks do.
    """
    with start_blocking_portal() as portal:
        session, begun = portal.call(_opened, endpoint, at_once), deque[Future[Made]]()
        try:
            for one in many:
                begun.append(portal.start_task_soon(work, session, one))
                if len(begun) >= AHEAD * at_once:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for left in begun:
                left.cancel()
            portal.call(session.close)


async def _opened(endpoint: Endpoint, at_once: int) -> Session:
    return Session(endpoint, at_once=at_once)


class _Bounded(httpx2.AsyncBaseTransport):
    """Hands the client every reply whole and in bounds; by itself it would read, and inflate, any number of bytes."""

    def __init__(self, address: str) -> None:
        url = httpx2.URL(address)
        proxy = None if proxy_bypass(url.host) else getproxies().get(url.scheme)
        self._inner = httpx2.AsyncHTTPTransport(proxy=proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            async with asyncio.timeout(replies.LONGEST_EXCHANGE):
                response = await self._inner.handle_async_request(request)
                fine = response.status_code == 200
                try:
                    longest = LONGEST_REPLY if fine else replies.LONGEST_ERROR
                    content = await replies.body(response, longest, whole=fine)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx2.ReadTimeout(f"no whole reply in {replies.LONGEST_EXCHANGE:.0f} seconds") from None
        sizes = ("content-encoding", "content-length", "transfer-encoding")  # true of what came, not of what is left
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in sizes]
        return httpx2.Response(response.status_code, headers=headers, content=content)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _kept(name: str) -> str | None:
    """What is kept under this name; None also for a file that something else wrote or that a power cut spoilt."""
    try:
        kept = json.loads(_file(name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    text = kept.get("said") if isinstance(kept, dict) else None
    return text if isinstance(text, str) else None


def _keep(name: str, said: str) -> None:
    files.write(_file(name), json.dumps({"said": said}))


def _file(name: str) -> Path:
    return store.folder_of("judge") / name[:2] / f"{name}.json"


def _address() -> str:
    given = os.environ.get(ADDRESS, "").strip() or OPENAI
    try:
        url = httpx2.URL(given)
    except httpx2.InvalidURL:
        url = None
    if url is None or url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise JudgeError(f"{ADDRESS} is no address such as http://localhost:8000/v1 (without user, password and query)")
    return str(url).rstrip("/")


def _key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise JudgeError(f"{KEY} holds characters that no key has; set it anew")
    if not key and not os.environ.get(ADDRESS, "").strip():
        raise JudgeError(f"the judge 'chat' asks {OPENAI}: set {KEY}, or {ADDRESS} to a server of your own")
    return key
