"""Launching and watching runs in a real browser: queue, double click, cancel, kill, restart, two sessions."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Server, Visit, open_question, settled, still, visit
from playwright.sync_api import Browser, Page, expect
from waiting import until

from safeeraser.config import RunConfig
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
    box = page.locator(".st-key-runs-table:not([data-stale=true])").bounding_box()
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
    still(page)  # a click on what is drawn anew is lost
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


def test_the_bar_of_po_opens_a_safe_picture_that_it_refuses_beside_the_bases_answer(reader: Visit):
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
    _refusal_beside_base(page)
    assert "b=demo-po-s0-6c48dc" in page.url


def test_the_same_way_by_keyboard_alone(reader: Visit):
    page = reader.open("/metrics", title="Metrics")
    box = page.locator("[data-testid=stSelectbox]").filter(has_text="Open").locator("input").last
    box.focus()
    page.keyboard.type("PO")
    page.keyboard.press("Enter")
    _refusal_beside_base(page)


def _refusal_beside_base(page: Page) -> None:
    """Compare shows a safe picture, the base model's answer, and the refusal, marked."""
    settled(page, "Compare answers")
    page.locator("img[alt^='safe picture']").first.wait_for()
    page.get_by_text("A: Base model").wait_for()
    page.locator(".answer mark").first.wait_for()
    page.get_by_text("of 384 answers").wait_for()


SAID = (
    *("PO refuses", "384 of 384", "PO with Prompt Decouple no longer answers", "111 of 384"),
    "The base model does not answer",
)


def _home_tells_the_truth(page: Page) -> None:
    page.get_by_role("link", name="Home", exact=True).click()
    settled(page, "Unlearning should forget the harm, not the words")
    for words in SAID:
        expect(page.get_by_text(words, exact=False).first).to_be_visible()
    expect(page.get_by_text("demo-po-s0-6c48dc")).to_be_visible()


def test_the_readmes_five_minutes(reader: Visit):
    """Every step of them; the run is launched with the defaults, whose name is that of an example run."""
    page = reader.open("/", title="Unlearning should forget the harm, not the words")
    page.get_by_role("button", name="Another case").click()
    page.get_by_text("drawn by seed 1").wait_for()
    page.get_by_role("button", name="All questions, all runs").click()
    settled(page, "Samples")
    open_question(page, 1)
    page.keyboard.press("j")
    page.get_by_text("2 of 384 answers").wait_for()
    still(page)
    page.get_by_text("Blind vote").click()
    page.get_by_text("Answer 1", exact=True).first.wait_for()
    page.get_by_role("link", name="Over-forgetting", exact=True).click()
    settled(page, "Over-forgetting")
    page.get_by_role("button", name="Handout").wait_for()
    page.get_by_role("link", name="Launch", exact=True).click()
    settled(page, "Launch")
    page.get_by_text("An example run with these settings is finished").wait_for()
    name = launched(page)
    assert name == "demo-po-pd-s0-44136f"
    _home_tells_the_truth(page)
    page.goto(f"{reader.server.url}/runs?run={name}")
    settled(page, "Runs")
    page.get_by_role("button", name="Cancel").click()
    until(lambda: state_of(name) == "cancelled")
    _home_tells_the_truth(page)


def test_a_dry_run_and_a_trial_leave_home_as_it_is(reader: Visit):
    page = reader.open(form(max_steps=4, eval_records=2), title="Launch")
    page.get_by_role("button", name="Dry run of two steps").click()
    dry = f"dry-{RunConfig.create(**SMALL | {'max_steps': 4, 'eval_records': 2}).run_name()}"
    until(lambda: any(job.name == dry and job.status == "done" for job in jobs.every()))
    _home_tells_the_truth(page)
    page.goto(reader.server.url + form(max_steps=4, eval_records=2))
    settled(page, "Launch")
    name = launched(page)
    until(lambda: state_of(name) == "done")
    _home_tells_the_truth(page)
