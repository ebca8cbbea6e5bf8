"""Launching and watching runs in a real browser: queue, double click, cancel, kill, restart, two sessions."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Server, Visit, settled, still, visit
from playwright.sync_api import Browser, Page, expect

from safeeraser.runs import jobs, tags
from safeeraser.runs.folder import EXAMPLES, Run, root
from safeeraser.ui.views import run_list

pytestmark = pytest.mark.slow

SMALL = {"eval_records": 1, "batch_size": 2, "look_every": None, "checkpoint_every": 5, "max_new_tokens": 8}
LONG = 400  # steps of a run that is to be stopped: about a minute


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    server = Server(tmp_path / "runs").start()
    yield server
    server.stop()
    for job in jobs.every():
        if job.status in jobs.ACTIVE:
            jobs.cancel(job.name, force=True)


def form(**settings: object) -> str:
    """The address of the launch form with these settings in it."""
    return f"/launch?settings={quote(json.dumps(SMALL | settings))}"


def launched(page: Page) -> str:
    """Press Launch; returns the name of the run whose page opens."""
    page.get_by_role("button", name="Launch", exact=True).click()
    settled(page, "Runs")
    page.wait_for_url("**run=*")
    return page.url.split("run=")[1].split("&")[0]


def until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def state_of(name: str) -> str:
    return jobs.watch(name).status


def training(name: str) -> bool:
    job = jobs.watch(name)
    return job.status == "running" and bool(job.step)


def test_two_launches_queue_and_are_watched_to_their_scores(reader: Visit):
    page = reader.open("/", title="Unlearning should forget the harm, not the words")
    page.get_by_role("button", name="Launch a run").click()
    settled(page, "Launch")
    page.goto(reader.server.url + form(max_steps=150, pd=False))
    settled(page, "Launch")
    first = launched(page)
    page.get_by_text("running", exact=False).first.wait_for()
    page.goto(reader.server.url + form(max_steps=3))
    settled(page, "Launch")
    second = launched(page)
    assert jobs.watch(second).place == 1
    page.get_by_text("queue", exact=False).first.wait_for()
    until(lambda: state_of(first) == state_of(second) == "done")
    page.get_by_text("Done on").wait_for()  # without a reload
    expect(page.get_by_text("Not scored yet")).to_have_count(0)
    assert Run.find(second).scores is not None
    page.get_by_role("button", name="All runs").click()
    still(page)
    page.get_by_label("Search runs").wait_for()


def test_a_double_click_starts_one_run(reader: Visit):
    page = reader.open(form(max_steps=LONG), title="Launch")
    page.get_by_role("button", name="Launch", exact=True).dblclick(delay=50)
    page.wait_for_url("**run=*")
    settled(page, "Runs")
    active = [job.name for job in jobs.every() if job.status in jobs.ACTIVE]
    assert [name for name in active if "-base-" not in name] == [page.url.split("run=")[1].split("&")[0]]


def test_a_run_is_cancelled_and_resumed(reader: Visit):
    page = reader.open(form(max_steps=60), title="Launch")
    name = launched(page)
    until(lambda: training(name))
    page.get_by_role("button", name="Cancel").click()
    until(lambda: state_of(name) == "cancelled")
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for()
    resume.click()
    until(lambda: state_of(name) == "done")


def test_a_killed_trainer_is_shown_as_interrupted_and_resumes(reader: Visit):
    page = reader.open(form(max_steps=LONG), title="Launch")
    name = launched(page)
    until(lambda: (jobs.watch(name).step or 0) > 6)
    os.kill(jobs.watch(name).pid or 0, signal.SIGKILL)
    page.get_by_text("interrupted", exact=False).first.wait_for()
    before = len(Run.find(name).rows(Run.find(name).log))
    page.get_by_role("button", name="Resume").click()
    until(lambda: training(name) and (jobs.watch(name).step or 0) > before)


def test_the_run_goes_on_when_browser_and_app_are_gone(browser: Browser, server: Server):
    reader = visit(browser, server)
    page = reader.open(form(max_steps=LONG), title="Launch")
    name = launched(page)
    until(lambda: training(name))
    reader.context.close()
    server.stop()
    reached = jobs.watch(name).step or 0
    until(lambda: (jobs.watch(name).step or 0) > reached + 3)
    server.start()
    other = visit(browser, server)
    page = other.open(f"/runs?run={name}", title="Runs")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    assert other.outside == []
    other.context.close()


def test_two_sessions_see_the_same_run(browser: Browser, server: Server):
    one, two = visit(browser, server), visit(browser, server)
    name = launched(one.open(form(max_steps=LONG), title="Launch"))
    page = two.open(f"/runs?run={name}", title="Runs")
    page.get_by_role("button", name="Cancel").click()
    until(lambda: state_of(name) == "cancelled")
    one.context.pages[0].get_by_role("button", name="Resume").wait_for()
    one.context.close()
    two.context.close()


def tick(page: Page, row: int) -> None:
    """Tick a row of the table of runs, counted from 0."""
    box = page.locator(".st-key-runs-table").bounding_box()
    assert box
    page.mouse.click(box["x"] + 18, box["y"] + 35 * row + 52)
    still(page)


def test_rows_are_ticked_compared_tagged_and_deleted(reader: Visit):
    for name in ("my-po", "my-po-too"):
        shutil.copytree(EXAMPLES / "demo-po-s0-6c48dc", root() / name)
    page = reader.open("/runs?find=po", title="Runs")
    listed = [job.name for job in run_list.every() if "po" in job.name]
    opens = page.locator(".st-key-open-chosen")
    tick(page, listed.index("my-po"))
    opens.wait_for()
    tick(page, listed.index("demo-po-pd-s0-44136f"))
    page.get_by_role("heading", name="2 runs compared").wait_for()
    expect(opens).to_have_count(0)
    chosen = page.locator(".st-key-widget-chosen")
    expect(chosen).to_contain_text("my-po")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_label("A tag").fill("of two")
    page.get_by_role("button", name="Tag 2 runs").click()
    until(lambda: tags.every().of("my-po") == ["of two"])
    page.goto(f"{reader.server.url}/runs?chosen=my-po,my-po-too,demo-po-pd-s0-44136f&find=po")
    settled(page, "Runs")
    tick(page, listed.index("my-po-too"))  # ticked by the address: this takes the tick away
    expect(chosen).not_to_contain_text("my-po-too")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("an example of the project").wait_for()
    assert (root() / "my-po").exists()
    page.get_by_role("button", name="Delete 1 run for good").click()
    until(lambda: not (root() / "my-po").exists())
    opens.wait_for()
    assert page.url.endswith("chosen=demo-po-pd-s0-44136f&find=po")
    assert (root() / "my-po-too").exists()
    assert tags.every().by_run == {"demo-po-pd-s0-44136f": ["of two"]}


def test_a_wrong_setting_is_named_and_nothing_is_launched(reader: Visit):
    page = reader.open(form(lr=-1), title="Launch")
    page.get_by_text("--lr", exact=False).first.wait_for()
    expect(page.get_by_role("button", name="Launch", exact=True)).to_have_count(0)
    assert [job.name for job in jobs.every() if not job.ships] == []


def test_the_bar_of_po_opens_the_safe_pictures_it_refuses_and_one_in_compare(reader: Visit):
    page = reader.open("/metrics", title="Metrics")
    bar = page.locator(".js-plotly-plot .barlayer .point path")
    bar.first.wait_for(state="attached")
    still(page)
    place = page.evaluate(
        """() => {
          const plot = document.querySelector('.js-plotly-plot');
          const names = plot.data.filter((t) => t.type === 'bar').flatMap((t) => t.customdata.map((c) => c[0]));
          return names.indexOf('demo-po-s0-6c48dc');
        }"""
    )
    bar.nth(place).click(force=True)
    settled(page, "Browse the data")
    assert "b=demo-po-s0-6c48dc" in page.url
    page.get_by_text("96 records", exact=True).wait_for()
    page.locator("[class*=st-key-open-] button").first.click()
    still(page)
    _open_in_compare(page)


def test_the_same_way_by_keyboard_alone(reader: Visit):
    page = reader.open("/metrics", title="Metrics")
    box = page.locator("[data-testid=stSelectbox]").filter(has_text="Open").locator("input").last
    box.focus()
    page.keyboard.type("PO")
    page.keyboard.press("Enter")
    settled(page, "Browse the data")
    page.locator("[class*=st-key-open-] button").first.focus()
    page.keyboard.press("Enter")
    still(page)
    _open_in_compare(page, keyboard=True)


def _open_in_compare(page: Page, *, keyboard: bool = False) -> None:
    """From a record: unfold its first decouple question and open it in Compare."""
    fold = page.locator("details").nth(4).locator("summary")
    link = page.locator("details").nth(4).get_by_role("button", name="Open in Compare")
    for target in (fold, link):
        target.wait_for()
        if keyboard:
            target.focus()
            page.keyboard.press("Enter")
        else:
            target.click()
    settled(page, "Compare answers")
    page.locator(".answer mark").first.wait_for()  # the refusal, marked
    assert "item=" in page.url
