"""The app's border: who may talk to it, and that the browser may load nothing from outside and keep no picture."""

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from safeeraser.web import HEADERS, WithHeaders

POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1; closed before it opens, the answer is status 403


class Border:
    """Refuses a host name that is not in `server.allowedHosts`, and web sockets of another site's pages.

    Streamlit checks the host of web sockets only, and opens one for any page of this machine, whatever its port, and
    for a program that names no origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_host_allowed(Headers(scope=scope).get("host")):
            await PlainTextResponse("This host name is not in server.allowedHosts.", status_code=400)(
                scope, receive, send
            )
        elif scope["type"] == "websocket" and not own_origin(Headers(scope=scope)):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await self.app(scope, receive, send)


def own_origin(headers: Headers) -> bool:
    """Whether a request comes from a page of the very host and port that it asks, and the app answers to that host."""
    host = headers.get("host")
    return is_host_allowed(host) and headers.get("origin") in (f"http://{host}", f"https://{host}")


class SafeHeaders(WithHeaders):
    """Adds HEADERS to every response, and forbids keeping what `/media` serves: pictures and downloads."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, HEADERS, more={"/media/": {"cache-control": "no-store"}})
