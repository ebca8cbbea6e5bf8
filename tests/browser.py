"""What the browser tests share: a server of their own, Debian's chromium, and all that went over the network."""

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Response, TimeoutError
from waiting import until

# What stands above each page, by its name.
TITLES = {
    "home": "Unlearning should forget the harm, not the words",
    "browse": "Browse the data",
    "samples": "Samples",
    "launch": "Launch",
    "runs": "Runs",
    "compare": "Compare answers",
    "metrics": "Metrics",
    "robustness": "Robustness of forgetting",
    "over_forgetting": "Over-forgetting",
    "probes": "Probes",
    "judge_audit": "Judge audit",
}
ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these flags chromium itself asks for updates and for hosts outside.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def needs_chromium() -> str:
    """The browser's path; skips where there is none, fails there on CI."""
    if CHROMIUM is None:
        message = "no chromium on this machine; install Debian's package chromium to run the browser tests"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return str(CHROMIUM)


@dataclass
class Server:
    """`streamlit run app.py`, or another script, on a port of its own."""

    runs: Path
    port: int = 0
    process: subprocess.Popen | None = None
    address: str = "127.0.0.1"
    script: Path = ROOT / "app.py"
    folder: Path = ROOT
    command: tuple[str, ...] = ()  # that takes `--port`, instead of streamlit and the script
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Host and port, as they stand in an address."""
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> "Server":
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a stopped server's port, started again
            free.bind((self.address, self.port))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", str(self.script), "--server.port", str(self.port)]
        command += ["--server.address", self.address]
        command = [*self.command, "--port", str(self.port)] if self.command else command
        environment = os.environ | {"SAFEERASER_RUNS": str(self.runs), "OMP_NUM_THREADS": "1"} | self.environment
        log = (self.runs.parent / "server.log").open("ab")
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

        def listens() -> bool:
            assert self.process
            assert self.process.poll() is None, f"the server ended; {log.name} says why"
            with socket.socket(family) as probe:
                return probe.connect_ex((self.address, self.port)) == 0

        until(listens)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Visit:
    """A reader: a browser context, and everything that it asked for and got."""

    server: Server
    context: BrowserContext
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)

    def page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", self._keep)
        page.on("websocket", lambda socket: self.sockets.append(socket.url))
        return page

    def open(self, path: str, *, title: str) -> Page:
        """Open an address and wait for the page of this title."""
        page = self.page()
        page.goto(self.server.url + path)
        settled(page, title)
        return page

    def _keep(self, response: Response) -> None:
        kind = response.headers.get("content-type", "")
        if response.ok and kind.startswith("image/") and "svg" not in kind:
            self.bodies.append(response.body())

    @property
    def outside(self) -> list[str]:
        """The requests that left the machine."""
        local = (self.server.url, f"ws://{self.server.host}", "data:", "blob:")
        return [url for url in (*self.asked, *self.sockets) if not url.startswith(local)]


def visit(browser: Browser, server: Server, *, dark: bool = False, consent: bool = True) -> Visit:
    context = browser.new_context(color_scheme="dark" if dark else "light", viewport={"width": 1300, "height": 1000})
    if consent:
        context.add_cookies([{"name": "safeeraser_consent", "value": "1", "url": server.url}])
    return Visit(server, context)


def settled(page: Page, title: str) -> None:
    """Wait until the page of this title is there and the server is done with it."""
    page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
    still(page)


def still(page: Page) -> None:
    """Wait until no script runs and nothing is stale."""
    page.wait_for_timeout(150)
    page.wait_for_function(
        """() => {
          const app = document.querySelector('.stApp');
          const running = app && app.getAttribute('data-test-script-state') === 'running';
          return !running && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
        }"""
    )


def open_question(page: Page, number: int) -> None:
    """Choose a question of Samples by its number in the list, and wait for Compare."""
    still(page)
    box = page.locator("[data-testid=stSelectbox]").filter(has_text="Open a question of this page")
    option = page.get_by_role("option", name=re.compile(rf"^{number}\. "))
    for _ in range(20):  # the list closes when the table above it is drawn anew
        with contextlib.suppress(TimeoutError):
            box.locator("input").press("ArrowDown")
            option.click(timeout=1000)
            break
    settled(page, "Compare answers")


ALIKE = 0.97  # correlation of pixels: above it a picture is the other one, resized or compressed anew
LARGEST_PREVIEW = 32  # pixels; a smaller picture shows nothing


def sent(bodies: Iterable[bytes], originals: Iterable[Path]) -> set[Path]:
    """Which of the original pictures are among the pictures that came over the network."""
    paths = sorted(originals)
    known = np.stack([_pixels(path.read_bytes()) for path in paths])
    found: set[Path] = set()
    for body in set(bodies):
        if max(Image.open(io.BytesIO(body)).size) > LARGEST_PREVIEW:
            alike = known @ _pixels(body)
            found |= {paths[place] for place in np.flatnonzero(alike > ALIKE)}
    return found


def _pixels(picture: bytes) -> np.ndarray:
    """64 x 64 pixels in colour, flat, of mean 0 and length 1: two of them multiply to their correlation."""
    small = Image.open(io.BytesIO(picture)).convert("RGB").resize((64, 64))
    pixels = np.asarray(small, dtype=float).ravel()
    pixels -= pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1e-9)
