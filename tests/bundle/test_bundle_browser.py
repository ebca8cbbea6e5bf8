"""A bundle opens from the disk: it asks for nothing else, is accessible, and shows texts as texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from worlds import checked, content, nine, small, write

from app import PO, PO_PD
from safeeraser.data.source import Source
from safeeraser.runs.folder import Run
from safeeraser.score import outcomes
from safeeraser.score.measuring import trained_concepts

pytestmark = pytest.mark.slow

VIEWS = ("home", "metrics", "samples", "item", "cases", "origin")
FEWER = {"samples": "?category=Weapon&seen=unseen"}  # lines are alike
HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\"></script><script>document.title='broken'</script> "
    "\u2028 [link](https://evil.example) ${1} \\u003c 😀"
)


@dataclass
class Reader:
    """A tab on a bundle, and all that it asked for and complained of."""

    page: Page
    bundle: Path
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """A deep link, as a new load of the whole page."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.bundle.as_uri()}/index.html{address}")
        self.page.wait_for_function("address => document.body.dataset.ready === address", arg=address)
        return self.page


def reader(browser: Browser, bundle: Path) -> Reader:
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    made = Reader(context.new_page(), bundle)
    made.page.set_default_timeout(20_000)
    made.page.on("request", lambda request: made.asked.append(request.url))
    made.page.on("console", lambda message: made.said.append(message.text))
    made.page.on("pageerror", lambda error: made.said.append(str(error)))
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the nine example runs."""
    return write(nine(), tmp_path_factory.mktemp("nine") / "over forgetting #1")


@pytest.fixture
def tab(browser: Browser, bundle: Path) -> Iterator[Reader]:
    """A reader; at the end nothing but files of the bundle was asked for, and nothing was complained of."""
    made = reader(browser, bundle)
    yield made
    made.page.context.close()
    assert made.asked
    assert [url for url in made.asked if not url.startswith((f"{bundle.as_uri()}/", "about:blank"))] == []
    assert made.said == []


def test_every_view_is_accessible_and_nothing_is_cut_off(tab: Reader):
    for view in VIEWS:
        page = tab.open(f"#/{view}{FEWER.get(view, '')}")
        for scheme in ("light", "dark") if view in ("metrics", "samples") else ("light",):
            page.emulate_media(color_scheme=scheme)
            # Else axe asks for the style sheets, which the page's policy forbids.
            options = {"preload": False, "resultTypes": ["violations"]}
            # What is not a colour does not change with the scheme.
            options |= {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
            found = Axe().run(page, options=options).response["violations"]
            assert [f"{one['id']}: {node['target']}" for one in found for node in one["nodes"]] == [], (view, scheme)
        for width in (1366, 800, 420):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)


def test_a_deep_link_reopens_filters_and_a_filter_writes_the_address(tab: Reader):
    plain, decoupled = (outcomes.answers(Run.find(name), "demo").set_index("id")["outcome"] for name in (PO, PO_PD))
    items = Source("demo").items.values()
    trained = trained_concepts(items)
    unseen = [item.id for item in items if item.set == "decouple" and item.concept not in trained]
    asked = [id for id in unseen if id.startswith("val/") and "/Weapon/" in id]
    rescued = [id for id in asked if plain[id] == "refuses" and decoupled[id] == "answers"]
    assert 0 < len(rescued) < 50
    page = tab.open("#/samples?set=decouple&category=Weapon&seen=unseen&o7=refuses&o8=answers")
    lines = page.locator("#samples tbody tr")
    expect(page.get_by_label("Category")).to_have_value("Weapon")
    expect(page.get_by_role("status")).to_contain_text(f"{len(rescued)} questions")
    expect(lines).to_have_count(len(rescued))
    expect(page.locator("#samples tbody small").first).to_have_text("Weapon")
    page.get_by_role("combobox", name="PO+PD", exact=True).select_option("")
    expect(lines).to_have_count(sum(plain[id] == "refuses" for id in asked))
    assert "o8" not in page.url
    page.get_by_label("Words").fill("no question has these words")
    expect(page.get_by_text("No question passes these filters.")).to_be_visible()
    assert "q=no+question" in page.url
    page.get_by_role("link", name="Clear all filters").first.click()
    expect(page.get_by_role("status")).to_contain_text("384 questions")


def test_words_are_found_in_answers_too(tab: Reader):
    page = tab.open("#/samples?q=bathtub")
    expect(page.get_by_role("status")).to_contain_text("0 questions")
    page.get_by_label("in answers too").check()
    expect(page.get_by_role("status")).not_to_contain_text(" 0 questions")
    expect(page.locator("#samples tbody tr")).to_have_count(50)


def test_a_line_opens_its_answers_and_keys_walk_through_those_that_pass(tab: Reader):
    page = tab.open("#/samples?set=decouple&category=Weapon")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Compare answers")).to_be_visible()
    expect(page.get_by_text("1 of 64")).to_be_visible()
    expect(page.locator("article")).to_have_count(10)
    page.keyboard.press("j")
    expect(page.get_by_text("2 of 64")).to_be_visible()
    question = page.locator("h2.question").inner_text()
    again = tab.open(page.url.partition("index.html")[2])
    expect(again.locator("h2.question")).to_have_text(question)
    page.keyboard.press("k")
    expect(page.get_by_text("1 of 64")).to_be_visible()
    page.get_by_role("link", name="Back to Samples").click()
    expect(page.get_by_label("Category")).to_have_value("Weapon")


def test_a_bar_and_a_number_of_home_open_the_answers_they_count(tab: Reader):
    page = tab.open("#/home")
    page.get_by_role("link", name="111 of 384").click()
    expect(page.get_by_role("status")).to_contain_text("111 questions")
    scores = Run.find(PO_PD).scores
    assert scores
    unseen = scores["metrics"]["sarr_unseen"]
    page = tab.open("#/metrics?metric=sarr_unseen")
    page.get_by_role("link", name="PO+PD:").click()
    expect(page.get_by_label("Safe thing")).to_have_value("unseen")
    expect(page.get_by_role("status")).to_contain_text(f"{round(unseen['value'] * unseen['n'])} questions")


def test_a_link_to_what_is_not_here_says_so(tab: Reader):
    page = tab.open("#/item/no/such%E0question")
    expect(page.locator("#item")).to_contain_text("There is no question no/such%E0question in this bundle.")
    tab.open("#/nowhere")
    expect(page.get_by_role("heading", level=1, name="Unlearning should forget the harm")).to_be_visible()


def test_the_page_is_small_and_the_checksums_hold(bundle: Path):
    page = {name: text for name, text in content(bundle).items() if not name.startswith(("data/", "pictures/"))}
    assert sum(map(len, page.values())) < 5_000_000
    assert checked(bundle).returncode == 0, checked(bundle).stdout


def test_a_hostile_answer_is_text(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    made = reader(browser, write(small(tmp_path, harmless=True, answer=lambda *_: HOSTILE), tmp_path / "bundle"))
    page = made.open("#/item")
    expect(page.locator("article .answer").first).to_have_text(HOSTILE.replace("\u2028", " "), use_inner_text=False)
    assert HOSTILE in page.locator("article .answer").all_text_contents()
    assert "broken" not in page.title()
    assert page.locator("article a, article img, article script").count() == 0
    assert made.said == []
    (made.bundle / "data" / "answers-000.js").unlink()
    expect(made.open("#/item").get_by_role("alert")).to_have_text(
        "data/answers-000.js is missing: copy the whole folder"
    )
    page.context.close()


def test_what_is_hidden_says_so_and_folds_harmful_words(browser: Browser, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    answer = "words that nobody should read"
    made = reader(browser, write(small(tmp_path, harmless=False, answer=lambda *_: answer), tmp_path / "bundle"))
    page = made.open("#/item?set=forget")
    expect(page.get_by_text("Harmful pictures hidden")).to_be_visible()
    expect(page.locator("#item img")).to_have_attribute("alt", r"harmful picture, HateSpeech, hidden")
    expect(page.locator("article").first).to_contain_text("Harmful text, folded away")
    expect(page.locator("article").first).not_to_contain_text(answer)
    assert made.said == []
    page.context.close()
