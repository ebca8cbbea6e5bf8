"""The official layout and its quirks: what is read, what is survived and noted, what is refused."""

import json
from pathlib import Path

import pytest
from official import RETAIN, picture, record, write

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
    pair = {"image_path": "img/Weapon/1.jpg", "question": "Why?", "answer": "So.", "keyword": "spoon"}
    other = {**pair, "image_path": "img/Weapon/2.jpg", "category": "Weapon"}
    (root / "general_val.json").write_text(json.dumps([pair, other, {**pair, "question": "How?"}]))
    general = load(root).general
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


@pytest.mark.parametrize("content", ["[]", '{"idk": "No."}', '{"idk": [1]}'])
def test_refusals_of_a_wrong_form_are_refused(tmp_path, content):
    (write(tmp_path, val=[record()]) / "prompt.json").write_text(content)
    with pytest.raises(DataError, match=r"prompt.json, field idk"):
        load(tmp_path)


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
