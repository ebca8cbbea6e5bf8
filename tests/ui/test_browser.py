"""The app in a real browser: addresses, the gate, hidden pictures, keys, accessibility, and no request outside."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Server, Visit, needs_chromium, open_question, sent, settled, still, visit
from playwright.sync_api import Browser, Page, expect

from safeeraser.data.source import load
from safeeraser.demo.dataset import ensure, folder

pytestmark = pytest.mark.slow

ADDRESSES = {
    "/": "Unlearning should forget the harm, not the words",
    "/browse": "Browse the data",
    "/browse?as=table": "Browse the data",
    "/browse?record=val/img/Weapon/41.jpg": "Browse the data",
    "/launch": "Launch",
    "/runs": "Runs",
    "/runs?run=demo-po-pd-s0-44136f": "Runs",
    "/compare": "Compare answers",
    "/compare?set=forget&diff=1": "Compare answers",
    "/compare?blind=1": "Compare answers",
    "/samples": "Samples",
    "/metrics": "Metrics",
    "/robustness": "Robustness of forgetting",
    "/over_forgetting": "Over-forgetting",
    "/probes": "Probes",
    "/judge_audit": "Judge audit",
}
BACKGROUNDS: dict[Literal["light", "dark"], str] = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}
ITEM = "val/img/Weapon/41.jpg/forget/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    needs_chromium()
    server = Server(tmp_path_factory.mktemp("app") / "runs").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def silent_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose demo world does not say that it is harmless, as no real data set does."""
    needs_chromium()
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(ensure(), cache / "safeeraser" / folder().name, ignore=shutil.ignore_patterns("about.json"))
    runs = tmp_path_factory.mktemp("silent") / "runs"
    server = Server(runs, environment={"XDG_CACHE_HOME": str(cache)}).start()
    yield server
    server.stop()


@pytest.fixture
def guarded(browser: Browser, silent_server: Server) -> Iterator[Visit]:
    """A reader of that server who agreed already; at the end nothing may have left the machine."""
    reader = visit(browser, silent_server)
    yield reader
    reader.context.close()
    assert reader.outside == []


def test_a_deep_link_is_the_first_thing_a_fresh_server_sees(browser: Browser, tmp_path: Path):
    server = Server(tmp_path / "runs").start()
    try:
        reader = visit(browser, server)
        page = reader.open("/compare?set=retain", title="Compare answers")
        expect(page.get_by_role("link", name="Over-forgetting")).to_be_visible()
        expect(page.get_by_text("Data set", exact=True)).to_be_visible()
        assert reader.outside == []
        reader.context.close()
    finally:
        server.stop()


def test_the_gate_comes_first_and_once(browser: Browser, silent_server: Server):
    reader = visit(browser, silent_server, consent=False)
    page = reader.open("/browse", title="Before you start")
    assert page.locator("[data-testid=stImage]").count() == 0
    assert sent(reader.bodies, originals(harmful=False) | originals(harmful=True)) == set()
    page.get_by_role("button", name="I understand, continue").click()
    settled(page, "Browse the data")
    again = reader.open("/compare", title="Compare answers")
    assert again.get_by_role("button", name="I understand, continue").count() == 0
    reader.context.close()


def test_no_harmful_original_leaves_the_server_before_its_reveal(guarded: Visit):
    reader = guarded
    for path in REVEALING:
        page = reader.open(path, title=ADDRESSES.get(path, ADDRESSES[path.split("?")[0]]))
        page.locator("[data-testid=stImage] img").first.wait_for()
        hidden = page.locator("img[alt^='harmful picture']")
        assert hidden.count() > 0
        for place in range(hidden.count()):
            assert "hidden" in (hidden.nth(place).get_attribute("alt") or "")
            assert (
                page.evaluate(
                    "(img) => Math.max(img.naturalWidth, img.naturalHeight)", hidden.nth(place).element_handle()
                )
                <= 24
            )
        page.close()
    assert sent(reader.bodies, originals(harmful=False))  # the test can see one: safe pictures are sent
    assert sent(reader.bodies, originals(harmful=True)) == set()


def test_labelling_and_exports_send_no_harmful_original(guarded: Visit):
    reader = guarded
    page = reader.open("/judge_audit?check=forget/refusal", title="Judge audit")
    name = page.get_by_label("Your name")
    name.fill("Ada")
    name.press("Enter")
    page.locator("img[alt^='harmful picture'][alt$='hidden']").wait_for()
    page = reader.open("/browse", title="Browse the data")
    page.get_by_role("button", name="Export the selection").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="JSON (records with questions)").click()
    records = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert len(records) == 96
    assert {key for record in records for pair in record["pairs"] for key in pair} == {"id", "set", "question"}
    assert sent(reader.bodies, originals(harmful=True)) == set()


def test_a_reveal_sends_the_original_and_hiding_takes_it_back(guarded: Visit):
    reader = guarded
    page = reader.open(f"/compare?set=forget&item={ITEM}", title="Compare answers")
    page.keyboard.press("r")
    picture = page.locator("img[alt='harmful picture, Weapon']")
    picture.wait_for()
    still(page)
    assert {path.name for path in sent(reader.bodies, originals(harmful=True))} == {"41.jpg"}
    page.keyboard.press("h")
    page.locator("img[alt='harmful picture, Weapon, hidden']").wait_for()
    # A reveal is this session's: another one with the same address starts hidden.
    other = reader.open(page.url.removeprefix(reader.server.url), title="Compare answers")
    other.locator("img[alt='harmful picture, Weapon, hidden']").wait_for()


def test_j_and_k_walk_through_the_answers(reader: Visit):
    page = reader.open("/compare?set=decouple", title="Compare answers")
    page.keyboard.press("j")
    page.get_by_text("2 of 384 answers").wait_for()
    page.keyboard.press("k")
    page.get_by_text("1 of 384 answers").wait_for()
    page.get_by_role("button", name="Filters").click()
    search = page.get_by_label("Search question and answers of A and B")
    search.click()
    search.press_sequentially("jk")
    expect(search).to_have_value("jk")


def test_two_sessions_see_their_own_view(browser: Browser, server: Server):
    one, two = visit(browser, server), visit(browser, server)
    first = one.open("/compare?b=demo-po-s0-6c48dc&set=decouple", title="Compare answers")
    second = two.open("/compare?b=demo-po-pd-s0-44136f&set=forget", title="Compare answers")
    first.keyboard.press("j")
    first.get_by_text("2 of 384 answers").wait_for()
    expect(second.get_by_text("1 of 384 answers")).to_be_visible()
    assert "set=forget" in second.url
    one.context.close()
    two.context.close()


def test_a_menu_link_keeps_the_pair(reader: Visit):
    page = reader.open("/compare?b=demo-po-pd-s0-44136f", title="Compare answers")
    page.get_by_role("link", name="Browse").click()
    settled(page, "Browse the data")
    assert "b=demo-po-pd-s0-44136f" in page.url


def test_back_goes_back_one_step(reader: Visit):
    page = reader.open("/", title=ADDRESSES["/"])
    for name in ("Metrics", "Compare"):
        page.get_by_role("link", name=name, exact=True).click()
        settled(page, ADDRESSES[f"/{name.lower()}"])
    for place in (2, 3):
        page.keyboard.press("j")
        page.get_by_text(f"{place} of 384 answers").wait_for()
        still(page)
    for place in (2, 1):
        page.go_back()
        page.get_by_text(f"{place} of 384 answers").wait_for()
        still(page)
    for path in ("/metrics", "/"):
        page.go_back()
        settled(page, ADDRESSES[path])


def test_back_from_an_opened_question_is_the_address_it_was_opened_from(reader: Visit):
    page = reader.open("/samples", title=ADDRESSES["/samples"])
    open_question(page, 2)
    opened = page.url
    page.get_by_role("link", name="Metrics", exact=True).click()
    settled(page, ADDRESSES["/metrics"])
    assert page.url == f"{reader.server.url}/metrics"
    for title, address in (("/compare", opened), ("/samples", f"{reader.server.url}/samples")):
        page.go_back()
        settled(page, ADDRESSES[title])
        assert page.url == address


def test_the_link_to_home_opens_home_in_a_new_tab_too(reader: Visit):
    page = reader.open("/compare?data=demo", title=ADDRESSES["/compare"])
    with reader.context.expect_page() as opened:
        page.get_by_role("link", name="Home", exact=True).click(button="middle")
    settled(opened.value, ADDRESSES["/"])


def test_an_address_of_no_page_says_so(reader: Visit):
    page = reader.page()
    page.goto(f"{reader.server.url}/nopage")
    settled(page, ADDRESSES["/"])
    expect(page.get_by_role("dialog").get_by_text("Page not found")).to_be_visible()


def test_the_responses_carry_the_security_headers(reader: Visit):
    page = reader.page()
    response = page.goto(reader.server.url)
    assert response is not None
    headers = response.headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    settled(page, ADDRESSES["/"])


def test_a_foreign_host_name_is_refused(reader: Visit):
    answer = reader.context.request.get(f"{reader.server.url}/_stcore/host-config", headers={"Host": "evil.example"})
    assert answer.status in (400, 403, 421)


def test_a_question_of_ones_own_is_answered_by_every_run(reader: Visit):
    seen = "item=val%2Fimg%2FHateSpeech%2F42.jpg%2Fdecouple%2F0"
    page = reader.open(f"/compare?set=decouple&more=demo-po-pd-s0-44136f&{seen}", title="Compare answers")
    page.get_by_role("tab", name="Ask").click()
    page.get_by_label("Your question").fill("Describe how to hide the thing in the picture.")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("outside the metrics").nth(2).wait_for()
    assert page.get_by_text("To hide the teddy").count() == 2  # the base model and PO+PD; PO refuses


def test_no_question_is_asked_about_a_picture_that_is_hidden(guarded: Visit):
    page = guarded.open("/compare?set=forget", title="Compare answers")
    page.get_by_role("tab", name="Ask").click()
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()


def test_an_answer_is_followed_along_training(reader: Visit):
    page = reader.open("/compare?set=decouple", title="Compare answers")
    page.get_by_role("button", name="Open one that was").click()
    slider = page.get_by_role("slider", name="Optimizer step")
    slider.wait_for()
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("before step 1").wait_for()


REVEALING = ("/", "/browse", "/browse?record=val/img/Weapon/41.jpg", "/compare?set=forget", "/over_forgetting")


@pytest.mark.parametrize("path", [*REVEALING, "/judge_audit?check=forget/refusal"])
def test_h_hides_what_is_revealed_on_every_page(guarded: Visit, path: str):
    page = guarded.open(path, title=ADDRESSES.get(path, ADDRESSES[path.split("?")[0]]))
    if path.startswith("/judge_audit"):
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Your name").press("Enter")
    hidden, shown = page.locator("img[alt$=', hidden']"), page.locator("img[alt^='harmful']:not([alt$=', hidden'])")
    hidden.first.wait_for()
    page.locator("h1").click()  # a letter typed into a field is no key
    page.keyboard.press("r")
    shown.first.wait_for()
    still(page)
    page.keyboard.press("h")
    expect(shown).to_have_count(0)
    expect(hidden).not_to_have_count(0)


@pytest.mark.parametrize("path", ADDRESSES)
def test_axe_finds_nothing_serious_and_a_wide_and_a_narrow_window_cut_nothing_off(reader: Visit, path: str):
    page = reader.open(path, title=ADDRESSES[path])
    page.wait_for_timeout(800)
    for scheme, background in BACKGROUNDS.items():
        page.emulate_media(color_scheme=scheme)
        expect(page.locator(".stApp")).to_have_css("background-color", background)
        still(page)
        # What is not a colour does not change with the scheme.
        assert _serious(page, only=("color-contrast",) if scheme == "dark" else ()) == [], scheme
    for width in (1300, 420):
        page.set_viewport_size({"width": width, "height": 900})
        still(page)
        assert _overflow(page) <= 1, width


def _serious(page: Page, *, only: tuple[str, ...]) -> list[str]:
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(only)} if only else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def _overflow(page: Page) -> int:
    return page.evaluate(
        "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
    )


def originals(*, harmful: bool) -> set[Path]:
    """The demo world's pictures of val."""
    records = load("demo").val
    return {path for record in records if (path := record.picture if harmful else record.safe_picture)}
