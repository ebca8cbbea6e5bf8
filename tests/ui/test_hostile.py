"""Hostile runs and hostile addresses on every page in a browser: text stays text, and nothing is asked of outside."""

import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

import pytest
from browser import TITLES, Visit, needs_chromium, settled, still, visit
from hostile import HOSTILE, NAME, PERSON, World
from playwright.sync_api import Browser, Page, TimeoutError

from safeeraser.ui.frame.pages import PAGES

pytestmark = pytest.mark.slow

SECTIONS = ("By method", "Trade-off", "With PD", "Slices", "Inside SARR", "By category", "Along training", "Tables")
SECTIONS += ("Official and clean val", "Published numbers, second-hand")
VIEWS = 17  # of the hostile world that are opened
# Every parameter that a page reads, and one that none does.
PARAMETERS = [
    *("data", "split", "a", "b", "judge", "set", "category", "type", "q", "outcome", "outcome_a", "outcome_b", "flag"),
    *("item", "record", "as", "page", "more", "diff", "blind", "changed", "section", "metric", "by", "along", "val"),
    *("runs", "clean", "means", "seed", "cases", "from", "case", "run", "with", "hold", "states", "methods", "find"),
    *("chosen", "loss", "seen", "sort", "of", "against", "dumbbell"),
    *("settings", "copy", "preset", "name", "device", "pds", "seeds", "show", "check", "n", "at", "whose"),
    "![x](//evil.example)",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    needs_chromium()
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAFEERASER_RUNS", str(folder / "runs"))
        made = World(folder)
        made.server.start()
        yield made
        made.server.stop()


@pytest.fixture
def reader(browser: Browser, world: World) -> Iterator[Visit]:
    reader = visit(browser, world.server)
    yield reader
    reader.context.close()
    assert reader.outside == []


def harmless(page: Page) -> None:
    """Nothing on the page leads or loads from elsewhere, and no text of a run became markup."""
    found = page.evaluate(
        """() => ({
          led: [...document.querySelectorAll('[href], [src], [action], [data]')]
            .map((element) => element.href?.baseVal ?? element.href ?? element.src ?? element.action ?? '')
            .filter((address) => address && !/^(data|blob|about):/.test(address))
            .filter((address) => !address.startsWith(location.origin)),
          // the menu's own links hold the address's parameters
          named: [...document.querySelectorAll('a:not([data-testid=stPageLink-NavLink]), img, iframe')]
            .map((element) => element.outerHTML)
            .filter((text) => /(href|src)="(?!#)[^"]*evil/.test(text)),
          made: [...document.querySelectorAll('.stMain .katex, .stMain [aria-label="home icon"]')]
            .map((element) => element.outerHTML),
        })"""
    )
    assert found == {"led": [], "named": [], "made": []}
    assert page.locator("[data-testid=stException]").count() == 0
    wide = "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
    assert page.evaluate(wide) <= 1


def text_of(page: Page) -> str:
    return page.locator("[data-testid=stMain]").inner_text()


def views(world: World) -> dict[str, tuple[str, list[str]]]:
    """Address -> title, and texts that must stand there as they are."""
    record = next(iter(world.items)).rsplit("/", 2)[0]
    safe = next(id for id in world.items if "/decouple/" in id and id.startswith("val/") and "evil" in id)
    named, failed = world.decoupled.name, world.failed.name
    found = {
        world.address("home"): ("home", [HOSTILE, NAME]),
        world.address("browse"): ("browse", [HOSTILE]),
        world.address("browse", **{"as": "table"}): ("browse", []),
        world.address("browse", split="train", record=record): ("browse", [HOSTILE]),
        "/launch": ("launch", []),
        f"/launch?copy={quote(named)}": ("launch", [HOSTILE]),
        f"/launch?settings={quote(json.dumps({HOSTILE: HOSTILE, 'model': HOSTILE}))}": ("launch", [HOSTILE]),
        "/runs": ("runs", []),
        f"/runs?run={quote(named)}": ("runs", [NAME]),
        f"/runs?run={quote(failed)}": ("runs", [failed, HOSTILE]),
        f"/runs?run={quote(named)}&with={quote(failed)}": ("runs", [NAME]),
        world.address("over_forgetting"): ("over_forgetting", [HOSTILE]),
        world.address("judge_audit", show="Results", run=named): ("judge_audit", [HOSTILE, PERSON]),
    }
    for set_name in ("decouple", "forget", "retain"):
        found[world.address("compare", set=set_name, diff="1")] = ("compare", [HOSTILE])
    found[world.address("compare", set="decouple", item=safe, more=world.plain.name)] = ("compare", [safe, HOSTILE])
    return found


def drawn(page: Page, texts: Sequence[str] = ()) -> None:
    """Wait until these texts stand on the page and each of its charts is there."""
    page.wait_for_function(
        """(texts) => {
          const squeezed = (text) => text.split(/\\s+/).filter(Boolean).join(' ');
          const shown = squeezed(document.querySelector('[data-testid=stMain]').innerText);
          const charts = [...document.querySelectorAll('[data-testid=stPlotlyChart]')];
          return texts.every((text) => shown.includes(squeezed(text)))
            && charts.every((chart) => chart.querySelector('.main-svg'));
        }""",
        arg=list(texts),
    )


@pytest.mark.parametrize("number", range(VIEWS))
def test_no_text_of_a_run_is_read_as_markup(reader: Visit, world: World, number: int):
    assert len(views(world)) == VIEWS
    address, (name, texts) = list(views(world).items())[number]
    page = reader.open(address, title=TITLES[name])
    try:
        drawn(page, texts)
    except TimeoutError:
        raise AssertionError(f"{address}: {texts} not in {text_of(page)}") from None
    harmless(page)


def test_no_section_of_metrics_reads_a_text_as_markup(reader: Visit, world: World):
    page = reader.open(world.address("metrics"), title=TITLES["metrics"])
    for section in SECTIONS:
        shown = "Published" if section.startswith("Published") else section
        page.get_by_role("radio", name=shown, exact=True).click()
        page.get_by_role("heading", level=2, name=section, exact=True).wait_for()
        still(page)
        drawn(page)
        harmless(page)


@pytest.mark.parametrize("name", PAGES)
def test_no_address_is_read_as_markup(reader: Visit, name: str):
    read = [parameter for parameter in PARAMETERS if (name, parameter) != ("launch", "run")]  # that one opens Runs
    values = dict.fromkeys(read, f"{HOSTILE},{NAME}\n\n# {HOSTILE},{HOSTILE}")
    page = reader.open(f"/{'' if name == 'home' else name}?{urlencode(values)}", title=TITLES[name])
    harmless(page)


def test_hidden_tabs_labels_and_help_are_text_too(reader: Visit, world: World):
    page = reader.open(world.address("compare", set="decouple"), title=TITLES["compare"])
    for key in ("a", "b", "judge"):
        still(page)
        page.locator(f".st-key-widget-{key}").get_by_label("Open").click()
        listed = page.get_by_role("listbox")
        listed.get_by_role("option").first.wait_for()
        harmless(page)
        page.keyboard.press("Escape")
        listed.wait_for(state="detached")
    page.get_by_role("button", name="Link").click()
    page.get_by_text("This view opens again at").wait_for()
    harmless(page)
    page.keyboard.press("Escape")
    for tab in ("Training", "Ask", "Label"):
        page.get_by_role("tab", name=tab).click()
        still(page)
        harmless(page)
    assert PERSON in text_of(page)
    page.get_by_label("Your name").fill(PERSON)
    page.get_by_role("textbox", name="Note").fill(HOSTILE)
    page.get_by_text("Cannot tell", exact=True).click()
    page.get_by_role("button", name="Save label").click()
    page.get_by_text("Saved.").wait_for()
    harmless(page)


def test_a_labeller_with_a_hostile_name_labels_blind(reader: Visit, world: World):
    page = reader.open(world.address("judge_audit", run=world.plain.name), title=TITLES["judge_audit"])
    page.get_by_label("Your name").fill(PERSON)
    page.get_by_label("Your name").press("Enter")
    page.get_by_text("labelled by").wait_for()
    page.get_by_role("button", name="Yes").click()
    page.wait_for_url("**at=*")
    still(page)
    harmless(page)
    assert f"labelled by {PERSON}" in text_of(page)
    page.goto(page.url.replace("at=", "was=") + "&at=1")
    settled(page, TITLES["judge_audit"])
    harmless(page)


def test_a_long_name_without_a_space_is_folded(reader: Visit, world: World):
    for address in ("/runs", f"/runs?run={quote(world.failed.name)}", f"/launch?name={'x' * 300}"):
        page = reader.open(address, title=TITLES[address[1:].split("?")[0]])
        for width in (1300, 420):
            page.set_viewport_size({"width": width, "height": 900})
            still(page)
            harmless(page)
        page.close()


def test_what_a_chart_says_when_pointed_at_is_text(reader: Visit, world: World):
    page = reader.open(f"/runs?run={quote(world.decoupled.name)}", title=TITLES["runs"])
    point = page.locator(".scatterlayer .point").first
    point.hover(force=True)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    assert HOSTILE.split(" ")[0] in page.locator(".hoverlayer").first.text_content()  # pyright: ignore
    harmless(page)
