"""Makes the bundle of a large data set and measures how soon it shows what it holds, opened from the disk.

Example: python benchmarks/bundle.py --folder big-safeeraser --runs 9 --out benchmarks/bundle.json

The data set is that of `big_folder.py`: 600 val records, whose 2,400 questions about safe pictures are the first table,
and 14,400 questions a run in all. `seconds` count from the navigation, by the browser's clock, until the view is drawn
and every picture in sight is loaded; each time the whole page is loaded anew, in a fresh context. `make_s` is what
`safeeraser bundle` takes once the runs' scores are known. Sizes are in bytes.
Not measured: other browsers, a slow disk.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import big_folder
import rows
from playwright.sync_api import Browser, sync_playwright

from safeeraser.bundle import folder
from safeeraser.bundle.folder import Choices
from safeeraser.data.source import Source
from safeeraser.report import collecting
from safeeraser.runs.folder import every

VIEWS = {
    "Samples, the first table": "#/samples?set=decouple",
    "Samples, the last page": "#/samples?set=decouple&page=48",
    "Home": "#/home",
    "Metrics": "#/metrics",
    "Compare": "#/item?set=decouple",
    "Over-forgetting": "#/cases",
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
# When the view is drawn and all pictures in sight are there.
WATCH = """
window.shown = new Promise((resolve) => {
  const inSight = (image) => image.getBoundingClientRect().top < innerHeight && image.offsetParent;
  const timer = setInterval(() => {
    if (!document.body?.dataset.ready || ![...document.images].filter(inSight).every((image) => image.complete)) return;
    clearInterval(timer);
    resolve(performance.now() / 1000);
  }, 5);
});
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the data is made, and kept for the next time")
    parser.add_argument("--runs", type=int, default=9, help="how many runs, the base model's included")
    parser.add_argument("--times", type=int, default=10, help="how often each view is opened")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser's executable")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file to add the row to")
    asked = parser.parse_args()
    data, runs = big_folder.make(asked.folder, asked.runs)
    with TemporaryDirectory() as place, sync_playwright() as playwright:
        bundle = Path(place) / "bundle"
        made = _made(data, runs, bundle)
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=FLAGS)
        seconds = {name: [_opened(browser, bundle, view) for _ in range(asked.times)] for name, view in VIEWS.items()}
        row = made | {"seconds": {name: rows.spread(of_view) for name, of_view in seconds.items()}}
        rows.add(row | {"times": asked.times, "chromium": browser.version} | rows.circumstances(), asked.out)
        browser.close()
    print(row)


def _made(data: Path, runs: Path, bundle: Path) -> dict[str, Any]:
    """Make the bundle; how long that takes, and what it holds."""
    os.environ["SAFEERASER_RUNS"] = str(runs)
    found = [run for run in every() if not run.ships]
    known: Any = {run.name: run.scores for run in found}
    begun = time.perf_counter()
    group = folder.only(collecting.collect(found, {str(data): Source(str(data))}, rows=known))
    folder.write(group, bundle, Choices("safeeraser bundle", "now"))
    seconds = time.perf_counter() - begun
    index = (bundle / "data" / "index.js").stat().st_size
    sizes = {name: _size(bundle / name) for name in ("data", "pictures")}
    asked = {"runs": len(group.runs), "answers": sum(map(len, group.answers.values()))}
    page = _size(bundle) - sum(sizes.values())
    files = sum(path.is_file() for path in bundle.rglob("*"))
    return asked | {"make_s": round(seconds, 1), "files": files, "page": page, "index": index} | sizes


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _opened(browser: Browser, bundle: Path, view: str) -> float:
    """Seconds until the view is there."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(f"{bundle.as_uri()}/index.html{view}", wait_until="commit")
    seconds = page.evaluate("shown")
    context.close()
    return seconds


if __name__ == "__main__":
    main()
