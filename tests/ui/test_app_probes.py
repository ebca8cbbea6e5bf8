"""Probes in the app: kept where one asks, asked of every run, hidden with their pictures; no browser, no model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import BASE, PO, PO_PD, html, marked, opened
from safeeraser.data.source import Source
from safeeraser.generate import probes
from safeeraser.generate.ask import Answer, AskError
from safeeraser.ui.parts import asking

HOSTILE = "![x](//evil.example) :red[x] <b>x</b>"


class Fake:
    """Answers in place of the worker; a run in `silent` does not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent: set[str] = set()

    def ask(self, *, runs: Sequence[str], picture: Any, question: str) -> list[Answer]:
        self.asked += runs
        if wrong := self.silent.intersection(runs):
            raise AskError(f"{min(wrong)} is *silent*")
        return [Answer(run, f"{run} says {HOSTILE}", 0.1) for run in runs]


@pytest.fixture
def fake(runs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(asking, "asker", lambda: fake)
    return fake


@pytest.fixture(scope="module")
def items() -> dict[str, str]:
    """An item of each set of the demo world."""
    return {vqa.set: vqa.id for vqa in Source("demo").items.values() if vqa.split == "val"}


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label.startswith(label))


def test_without_a_probe_the_page_says_where_one_asks(fake: Fake):
    app = opened("probes")
    assert "ask one under Ask in Compare" in marked(app)
    assert "outside all metrics" in marked(app)
    assert button(app, "Open Compare").click().run().title[0].value == "Compare answers"


def test_what_is_asked_in_compare_about_an_items_picture_is_kept(fake: Fake):
    app = opened("compare", set="decouple")
    field = next(one for one in app.text_input if one.label == "Your question")
    field.set_value(" Is it *red*? ")
    button(app, "Ask").click().run()
    assert not app.exception
    (probe,) = probes.of("demo").kept
    assert probe.question == "Is it *red*?"
    assert field.key == f"question-{probe.item}"
    assert list(probe.answers) == fake.asked
    assert len(fake.asked) == 2


def test_hide_all_folds_what_was_answered_about_a_harmful_picture(fake: Fake):
    app = opened("compare", set="forget")
    button(app, "Ask").click().run()
    said = f"{fake.asked[0]} says"
    assert said in html(app)
    button(app, "Hide all").click().run()
    assert said not in html(app)


def test_an_answer_that_cannot_be_kept_is_still_shown(fake: Fake):
    probes.file().mkdir(parents=True)
    app = opened("compare", set="decouple")
    button(app, "Ask").click().run()
    assert "A folder is in its place" in marked(app).replace("\\", "")
    assert f"{fake.asked[0]} says" in html(app)


def test_all_runs_without_an_answer_are_asked_and_the_error_of_one_stops_no_other(fake: Fake, items: dict[str, str]):
    probes.keep("demo", items["decouple"], "Why?", {PO: "so"})
    fake.silent = {PO_PD}
    app = opened("probes")
    ask = button(app, "Ask all runs")
    ask.click().run()
    assert not app.exception
    assert PO not in fake.asked
    assert {BASE, PO_PD} < set(fake.asked)
    assert fake.asked.index(BASE) == 0
    (probe,) = probes.of("demo").kept
    assert probe.answers.keys() == {PO, *fake.asked} - {PO_PD}
    assert f"{PO_PD} is *silent*" in marked(app).replace("\\", "")
    assert "*silent*" not in marked(app)
    fake.silent = set()
    button(app, "Ask all runs (1 to go)").click().run()
    assert not app.error
    assert fake.asked[-1] == PO_PD
    assert button(app, "All runs have answered").disabled


def test_a_run_that_was_made_anew_is_asked_again_and_its_older_answer_says_so(fake: Fake, items: dict[str, str]):
    probes.keep("demo", items["decouple"], "Why?", {PO: "so"}, who="*Ann*", made={PO: "2001-01-01T00:00:00Z"})
    app = opened("probes")
    assert "before it was made anew" in marked(app)
    assert "by \\*Ann\\*" in marked(app)
    button(app, "Ask all runs").click().run()
    assert PO in fake.asked
    assert "made anew" not in marked(app)
    assert button(app, "All runs have answered").disabled


def test_hostile_texts_of_a_probe_are_text(fake: Fake, items: dict[str, str]):
    probes.keep("demo", items["decouple"], HOSTILE, {HOSTILE: HOSTILE})
    probes.keep("demo", HOSTILE, HOSTILE, {PO: HOSTILE})
    app = opened("probes")
    assert "](" not in marked(app)
    assert "<b>" not in html(app)
    assert "no longer here" in marked(app)
    assert "any more" in marked(app)
    assert [one.disabled for one in app.button if one.label.startswith("Ask all")] == [True, False]


@pytest.mark.parametrize("set_name", ["forget", "retain"])
def test_a_probe_about_a_hidden_picture_shows_no_answer_and_asks_nothing(
    fake: Fake, items: dict[str, str], set_name: str
):
    probes.keep("demo", items[set_name], "Why?", {PO: "the harmful words"})
    app = opened("probes", hiding=True)
    assert button(app, "Ask all runs").disabled
    assert "the harmful words" not in html(app) + marked(app)
    button(app, "Reveal").click().run()
    assert "the harmful words" in html(app)
    button(app, "Ask all runs").click().run()
    assert BASE in fake.asked


def test_a_probe_is_removed_and_the_others_stay(fake: Fake, items: dict[str, str]):
    for question in ("One?", "Two?"):
        probes.keep("demo", items["decouple"], question, {PO: "so"})
    app = opened("probes")
    button(app, "Remove").click().run()
    assert [probe.question for probe in probes.of("demo").kept] == ["One?"]
    assert "Two?" not in marked(app)


def test_a_damaged_file_of_probes_is_told_and_the_others_are_shown(fake: Fake, items: dict[str, str]):
    probes.keep("demo", items["decouple"], "One?", {PO: "so"})
    probes.file().write_text(probes.file().read_text() + "broken\n")
    app = opened("probes")
    assert "Some probes are missing" in marked(app)
    assert "line 2" in marked(app)
    assert "One?" in marked(app)


def test_probes_are_shown_a_few_at_a_time(fake: Fake, items: dict[str, str]):
    for number in range(7):
        probes.keep("demo", items["decouple"], f"Number {number}?", {PO: "so"})
    assert marked(opened("probes")).count("Number ") == 5
