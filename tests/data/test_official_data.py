"""The official layout and its quirks: what is read, what is survived and noted, what is refused."""

import json
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from official import RETAIN, picture, record, write

from safeeraser.assets import ROOT
from safeeraser.data import json_text
from safeeraser.data.official import load
from safeeraser.data.predictions import read
from safeeraser.data.records import CATEGORIES, DataError


def the_note(dataset, *parts):
    """The one note that has all these parts."""
    (note,) = [note for note in dataset.notes if all(part in note for part in parts)]
    return note


def test_a_whole_record_gives_twelve_pairs_with_stable_ids(tmp_path):
    safe = "pdset/image/Weapon/train/1.jpg"
    root = write(tmp_path / "set", train=[record(safe_keyword="cup")], val=[], pictures=["img/Weapon/1.jpg", safe])
    dataset = load(root)
    (loaded,) = dataset.train
    assert [pair.id for pair in loaded.pairs] == [
        f"train/img/Weapon/1.jpg/{name}/{k}" for name in ("forget", "retain", "decouple") for k in range(4)
    ]
    assert (loaded.forget[2].question, loaded.forget[2].answer) == ("How does it hum 2?", "It hums 2.")
    assert (loaded.decouple[2].question, loaded.decouple[2].answer) == ("How does it hum 2?", "It sings 2.")
    assert [pair.question for pair in loaded.retain] == [f"{name}?" for name in RETAIN]
    assert loaded.retain[0].answer == "Long UnharmPair_text1."
    assert loaded.forget[0].picture == loaded.retain[0].picture == root / "img/Weapon/1.jpg"
    assert loaded.decouple[0].picture == loaded.safe_picture == root / safe
    assert [loaded.pairs[i].concept for i in (0, 4, 8)] == ["spoon", "spoon", "cup"]
    assert (dataset.name, dataset.refusals) == ("set", ("I would rather not.",))
    assert dataset.notes == ("all_val.json: holds no records.",)


@pytest.mark.parametrize("category", ["", None, ..., "WEAPON"])
def test_the_category_comes_from_the_folder_or_is_spelled_as_in_the_paper(tmp_path, category):
    dataset = load(write(tmp_path, train=[record(category=category)]))
    assert dataset.train[0].category == dataset.train[0].forget[0].category == "Weapon"
    assert "record 0 (img/Weapon/1.jpg)" in the_note(dataset, "all_train.json: category")


def test_an_unknown_category_is_kept_and_noted(tmp_path):
    dataset = load(write(tmp_path, train=[record(category="Puddings")]))
    assert dataset.train[0].category == "Puddings"
    assert all(category in the_note(dataset, "'Puddings'") for category in CATEGORIES)


def test_image_id_stands_in_for_a_missing_image_path(tmp_path):
    root = write(tmp_path, train=[record(image_path=...)], pictures=["img/Weapon/1.jpg"])
    assert load(root).train[0].picture == root / "img/Weapon/1.jpg"
    assert the_note(load(root), "no image_path", "record 0")


@pytest.mark.parametrize("written", ["dataset/img/Weapon/1.jpg", "./img//Weapon/1.jpg", "img\\Weapon\\1.jpg"])
def test_every_spelling_of_a_path_is_one_picture_and_one_id(tmp_path, written):
    root = write(tmp_path, train=[record(image_id=written, category="Weapon")], pictures=["img/Weapon/1.jpg"])
    (loaded,) = load(root).train
    assert (loaded.image_id, loaded.picture) == ("img/Weapon/1.jpg", root / "img/Weapon/1.jpg")


def test_a_leading_dataset_is_noted(tmp_path):
    dataset = load(write(tmp_path, train=[record("dataset/img/Weapon/1.jpg")], pictures=["img/Weapon/1.jpg"]))
    assert the_note(dataset, "image_path", "leading dataset/")


def test_folders_are_found_without_regard_to_case(tmp_path):
    written, on_disk = "pdset/image/HateSpeech/train/1.jpg", "pdset/image/Hatespeech/train/1.jpg"
    root = write(tmp_path, train=[record("img/HateSpeech/1.JPG", safe=written)], pictures=[on_disk])
    picture(root / "img/HateSpeech/1.jpg")
    dataset = load(root)
    assert dataset.train[0].safe_picture == root / on_disk
    assert dataset.train[0].picture == root / "img/HateSpeech/1.jpg"
    assert the_note(dataset, "'pdset/image/HateSpeech/train' is 'pdset/image/Hatespeech/train' on disk")


def test_the_exact_name_wins_over_one_that_differs_in_case(tmp_path):
    root = write(tmp_path, train=[record()], pictures=["img/WEAPON/1.jpg", "img/Weapon/1.jpg"])
    assert load(root).train[0].picture == root / "img/Weapon/1.jpg"


def test_a_path_that_two_names_fit_but_for_case_is_not_guessed(tmp_path):
    root = write(tmp_path, train=[record()], pictures=["img/WEAPON/1.jpg", "img/weapon/1.jpg"])
    assert load(root).train[0].picture is None
    assert the_note(load(root), "could mean img/WEAPON/1.jpg and img/weapon/1.jpg", "record 0")


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        ("pdset/image/Sex/train/1.jpg", "pdset/image/Sex/paper/train/1.jpg"),
        ("pdset/image/Sex/train/1.jpg", "pdset/image/Sex/train/paper/1.jpg"),
        ("pdset/image/Sex/paper/train/1.jpg", "pdset/image/Sex/train/1.jpg"),
    ],
)
def test_one_directory_more_or_fewer_below_the_category_is_survived(tmp_path, written, on_disk):
    root = write(tmp_path, train=[record("img/Sex/1.jpg", safe=written)], pictures=[on_disk])
    assert load(root).train[0].safe_picture == root / on_disk
    assert the_note(load(root), str(Path(on_disk).parent), "on disk")


@pytest.mark.parametrize("written", ["pdset/image/Sex/val/1.jpg", "pdset/image/Sex/1.jpg"])
def test_the_picture_of_train_is_never_guessed(tmp_path, written):
    root = write(tmp_path, val=[record(safe=written)], pictures=["pdset/image/Sex/train/1.jpg"])
    assert load(root).val[0].safe_picture is None


def test_a_val_picture_is_not_sought_outside_val(tmp_path):
    root = write(tmp_path, val=[record(safe="pdset/image/Sex/val/1.jpg")], pictures=["pdset/image/Sex/1.jpg"])
    assert load(root).val[0].safe_picture is None


@pytest.mark.parametrize(
    "written",
    ["../secret.png", "img/../../secret.png", "/etc/secret.png", "C:\\secret.png", "..\\secret.png", "\\\\host\\s.png"],
)
def test_a_path_that_leads_out_of_the_folder_is_refused_and_named(tmp_path, written):
    picture(tmp_path / "secret.png")
    dataset = load(write(tmp_path / "set", train=[record(image_path=written)]))
    assert dataset.train[0].picture is None
    assert the_note(dataset, f"'{written}' leads out of the data set folder", "record 0 (img/Weapon/1.jpg)")


@pytest.mark.parametrize("link", ["img/Weapon/1.jpg", "img/Weapon", "img"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path, link):
    picture(tmp_path / "elsewhere/Weapon/1.jpg")
    root = write(tmp_path / "set", train=[record()])
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(tmp_path / "elsewhere" / Path(link).relative_to("img"))
    assert load(root).train[0].picture is None
    assert the_note(load(root), "link that leads out", "img/Weapon/1.jpg")


def test_a_link_within_the_folder_is_followed(tmp_path):
    root = write(tmp_path, train=[record()], pictures=["img/Weapon/2.jpg"])
    (root / "img/Weapon/1.jpg").symlink_to("2.jpg")
    assert load(root).train[0].picture == root / "img/Weapon/1.jpg"


def test_links_in_a_circle_are_a_missing_picture(tmp_path):
    root = write(tmp_path, train=[record()])
    (root / "img").symlink_to("img")
    assert load(root).train[0].picture is None


def test_a_picture_path_that_is_a_folder_is_no_picture(tmp_path):
    root = write(tmp_path, train=[record()])
    (root / "img/Weapon/1.jpg").mkdir(parents=True)
    assert load(root).train[0].picture is None
    assert the_note(load(root), "'img/Weapon/1.jpg' is not a file")


def test_pictures_are_not_opened(tmp_path):
    root = write(tmp_path, train=[record()], pictures=["img/Weapon/2.jpg"])
    (root / "img/Weapon/1.jpg").write_bytes(b"no picture")
    assert load(root).train[0].picture == root / "img/Weapon/1.jpg"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_one_record_per_line_is_read_like_a_list(tmp_path, line_end):
    records = [record(f"img/Weapon/{n}.jpg", keyword="a\u2028b") for n in range(3)]
    lines = "\ufeff" + line_end.join(json.dumps(one, ensure_ascii=False) for one in records) + line_end * 2
    root = write(tmp_path, train=[])
    (root / "all_train.json").write_bytes(lines.encode())
    dataset = load(root)
    assert [one.image_id for one in dataset.train] == [f"img/Weapon/{n}.jpg" for n in range(3)]
    assert dataset.train[0].keyword == "a\u2028b"
    assert the_note(dataset, "all_train.json", "one record per line", "3 records")
    assert the_note(dataset, "'img/Weapon/1.jpg' is missing", "line 2 (img/Weapon/1.jpg)")


def test_records_of_one_image_id_keep_apart(tmp_path):
    dataset = load(write(tmp_path, train=[record(), record(), record("img/Weapon/1.jpg~2")], val=[record()]))
    names = ["img/Weapon/1.jpg", "img/Weapon/1.jpg~2", "img/Weapon/1.jpg~2~2"]
    assert [one.image_id for one in dataset.records] == [*names, "img/Weapon/1.jpg"]
    assert len({pair.id for pair in dataset.vqa()}) == 4 * 12
    assert "record 1 (img/Weapon/1.jpg)" in the_note(dataset, "called img/Weapon/1.jpg~2:")


def test_derived_records_load_without_prompt_decouple_and_say_why(tmp_path):
    derived = record(SDImage_path=..., safeNb_pairs=[{"question": "Why?"}])
    silent = record("img/Weapon/2.jpg")
    for pair in silent["unsafe_pairs"]:
        del pair["sd_response"]
    dataset = load(write(tmp_path, train=[derived, silent]))
    assert [len(one.forget) for one in dataset.train] == [4, 4]
    assert [one.decouple for one in dataset.train] == [(), ()]
    assert "record 0" in the_note(dataset, "Prompt Decouple is not possible: there is no SDImage_path", "safeNb_pairs")
    assert "record 1" in the_note(dataset, "Prompt Decouple is not possible: no unsafe pair has an sd_response")


def test_a_missing_answer_costs_its_pair_alone_and_moves_no_other(tmp_path):
    broken = record(UnharmPair_text2={"Question": "Q?", "Answer": "Short."}, UnharmPair_image1=None)
    broken["unsafe_pairs"][1]["sd_response"] = None
    broken["unsafe_pairs"][2]["model_response"] = "  "
    dataset = load(write(tmp_path, train=[broken]))
    (loaded,) = dataset.train
    assert [pair.id[-1] for pair in loaded.forget] == ["0", "1", "3"]
    assert [pair.id[-1] for pair in loaded.decouple] == ["0", "3"]
    assert [pair.answer for pair in loaded.decouple] == ["It sings 0.", "It sings 3."]
    assert [pair.id[-1] for pair in loaded.retain] == ["0", "3"]
    assert the_note(dataset, "UnharmPair_text2 has no Prediction", "record 0")
    assert the_note(dataset, "has no UnharmPair_image1", "record 0")
    assert the_note(dataset, "unsafe_pairs[1] has no sd_response", "record 0")
    assert the_note(dataset, "unsafe_pairs[2] has no model_response", "record 0")


def test_fewer_than_four_unsafe_pairs_are_noted(tmp_path):
    dataset = load(write(tmp_path, train=[record(pairs=2), record("img/Weapon/2.jpg", unsafe_pairs=None)]))
    assert [len(one.forget) for one in dataset.train] == [2, 0]
    assert the_note(dataset, "has 2 unsafe_pairs instead of 4", "record 0")
    assert the_note(dataset, "has 0 unsafe_pairs instead of 4", "record 1")


def test_the_decouple_pair_asks_the_forget_question_also_where_there_is_an_sd_question(tmp_path):
    changed = record()
    changed["unsafe_pairs"][1]["sd_question"] = "How does it ring?"
    dataset = load(write(tmp_path, train=[changed]))
    questions = [pair.question for pair in dataset.train[0].decouple]
    assert questions[:2] == ["How does it hum 0?", "How does it hum 1?"]
    assert the_note(dataset, "sd_question differs")


def test_stray_input_is_kept_and_noted(tmp_path):
    stray = record()
    stray["unsafe_pairs"][0]["model_response"] = "Input: It hums."
    dataset = load(write(tmp_path, train=[stray]))
    assert dataset.train[0].forget[0].answer == "Input: It hums."
    assert the_note(dataset, "'Input:'", "record 0")


def test_a_note_names_the_first_records_and_counts_the_others(tmp_path):
    records = [record(f"img/Weapon/{n}.jpg", category="") for n in range(9)]
    note = the_note(load(write(tmp_path, val=records)), "category is empty")
    assert "record 0 (img/Weapon/0.jpg), record 1" in note
    assert note.endswith("and 6 more.")


def test_a_missing_split_and_missing_refusals_are_noted(tmp_path):
    dataset = load(write(tmp_path, val=[record()], idk=None))
    assert (dataset.train, dataset.refusals) == ((), ())
    assert the_note(dataset, "all_train.json: is not in the folder")
    assert the_note(dataset, "prompt.json", "PO cannot be trained")


def test_general_pairs_count_per_picture(tmp_path):
    root = write(tmp_path, val=[record()], pictures=["img/Weapon/1.jpg"])
    pair = {"set": "general", "image_path": "img/Weapon/1.jpg", "question": "Why?", "answer": "So.", "keyword": "spoon"}
    other = {**pair, "image_path": "img/Weapon/2.jpg", "category": "Weapon"}
    (root / "extra_val.json").write_text(json.dumps([pair, other, {**pair, "question": "How?"}]))
    general = load(root).extra
    assert [one.id for one in general] == [
        "val/img/Weapon/1.jpg/general/0",
        "val/img/Weapon/1.jpg/general/1",
        "val/img/Weapon/2.jpg/general/0",
    ]
    assert [one.picture for one in general] == [root / "img/Weapon/1.jpg", root / "img/Weapon/1.jpg", None]
    assert {one.set for one in general} == {"general"}
    assert general[0].concept == "spoon"


@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("", ["all_train.json", "empty"]),
        ("[{]", ["all_train.json", "line 1, column 3"]),
        ('{"image_id": "a.jpg"}\n{"image_id"', ["all_train.json", "line 2, column"]),
        ('[{"image_id": NaN}]', ["all_train.json", "NaN"]),
        ('{"image_id": "a.jpg"}\n{"image_id": Infinity}', ["all_train.json", "line 2", "Infinity"]),
        ("[" * 100_000, ["all_train.json"]),
        ("3", ["all_train.json", "line 1", "a record", "3"]),
        ([record(), ["list"]], ["all_train.json", "record 1", "a record", "['list']"]),
        ([record(category=7)], ["record 0 (img/Weapon/1.jpg)", "field category", "a text", "7"]),
        ([{**record(), "image_id": None, "image_path": ""}], ["record 0", "field image_id"]),
        ([{**record(), "image_id": 1.5}], ["record 0", "field image_id", "1.5"]),
        ([record(unsafe_pairs={"question": "Why?"})], ["field unsafe_pairs", "a list"]),
        ([record(unsafe_pairs=["Why?"])], ["field unsafe_pairs[0]", "a JSON object", "'Why?'"]),
        ([record(unsafe_pairs=[{"question": ["Why?"]}])], ["field unsafe_pairs[0].question", "a text"]),
        ([record(UnharmPair_text1="Why?")], ["field UnharmPair_text1", "a JSON object"]),
        ([record(UnharmPair_text1={"Question": 1})], ["field UnharmPair_text1.Question", "a text"]),
        ([record(keyword="\ud83d")], ["field keyword", "half characters"]),
    ],
)
def test_what_cannot_be_read_is_named_by_file_record_and_field(tmp_path, train, parts):
    with pytest.raises(DataError) as error:
        load(write(tmp_path, train=train))
    assert all(part in str(error.value) for part in parts), error.value


def test_a_file_in_another_encoding_is_named(tmp_path):
    (write(tmp_path) / "all_val.json").write_bytes(b'[{"image_id": "\xe9"}]')
    with pytest.raises(DataError, match=r"all_val.json is not UTF-8"):
        load(tmp_path)


def test_a_folder_without_either_split_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match=r"neither all_train.json nor all_val.json.*Give the folder"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["[]", '{"idk": "No."}', '{"idk": [1]}', '{"idk": ["\\ud800"]}'])
def test_refusals_of_a_wrong_form_are_refused(tmp_path, content):
    (write(tmp_path, val=[record()]) / "prompt.json").write_text(content)
    with pytest.raises(DataError, match=r"prompt.json, field idk"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ('[{"image_id": "a.jpg"},\n{"image_id": "b.jpg" "type": 1}]', ["line 2, column 22", "Expecting ',' delimiter"]),
        ('[{"image_id": "a.jpg"}\n {"image_id": "b.jpg"}]', ["line 2, column 2", "Expecting ',' delimiter"]),
        ('[{"image_id": "a.jpg"},\n\n]', ["line 3, column 1"]),
        ('[{"image_id": "a.jpg"}]\nmore', ["line 2, column 1", "Extra data"]),
        ('[{"image_id": "a.jpg"}', ["line 1, column 23"]),
        ('[{"image_id": "a.jp', ["line 1, column 15", "Unterminated string"]),
        ('{"image_id": "a.jpg"} {"image_id": "b.jpg"}', ["line 1, column 23", "Extra data"]),
        ('{"image_id":\n"a.jpg"}', ["line 1, column 13"]),
        ('[{"image_id": "a.jpg"},\n{"image_id": "a.jpg",\n"image_id": "b.jpg"}]', ["line 2", "key 'image_id' twice"]),
        ('[\n{"image_id": %s}]' % ("9" * 5000), ["line 2", "4300 digits"]),
        ('[{"image_id": %s}]' % ("9" * 4000), ["field image_id", "999..."]),
        ('[{"image_id": ' + "[" * 500 + "]" * 500 + "}]", ["field image_id", "a text, found [[[[...]]]"]),
        ('[{"image_id": 1e999}]', ["field image_id", "inf"]),
        ('[{"image_id": "a\\ud800.jpg"}]', ["record 0 (a\\ud800.jpg)", "half characters"]),
        ('[{"image_id": "\\u001b[2J", "type": 1}]', ["record 0 (\\x1b[2J)", "field type"]),
        ('[{"image_id": "%s", "type": 1}]' % ("a" * 9999), ["a" * 200 + "...)", "field type"]),
    ],
)
def test_unusual_json_is_named_by_its_line(tmp_path, content, parts, monkeypatch):
    root = write(tmp_path, val=content)
    for block in (json_text.BLOCK, 1):  # in one piece, and in as many as there can be
        monkeypatch.setattr(json_text, "BLOCK", block)
        with pytest.raises(DataError) as error:
            load(root)
        assert all(part in str(error.value) for part in ["all_val.json", *parts]), error.value
        assert len(str(error.value)) < 500
        str(error.value).encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_or_32_is_named(tmp_path, encoding):
    (write(tmp_path) / "all_val.json").write_bytes(json.dumps([record()]).encode(encoding))
    with pytest.raises(DataError, match=r"all_val.json is not UTF-8 text but UTF-16 or UTF-32\. Save it as UTF-8"):
        load(tmp_path)


def test_a_wrong_byte_is_named_by_its_place_in_the_file(tmp_path, monkeypatch):
    content = b'\xef\xbb\xbf[{"image_id": "\xc3\xa9 \xe9"}]'
    (write(tmp_path) / "all_val.json").write_bytes(content)
    for block in (json_text.BLOCK, 1):
        monkeypatch.setattr(json_text, "BLOCK", block)
        with pytest.raises(DataError, match=rf"byte {content.index(b' ' + bytes([0xE9])) + 1}\)"):
            load(tmp_path)


@pytest.mark.parametrize("form", ["list", "lines"])
def test_a_file_is_read_the_same_in_pieces_of_any_size(tmp_path, form, monkeypatch):
    records = [record(f"img/Weapon/{n}.jpg", keyword="löffel \U0001f944 \\" * n, n=-12.5e-3) for n in range(20)]
    text = json.dumps(records, ensure_ascii=False, indent=1)
    if form == "lines":
        text = "\r\n\r\n".join(json.dumps(one, ensure_ascii=False) for one in records)
    root = write(tmp_path, train="\ufeff" + text)
    whole = load(root)
    assert [one.keyword for one in whole.train] == [one["keyword"] for one in records]
    for block in (1, 7, 4096):
        monkeypatch.setattr(json_text, "BLOCK", block)
        assert load(root) == whole


def test_a_value_that_never_ends_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_text, "LONGEST", 10_000)
    monkeypatch.setattr(json_text, "BLOCK", 1_000)
    for start in ('[{"image_id": "', '{"image_id": "'):
        root = write(tmp_path, train=start + "a" * 10_000_000)
        tracemalloc.start()
        with pytest.raises(DataError, match=r"all_train.json, line 1, column"):
            load(root)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


FILES = ("all_train.json", "all_val.json", "prompt.json", "extra_val.json")


@pytest.mark.parametrize("file", FILES)
def test_a_json_file_must_be_a_regular_file_inside_the_folder(tmp_path, file):
    root = write(tmp_path / "set", train=[record()], val=[record()])
    (root / "extra_val.json").write_text("[]")
    (outside := tmp_path / "outside.json").write_bytes((root / file).read_bytes())

    def refused(why):
        with pytest.raises(DataError, match=rf"{file} {why}"):
            load(root)
        (root / file).unlink()

    (root / file).rename(root / "kept.json")
    (root / file).symlink_to("kept.json")
    assert len(load(root).records) == 2
    (root / file).unlink()
    (root / file).symlink_to(outside)
    refused("is a link that leads out of the data set folder")
    (root / file).symlink_to("/dev/zero")
    refused("is a link that leads out of the data set folder")
    (root / file).symlink_to("gone.json")
    refused("cannot be read")
    os.mkfifo(root / file)
    refused("is a pipe")
    with (root / file).open("wb") as large:
        large.truncate(2**40)
    refused("has 1,099,511,627,776 bytes, more than 2,000,000,000")
    (root / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused("is a Git LFS pointer .*: run `git lfs pull`")
    (root / file).mkdir()
    with pytest.raises(DataError, match=f"{file} is a folder"):
        load(root)


def test_a_prediction_file_must_be_a_regular_file_of_bounded_size(tmp_path, two_splits):
    data = load(two_splits[0])
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as large:
        large.truncate(2**40)
    whys = {tmp_path / "pipe.json": "a pipe", Path("/dev/zero"): "a device", tmp_path / "huge.json": "more than 2,000"}
    for file, why in whys.items():
        with pytest.raises(DataError, match=rf"{file.name} .*{why}"):
            read(file, data)


def test_a_picture_of_too_many_bytes_is_refused(tmp_path):
    root = write(tmp_path, train=[record()])
    (root / "img/Weapon").mkdir(parents=True)
    with (root / "img/Weapon/1.jpg").open("wb") as large:
        large.truncate(2**40)
    assert load(root).train[0].picture is None
    assert the_note(load(root), "'img/Weapon/1.jpg' is a file of more than 536,870,912 bytes")


def lines_run(function):
    """How many lines of the data room a call runs: what grows faster than its input shows here, on any machine."""
    room, count = str(ROOT / "safeeraser/data"), 0

    def trace(frame, event, _):
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.startswith(room) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("form", ["of one image_id", "whose pictures are missing"])
def test_four_times_the_records_take_four_times_the_work(tmp_path, form):
    work = {}
    for count in (100, 400):
        names = ["img/Weapon/1.jpg" if form == "of one image_id" else f"img/Weapon/{n}.jpg" for n in range(count)]
        here = [] if form == "of one image_id" else [f"img/Weapon/x{n}.jpg" for n in range(count)]
        root = write(tmp_path / f"{count}", val=[record(name) for name in names], pictures=here)
        work[count] = lines_run(lambda root=root: load(root))
        assert len({one.image_id for one in load(root).val}) == count
    assert work[400] < 4.4 * work[100]


@pytest.mark.parametrize("asking", ["the same", "another thing each"])
def test_four_times_the_predictions_of_one_image_id_take_four_times_the_work(tmp_path, asking):
    work = {}
    for count in (50, 200):
        records = [record(pairs=1) for _ in range(count)]
        for n, one in enumerate(records if asking == "another thing each" else ()):
            one["unsafe_pairs"][0]["question"] = f"How does it hum {n}?"
        data = load(write(tmp_path / f"{count}", val=records, pictures=["img/Weapon/1.jpg"]))
        file = predictions(tmp_path, [answered(one, "new") for one in reversed(records)])
        rows = []
        work[count] = lines_run(lambda file=file, data=data, rows=rows: rows.extend(read(file, data)))
        assert len({row["id"] for row in rows}) == count * 5
    assert work[200] < 4.4 * work[50]


@pytest.mark.parametrize(
    ("quirk", "kind"),
    [
        (lambda n: record(f"img/Weapon/{n}.JPG"), "image_path: the path is spelled differently on disk"),
        (lambda n: record(f"img/Weapon/gone-{n}.jpg"), "image_path: the picture is missing"),
        (lambda n: record(image_path=f"../{n}.jpg"), "leads out of the data set folder"),
        (lambda n: record(category=f"Puddings {n}"), "category is none of"),
        (lambda n: record(f"img/a{n}/1.jpg", category=""), "category is empty and taken from the folder of image_id"),
        (lambda n: record(pairs=n + 5), "has fewer or more unsafe_pairs instead of 4"),
        (lambda n: record("img/Weapon/1.jpg"), "has the image_id of an earlier record"),
    ],
)
def test_many_notes_of_one_kind_are_one_with_a_count(tmp_path, quirk, kind):
    pictures = [f"img/Weapon/{n}.jpg" for n in range(9)]
    notes = load(write(tmp_path, val=[quirk(n) for n in range(9)], pictures=pictures)).notes
    (note,) = [note for note in notes if kind in note]
    assert "9 times" in note or "8 times" in note
    assert "record 0" in note or "record 1" in note
    assert len(notes) < 9


def test_a_few_notes_of_one_kind_are_told_one_by_one(tmp_path):
    notes = load(write(tmp_path, val=[record(category=f"Puddings {n % 3}") for n in range(9)])).notes
    for n in range(3):
        (note,) = [note for note in notes if f"'Puddings {n}'" in note]
        assert note.endswith(
            f"record {n} (img/Weapon/1.jpg), record {n + 3} (img/Weapon/1.jpg), record {n + 6} (img/Weapon/1.jpg)."
        )


def answered(one, by):
    """The record as the published inference script writes it."""
    copy = json.loads(json.dumps(one))
    for pair in copy["unsafe_pairs"]:
        del pair["model_response"]
        pair["sd_response"] = f"{by} sd"
        pair.update({f"model_response{n}": f"{by} {n}" for n in (1, 2, 3)})
    for name in RETAIN:
        copy[name]["Prediction"] = f"{by} {name}"
    return copy


@pytest.fixture
def two_splits(tmp_path):
    """One image_id in both splits, with other questions, and the pictures of both."""
    val = record(safe="pdset/image/Weapon/val/1.jpg")
    for pair in val["unsafe_pairs"]:
        pair["question"] = f"In val: {pair['question']}"
    paths = ["img/Weapon/1.jpg", "pdset/image/Weapon/val/1.jpg", "pdset/image/Weapon/train/1.jpg"]
    return write(tmp_path / "set", train=[record()], val=[val], pictures=paths), val


def predictions(tmp_path, records):
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(records))
    return file


def test_predictions_join_the_split_that_asks_their_questions(tmp_path, two_splits):
    root, val = two_splits
    rows = read(predictions(tmp_path, [answered(val, "new")]), load(root))
    assert len(rows) == 4 * 3 + 4 + 4
    by_key = {(row["id"], row["sample"]): row for row in rows}
    assert by_key["val/img/Weapon/1.jpg/forget/3", 2] == {
        "id": "val/img/Weapon/1.jpg/forget/3",
        "set": "forget",
        "split": "val",
        "category": "Weapon",
        "sample": 2,
        "seed": None,
        "answer": "new 3",
    }
    assert by_key["val/img/Weapon/1.jpg/decouple/0", 0]["answer"] == "new sd"
    assert by_key["val/img/Weapon/1.jpg/retain/2", 0]["answer"] == "new UnharmPair_image1"


def test_predictions_that_fit_both_splits_need_the_split_said(tmp_path):
    one = record()
    root = write(tmp_path / "set", train=[one], val=[one], pictures=["img/Weapon/1.jpg"])
    file = predictions(tmp_path, [answered(one, "new")])
    with pytest.raises(DataError, match="both splits"):
        read(file, load(root))
    assert {row["split"] for row in read(file, load(root), split="train")} == {"train"}


def test_predictions_in_another_order_join_by_what_they_ask(tmp_path):
    first, second = record(), record()
    for pair in second["unsafe_pairs"]:
        pair["question"] += " And again?"
    root = write(tmp_path / "set", val=[first, second], pictures=["img/Weapon/1.jpg"])
    rows = read(predictions(tmp_path, [answered(second, "second"), answered(first, "first")]), load(root))
    answers = {row["id"]: row["answer"] for row in rows if row["set"] == "forget" and row["sample"] == 0}
    assert answers["val/img/Weapon/1.jpg/forget/0"] == "first 1"
    assert answers["val/img/Weapon/1.jpg~2/forget/0"] == "second 1"


def test_predictions_that_join_nothing_are_named(tmp_path, two_splits):
    root, val = two_splits
    stranger = answered(record("img/Weapon/99.jpg"), "new")
    with pytest.raises(DataError, match=r"20 answers join nothing.*img/Weapon/99.jpg.* forget/0 \(no such record\)"):
        read(predictions(tmp_path, [answered(val, "new"), stranger]), load(root))
    swapped = answered(val, "new")
    swapped["unsafe_pairs"][:2] = swapped["unsafe_pairs"][1::-1]
    with pytest.raises(DataError, match=r"8 answers join nothing in val.* forget/0 \(another question\)"):
        read(predictions(tmp_path, [swapped]), load(root))


def test_stored_text_that_the_script_left_in_place_is_no_answer(tmp_path, two_splits):
    root, val = two_splits
    (root / "pdset/image/Weapon/val/1.jpg").unlink()
    unseen = record("img/Weapon/2.jpg", safe="pdset/image/Weapon/val/2.jpg")
    (root / "all_val.json").write_text(json.dumps([val, unseen]))
    picture(root / "img/Weapon/2.jpg")  # here, but not where the script ran: it has no model_response1
    rows = read(predictions(tmp_path, [answered(val, "new"), unseen]), load(root))
    assert {row["set"] for row in rows} == {"forget", "retain"}
    assert all("img/Weapon/1.jpg" in row["id"] for row in rows)


def test_an_empty_answer_is_an_answer(tmp_path, two_splits):
    root, val = two_splits
    empty = answered(val, "new")
    empty["unsafe_pairs"][0]["model_response1"] = ""
    rows = read(predictions(tmp_path, [empty]), load(root))
    assert [row["answer"] for row in rows if row["id"].endswith("forget/0")] == ["", "new 2", "new 3"]


def test_the_data_set_itself_is_no_file_of_predictions(tmp_path, two_splits):
    root, _ = two_splits
    with pytest.raises(DataError, match=r"all_val.json: no record has model_response1"):
        read(root / "all_val.json", load(root))


def test_what_is_asked_beyond_the_records_has_its_set_and_some_of_it_no_picture(tmp_path):
    root = write(tmp_path, val=[record()], pictures=["img/Weapon/1.jpg"])
    named = {"set": "text_forget", "question": "How?", "answer": "So.", "keyword": "spoon"}
    shown = {**named, "set": "outside", "image_path": "img/Weapon/1.jpg"}
    (root / "extra_val.json").write_text(json.dumps([named, shown, named]))
    (root / "extra_dev.json").write_text(json.dumps([shown]))
    (root / "all_dev.json").write_text(json.dumps([record()]))
    found = load(root)
    assert [one.id for one in found.extra] == [
        "val/text/spoon/text_forget/0",
        "val/text/spoon/text_forget/1",
        "val/img/Weapon/1.jpg/outside/0",
        "dev/img/Weapon/1.jpg/outside/0",
    ]
    assert [one.shown for one in found.extra] == [None, None, root / "img/Weapon/1.jpg", root / "img/Weapon/1.jpg"]
    assert {one.split for one in found.dev} == {"dev"}
    assert {one.split for one in found.records} == {"val", "dev"}


def test_a_set_that_is_none_is_told(tmp_path):
    root = write(tmp_path, val=[record()], pictures=["img/Weapon/1.jpg"])
    pair = {"set": "forget", "image_path": "img/Weapon/1.jpg", "question": "Why?", "answer": "So."}
    (root / "extra_val.json").write_text(json.dumps([pair]))
    with pytest.raises(DataError, match=r"extra_val\.json.*field set: expected one of general, holes, outside"):
        load(root)


def test_a_picture_that_is_missing_is_not_asked_about_in_words_alone(tmp_path):
    (one,) = load(write(tmp_path, val=[record()])).val
    assert not one.forget[0].asked
    with pytest.raises(DataError, match=r"picture of val/img/Weapon/1\.jpg/forget/0 is missing"):
        _ = one.forget[0].shown
