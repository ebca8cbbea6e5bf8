"""What both web pages, the app and the arena, tell a browser: to load nothing from outside and to frame nothing."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Streamlit's and Gradio's own pages need inline scripts and styles; Plotly and its workers need eval and blobs.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; frame-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class WithHeaders:
    """Adds headers to every response, in the place of those of the same name; more: others for paths that hold a text.

    headers: names in lower case.
    """

    def __init__(
        self, app: ASGIApp, headers: Mapping[str, str], *, more: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.app = app
        self.headers = headers
        self.more = more or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = dict(self.headers)
        for part, others in self.more.items():
            wanted |= others if part in scope["path"] else {}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name.decode().lower() not in wanted]
                added = [(name.encode(), value.encode()) for name, value in wanted.items()]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        await self.app(scope, receive, with_headers)
