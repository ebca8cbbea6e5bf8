"""Measures every page of the app on a large data set, in a real browser.

Example: python benchmarks/app_pages.py --folder big-safeeraser --runs 5 50 --out benchmarks/app_pages.json

Times end when a page is usable: its heading is there, the script has finished, every picture is loaded, nothing is
stale or a placeholder, and all of this held for 150 ms (which do not count). `browser` counts from the navigation (a
full load of the page) or the click, by the browser's clock; `server` from the rerun request to the message that the
script finished, as the browser's websocket sees them; `server_cpu` is what the app's process worked until then, which
other programs on the machine disturb least; `sent_kB` is what came through the websocket. `first` is a deep link on a
server just started, whose caches are empty (the system's file cache is warm); `load` is the machine's load average.
Not measured: a network, another browser, several people at once.
"""

import argparse
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import big_folder
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]


class Place(NamedTuple):
    """An address of the app, its heading, and what is in its address beside data set and split."""

    path: str
    heading: str
    own: Mapping[str, str] = MappingProxyType({})


PAGES = {
    "Home": Place("", "Unlearning should forget the harm, not the words"),
    "Browse": Place("browse", "Browse the data"),
    "Launch": Place("launch", "Launch"),
    "Runs": Place("runs", "Runs"),
    "Samples": Place("samples", "Samples", {"set": "decouple"}),
    "Compare": Place("compare", "Compare answers", {"set": "decouple"}),
    "Metrics": Place("metrics", "Metrics"),
    "Robustness": Place("robustness", "Robustness of forgetting"),
    "Over-forgetting": Place("over_forgetting", "Over-forgetting"),
    "Probes": Place("probes", "Probes"),
    "Judge audit": Place("judge_audit", "Judge audit"),
}
MORE = {
    "Runs, one run": Place("runs", "Runs", {"run": "RUN"}),
    "Metrics, along training": Place("metrics", "Metrics", {"section": "Along training"}),
    "Metrics, tables": Place("metrics", "Metrics", {"section": "Tables"}),
    "Over-forgetting, 20 cases": Place("over_forgetting", "Over-forgetting", {"cases": "20"}),
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE = 60_000  # milliseconds

# Runs before the page's own scripts: notes the websocket's messages and says when the page became usable.
WATCH = """
window.wire = [];
const finished = (bytes) => {  // whether a ForwardMsg has field 6, script_finished; only small ones can
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (bytes.length < 200 && at < bytes.length) {
    const tag = number();
    if (tag >> 3 === 6) return true;
    if ((tag & 7) === 0) number();
    else if ((tag & 7) === 2) at = number() + at;
    else at += (tag & 7) === 5 ? 4 : 8;
  }
  return false;
};
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", (event) => {
      const bytes = new Uint8Array(event.data);
      window.wire.push({come: true, time: performance.now(), size: bytes.length, finished: finished(bytes)});
    });
  }
  send(data) {
    window.wire.push({come: false, time: performance.now(), size: data.length, finished: false});
    super.send(data);
  }
};
window.idle = (heading, since) => {
  const app = document.querySelector("[data-testid=stApp]");
  const title = document.querySelector("[data-testid=stMain] h1");
  return window.wire.some((message) => message.finished && message.time >= since)
    && app.dataset.testScriptState === "notRunning"
    && title && title.innerText.trim() === heading
    && [...document.images].every((image) => image.complete)
    && !document.querySelector("[data-testid=stSkeleton], [data-testid=stStatusWidget], [data-stale=true]");
};
window.usable = (heading, since, patience) => new Promise((resolve, reject) => {
  let first = null;
  const end = performance.now() + patience;
  const timer = setInterval(() => {
    if (performance.now() > end) {
      clearInterval(timer);
      reject(new Error(`not usable: ${location.href} under "${heading}": ${document.body.innerText.slice(0, 500)}`));
    }
    if (!window.idle(heading, since)) { first = null; return; }
    first = first ?? performance.now();
    if (performance.now() - first >= 150) { clearInterval(timer); resolve(first); }
  }, 5);
});
"""


class Tab(NamedTuple):
    """A browser's tab on the app, and the app's process."""

    page: Page
    root: str
    app: psutil.Process

    @property
    def cpu(self) -> float:
        """Seconds of processor that the app has used so far."""
        times = self.app.cpu_times()
        return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the data is made, and kept for the next time")
    parser.add_argument("--runs", type=int, nargs="+", default=[5, 50], help="numbers of runs to measure with")
    parser.add_argument("--times", type=int, default=20, help="how often each page is opened after the first time")
    parser.add_argument("--pages", nargs="+", default=list(PAGES), choices=PAGES, help="which pages; default all")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser's executable")
    parser.add_argument("--out", type=Path, help="a JSON file for what is measured")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    folders = {runs: big_folder.make(asked.folder, runs) for runs in asked.runs}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=FLAGS)
        for count, (data, runs) in folders.items():
            for row in _measured(browser, data, runs, asked.pages, asked.times):
                rows.append({"runs": count} | row)
                print(_line(rows[-1]), flush=True)
        facts = _machine(browser.version)
        browser.close()
    print("\n".join(_growth(rows)))
    if asked.out:
        named = {str(asked.folder): "FOLDER", str(asked.out): asked.out.name}  # no paths of this machine
        words = [named.get(word, word) for word in sys.argv[1:]]
        facts |= {"command": " ".join(["python", "benchmarks/app_pages.py", *words]), "rows": rows}
        asked.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _measured(browser: Browser, data: Path, runs: Path, pages: list[str], times: int) -> Iterator[dict[str, Any]]:
    """The rows with one folder of runs: start, first visits, deep links, the menu, interactions."""
    shared = {"data": str(data), "split": "val"}
    one = max(path.name for path in runs.iterdir() if "-po-" in path.name)
    more = {name: place for name, place in MORE.items() if name.split(",")[0] in pages}
    places = {
        name: place._replace(own={key: value.replace("RUN", one) for key, value in place.own.items()})
        for name, place in ({name: PAGES[name] for name in pages} | more).items()
    }
    yield _row("Start, then Home on the demo world", [_start(browser, runs, PAGES["Home"], {}) for _ in range(5)])
    with TemporaryDirectory() as none:
        yield _row("The same, the first time on a machine", [_cold(browser, Path(none)) for _ in range(5)])
    firsts = {name: _first(browser, runs, place, shared) for name, place in places.items()}
    with _server(runs) as (root, app):
        tab = Tab(_page(browser, root), root, app)
        for place in places.values():
            _open(tab, place, shared)
        for name, place in places.items():
            yield _row(f"{name}: deep link", [_open(tab, place, shared) for _ in range(times)], first=firsts[name])
        _open(tab, PAGES[pages[0]], shared)
        for name in pages:
            yield _row(f"{name}: menu", [_menu(tab, name) for _ in range(times)])
        for name, (page, act) in INTERACTIONS.items():
            if page in pages:
                _open(tab, PAGES[page], shared)
                yield _row(f"{page}: {name}", [act(tab, number) for number in range(times)])


@contextmanager
def _server(runs: Path, **environment: str) -> Iterator[tuple[str, psutil.Process]]:
    """The app as a user starts it, on a free port: its address and process; stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    app = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"SAFEERASER_RUNS": str(runs)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port, app)
        yield f"http://localhost:{port}/", psutil.Process(app.pid)
    finally:
        os.killpg(app.pid, signal.SIGTERM)
        app.wait(timeout=20)


def _wait_for(port: int, app: subprocess.Popen) -> None:
    while app.poll() is None:
        try:
            urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.02)
    raise SystemExit("The app ended at once: start it by hand to see why (streamlit run app.py).")


def _page(browser: Browser, root: str) -> Page:
    """A tab of a reader who has agreed to the notice before."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    context.add_cookies([{"name": "safeeraser_consent", "value": "1", "url": root}])
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    return page


def _first(browser: Browser, runs: Path, place: Place, shared: dict[str, str]) -> dict[str, float]:
    """A deep link on a server just started, from the navigation."""
    with _server(runs) as (root, app):
        page = _page(browser, root)
        visit = _open(Tab(page, root, app), place, shared)
        page.context.close()
    return visit


def _cold(browser: Browser, runs: Path) -> dict[str, float]:
    """From `streamlit run app.py` with no run and no demo world drawn: to the first words, and to Home as a whole."""
    with TemporaryDirectory() as cache:
        begun = time.perf_counter()
        with _server(runs, XDG_CACHE_HOME=cache) as (root, _):
            page = _page(browser, root)
            page.goto(root, wait_until="commit")
            page.wait_for_function("document.querySelector('[data-testid=stMain]')?.innerText.trim()", polling=20)
            words = time.perf_counter() - begun
            page.evaluate("asked => window.usable(...asked)", [PAGES["Home"].heading, 0, PATIENCE])
            whole = time.perf_counter() - begun - 0.15  # that it must stay usable
            page.context.close()
    return {"browser": whole, "words": words}


def _start(browser: Browser, runs: Path, place: Place, shared: dict[str, str]) -> dict[str, float]:
    """The same, from `streamlit run app.py`: the browser asks for the page as soon as the server answers."""
    begun = time.perf_counter()
    with _server(runs) as (root, app):
        page = _page(browser, root)
        before = time.perf_counter() - begun
        visit = _open(Tab(page, root, app), place, shared)
        page.context.close()
    return {"browser": before + visit["browser"]}


def _open(tab: Tab, place: Place, shared: dict[str, str]) -> dict[str, float]:
    """A deep link, as a new load of the whole page."""
    tab.page.goto("about:blank")
    before = tab.cpu
    tab.page.goto(f"{tab.root}{place.path}?{urlencode(shared | dict(place.own))}", wait_until="commit")
    return _until_usable(tab, place.heading, since=0, cpu=before)


def _menu(tab: Tab, name: str) -> dict[str, float]:
    """A click in the menu, from another page."""
    other = next(one for one in PAGES if one != name)
    _follow(tab, PAGES[other])
    return _follow(tab, PAGES[name])


def _follow(tab: Tab, place: Place) -> dict[str, float]:
    click = """path => [...document.querySelectorAll("[data-testid=stPageLink-NavLink]")]
        .find((link) => link.getAttribute("href").replace("/", "").split("?")[0] === path).click()"""
    return _acted(tab, place.heading, lambda: tab.page.evaluate(click, place.path))


def _acted(tab: Tab, heading: str, act: Callable[[], Any]) -> dict[str, float]:
    before, since = tab.cpu, tab.page.evaluate("window.wire = [], performance.now()")
    act()
    return _until_usable(tab, heading, since=since, cpu=before)


def _until_usable(tab: Tab, heading: str, *, since: float, cpu: float) -> dict[str, float]:
    """Wait until the page is usable: seconds in the browser, on the server, of its processor; kilobytes that came."""
    usable = tab.page.evaluate("asked => window.usable(...asked)", [heading, since, PATIENCE])
    used = tab.cpu - cpu
    wire = [message for message in tab.page.evaluate("window.wire") if since <= message["time"] <= usable]
    asked = min(message["time"] for message in wire if not message["come"])
    done = max(message["time"] for message in wire if message["finished"])
    if error := tab.page.query_selector("[data-testid=stException], [data-testid=stAlertContentError]"):
        raise SystemExit(f"{tab.page.url} shows an error: {error.inner_text()}")
    return {
        "browser": (usable - since) / 1000,
        "server": (done - asked) / 1000,
        "server_cpu": used,
        "sent_kB": sum(message["size"] for message in wire if message["come"]) / 1000,
    }


def _next_item(tab: Tab, number: int) -> dict[str, float]:
    return _click(tab, "Compare", ".st-key-key-next button")


def _next_page(tab: Tab, number: int) -> dict[str, float]:
    return _click(tab, "Browse", "[data-testid=stPagination] button[aria-label*=ext]")


def _section(tab: Tab, number: int) -> dict[str, float]:
    button = tab.page.get_by_role("radio", name=("Inside SARR", "By method")[number % 2], exact=True)
    button.wait_for()
    return _acted(tab, PAGES["Metrics"].heading, lambda: button.evaluate("button => button.click()"))


def _click(tab: Tab, name: str, selector: str) -> dict[str, float]:
    tab.page.wait_for_selector(selector)
    click = "selector => document.querySelector(selector).click()"
    return _acted(tab, PAGES[name].heading, lambda: tab.page.evaluate(click, selector))


def _another_b(tab: Tab, number: int) -> dict[str, float]:
    """The runs that the open list shows (ten at most) one after the other, again and again.

    Each is read from its files the first time and comes from the cache then: the 95th percentile is the first time.
    """
    tab.page.get_by_role("combobox", name=re.compile("B: run")).click()
    others = tab.page.locator("[role=option]:not([aria-selected=true])")
    others.first.wait_for()
    other = others.nth(number % others.count())
    return _acted(tab, PAGES["Compare"].heading, other.click)


def _search(tab: Tab, number: int) -> dict[str, float]:
    words = tab.page.get_by_label("Search keywords and questions")
    words.fill(("amber", "lantern")[number % 2])
    return _acted(tab, PAGES["Browse"].heading, lambda: words.press("Enter"))


INTERACTIONS: dict[str, tuple[str, Callable[[Tab, int], dict[str, float]]]] = {
    "next item": ("Compare", _next_item),
    "another run B": ("Compare", _another_b),
    "next page of the grid": ("Browse", _next_page),
    "search": ("Browse", _search),
    "another section": ("Metrics", _section),
}


def _row(what: str, visits: list[dict[str, float]], *, first: dict[str, float] | None = None) -> dict[str, Any]:
    """Medians, the 95th percentile (the least value that 95 % are at or below), and the first visit; in seconds."""
    row: dict[str, Any] = {"what": what, "n": len(visits), "load": round(os.getloadavg()[0], 2)}
    row |= {f"first_{name}": round(value, 3) for name, value in (first or {}).items()}
    for name in visits[0]:
        found = sorted(visit[name] for visit in visits)
        row |= {
            name: round(statistics.median(found), 3),
            f"{name}_p95": round(found[-(-len(found) * 95 // 100) - 1], 3),
        }
    return row


COLUMNS = ("words", "first_browser", "browser", "browser_p95", "server", "server_p95", "server_cpu", "sent_kB", "load")


def _line(row: dict[str, Any]) -> str:
    cells = " ".join(f"{name} {row[name]:g}" for name in COLUMNS if row.get(name) is not None)
    return f"{row['runs']:3} runs  {row['what']:36} n {row['n']:2}  {cells}"


def _growth(rows: list[dict[str, Any]]) -> list[str]:
    """A Markdown table: every measurement with each number of runs."""
    counts = sorted({row["runs"] for row in rows})
    found = {(row["runs"], row["what"]): row for row in rows}
    head = [f"{part}, {count} runs" for count in counts for part in ("first", "p50", "p95", "server CPU")]
    lines = [f"| what | {' | '.join(head)} |", f"| --- | {' | '.join(['---:'] * len(head))} |"]
    for what in dict.fromkeys(row["what"] for row in rows):
        cells = [
            found.get((count, what), {}).get(part)
            for count in counts
            for part in ("first_browser", "browser", "browser_p95", "server_cpu")
        ]
        lines.append(f"| {what} | {' | '.join('' if cell is None else f'{cell:.2f}' for cell in cells)} |")
    return lines


def _machine(chromium: str) -> dict[str, Any]:
    libraries = ("safeeraser", "streamlit", "pandas", "plotly", "playwright")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in libraries} | {"chromium": chromium},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
