"""The arena in a browser and by `gradio_client`: one real server, and one with hostile models behind a password."""

import re
import runpy
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import ROOT, Server, Visit, visit
from gradio_client import Client
from gradio_client.exceptions import AppError, AuthenticationError
from hostile_arena import TEXTS
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from safeeraser.arena.matches import WAITING
from safeeraser.arena.page import BUTTONS, TITLE
from safeeraser.arena.server import PASSWORD
from safeeraser.runs import lanes
from safeeraser.score import votes

pytestmark = pytest.mark.slow

SECRET = "an evening in a small town"
# Collects what stands in both answers, whenever it changed.
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const now = ['left', 'right'].map((side) => document.querySelector(`#answer-${side} textarea`).value);
    const last = window.seen.at(-1);
    if (!last || now.join('|') !== last.join('|')) window.seen.push(now);
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = (sys.executable, "-m", "safeeraser", "arena")
    runs = tmp_path_factory.mktemp("arena") / "runs"
    server = Server(runs, command=command, environment={"TMPDIR": str(runs.parent)}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = (sys.executable, str(ROOT / "tests" / "arena" / "hostile_arena.py"))
    runs = tmp_path_factory.mktemp("hostile") / "runs"
    server = Server(runs, command=command, environment={PASSWORD: SECRET, "TMPDIR": str(runs.parent)}).start()
    yield server
    server.stop()


@pytest.fixture
def kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The votes that the server has kept since the test began."""
    monkeypatch.setenv("SAFEERASER_RUNS", str(server.runs))
    before = len(votes.every())
    return lambda: votes.every()[before:]


@pytest.fixture
def client(server: Server) -> Client:
    return Client(f"{server.url}/", verbose=False)


def opened(reader: Visit) -> Page:
    page = reader.page()
    page.goto(reader.server.url)
    page.get_by_role("heading", level=1, name=TITLE).wait_for()
    page.locator(".card img").wait_for()
    return page


def ask(page: Page) -> None:
    page.get_by_role("button", name="Ask both").click()


def vote(page: Page, kind: str) -> None:
    page.get_by_role("button", name=BUTTONS[kind]).click()


def told(page: Page, words: str) -> None:
    expect(page.locator(".status")).to_contain_text(words)


def answers(page: Page) -> list[str]:
    return [page.locator(f"#answer-{side} textarea").input_value() for side in ("left", "right")]


def test_from_a_fresh_start_to_a_counted_vote_by_mouse_with_both_answers_streaming(reader: Visit, kept: Any):
    page = opened(reader)
    assert page.get_by_role("button", name=BUTTONS["left"]).is_disabled()
    page.evaluate(WATCH)
    ask(page)
    told(page, "Which is better?")
    seen = page.evaluate("() => window.seen")
    for side in (0, 1):
        grown = list(dict.fromkeys(pair[side] for pair in seen))
        assert len(grown) > 2
        assert all(grown[-1].startswith(text) for text in grown)
    assert "demo-po" not in page.locator("#answer-left").inner_text()
    page.locator("#tags-right label").filter(has_text="over-forgetting").click()
    vote(page, "both fine")
    told(page, "Thank you")
    [vote_kept] = kept()
    assert vote_kept.vote == "both fine"
    assert vote_kept.right_tags == ("over-forgetting",)
    assert (
        f"Left was PO{'+PD' if 'pd' in vote_kept.left else ''} ({vote_kept.left})"
        in page.locator(".status").inner_text()
    )
    assert vote_kept.item.startswith("val/")
    assert page.get_by_role("button", name=BUTTONS["left"]).is_disabled()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_and_a_narrow_window_cuts_nothing_off(browser: Browser, server: Server, dark: bool):
    reader = visit(browser, server, dark=dark)
    page = opened(reader)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    for width in (1366, 800, 420):
        page.set_viewport_size({"width": width, "height": 768})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    reader.context.close()
    assert reader.outside == []


def test_two_people_at_once_have_pictures_questions_and_votes_of_their_own(browser: Browser, server: Server, kept: Any):
    readers = [visit(browser, server) for _ in range(2)]
    pages = [opened(reader) for reader in readers]
    questions = ("What is this?", "Which colour is it?")
    for page, question in zip(pages, questions, strict=True):
        page.locator("#question textarea").fill(question)
        ask(page)
    for page, kind in zip(pages, ("left", "right"), strict=True):
        told(page, "Which is better?")
        vote(page, kind)
        told(page, "Thank you")
    found = {one.question: one for one in kept()}
    assert [found[question].vote for question in questions] == ["left", "right"]
    assert len({one.session for one in found.values()}) == 2
    for reader in readers:
        reader.context.close()


def test_two_fast_clicks_are_one_vote(reader: Visit, kept: Any):
    page = opened(reader)
    ask(page)
    told(page, "Which is better?")
    page.get_by_role("button", name=BUTTONS["right"]).dblclick()
    told(page, "Left was")
    assert [one.vote for one in kept()] == ["right"]


def test_a_tab_closed_in_mid_answer_frees_the_lane(browser: Browser, server: Server, client: Client, kept: Any):
    said(client)  # the model is loaded
    assert server.process
    [answering] = psutil.Process(server.process.pid).children()
    reader = visit(browser, server)
    page = opened(reader)
    answering.suspend()
    try:
        ask(page)
        told(page, "Both answer")
        reader.context.close()
    finally:
        answering.resume()
    with lanes.held(lanes.of_questions("cpu"), deadline=time.monotonic() + 60):
        pass
    assert said(client)["token"]
    assert kept() == []


def test_another_picture_in_mid_answer_gives_the_question_up(reader: Visit, server: Server, client: Client, kept: Any):
    said(client)
    assert server.process
    [answering] = psutil.Process(server.process.pid).children()
    page = opened(reader)
    answering.suspend()
    try:
        ask(page)
        told(page, "Both answer")
        page.get_by_role("button", name="Another safe picture").click()
        told(page, "Ask, read both answers")
    finally:
        answering.resume()
    with lanes.held(lanes.of_questions("cpu"), deadline=time.monotonic() + 60):
        pass
    page.locator("#question textarea").fill("What is this?")
    ask(page)
    told(page, "Which is better?")
    vote(page, "left")
    told(page, "Thank you")
    assert [one.question for one in kept()] == ["What is this?"]


def test_a_harmful_picture_is_drawn_and_its_questions_come_with_it(reader: Visit):
    page = opened(reader)
    before = page.locator("#question textarea").input_value()
    page.get_by_role("button", name="Another harmful picture").click()
    expect(page.locator(".card img")).to_have_attribute("alt", re.compile("^harmful picture, "))
    assert page.get_by_role("button", name="Reveal").is_hidden()  # the demo world says that it is harmless
    assert page.locator("#question textarea").input_value() != before


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "cannot be read as"), (50 * 2**20, "exceed the maximum allowed size of 8")],
    ids=["no picture", "50 MB"],
)
def test_what_is_no_picture_or_too_large_is_refused_in_words(reader: Visit, tmp_path: Path, size: int, words: str):
    file = tmp_path / "picture.png"
    file.write_bytes(b"<svg onload=alert(1)>" + bytes(size))
    page = opened(reader)
    page.get_by_text("A picture of your own").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".status, .toast-body").filter(has_text=words)).to_be_visible()
    ask(page)  # the page goes on
    told(page, "Which is better?")


def test_an_upload_is_asked_about_and_left_on_no_disk(reader: Visit, tmp_path: Path, kept: Any):
    Image.new("RGB", (90, 60), "teal").save(tmp_path / "own.png")
    page = opened(reader)
    page.get_by_text("A picture of your own").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "own.png")
    expect(page.locator(".card img")).to_have_attribute("alt", "your picture")
    page.locator("#question textarea").fill("What is this?")
    ask(page)
    told(page, "Which is better?")
    vote(page, "both bad")
    told(page, "Thank you")
    [one] = kept()
    assert one.item.startswith("upload:")
    assert one.question == ""
    [folder] = reader.server.runs.parent.glob("safeeraser-arena-*")
    assert list(folder.rglob("own*")) == []


def test_sigterm_ends_the_worker_and_deletes_the_folder_of_uploads(tmp_path: Path):
    command = (sys.executable, "-m", "safeeraser", "arena")
    server = Server(tmp_path / "runs", command=command, environment={"TMPDIR": str(tmp_path)}).start()
    assert server.process
    try:
        [worker] = psutil.Process(server.process.pid).children()
        assert list(tmp_path.glob("safeeraser-arena-*"))
        server.process.terminate()
        assert server.process.wait(60) == 143
        worker.wait(60)
        assert not list(tmp_path.glob("safeeraser-arena-*"))
    finally:
        server.stop()


def said(client: Client, **how: Any) -> dict[str, Any]:
    item = client.predict(api_name="/items")[0]
    return client.predict(**{"question": item["question"], "item": item["item"], **how}, api_name="/ask")


def test_scripts_ask_and_vote_under_the_same_checks(client: Client, server: Server, kept: Any):
    first = said(client, decoding="sampled", seed=3)
    again = said(client, decoding="sampled", seed=3)
    assert {first["left"], first["right"]} == {again["left"], again["right"]}
    assert client.predict(first["token"], "left", ["refusal"], [], api_name="/vote")["counted"]
    assert not client.predict(first["token"], "right", [], [], api_name="/vote")["counted"]
    assert [one.vote for one in kept()] == ["left"]
    other = Client(f"{server.url}/", verbose=False)
    for asked, words in (
        ({"token": again["token"], "vote": "left", "api_name": "/vote"}, "not one of yours"),
        ({"question": "Why?", "item": "no such item", "api_name": "/ask"}, "there is no such item"),
        ({"question": "Why?", "picture": "!", "api_name": "/ask"}, "Base64"),
        ({"question": "x" * 501, "item": kept()[0].item, "api_name": "/ask"}, "1 to 500 characters"),
        ({"question": "Why?", "item": kept()[0].item, "decoding": "wild", "api_name": "/ask"}, "decoding: must be"),
    ):
        with pytest.raises(AppError, match=words):
            other.predict(**asked)


def test_scripts_find_nothing_but_the_three_endpoints(client: Client):
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == [  # pyright: ignore
        "/items",
        "/ask",
        "/vote",
    ]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/config", {"host": "evil.example"}, 400),
        ("/config", {"origin": "http://evil.example"}, 403),
        ("/gradio_api/proxy=https://huggingface.co/x", {}, 404),
        ("/gradio_api/vibe-code", {}, 404),
        ("/monitoring", {}, 404),
        ("/gradio_api/file=/etc/passwd", {}, 403),
    ],
)
def test_the_border_is_closed(server: Server, path: str, headers: dict[str, str], status: int):
    assert httpx2.get(f"{server.url}{path}", headers=headers).status_code == status


def test_a_request_that_is_too_large_is_refused_before_it_is_kept(server: Server):
    for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
        line = HTTPConnection(server.host)
        line.putrequest("POST", path)
        line.putheader("content-length", str(50 * 2**20))
        line.endheaders()
        assert line.getresponse().status == 413
        line.close()


def test_a_page_may_load_nothing_from_outside(server: Server):
    policy = httpx2.get(server.url).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_a_wrong_password_opens_nothing(hostile: Server):
    for path in ("/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"):
        assert httpx2.get(f"{hostile.url}{path}").status_code == 401
    for name, password in (("Ann", "wrong"), ("Ann", ""), ("A\u202en", SECRET), ("a" * 41, SECRET)):
        with pytest.raises((AuthenticationError, ValueError)):
            Client(f"{hostile.url}/", auth=(name, password), verbose=False)
    assert Client(f"{hostile.url}/", auth=("Ann", SECRET), verbose=False).predict(api_name="/items")


def test_hostile_answers_are_plain_text_and_the_name_goes_with_the_vote(
    browser: Browser, hostile: Server, monkeypatch: pytest.MonkeyPatch
):
    reader = visit(browser, hostile)
    page = reader.page()
    page.goto(hostile.url)
    page.get_by_label("username").fill("Ann")
    page.get_by_label("password").fill("wrong")
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    page.get_by_label("username").fill("Ann")
    page.get_by_label("password").fill(SECRET)
    page.get_by_role("button", name="Login").click()
    page.locator(".card img").wait_for()
    page.locator("#question textarea").fill(f"{TEXTS[0]}?")
    ask(page)
    told(page, "Which is better?")
    assert tuple(answers(page)) == TEXTS
    vote(page, "left")
    told(page, "Thank you")
    assert page.title() != "taken"
    reader.context.close()
    assert reader.outside == []
    monkeypatch.setenv("SAFEERASER_RUNS", str(hostile.runs))
    assert [one.who for one in votes.every()] == ["Ann"]


def test_several_clients_lose_no_vote_and_count_none_twice(server: Server, kept: Any):
    load = runpy.run_path(str(ROOT / "benchmarks" / "arena.py"))["load"]
    row = load(f"{server.url}/", 4, goes_on=lambda asked: asked < 2)
    assert row["error"] == 0
    assert row["asked"] == row["answered"] + row["full"] + row["often"] == 8
    assert row["counted"] == row["answered"] == len(kept())


def test_votes_are_taken_while_the_queue_is_full(server: Server, client: Client, kept: Any):
    token = said(client)["token"]
    assert server.process
    [answering] = psutil.Process(server.process.pid).children()
    others = [Client(f"{server.url}/", verbose=False) for _ in range(2)]
    item = client.predict(api_name="/items")[0]
    asked = {"question": item["question"], "item": item["item"], "api_name": "/ask"}
    answering.suspend()
    try:
        jobs = [others[n % 2].submit(**asked) for n in range(WAITING + 1)]
        while sum(bool(job.outputs()) for job in jobs) < WAITING:  # all but the one whose turn it is
            time.sleep(0.05)
        with pytest.raises(AppError, match="the queue is full"):
            client.predict(**asked)
        assert client.predict(token=token, vote="left", api_name="/vote")["counted"]
    finally:
        answering.resume()
    assert all(job.result(timeout=120)["token"] for job in jobs)
    assert len(kept()) == 1


def test_the_example_of_the_documentation_runs(server: Server, tmp_path: Path, kept: Any, capsys: Any):
    page = (ROOT / "docs" / "arena.md").read_text(encoding="utf-8")
    [code] = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    picture = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    (tmp_path / "own.png").write_bytes(picture.getvalue())
    code = code.replace("http://127.0.0.1:7860/", f"{server.url}/").replace("own.png", str(tmp_path / "own.png"))
    exec(compile(code, "docs/arena.md", "exec"), {})
    assert len(kept()) == 2
    assert "PO" in capsys.readouterr().out
