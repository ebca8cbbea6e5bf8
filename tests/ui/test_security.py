"""The app's border: which pages may talk to it, and where a page of it may load from."""

import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import Server, needs_chromium, visit
from playwright.sync_api import Browser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from safeeraser.web import HEADERS

pytestmark = pytest.mark.slow

HOME = "Unlearning should forget the harm, not the words"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("app") / "runs").start()
    yield server
    server.stop()


def opens(server: Server, *, origin: str | None, host: str) -> bool:
    """Whether a client that names this origin, and this host, gets a web socket."""
    address = f"ws://{host}/_stcore/stream"
    try:
        with (
            socket.create_connection((server.address, server.port), timeout=20) as line,
            connect(address, sock=line, origin=origin, subprotocols=["streamlit"], proxy=None),  # pyright: ignore
        ):
            return True
    except InvalidStatus as refused:
        if refused.response.status_code not in (400, 403):
            raise
        return False


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_a_page_of_the_app_opens_a_web_socket(server: Server, name: str):
    host = f"{name}:{server.port}"
    assert opens(server, origin=f"http://{host}", host=host)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize(
    "origin",
    [
        *(None, "null", "", "http://evil.example", "http://evil.example:{port}", "file://", "http://[", "http://"),
        *("http://localhost:1", "http://127.0.0.1:1", "http://localhost", "ftp://{host}", "http://{host}.evil.example"),
        *("http://{host}@evil.example", "http://evil.example/{host}", "{host}", "http://0.0.0.0:{port}"),
    ],
)
def test_no_other_page_and_no_program_opens_one(server: Server, name: str, origin: str | None):
    host = f"{name}:{server.port}"
    asked = None if origin is None else origin.format(port=server.port, host=host)
    assert not opens(server, origin=asked, host=host)


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "evil.example", "localhost.evil.example:{port}", "[::2]:{port}"]
)
def test_a_foreign_name_for_this_machine_opens_none(server: Server, host: str):
    host = host.format(port=server.port)
    assert not opens(server, origin=f"http://{host}", host=host)


def test_a_page_of_another_port_cannot_talk_to_the_app(browser: Browser, server: Server, tmp_path: Path):
    (tmp_path / "page.html").write_text("<title>any page</title>")
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    other = ThreadingHTTPServer(("127.0.0.1", 0), serve)  # another program of this machine
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        reader = visit(browser, server)
        own, page = reader.open("/", title=HOME), reader.page()
        page.goto(f"http://127.0.0.1:{other.server_port}/page.html")
        script = """(address) => new Promise((done) => {
          const line = new WebSocket(address, ["streamlit"]);
          line.onopen = () => done("open");
          line.onerror = () => done("refused");
        })"""
        assert own.evaluate(script, f"ws://{server.host}/_stcore/stream") == "open"
        for host in (server.host, f"localhost:{server.port}"):
            assert page.evaluate(script, f"ws://{host}/_stcore/stream") == "refused"
        reader.context.close()
    finally:
        other.shutdown()
        other.server_close()


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_the_app_works_by_every_name_of_this_machine(browser: Browser, server: Server, tmp_path: Path, address: str):
    needs_chromium()
    own = address == "::1"
    there = Server(tmp_path / "runs", address=address).start() if own else server
    try:
        named = Server(there.runs, port=there.port, address=address)
        reader = visit(browser, named)
        reader.open("/", title=HOME)
        assert any(url.startswith(f"ws://{named.host}/") for url in reader.sockets)
        assert reader.outside == []
        reader.context.close()
    finally:
        if own:
            there.stop()


def test_the_policy_names_no_foreign_host():
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";"))
    allowed = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    assert {source for sources in policy.values() for source in sources.split()} <= allowed
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert not re.search(r"data:|blob:|unsafe", policy["default-src"])


def test_a_page_of_the_app_reaches_no_foreign_host(browser: Browser, server: Server):
    reader = visit(browser, server)
    page = reader.open("/", title=HOME)
    reached: list[str] = []
    page.context.route("**evil.example**", lambda route: reached.append(route.request.url) or route.abort())
    blocked = page.evaluate(
        """async () => {
          const found = [];
          document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
          const add = (tag, values) => document.body.append(Object.assign(document.createElement(tag), values));
          const host = "https://evil.example";
          add("img", {src: `${host}/p.png`});
          add("script", {src: `${host}/s.js`});
          add("link", {rel: "stylesheet", href: `${host}/s.css`});
          add("iframe", {src: host});
          add("video", {src: `${host}/v.mp4`});
          add("style", {textContent: `@font-face {font-family: x; src: url(${host}/f)} body {font-family: x}`});
          try { await fetch(host); } catch {}
          try { new WebSocket("wss://evil.example"); } catch {}
          try { new WebSocket("ws://evil.example"); } catch {}
          navigator.sendBeacon(host, "x");
          const form = document.createElement("form");
          form.action = host;
          document.body.append(form);
          form.submit();
          await new Promise((done) => setTimeout(done, 1000));
          return found;
        }"""
    )
    kinds = {"img-src", "script-src-elem", "style-src-elem", "frame-src", "media-src", "font-src", "form-action"}
    assert set(blocked) >= kinds
    assert blocked.count("connect-src") == 4
    assert reached == [url for url in reader.sockets if "evil" in url] == []
    reader.context.close()
