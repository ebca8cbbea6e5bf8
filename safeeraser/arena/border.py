"""The arena's border: who may talk to it, how much one may send, and that the browser loads nothing from outside."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeeraser.arena.limits import Limit
from safeeraser.data import images
from safeeraser.web import HEADERS, WithHeaders

LARGEST_BODY = images.MAX_BYTES * 3 // 2  # bytes of a request: a picture as Base64 and some words
UPLOADS = 60  # files within a minute that an address may leave on the disk, where Gradio keeps them for a moment
# What Gradio offers beside the page and has no business here: fetching for others, writing code, watching users.
CLOSED = ("proxy=", "vibe", "undo-vibe", "run-history", "runs", "monitoring", "deep_link", "dev/", "custom_component")
TUNNEL = ".gradio.live"  # where `--share` leads to


class Border:
    """Refuses foreign host names (where `hosts` are given), pages of other sites, closed paths and large requests."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] | None) -> None:
        self.app = WithHeaders(app, HEADERS, more={"/gradio_api/": {"cache-control": "no-store"}})
        self.hosts = hosts
        self._uploads = Limit(UPLOADS, 60)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455: the arena has none
        elif refusal := self._refusal(scope):
            await PlainTextResponse(refusal[1], status_code=refusal[0])(scope, receive, send)
        else:
            await self.app(scope, _bounded(receive), send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope["path"].removeprefix("/gradio_api").lstrip("/")
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 400, "This host name is not the arena's."
        origin = headers.get("origin")
        if origin is not None and not _own(origin, host):
            return 403, "Another site's page may not use the arena."
        if path.startswith(CLOSED):
            return 404, "There is nothing here."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return 413, f"A request may have {LARGEST_BODY:,} bytes."
        client = scope.get("client") or ("",)
        if scope["method"] == "POST" and path.startswith("upload") and not self._uploads.take(client[0]):
            return 429, "Too many uploads; wait a minute."
        return None


def _name(host: str) -> str:
    """The host name without its port."""
    return host.rsplit("]", 1)[0] + "]" if host.startswith("[") else host.split(":", 1)[0]


def _own(origin: str, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}") or origin.endswith(TUNNEL)


def _bounded(receive: Receive) -> Receive:
    """What is received, cut off where a request that named no length is too large."""
    left = LARGEST_BODY

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return bounded
