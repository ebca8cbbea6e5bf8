"""The app's frame and the pages that show data: Home, Browse, Compare, Over-forgetting; no browser, no model."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import TITLES
from official import record, write
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import BASE, PO, PO_PD, ROOT, html, marked, opened
from safeeraser.config import RunConfig
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.score import labels
from safeeraser.ui.frame import media
from safeeraser.ui.frame.pages import PAGES
from safeeraser.ui.frame.text import escape_markdown

Open = Callable[..., AppTest]


@pytest.fixture
def open_page(runs_folder: Path) -> Open:
    """Opens a page; runs of the user's own go into an empty folder."""
    return opened


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_with_the_example_runs(open_page: Open, name: str):
    app = open_page(name)
    assert not app.exception
    assert not app.error
    assert [title.value for title in app.title] == [TITLES[name]]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_when_there_is_no_run_at_all(
    open_page: Open, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("safeeraser.runs.folder.EXAMPLES", tmp_path / "none")
    monkeypatch.setattr("safeeraser.runs.jobs.EXAMPLES", tmp_path / "none", raising=False)
    monkeypatch.setattr("safeeraser.runs.watching.EXAMPLES", tmp_path / "none", raising=False)
    app = open_page(name)
    assert not app.exception
    assert not app.error
    assert marked(app)


def test_home_counts_an_example_that_was_copied_once(open_page: Open, runs_folder: Path):
    shutil.copytree(EXAMPLES / BASE, runs_folder / BASE)
    examples = sum(path.is_dir() for path in EXAMPLES.iterdir())
    (runs,) = [metric for metric in open_page("home").metric if metric.label == "Runs"]
    assert (runs.value, runs.help) == (str(examples), f"{examples - 1} of them ship with the project")


def made_data(folder: Path, **about: object) -> str:
    """A data set with one record and its two pictures, and, where it says something of itself, that."""
    safe = "pdset/image/Weapon/val/1.jpg"
    write(folder, val=[record(safe=safe)], pictures=("img/Weapon/1.jpg", safe))
    if about:
        (folder / "about.json").write_text(json.dumps(about))
    return str(folder)


def on(data: str) -> None:
    """A run of the user's own whose answers are about this data set."""
    run = Run.create(RunConfig.create(method="base", data=data, judge="rules"), data_hash="a" * 64)
    run.append(run.answers, [])


WITHOUT_VIEW = ("launch", "runs")


@pytest.mark.parametrize("name", [name for name in PAGES if name not in WITHOUT_VIEW])
@pytest.mark.parametrize("about", [{}, {"harmless": False}])
def test_no_page_shows_anything_of_a_data_set_that_does_not_say_it_is_harmless_before_consent(
    open_page: Open, tmp_path: Path, name: str, about: dict
):
    data = made_data(tmp_path / "data", **about)
    on(data)
    app = open_page(name, consent=False, data=data)
    assert [title.value for title in app.title] == ["Before you start"]
    assert not app.get("imgs")
    assert not app.selectbox
    next(button for button in app.button if button.label.startswith("I understand")).click().run()
    assert app.title[0].value != "Before you start"


@pytest.mark.parametrize("name", WITHOUT_VIEW)
def test_a_page_about_all_runs_asks_once_one_of_them_is_about_such_a_data_set(
    open_page: Open, tmp_path: Path, name: str
):
    assert open_page(name, consent=False).title[0].value != "Before you start"
    on(made_data(tmp_path / "data"))
    assert open_page(name, consent=False).title[0].value == "Before you start"


@pytest.mark.parametrize("name", PAGES)
def test_the_demo_world_says_that_it_is_harmless_and_nothing_is_asked(open_page: Open, name: str):
    assert [title.value for title in open_page(name, consent=False).title] == [TITLES[name]]


@pytest.mark.parametrize(
    "about",
    [
        "5",
        "[]",
        '{"harmless": 1}',
        '{"harmless": "true"}',
        '{"harmless": true, "badge": 5}',
        '{"harmless": true, "note": ""}',
        "{",
    ],
)
def test_a_data_set_is_harmless_only_where_it_says_so_in_a_file_that_can_be_read(
    open_page: Open, tmp_path: Path, about: str
):
    data = made_data(tmp_path / "data")
    on(data)
    (tmp_path / "data" / "about.json").write_text(about)
    assert open_page("browse", consent=False, data=data).title[0].value == "Before you start"


def test_pictures_of_a_harmless_data_set_are_open_until_somebody_hides_them(open_page: Open, tmp_path: Path):
    data = made_data(tmp_path / "data", harmless=True, badge="Made *up*", note="Kites are *harmful* here.")
    on(data)
    app = open_page("browse", consent=False, data=data)
    assert "Kites are \\*harmful\\* here\\." in [caption.value for caption in app.caption]
    assert not [button for button in app.button if button.label == "Reveal"]
    assert any("Made \\*up\\*" in element.value for element in app.markdown)
    app.button(key="key-hide").click().run()
    assert [button for button in app.button if button.label == "Reveal"]
    app.toggle(key="hiding").set_value(False).run()
    assert not [button for button in app.button if button.label == "Reveal"]


def test_a_picture_outside_a_harmless_data_set_is_not_open(tmp_path: Path):
    app = AppTest.from_string(
        f"from pathlib import Path\nfrom safeeraser.ui.frame import media\nimport streamlit as st\n"
        f"media.of_data_set(Path({str(tmp_path)!r}) / 'a', harmless=True)\n"
        f"st.text([media.revealed(Path({str(tmp_path)!r}) / name) for name in ('a/1.jpg', 'b/1.jpg', 'ab/1.jpg')])"
    ).run()
    assert app.text[0].value == "[True, False, False]"


def test_home_says_in_numbers_and_one_case_what_over_forgetting_is(open_page: Open):
    app = open_page()
    assert "One of 384 cases of val" in marked(app)
    assert "PO refuses<br><b>384 of 384</b>" in html(app)
    assert "PO with Prompt Decouple no longer answers<br><b>111 of 384</b>" in html(app)
    assert "The base model does not answer<br><b>4 of 384</b>" in html(app)
    assert "95 % interval 19–42 %" in html(app)
    before = html(app)
    next(button for button in app.button if button.label == "Another case").click().run()
    assert html(app) != before
    assert "drawn by seed 1" in marked(app)


def test_an_address_reopens_the_view(open_page: Open):
    app = open_page("compare", a=BASE, b=PO_PD, set="forget", category="Weapon", split="val", judge="demo")
    assert app.selectbox(key="widget-b").value == PO_PD
    assert app.multiselect(key="widget-category").value == ["Weapon"]
    assert "of 64 answers" in marked(app)
    assert app.query_params["b"] == PO_PD


def test_an_address_of_a_run_that_is_gone_says_so(open_page: Open):
    app = open_page("compare", b="demo-gone")
    assert "'demo-gone' is not here any more" in app.warning[0].value.replace("\\", "")


def test_a_cell_of_the_outcome_matrix_filters(open_page: Open):
    app = open_page("compare", b=PO_PD, set="decouple")
    app.button(key="matrix-answers-refuses").click().run()
    n = int(marked(app).split("** of ")[1].split(" answers")[0])
    rows = [row for row in Run(EXAMPLES / PO_PD).rows(Run(EXAMPLES / PO_PD).verdicts) if "/decouple/" in row["id"]]
    refused = {row["id"] for row in rows if row["check"] == "refusal" and row["verdict"]}
    normal = {row["id"] for row in rows if row["check"] == "normal" and row["verdict"]}
    assert n == len(refused - normal)
    assert app.query_params["outcome_b"] in ("refuses", ["refuses"])


def test_next_and_previous_walk_through_the_answers(open_page: Open):
    app = open_page("compare", set="decouple")
    assert app.button(key="key-previous").disabled
    app.button(key="key-next").click().run()
    assert "**2** of 384" in marked(app)
    app.button(key="key-previous").click().run()
    assert "**1** of 384" in marked(app)


def test_a_harmful_answer_is_folded_until_its_picture_is_revealed(open_page: Open):
    item = "val/img/Weapon/41.jpg/forget/0"
    said = next(
        row["answer"] for row in Run(EXAMPLES / BASE).rows(EXAMPLES / BASE / "answers.jsonl") if row["id"] == item
    )
    app = open_page("compare", hiding=True, set="forget", item=item)
    assert said not in html(app)
    app.button(key="key-reveal-compare").click().run()
    assert said in html(app)
    app.button(key="key-hide").click().run()
    assert said not in html(app)


def test_a_label_without_a_name_keeps_verdict_and_note(open_page: Open):
    app = open_page("compare", set="decouple")
    app.radio(key="verdict-0").set_value("No")
    app.text_input(key="note-0").set_value("It refuses.")
    next(button for button in app.button if button.label == "Save label").click().run()
    assert "Enter your name" in app.error[0].value
    app.text_input(key="who").set_value("Ann")
    next(button for button in app.button if button.label == "Save label").click().run()
    assert app.success[0].value == "Saved."
    (label,) = labels.of_run(Run(EXAMPLES / BASE))
    assert (label.who, label.verdict, label.note) == ("Ann", False, "It refuses.")
    assert app.radio(key="verdict-1").value is None


def test_blind_names_no_run_and_no_verdict(open_page: Open):
    app = open_page("compare", set="decouple", blind="1")
    assert "**Answer 1**" in marked(app)
    assert "Judge `demo`" not in marked(app)


def test_a_models_text_is_never_markup(open_page: Open, runs_folder: Path):
    for name in (BASE, PO):
        shutil.copytree(EXAMPLES / name, runs_folder / name)
    answers = runs_folder / PO / "answers.jsonl"
    hostile = "<img src=x onerror=alert(1)> ![](http://example.com/x.png)"
    rows = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["answer"] = hostile
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    app = open_page("compare", set="decouple", b=PO)
    assert "&lt;img src=x" in html(app)
    assert "<img" not in html(app)
    assert hostile not in marked(app)


def test_browse_filters_by_the_outcome_of_the_run(open_page: Open):
    app = open_page("browse", b=PO_PD, set="decouple", outcome="refuses,gibberish,off topic")
    lost = {
        row["id"].rsplit("/", 2)[0]
        for row in Run(EXAMPLES / PO_PD).rows(EXAMPLES / PO_PD / "verdicts.jsonl")
        if row["check"] == "normal" and row["verdict"] is False and "/decouple/" in row["id"]
    }
    assert f"**{len(lost)} records**" in marked(app)
    assert 0 < len(lost) < 96


def test_the_health_panel_shows_what_missing_pictures_hide_as_unknown(tmp_path: Path):
    def panel(folder: str) -> None:
        from pathlib import Path
        from types import SimpleNamespace

        from safeeraser.data.health import check
        from safeeraser.data.source import Source
        from safeeraser.ui.views import browsing

        browsing.draw_health(SimpleNamespace(source=Source(folder), data=folder), check(Path(folder)))  # pyright: ignore

    def counts() -> dict[str, tuple[str, str]]:
        app = AppTest.from_function(panel, kwargs={"folder": str(root)}).run()
        assert not app.exception
        return {what: tuple(row) for what, row in app.table[0].value.iterrows()}

    safe = "pdset/image/Weapon/train/1.jpg"
    train, val = [record()], [record("img/Weapon/2.jpg"), record("img/Weapon/3.jpg")]
    root = write(tmp_path / "set", train=train, val=val)
    found = counts()
    assert found["missing"] == ("6", "")
    assert found["val records that ask a forget question of train"] == ("2", "2")
    assert found["val records whose harmful picture is in train"] == ("unknown", "0")
    assert found["clean val records"] == ("unknown", "0")
    assert found["distinct pictures"] == ("unknown", "")
    assert found["groups of duplicates"][0] == found["broken"][0] == "unknown"
    write(root, train=train, val=val, pictures=["img/Weapon/1.jpg", "img/Weapon/2.jpg", safe])
    found = counts()
    assert found["val records whose harmful picture is in train"] == ("1", "1")
    assert found["clean val records"] == ("0", "1")
    assert found["distinct pictures"] == ("1", "")


def test_a_picture_that_is_far_longer_than_wide_is_not_drawn(tmp_path: Path):
    Image.new("RGB", (40_000, 1)).save(tmp_path / "long.png")
    assert media._original(str(tmp_path / "long.png"), (0, 0)) is None
    assert media._preview(str(tmp_path / "long.png"), (0, 0)) is None


def test_a_record_opens_with_its_twelve_questions(open_page: Open):
    app = open_page("browse", record="val/img/Weapon/41.jpg")
    assert len(app.expander) == 12


def test_an_export_holds_no_stored_answer_unless_ticked(open_page: Open):
    from safeeraser.ui.views import browsing

    app = open_page("browse", category="Weapon")
    view = app.session_state["view"]
    names = ["val/img/Weapon/41.jpg"]
    without, with_answers = (json.loads(browsing.as_json(view, names, ticked)) for ticked in (False, True))
    assert "answer" not in without[0]["pairs"][0]
    assert with_answers[0]["pairs"][0]["answer"]


def test_over_forgetting_draws_by_seed_and_counts_all(open_page: Open):
    first, again, other = (marked(open_page("over_forgetting", seed=seed)) for seed in ("1", "1", "2"))
    assert first == again
    assert first != other
    assert "4 of 384 cases, drawn with seed 1" in first


FILES = ("config.json", "scores.json", "state.json", "job.json", "answers.jsonl", "verdicts.jsonl", "log.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", PAGES)
def test_one_broken_run_closes_no_page(open_page: Open, runs_folder: Path, name: str, file: str):
    """Of the example run that every page would choose first, whatever is in the file."""
    shutil.copytree(EXAMPLES / PO, runs_folder / PO)
    for damage in (b"", b"5\n", b"{}\n", b"\xff\n", None):
        path = runs_folder / PO / file
        if damage is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(damage)
        app = open_page(name)
        assert not app.exception
        assert not app.error
        assert [title.value for title in app.title] == [TITLES[name]]


def test_a_run_whose_verdicts_are_damaged_is_left_out_and_comes_back_when_they_are_mended(
    open_page: Open, runs_folder: Path
):
    shutil.copytree(EXAMPLES / PO, runs_folder / "mine")
    verdicts = runs_folder / "mine" / "verdicts.jsonl"
    whole = verdicts.read_bytes()
    verdicts.write_bytes(b"5\n" + whole)
    app = open_page("compare", b="mine")
    assert any("verdicts.jsonl, line 1" in warning.value.replace("\\", "") for warning in app.warning)
    assert app.selectbox(key="widget-b").value != "mine"
    assert not app.error
    assert "verdicts.jsonl, line 1" in open_page("runs", run="mine").error[0].value.replace("\\", "")
    verdicts.write_bytes(whole)
    app = open_page("compare", b="mine")
    assert app.selectbox(key="widget-b").value == "mine"


def test_a_broken_run_is_listed_with_what_to_do(open_page: Open, runs_folder: Path):
    shutil.copytree(EXAMPLES / PO, runs_folder / "mine")
    (runs_folder / "mine" / "state.json").write_text("{")
    assert "state.json" in open_page("runs", run="mine").error[0].value.replace("\\", "")


@pytest.mark.parametrize("name", PAGES)
def test_a_foreign_folder_among_the_runs_closes_no_page(open_page: Open, runs_folder: Path, name: str):
    (runs_folder / "model").mkdir(parents=True)
    (runs_folder / "model" / "config.json").write_text('{"model_type": "llava"}', encoding="utf-8")
    app = open_page(name)
    assert not app.exception
    assert not app.error


def test_over_forgetting_shows_no_run_twice(open_page: Open):
    app = open_page("over_forgetting", a=PO, b=PO_PD)
    assert list(app.table[0].value.index) == ["Base model", "PO · seed 0", escape_markdown("PO + PD · seed 0")]
    assert "unlearned nothing" in marked(open_page("over_forgetting", b=BASE))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["9" * 5000, "![](http://example.com/x.png)", "<script>", "../../etc/passwd", "-1", "999"]
)
def test_a_hostile_address_does_no_harm(open_page: Open, text: str):
    for name in PAGES:
        names = (
            "data",
            "a",
            "b",
            "judge",
            "split",
            "set",
            "category",
            "outcome",
            "item",
            "record",
            "page",
            "seed",
            "run",
        )
        app = open_page(name, **dict.fromkeys(names, text), settings=text, copy=text, section=text)
        assert not app.exception
        assert "![](" not in marked(app)
        assert "<script>" not in marked(app).replace("\\<script\\>", "")


def test_the_preview_of_a_harmful_picture_has_no_detail():

    picture = next((ROOT / "assets" / "demo" / "sprites").glob("*.png"))
    preview = Image.open(io.BytesIO(media._preview(str(picture), (0, 0)) or b""))
    assert max(preview.size) == 24
    assert preview.mode == "L"


def test_a_base_model_as_b_is_said_to_have_no_training(open_page: Open):
    app = open_page("compare", b=BASE, a=PO)
    assert "was not trained" in marked(app)
    assert "--look-every" not in marked(app)


def test_home_changes_to_another_data_set_and_says_which_it_shows(open_page: Open, tmp_path: Path):
    data = made_data(tmp_path / "data", harmless=True, badge="Another world")
    on(data)
    app = open_page("home")
    switch = app.segmented_control(key="widget-data")
    assert {"Demo world", escape_markdown(data)} <= {*switch.options}
    assert ":material/toys: Demo world" in marked(app)
    switch.set_value(data).run()
    assert not app.exception
    assert app.query_params["data"] in (data, [data])
    assert ":material/toys: Another world" in marked(app)
