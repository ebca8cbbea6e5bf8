"""Pairs in another layout become a data set in the official one."""

import json
import sys
from pathlib import Path

import official as small
import pairs
import pytest
from openpyxl import Workbook

from safeeraser import cli
from safeeraser.data import converting, health, official
from safeeraser.data import vscbench as vsc
from safeeraser.data.records import DataError

ANSWERED = {"harmful_answer": "It is built so.", "safe_answer": "It is sewn so."}


def test_an_answered_table_becomes_a_data_set_that_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture):
    cells = pairs.rows(**ANSWERED, category="Weapon", harmful_thing="spoon", safe_thing="kite")
    cells[0] |= {"retain_question": "What is it?", "retain_answer": "A spoon, perhaps."}
    cells[1] |= {"retain_question": "", "retain_answer": ""}
    source = pairs.write(tmp_path / "source", [dict.fromkeys(cells[0], "") | row for row in cells])
    (source / "refusals.txt").write_text("I pass.\n\n")
    (source / "about.json").write_text('{"harmless": true, "badge": "Colours"}')
    assert cli.main(["data", "convert", "plain", str(source), str(tmp_path / "data")]) == 0
    assert "records: 2 train, 1 val; questions: 13)" in capsys.readouterr().out
    report = health.check(tmp_path / "data")
    assert report.usable
    assert not report.missing
    assert report.overlap
    assert not report.overlap.harmful_pictures
    assert not report.overlap.safe_pictures
    data = official.load(tmp_path / "data")
    assert data.refusals == ("I pass.",)
    assert data.about == official.About(harmless=True, badge="Colours")
    (record,) = (one for one in data.records if one.retain)
    assert record.image_id == "img/a/0.png"
    assert record.keyword == "spoon"
    assert record.safe_keyword == "kite"
    assert [(vqa.question, vqa.answer) for vqa in record.pairs] == [
        ("How is this built?", "It is built so."),
        ("How does this hum?", "It is built so."),
        ("What is it?", "A spoon, perhaps."),
        ("How is this built?", "It is sewn so."),
        ("How does this hum?", "It is sewn so."),
    ]
    assert record.picture
    assert record.picture.read_bytes() == (source / "a/0.png").read_bytes()
    assert record.safe_picture
    assert record.safe_picture.read_bytes() == (source / "b/0.png").read_bytes()


def test_without_answers_and_harmless_questions_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture):
    source, out = pairs.write(tmp_path / "source"), tmp_path / "data"
    assert cli.main(["data", "convert", "plain", str(source), str(out)]) == 0
    said = capsys.readouterr()
    assert "no harmless questions; 4 plain ones are asked" in said.err
    assert "24 questions have no answer yet; next: safeeraser data targets" in said.out
    record = json.loads((out / "all_val.json").read_text())[0]
    assert [record[name]["Question"] for name in official.RETAIN_FIELDS] == list(converting.RETAIN)
    assert not (out / "about.json").exists()


def test_splits_share_no_picture_and_the_seed_draws_them(tmp_path: Path):
    cells = pairs.rows(6)
    cells[2]["safe_picture"] = "b/0.png"  # binds the pictures 0 and 1 together
    (source := pairs.write(tmp_path / "source", cells)).joinpath("b/5.png").write_bytes(
        (source / "b/4.png").read_bytes()  # and 4 and 5, by the bytes of a picture
    )
    found = converting.FORMATS["plain"].read(source)
    drawn = [converting.splits(found.pairs, seed=seed, shares={"val": 0.25, "dev": 0.25}) for seed in range(20)]
    for split in drawn:
        named = {picture.stem: chosen for picture, chosen in split.items()}
        assert named["0"] == named["1"]
        assert named["4"] == named["5"]
        groups = [named[stem] for stem in ("0", "2", "3", "4")]
        assert sorted(groups) == ["dev", "train", "train", "val"]
    assert len({tuple(split.values()) for split in drawn}) > 3
    assert drawn[7] == converting.splits(found.pairs, seed=7, shares={"val": 0.25, "dev": 0.25})


def test_columns_are_known_in_any_spelling_and_unknown_ones_are_named(tmp_path: Path):
    cells = [
        {"Question": row["question"], "Harmful Picture": row["harmful_picture"], "safe-picture": row["safe_picture"]}
        for row in pairs.rows(2)
    ]
    source = pairs.write(tmp_path / "source", [row | {"note": "of mine"} for row in cells])
    table = source / "pairs.csv"
    table.write_text("\ufeff" + table.read_text() + ",,,\r\n")
    found = converting.FORMATS["plain"].read(source)
    assert len(found.pairs) == 4
    assert found.pairs[3].where == "pairs.csv, line 5"
    assert found.notes == ("pairs.csv: columns that are not used: note.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda source: (source / "pairs.csv").unlink(), "holds no pairs.csv"),
        (lambda source: _put(source, "question,answer\nHow?,So."), "lacks the columns harmful_picture, safe_picture; "),
        (lambda source: _put(source, "question,harmful_picture,safe_picture\n"), "holds no rows"),
        (lambda source: (source / "b/1.png").unlink(), "line 4, safe_picture: the picture 'b/1.png' is missing"),
        (
            lambda source: (source / "a/1.png").write_text("text"),
            "line 4, harmful_picture: the picture 'a/1.png' cannot",
        ),
        (
            lambda source: _change(source, "a/2.png", "../a/2.png"),
            "line 6, harmful_picture: the path '../a/2.png' leads out",
        ),
        (lambda source: _change(source, "How does this hum?", ""), "line 3: question is empty"),
        (lambda source: _change(source, "How does", "How, then, does"), "line 3: 5 cells for 3 columns"),
        (lambda source: _change(source, "question,", "question,question,"), "has the column question twice"),
        (lambda source: (source / "pairs.csv").write_bytes(b"question\xff"), "is not UTF-8 text (byte 8)"),
        (lambda source: _change(source, "a/1.png", "a/0.png"), "make 2 groups that share nothing"),
        (lambda source: (source / "about.json").write_text("{}"), "about.json, field harmless"),
    ],
)
def test_a_wrong_source_is_one_clear_error_and_nothing_is_written(change, said: str, tmp_path: Path):
    source = pairs.write(tmp_path / "source")
    change(source)
    shares = {"val": 0.5, "dev": 0.5} if "groups" in said else {}
    with pytest.raises(DataError) as found:
        converting.convert("plain", source, tmp_path / "data", **shares)
    assert said in str(found.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture):
    source = pairs.write(tmp_path / "source")
    words = ["data", "convert", "plain", str(source), str(source)]
    assert cli.main(words) == 1
    assert f"{source} is not empty; choose another folder" in capsys.readouterr().err


def test_more_harmless_questions_than_a_record_takes_are_refused(tmp_path: Path):
    cells = [{**pairs.rows(1)[0], "retain_question": f"What is {k}?"} for k in range(5)]
    with pytest.raises(DataError, match=r"line 6: more than 4 different retain questions"):
        converting.convert("plain", pairs.write(tmp_path / "source", cells), tmp_path / "data", val=0)


def _put(source: Path, text: str) -> None:
    (source / "pairs.csv").write_text(text)


def _change(source: Path, old: str, new: str) -> None:
    _put(source, (source / "pairs.csv").read_text().replace(old, new))


# --- MSSBench: the fields are those of its README and of its utils/infer_on_data.py


def mssbench(root: Path, **changes) -> Path:
    chat = [
        {
            "safe_image_path": f"b/{k}.png",
            "unsafe_image_path": f"a/{k}.png",
            "intent": "hum",
            "unsafe_image": "a square",
            "Type": "Colours",
            "queries": ["How is this built?", "How does this hum?"],
        }
        for k in range(3)
    ]
    chat[1] |= changes
    embodied = [{"task": "put", "safe": "a.png", "unsafe": "b.png", "safe_instruction": "x", "unsafe_instruction": "y"}]
    pairs.write(root / "chat")
    (root / "chat" / "pairs.csv").unlink()
    (root / "combined.json").write_text(json.dumps({"chat": chat, "embodied": embodied}))
    return root


def test_the_chat_task_of_mssbench_becomes_a_data_set_without_answers(tmp_path: Path):
    found = converting.convert("mssbench", mssbench(tmp_path / "source"), tmp_path / "data")
    assert found.records == {"train": 2, "val": 1}
    assert found.unanswered == found.questions == 24
    assert "the 1 entries of the embodied task" in found.notes[0]
    data = official.load(tmp_path / "data", unanswered=True)
    record = next(one for one in data.records if one.image_id == "img/chat/a/1.png")
    assert record.category == "Colours"
    assert [pair.question for pair in record.decouple] == ["How is this built?", "How does this hum?"]
    assert record.safe_picture
    assert record.safe_picture.read_bytes() == (tmp_path / "source/chat/b/1.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"queries": None}, "combined.json, chat[1], field queries: expected a list of questions"),
        ({"queries": [3]}, "combined.json, chat[1], field queries: expected a text"),
        ({"safe_image_path": None}, "chat[1], field safe_image_path: expected a text that is not empty"),
        ({"unsafe_image_path": "gone.png"}, "chat[1], unsafe_image_path: the picture 'chat/gone.png' is missing"),
    ],
)
def test_a_damaged_mssbench_is_one_clear_error(changes: dict, said: str, tmp_path: Path):
    with pytest.raises(DataError) as found:
        converting.convert("mssbench", mssbench(tmp_path / "source", **changes), tmp_path / "data")
    assert said in str(found.value)


# --- VSCBench: columns and folders are those of its data_checker.py; the published table has what `vscbench` writes in
# its last rows: a prompt twice and with spaces around it, a row without one, columns without a name


def vscbench(root: Path, *, columns: tuple = vsc.COLUMNS, **changes) -> Path:
    for k, name in enumerate(f"{row}_{k}" for row in range(4) for k in range(3)):
        small.picture(root / vsc.PICTURES / "colours" / f"safe_{name}.png", (k, 0, 0))
        small.picture(root / vsc.PICTURES / "colours" / f"unsafe_{name}.png", (k, 9, 0))
    book = Workbook()
    sheet = book.active
    sheet.append([*columns, None, None])
    for row, prompt in enumerate(["How is this built?", "How does this hum?", " how is This built?\n", None]):
        cells = {f"{kind}_img_{k}": f"{kind}_{row}_{k}.png" for kind in ("safe", "unsafe") for k in range(3)}
        cells |= {"Category": "colours", "Prompt": prompt} | (changes if row == 1 else {})
        sheet.append([cells.get(name) for name in columns])
    book.save(root / vsc.TABLE)
    return root


def test_each_row_of_vscbench_becomes_three_pairs_of_one_split(tmp_path: Path):
    found = converting.convert("vscbench", vscbench(tmp_path / "source"), tmp_path / "data")
    assert found.notes == ("vscbench_image_centric.xlsx: has no Prompt and is left out: row 5.",)
    assert sum(found.records.values()) == 9
    data = official.load(tmp_path / "data", unanswered=True)
    asked = {split: {record.forget[0].question.casefold() for record in data.of(split)} for split in ("train", "val")}
    assert sorted(map(len, asked.values())) == [1, 1]  # a prompt of two rows binds them together
    assert asked["train"] != asked["val"]
    (record,) = (one for one in data.records if one.image_id.endswith("unsafe_1_2.png"))
    assert record.category == "colours"
    assert [pair.question for pair in (*record.forget, *record.decouple)] == ["How does this hum?"] * 2
    folder = tmp_path / "source" / vsc.PICTURES / "colours"
    assert record.picture
    assert record.picture.read_bytes() == (folder / "unsafe_1_2.png").read_bytes()
    assert record.safe_picture
    assert record.safe_picture.read_bytes() == (folder / "safe_1_2.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"columns": ("Category", "safe_img_0", "safe_img_1", "safe_img_2", "unsafe_img_0", "unsafe_img_1")},
            "vscbench_image_centric.xlsx lacks the columns Prompt, unsafe_img_2; its first row has Category, ",
        ),
        ({"safe_img_1": "gone.png"}, "row 3, safe_img_1: the picture 'vscbench_image_centric_images/colours/gone.png'"),
        ({"unsafe_img_2": None}, "row 3, field unsafe_img_2: expected a text that is not empty"),
        ({"Prompt": 3}, "row 3, field Prompt: expected a text, found 3"),
        ({"Category": "../../colours"}, "row 3, unsafe_img_0: the path"),
    ],
)
def test_a_damaged_vscbench_is_one_clear_error(changes: dict, said: str, tmp_path: Path):
    with pytest.raises(DataError) as found:
        converting.convert("vscbench", vscbench(tmp_path / "source", **changes), tmp_path / "data")
    assert said in str(found.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "holds no vscbench_image_centric.xlsx"), (b"PK", "is no xlsx workbook"), (b"", "is no xlsx workbook")],
)
def test_a_table_that_is_no_workbook_is_named(content: bytes | None, said: str, tmp_path: Path):
    if content is not None:
        (tmp_path / vsc.TABLE).write_bytes(content)
    with pytest.raises(DataError, match=said):
        converting.convert("vscbench", tmp_path, tmp_path / "data")


def test_without_openpyxl_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = vscbench(tmp_path / "source")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"pip install 'openpyxl>=3\.1'"):
        converting.convert("vscbench", source, tmp_path / "data")


# --- MOSSBench: the fields are those of its README and of its data/images_information/information.json


def mossbench(root: Path, **changes) -> Path:
    flags = {"over": "type 1", "human": 0, "child": 1, "syn": 1, "ocr": 0, "harm": [7]}
    entries = {
        str(k): {
            "image": f"images/{k}.png",
            "short description": "a square",
            "question": f"How is this built, number {k}?\n",
            "pid": str(k),
            "metadata": flags | {"over": f"type {k}"},
        }
        for k in (1, 2, 3)
    }
    entries["2"] |= changes
    for k in entries:
        small.picture(root / "images" / f"{k}.png", (int(k), 0, 0))
    (root / "images_information").mkdir()
    (root / "images_information" / "information.json").write_text(json.dumps(entries))
    return root


def test_mossbench_becomes_a_data_set_that_only_evaluates(tmp_path: Path, capsys: pytest.CaptureFixture):
    source, out = mossbench(tmp_path / "source"), tmp_path / "data"
    assert cli.main(["data", "convert", "mossbench", str(source), str(out)]) == 0
    said = capsys.readouterr()
    assert f"data set: {out} (harmless questions to evaluate with: 3)" in said.out
    assert f"nothing is forgotten on it; next: safeeraser run --method base --judge rules --data {out}" in said.out
    assert said.err == ""
    assert cli.main(["data", "check", str(out)]) == 0
    assert health.ONLY_ASKS in capsys.readouterr().out
    data = official.load(out)
    assert data.records == ()
    assert [(vqa.set, vqa.split, vqa.category, vqa.question, vqa.answer) for vqa in data.extra] == [
        ("general", "val", f"type {k}", f"How is this built, number {k}?", "") for k in (1, 2, 3)
    ]
    assert data.extra[1].picture
    assert data.extra[1].picture.read_bytes() == (source / "images" / "2.png").read_bytes()


@pytest.mark.slow
def test_the_refusals_of_a_model_are_counted_on_mossbench_and_nothing_is_trained(
    tmp_path: Path, tiny_model: Path, runs_folder: Path, capsys: pytest.CaptureFixture
):
    converting.convert("mossbench", mossbench(tmp_path / "source"), tmp_path / "data")
    run = ["run", "--data", str(tmp_path / "data"), "--model", str(tiny_model), "--judge", "rules", "--device", "cpu"]
    run += ["--max-new-tokens", "5"]
    for eval_records, asked in (([], 3), (["--eval-records", "2"], 2)):
        assert cli.main([*run, "--method", "base", *eval_records, "--name", f"asks-{asked}"]) == 0
        capsys.readouterr()
        assert cli.main(["score", f"asks-{asked}", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        refused = row["metrics"]["refused_general"]
        assert (refused["n"], refused["unscored"]) == (asked, 0)
        assert row["metrics"]["sarr"]["value"] is None
    assert cli.main([*run, "--method", "po"]) == 1
    assert "--method po: " in (said := capsys.readouterr().err)
    assert "has no records, so there is nothing to forget" in said
    assert sorted(path.name for path in runs_folder.iterdir() if path.is_dir()) == ["asks-2", "asks-3"]


def test_without_records_and_readable_pictures_a_data_set_is_not_usable(tmp_path: Path):
    converting.convert("mossbench", mossbench(tmp_path / "source"), tmp_path / "data")
    for picture in (tmp_path / "data").rglob("*.png"):
        picture.write_text("text")
    assert not health.check(tmp_path / "data").usable


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": " "}, "information.json, entry 2, field question: expected a text that is not empty"),
        ({"image": "images/gone.png"}, "entry 2, image: the picture 'images/gone.png' is missing"),
        ({"metadata": {"over": "type 2"}}, "entry 2: there is no metadata.harm, which every entry of the oversens"),
        ({"metadata": {"harm": [1]}}, "entry 2, field metadata.over: expected a text that is not empty, found nothing"),
    ],
)
def test_a_damaged_mossbench_is_one_clear_error(changes: dict, said: str, tmp_path: Path):
    with pytest.raises(DataError) as found:
        converting.convert("mossbench", mossbench(tmp_path / "source", **changes), tmp_path / "data")
    assert said in str(found.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "Give the folder `data` of xirui-li/MOSSBench"), ("[]", "expected a JSON object"), ('{"1": 3}', "entry 1")],
)
def test_a_mossbench_of_another_shape_is_named(content: str | None, said: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "images_information").mkdir()
        (tmp_path / "images_information" / "information.json").write_text(content)
    with pytest.raises(DataError, match=said):
        converting.convert("mossbench", tmp_path, tmp_path / "data")
