"""Answers from an OpenAI-compatible vision endpoint, such as vLLM or SGLang serving an exported model.

Covered: many questions at once, those of a picture next to each other (prefix caching), retries, and errors in the
server's words. Not covered: how a reply is read (`replies.py`), which questions are left and keeping the answers
(`answering.py`), and starting a server. The API key is read from OPENAI_API_KEY and is sent, never shown or stored.
"""

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from anyio.from_thread import start_blocking_portal

from safeeraser import replies
from safeeraser.config import RunConfig
from safeeraser.data import images
from safeeraser.errors import SafeEraserError
from safeeraser.generate.questions import Question

KEY = "OPENAI_API_KEY"
TRIES = 6  # of one question
TRIES_AT_FIRST = 3  # of the list of models: a wrong address is told soon
LONGEST_WAIT = 600.0  # seconds that a server may ask to wait
LAST_WAIT = 60.0  # seconds without an answer, after one has failed, that those under way are waited for
TIMEOUT = httpx2.Timeout(600, connect=10)  # seconds; an answer may wait in the server's queue


class EndpointError(SafeEraserError):
    """The endpoint cannot be asked or gave no answer; the message names it, says what it said and how to go on."""


class Endpoint:
    """An engine of `generate.generate` that asks a server; `note` says in each answer's row who answered."""

    def __init__(
        self, url: str, config: RunConfig, *, model: str | None = None, workers: int = 16, pause: float = 1.0
    ) -> None:
        """url: up to and with `/v1`. model: None is the only one served. workers: questions under way at once.

        pause: seconds before the first retry; it doubles with each.

        Raises:
            EndpointError: the address is none, or the server does not say which model to ask.
        """
        if workers < 1:
            raise EndpointError(f"--endpoint-workers must be at least 1, got {workers}")
        self.url, self.host = _address(url)
        self.config = config
        self.workers = workers
        self.pause = pause
        self._key = _api_key()
        self.model = _sendable(model) if model else self._only_model()
        self.note = f"{self.model} at {self.host}"

    def answers(self, asked: list[Question]) -> Iterator[tuple[Question, str]]:
        """Each question with its answer, in the order in which they arrive.

        After one that failed no other is asked, but those under way are waited for: the error comes last.

        Raises:
            EndpointError: a question got no answer after all retries, or a reply that is none.
            DataError: a picture cannot be read.
        """
        # The event loop runs in a thread of its own, so that whoever asks may have one already, as notebooks do.
        with start_blocking_portal() as portal:
            client, left, failure = self._client(), iter(_by_picture(asked)), None
            running: set[asyncio.Task] = set()
            try:
                while arrived := portal.call(self._next, client, left, running, LAST_WAIT if failure else None):
                    while arrived:
                        task = arrived.pop()
                        if error := task.exception():
                            failure, left = failure or error, iter(())
                        else:
                            yield task.result()
                if failure:
                    raise failure
            finally:
                portal.call(_stop, client, running)

    async def _next(
        self,
        client: httpx2.AsyncClient,
        left: Iterator[Question],
        running: set[asyncio.Task],
        seconds: float | None,
    ) -> set[asyncio.Task]:
        """Keep as many questions running as there are workers; returns those that are done.

        None when all are, or when there is none for so many seconds (None: as long as it takes).
        """
        while len(running) < self.workers and (question := next(left, None)):
            running.add(asyncio.create_task(self._answer(client, question)))
        if not running:
            return set()
        arrived, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        running -= arrived
        return arrived

    async def _answer(self, client: httpx2.AsyncClient, question: Question) -> tuple[Question, str]:
        body = request(question, self.config, self.model)
        longest = replies.longest_answer(self.config.max_new_tokens)
        reply = await self._send(client, "POST", "chat/completions", body, tries=TRIES, longest=longest)
        with self._explained():
            return question, replies.answer(reply)

    def _only_model(self) -> str:
        async def listed() -> replies.Reply:
            longest = replies.LONGEST_LIST
            async with self._client() as client:
                return await self._send(client, "GET", "models", None, tries=TRIES_AT_FIRST, longest=longest)

        with start_blocking_portal() as portal:
            reply = portal.call(listed)
        with self._explained():
            names = replies.model_names(reply)
        if len(names) != 1:
            shown = ", ".join(names) or "none"
            raise EndpointError(
                f"--endpoint {self.url} serves {len(names)} models ({shown:.500}); add --endpoint-model NAME"
            )
        return names[0]

    async def _send(
        self, client: httpx2.AsyncClient, method: str, path: str, body: dict | None, *, tries: int, longest: int
    ) -> replies.Reply:
        """The server's reply of status 200. What may pass (no connection, overload, its own faults) is tried again.

        A client's own retries are of connections alone, and know no Retry-After.
        """
        for number in range(tries):
            wait = self.pause * 2**number * random.uniform(0.5, 1)  # jitter: not all questions at once again
            try:
                with self._explained():
                    reply = await replies.ask(client, method, path, body, longest=longest)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if reply.status == 200:
                    return reply
                problem = f"status {reply.status}: {reply.text}"
                if reply.status not in (408, 429) and reply.status < 500:
                    raise self._error(_hint(reply) + problem)
                wait = max(wait, reply.wait)
            if wait > LONGEST_WAIT:
                raise self._error(f"{problem}; it asks to come back in {wait:.0f} seconds")
            if number + 1 < tries:
                await asyncio.sleep(wait)
        raise self._error(f"no reply in {tries} tries; {problem}")  # pyright: ignore[reportPossiblyUnboundVariable]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what is wrong with a reply into an error that names the endpoint and says how to go on."""
        try:
            yield
        except replies.ReplyError as error:
            raise self._error(str(error)) from None

    def _error(self, problem: str) -> EndpointError:
        shown = problem.replace(self._key, "***") if self._key else problem  # a server may repeat what it was sent
        return EndpointError(
            f"--endpoint {self.url}: {shown:.500}. What was answered is kept; the same command goes on."
        )

    def _client(self) -> httpx2.AsyncClient:
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=TIMEOUT, limits=httpx2.Limits())


def _hint(reply: replies.Reply) -> str:
    """What to do about a refusal, where that is known."""
    if reply.status in (401, 403):
        return f"set {KEY} to a key that it takes; "
    if reply.status in (400, 422) and "top_k" in reply.text:
        return "it takes no top_k, which OpenAI's own API lacks: make a run with --no-top-k; "
    return ""


def request(question: Question, config: RunConfig, model: str) -> dict[str, Any]:
    """The body of a chat completion: system prompt, picture if any, question, decoded as the run's config says.

    `top_k` is no part of OpenAI's own API: vLLM and SGLang take it, others refuse it or leave it unread.
    """
    picture = question.item.shown
    content = [
        *([{"type": "image_url", "image_url": {"url": images.data_url(picture)}}] if picture else []),
        {"type": "text", "text": question.item.question},
    ]
    told = [{"role": "system", "content": config.system_prompt}] if config.system_prompt else []
    sampling = {"top_p": config.top_p} | ({"top_k": config.top_k} if config.top_k else {})
    name = f"{config.seed}/{question.item.id}/{question.sample}"
    return {
        "model": model,
        "messages": [*told, {"role": "user", "content": content}],
        "max_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "seed": int(hashlib.sha256(name.encode()).hexdigest()[:7], 16),
    } | (sampling if config.temperature else {})


def _by_picture(asked: list[Question]) -> list[Question]:
    """The questions of a picture next to each other, pictures in the order of their first question."""
    first = {question.item.picture: place for place, question in reversed(list(enumerate(asked)))}
    return sorted(asked, key=lambda question: first[question.item.picture])


async def _stop(client: httpx2.AsyncClient, running: set[asyncio.Task]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await client.aclose()


def _address(url: str) -> tuple[str, str]:
    """The URL with its slash at the end removed, and its host, with the port if it has one."""
    if "@" in url:
        raise EndpointError(f"--endpoint: leave user and password out of the address; the key is read from {KEY}")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise EndpointError(f"--endpoint {url!r}: {error}; expected such as http://localhost:8000/v1") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise EndpointError(f"--endpoint {url!r}: expected an address such as http://localhost:8000/v1")
    return str(parsed).rstrip("/"), parsed.netloc.decode("ascii")


def _sendable(model: str) -> str:
    """A name from the command line, which may hold bytes that are no text."""
    if not model.isprintable():
        raise EndpointError(f"--endpoint-model {model!r}: holds characters that no name has")
    return model


def _api_key() -> str:
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(f"{KEY} holds characters that no key has; set it anew")
    return key
