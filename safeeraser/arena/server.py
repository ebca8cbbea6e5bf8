"""Starts the arena: on this machine alone, or for others behind a password.

Gradio is told to count nothing, to fetch nothing and to keep uploads in a folder of its own, which is deleted at the
end. Passwords travel as they are: others reach it through a tunnel (`--share`), a proxy with TLS, or a trusted network.
"""

import os
import secrets
import signal
import tempfile
from collections.abc import Callable
from hmac import compare_digest
from typing import Any

from safeeraser.arena.matches import WAITING, Arena, ArenaError
from safeeraser.score.labels import LONGEST_NAME

PASSWORD = "SAFEERASER_ARENA_PASSWORD"
SHORTEST_PASSWORD = 12  # characters
EVERYWHERE = ("0.0.0.0", "::")
LOCAL = ("127.0.0.1", "localhost", "::1")
# Before Gradio is imported: it reads some of these only then.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_HEARTBEAT_INTERVAL": "2"}


def password(host: str, *, share: bool) -> tuple[str | None, bool]:
    """The password that the arena asks for, None where only this machine reaches it; and whether it was made here.

    Raises ArenaError for one in the environment that is too short.
    """
    given = os.environ.get(PASSWORD)
    if given is not None and len(given) < SHORTEST_PASSWORD:
        raise ArenaError(f"{PASSWORD} must have at least {SHORTEST_PASSWORD} characters, it has {len(given)}")
    if given is not None:
        return given, False
    if share or host not in LOCAL:
        return secrets.token_urlsafe(15), True
    return None, False


def serve(
    arena: Arena,
    *,
    host: str,
    port: int | None,
    share: bool,
    password: str | None,
    say: Callable[[str], Any],
) -> None:
    """Serve the arena until Ctrl+C; say: is told where. Raises ArenaError where it cannot listen."""
    os.environ |= QUIET
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory(prefix="safeeraser-arena-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        arena.asker.start()  # while the page is built
        try:
            _serve(arena, host=host, port=port, share=share, password=password, say=say)
        finally:
            arena.asker.stop()


def _stop(number: int, frame: Any) -> None:
    """SIGTERM ends the arena like Ctrl+C does: the worker ends too, and the folder of uploads is deleted."""
    raise SystemExit(128 + number)


def _serve(
    arena: Arena, *, host: str, port: int | None, share: bool, password: str | None, say: Callable[[str], Any]
) -> None:
    from starlette.middleware import Middleware

    from safeeraser.arena import page
    from safeeraser.arena.border import Border
    from safeeraser.data.images import MAX_BYTES

    hosts = None if share or host not in LOCAL else ("127.0.0.1", "localhost", "[::1]")
    blocks = page.build(arena)
    try:
        _, local, shared = blocks.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            share=share,
            auth=_checks(password) if password else None,
            auth_message=f"As username take any name of at most {LONGEST_NAME} characters; it goes with your votes.",
            max_file_size=MAX_BYTES,
            theme=page.theme(),
            css=page.CSS,
            app_kwargs={"middleware": [Middleware(Border, hosts=hosts)], "openapi_url": None},
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            show_error=False,
            quiet=True,
            max_threads=2 * WAITING + 8,  # each question that waits has one
            prevent_thread_lock=True,
        )
    except OSError as error:
        where = f"port {port} of {host}" if port else host
        raise ArenaError(f"cannot listen on {where}, perhaps another program does; choose another --port") from error
    everywhere = " and at every address of this machine" if host in EVERYWHERE else ""
    say(f"arena: {shared or local}{everywhere}")
    blocks.block_thread()


def _checks(password: str) -> Callable[[str, str], bool]:
    """Whether somebody may come in: by any name that a vote can carry, with the password."""

    def may(name: str, given: str) -> bool:
        right = compare_digest(given.encode(), password.encode())
        return right and 0 < len(name) <= LONGEST_NAME and name.isprintable()

    return may
