"""The button "Handout" on its three pages: what its file shows and what it hides, and a browser opens it offline."""

import base64
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from browser import Server, needs_chromium, still, visit
from PIL import Image
from playwright.sync_api import Browser
from streamlit.testing.v1 import AppTest

from app import BASE, PO, PO_PD, opened
from safeeraser.charts import exports
from safeeraser.charts.handout import FOLDED
from safeeraser.runs.folder import EXAMPLES, Run

PAGES = {"over_forgetting": "over-forgetting", "compare": "compare", "metrics": "metrics"}
ITEM = "val/img/Weapon/41.jpg/forget/0"
Open = Callable[..., AppTest]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the last page drawn offers as its handout: `data`, what a click calls, and `file_name`."""
    found: dict[str, Any] = {}
    draw = st.download_button

    def button(label: str, data: Any, file_name: str, *args: Any, **how: Any) -> Any:
        if label == "Handout":
            found.update(how, data=data, file_name=file_name)
        return draw(label, data, file_name, *args, **how)

    monkeypatch.setattr(st, "download_button", button)
    return found


@pytest.fixture
def open_page(runs_folder: Path, offered: dict[str, Any]) -> Open:
    """Opens a page; runs of the user's own go into an empty folder."""
    return opened


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser that could draw a chart."""

    def svgs(*_: object, **__: object) -> list[bytes]:
        raise exports.ChartError("no browser")

    monkeypatch.setattr(exports, "svgs", svgs)


def pictures(page: str) -> dict[str, list[tuple[int, int]]]:
    """The sizes of the pictures of a handout, by their alternative texts."""
    found: dict[str, list[tuple[int, int]]] = {}
    for data, alt in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', page):
        found.setdefault(alt, []).append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    return found


def answer(run: str, id: str) -> str:
    return next(row["answer"] for row in Run(EXAMPLES / run).rows(EXAMPLES / run / "answers.jsonl") if row["id"] == id)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_offers_a_handout_and_composes_nothing_before_the_click(
    open_page: Open, offered: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("safeeraser.charts.handout.page", lambda *_: pytest.fail("composed"))
    app = open_page(name)
    assert not app.exception
    (button,) = [button for button in app.get("download_button") if button.proto.label == "Handout"]
    assert not button.proto.disabled
    assert offered["file_name"] == f"handout-{PAGES[name]}.html"


def test_over_forgetting_hands_out_its_cases_counts_intervals_and_runs(open_page: Open, offered: dict[str, Any]):
    open_page("over_forgetting", seed="3", cases="2")
    page = offered["data"]()
    assert page.count('<section class="question">') == 2
    assert "2 of 384 cases, drawn with seed 3." in page
    assert {size for sizes in pictures(page).values() for size in sizes} != {(24, 24)}
    assert "Demo world, not LLaVA-1.5" in page
    assert "111 of 384 (29 %)" in page
    assert "<b>28.9</b><br><small>[18.9, 41.6]</small>" in page
    assert "over-forgotten: refuses" in page
    for run in (BASE, PO, PO_PD):
        assert f"{run} (example)" in page
    facts = Run(EXAMPLES / PO).facts
    assert facts["data_hash"] in page
    assert facts["commit"][:10] in page
    assert f"torch {facts['versions']['torch']}" in page
    assert "seed=3&amp;cases=2" in page
    assert "None" not in page


def test_what_the_page_hides_is_hidden_in_the_handout(open_page: Open, offered: dict[str, Any]):
    open_page("over_forgetting", hiding=True, cases="20")
    hidden = offered["data"]()
    open_page("over_forgetting", cases="20")
    shown = offered["data"]()
    kinds = pictures(hidden)
    harmful = [alt for alt in kinds if alt.startswith("harmful")]
    assert harmful
    assert all(alt.endswith("hidden") and max(max(size) for size in kinds[alt]) <= 24 for alt in harmful)
    assert FOLDED in hidden
    assert FOLDED not in shown
    assert not any("hidden" in alt for alt in pictures(shown))
    refused = {"forget": "refuses, as it should", "decouple": "over-forgotten: refuses"}
    assert all(hidden.count(words) == shown.count(words) for words in refused.values())


def test_a_reveal_opens_the_picture_and_its_answer_in_the_handout_too(open_page: Open, offered: dict[str, Any]):
    said = answer(BASE, ITEM)
    app = open_page("compare", hiding=True, set="forget", item=ITEM)
    assert said not in offered["data"]()
    app.button(key="key-reveal-compare").click().run()
    page = offered["data"]()
    assert said in page
    assert [max(sizes[0]) > 24 for sizes in pictures(page).values()] == [True]
    app.button(key="key-hide").click().run()
    assert said not in offered["data"]()


def test_compare_hands_out_the_question_with_all_answers_shown_and_their_scores(
    open_page: Open, offered: dict[str, Any]
):
    id = "val/img/Weapon/41.jpg/decouple/0"
    open_page("compare", b=PO, set="decouple", item=id, more=PO_PD)
    page = offered["data"]()
    for run in (BASE, PO, PO_PD):
        assert answer(run, id).split(".")[0] in re.sub("</?mark>", "", page)
        assert run in page
    assert "<b>28.9</b><br><small>[18.9, 41.6]</small>" in page
    assert "n = 384" in page


def test_a_blind_page_gives_no_handout_away(open_page: Open):
    app = open_page("compare", set="decouple", blind="1")
    assert "Handout" not in [button.proto.label for button in app.get("download_button")]


@pytest.mark.parametrize("section", ["By method", "Tables"])
def test_metrics_hands_out_its_chart_with_the_badge_and_every_score(
    open_page: Open, offered: dict[str, Any], undrawn: None, section: str
):
    open_page("metrics", section=section)
    page = offered["data"]()
    assert ("<figcaption>Demo world, not LLaVA-1.5. SARR" in page) == (section == "By method")
    assert "<b>28.9</b><br><small>[18.9, 41.6]</small>" in page
    assert f"{PO_PD} (example)" in page
    assert "What SARR is made of" in page


def test_metrics_offers_the_report_of_the_runs_chosen(open_page: Open, undrawn: None, monkeypatch: pytest.MonkeyPatch):
    found: dict[str, Any] = {}
    draw = st.download_button

    def button(label: str, data: Any, *args: Any, **how: Any) -> Any:
        found[label] = data
        return draw(label, data, *args, **how)

    monkeypatch.setattr(st, "download_button", button)
    open_page("metrics", section="Tables", runs=PO_PD)
    page = found["Report"]()
    assert f"safeeraser report {PO_PD} --judge demo" in page
    assert f"{BASE} (example)" in page
    assert PO not in page.replace(PO_PD, "")
    assert page.count('<section class="question">') == 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    needs_chromium()
    server = Server(tmp_path_factory.mktemp("app") / "runs").start()
    yield server
    server.stop()


@pytest.mark.slow
def test_a_browser_without_a_network_opens_the_handout_and_asks_for_nothing(
    browser: Browser, server: Server, tmp_path: Path
):
    reader = visit(browser, server)
    page = reader.open("/over_forgetting?cases=2", title="Over-forgetting")
    still(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Handout").click()
    assert saved.value.suggested_filename == "handout-over-forgetting.html"
    file = tmp_path / "handout.html"
    shutil.copyfile(saved.value.path(), file)
    reader.context.close()
    alone = browser.new_context(offline=True)
    handout = alone.new_page()
    asked: list[str] = []
    said: list[str] = []
    handout.on("request", lambda request: asked.append(request.url))
    handout.on("console", lambda message: said.append(message.text))
    handout.goto(file.as_uri())
    sizes = handout.evaluate("() => [...document.images].map((image) => image.complete && image.naturalWidth)")
    assert len(sizes) == 4
    assert all(sizes)
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert said == []
    alone.close()
