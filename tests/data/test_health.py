"""The health report names what is wrong with a folder; clean val holds only what train does not."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image
from rich.console import Console

from safeeraser.data.health import check, clean_val, dataset_hash, picture_hashes
from safeeraser.data.images import FORMATS
from safeeraser.data.official import load

RETAIN = ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2")


def record(name, *, asks="hum", category="Weapon", safe="pdset/image/Weapon/train/1.png", **changes):
    """A whole record of harmless nonsense; `asks` makes its four forget questions its own."""
    path = f"img/{category}/{name}.png"
    return {
        "type": "syn",
        "keyword": "spoon",
        "category": category,
        "image_id": path,
        "image_path": path,
        "SDImage_path": safe,
        "unsafe_pairs": [
            {"question": f"How does it {asks} {k}?", "model_response": f"{name} {k}.", "sd_response": f"Sing {k}."}
            for k in range(4)
        ],
        **{field: {"Question": f"{field}?", "Answer": "Short.", "Prediction": f"Long {field}."} for field in RETAIN},
        **changes,
    }


def picture(path, shade=0):
    """A picture whose bytes differ by shade alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)
    return path


def write(root, *, train=(), val=()):
    root.mkdir(exist_ok=True)
    (root / "all_train.json").write_text(json.dumps(list(train)))
    (root / "all_val.json").write_text(json.dumps(list(val)))
    (root / "prompt.json").write_text(json.dumps({"idk": ["I would rather not."]}))
    return root


def printed(report, *, terminal=False):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    report.render(console)
    return console.file.getvalue()


@pytest.fixture
def troubled(tmp_path):
    """An empty category, Hatespeech for HateSpeech, a broken picture, a leaked record, lines, and a path with `..`."""
    leaked = record("leaked", asks="leak", category="Violence")
    train = [leaked, record("up", image_path="../up.png"), record("broken")]
    train += [record("1", category="HateSpeech", safe="pdset/image/HateSpeech/train/1.png")]
    root = write(tmp_path / "set", val=[{**leaked, "category": ""}])
    (root / "all_train.json").write_text("".join(json.dumps(one) + "\r\n" for one in train))
    for shade, path in enumerate(["img/Violence/leaked.png", "img/HateSpeech/1.png", "pdset/image/Weapon/train/1.png"]):
        picture(root / path, shade)
    picture(root / "pdset/image/Hatespeech/train/1.png", 9)
    picture(tmp_path / "up.png")
    whole = picture(root / "img/Weapon/broken.png", 7).read_bytes()
    (root / "img/Weapon/broken.png").write_bytes(whole[:50])
    return root


@pytest.mark.parametrize(
    "named",
    [
        "all_val.json: category is empty and taken from the folder of image_id, Violence: record 0",
        "'pdset/image/HateSpeech/train' is 'pdset/image/Hatespeech/train' on disk",
        "img/Weapon/broken.png (50 bytes)",
        "Records in both splits: 1\n  val/img/Violence/leaked.png",
        "all_train.json: holds one record per line instead of one list (4 records)",
        "'../up.png' leads out of the data set folder and is refused: line 2 (img/Weapon/up.png)",
        "train/img/Weapon/up.png: harmful picture",
        "Sex in train",
        "usable",
    ],
)
def test_the_report_names_each_trouble_of_one_folder(troubled, named):
    assert named in printed(check(troubled))


def test_the_report_is_json_and_says_the_same(troubled):
    report = json.loads(json.dumps(check(troubled).as_dict()))
    assert report["usable"] is True
    assert [broken["picture"] for broken in report["broken"]] == ["img/Weapon/broken.png"]
    assert report["overlap"]["records"] == ["val/img/Violence/leaked.png"]
    assert "Sex in train" in report["empty_categories"]
    assert "Violence in train" not in report["empty_categories"]
    assert any("'../up.png'" in note for note in report["notes"])


def test_piped_output_is_plain_and_unwrapped(troubled):
    text = printed(check(troubled))
    assert text.isascii()
    assert "\x1b" not in text
    assert all(note in text for note in load(troubled).notes)


def test_a_data_set_cannot_drive_the_terminal(tmp_path):
    report = check(write(tmp_path, train=[record("a", category="\x1b[2J[bold]Weapon[/nothing]")]))
    text = printed(report, terminal=True)
    assert "\x1b[2J" not in text
    assert "?[2J[bold]Weapon[/nothing]" in text


def test_counts_are_by_category_split_and_set(tmp_path):
    no_retain = dict.fromkeys(RETAIN)
    root = write(tmp_path, train=[record("a"), record("b", **no_retain)], val=[record("c", category="Sex")])
    pair = {"set": "general", "image_path": "x.png", "question": "Why?", "answer": "So.", "category": "Sex"}
    (root / "extra_val.json").write_text(json.dumps([pair]))
    counts = {(count.category, count.split): count for count in check(root).counts}
    weapon, sex = counts.pop(("Weapon", "train")), counts.pop(("Sex", "val"))
    assert not counts
    assert (weapon.records, weapon.forget, weapon.retain, weapon.decouple, weapon.extra) == (2, 8, 4, 8, 0)
    assert (sex.records, sex.forget, sex.retain, sex.decouple, sex.extra) == (1, 4, 4, 4, 1)


def bomb(path):
    """A PNG that claims 20,000 x 20,000 pixels and holds none."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def cut(path):
    Image.effect_noise((64, 64), 50).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-600])


def large(path):
    Image.new("1", (10_000, 6_000)).save(path)  # 60 million pixels, few bytes: below what Pillow itself warns of


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(b""), "cannot be read as JPEG"),
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "cannot be read as JPEG"),
        (cut, "cannot be decoded: image file is truncated"),
        (bomb, "cannot be decoded: Image size (400000000 pixels)"),
        (large, "10,000 x 6,000 pixels"),
    ],
)
def test_a_picture_that_cannot_be_decoded_in_full_is_broken(tmp_path, damage, why):
    root = write(tmp_path, train=[record("a")])
    damage(picture(root / "img/Weapon/a.png"))
    report = check(root)
    (broken,) = report.broken
    assert broken.picture == "img/Weapon/a.png"
    assert why in broken.why
    assert not report.usable
    assert "picture" in report.why


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_whole_picture_is_not_broken_whatever_its_name_says(tmp_path, format_name):
    root = write(tmp_path, train=[record("a")])
    picture(root / "img/Weapon/a.png")
    Image.new("RGB", (4, 4)).save(root / "img/Weapon/a.png", format_name)
    report = check(root)
    assert report.usable
    assert report.broken == ()


def test_every_copy_of_a_broken_picture_is_named(tmp_path):
    root = write(tmp_path, train=[record("a"), record("b")])
    for name in ("a", "b"):
        picture(root / f"img/Weapon/{name}.png").write_bytes(b"same")
    report = check(root)
    assert [broken.picture for broken in report.broken] == ["img/Weapon/a.png", "img/Weapon/b.png"]
    assert report.duplicates == (("img/Weapon/a.png", "img/Weapon/b.png"),)
    assert (report.pictures, report.distinct_pictures) == (2, 1)


def test_missing_pictures_are_named_with_their_record(tmp_path):
    root = write(tmp_path, train=[record("a"), record("b", SDImage_path=None)])
    picture(root / "img/Weapon/b.png")
    assert check(root).missing == (
        "train/img/Weapon/a.png: harmful picture",
        "train/img/Weapon/a.png: safe picture",
    )
    assert check(root).without_decouple == ("train/img/Weapon/b.png",)


def test_the_most_repeated_target_is_given_with_its_share(tmp_path):
    records = [record("a"), record("b")]
    for pair in [*records[0]["unsafe_pairs"], records[1]["unsafe_pairs"][0]]:
        pair["model_response"] = "tra la " * 50
    (target,) = check(write(tmp_path, train=records, val=[record("c")])).repeated_targets
    assert (target.category, target.split, target.pairs, target.share, target.words) == (
        "Weapon",
        "train",
        5,
        5 / 8,
        100,
    )
    assert target.first.startswith("train/img/")


@pytest.mark.parametrize(
    ("train", "why"),
    [("[{]", "line 1, column 3"), ('[{"image_id": 4}]', "field image_id"), ("[]", "No record has a forget pair")],
)
def test_what_cannot_be_used_is_unusable_and_says_why(tmp_path, train, why):
    root = write(tmp_path)
    (root / "all_train.json").write_text(train)
    report = check(root)
    assert not report.usable
    assert why in report.why
    assert "NOT USABLE" in printed(report)
    assert why in printed(report)


def test_a_folder_that_is_not_there_is_unusable(tmp_path):
    assert "all_train.json" in check(tmp_path / "nowhere").why


@pytest.fixture
def leaking(tmp_path):
    """Val records that share nothing, the picture, a question, the safe picture with train; and one without picture."""
    safe = "pdset/image/Weapon/val/{}.png".format
    root = write(
        tmp_path,
        train=[record("seen", asks="hum")],
        val=[
            record("new", asks="buzz", safe=safe(1)),
            record("copied", asks="ring", safe=safe(2)),
            record("asked", asks="chirp", safe=safe(3)),
            record("safe", asks="click", safe=safe(4)),
            record("gone", asks="snore", safe=safe(5)),
        ],
    )
    asked = json.loads((root / "all_val.json").read_text())
    asked[2]["unsafe_pairs"][3]["question"] = "  how does it  HUM 0?"
    (root / "all_val.json").write_text(json.dumps(asked))
    shades = {"seen": 1, "new": 2, "copied": 1, "asked": 3, "safe": 4}
    for name, shade in shades.items():
        picture(root / f"img/Weapon/{name}.png", shade)
    picture(root / "pdset/image/Weapon/train/1.png", 100)
    for n, shade in enumerate([101, 102, 103, 100, 105], start=1):
        picture(root / safe(n), shade)
    general = [
        {"set": "general", "image_path": path, "question": "Why?", "answer": "So."}
        for path in (safe(1), safe(4), "img/Weapon/copied.png")
    ]
    (root / "extra_val.json").write_text(json.dumps(general))
    return root


def test_clean_val_drops_what_train_has_shown_or_asked(leaking):
    sets = {"new": ("forget", "retain", "decouple"), "safe": ("forget", "retain")}
    expected = {f"val/img/Weapon/{name}.png/{s}/{k}" for name, kept in sets.items() for s in kept for k in range(4)}
    assert clean_val(load(leaking)) == expected | {"val/pdset/image/Weapon/val/1.png/general/0"}


def test_the_overlap_is_counted_by_its_cause(leaking):
    overlap = check(leaking).overlap
    assert (overlap.harmful_pictures, overlap.questions, overlap.safe_pictures) == (1, 1, 1)
    assert (overlap.val_records, overlap.val_safe_pictures) == (5, 5)
    assert (overlap.clean_records, overlap.clean_decouple_pairs) == (2, 4)
    assert overlap.records == ()


def test_a_record_in_both_splits_is_found_under_another_name(tmp_path):
    root = write(tmp_path, train=[record("a")], val=[record("b"), record("c")])
    for name, shade in {"a": 1, "b": 1, "c": 2}.items():
        picture(root / f"img/Weapon/{name}.png", shade)
    assert check(root).overlap.records == ("val/img/Weapon/b.png",)


def test_each_picture_is_hashed_once(leaking):
    dataset = load(leaking)
    hashes = picture_hashes(dataset)
    assert len(hashes) == 5 + 1 + 5
    assert hashes[dataset.train[0].picture] == hashes[dataset.val[1].picture]
    assert hashes[dataset.train[0].picture] != hashes[dataset.val[0].picture]


def test_the_data_set_hash_sees_content_and_not_form(leaking, tmp_path_factory):
    before = dataset_hash(load(leaking))
    file = leaking / "all_val.json"
    records = json.loads(file.read_text())
    file.write_text("\n".join(json.dumps(one) for one in reversed(records)))
    assert dataset_hash(load(leaking)) == before
    moved = leaking.rename(tmp_path_factory.mktemp("moved") / "set")
    assert dataset_hash(load(moved)) == before
    records[0]["unsafe_pairs"][0]["model_response"] += " Again."
    (moved / "all_val.json").write_text(json.dumps(records))
    changed = dataset_hash(load(moved))
    assert changed != before
    (moved / "img/Weapon/new.png").write_bytes(b"shorter")
    assert dataset_hash(load(moved)) not in (before, changed)


def test_what_missing_pictures_hide_is_no_number(leaking):
    for path in [*leaking.rglob("*.png")]:
        path.unlink()
    report = check(leaking)
    overlap = report.overlap
    assert (report.pictures, report.distinct_pictures) == (0, None)
    assert (overlap.harmful_pictures, overlap.safe_pictures) == (None, None)
    assert (overlap.clean_records, overlap.clean_decouple_pairs) == (None, None)
    assert (overlap.val_pictures, overlap.val_safe_pictures) == (0, 0)
    assert (overlap.val_safe_missing, overlap.train_missing) == (5, 2)
    assert overlap.questions == 1  # needs no picture
    told = json.loads(json.dumps(report.as_dict()))["overlap"]
    assert told["harmful_pictures"] is told["clean_records"] is None
    unknown = {what for what, count, _ in report.numbers() if count is None}
    assert unknown == {
        "distinct pictures",
        "broken",
        "groups of duplicates",
        "val records whose harmful picture is in train",
        "val safe pictures that are in train",
        "clean val records",
    }
    text = printed(report)
    assert "Pictures: 0, of which unknown distinct" in text
    assert "unknown of 0 val records show a picture of train" in text
    assert "of val 5 harmful and 5 safe ones are missing, of train 2" in text


def test_missing_pictures_of_train_alone_hide_what_val_shares_with_it(leaking):
    for name in ("img/Weapon/seen.png", "pdset/image/Weapon/train/1.png"):
        (leaking / name).unlink()
    overlap = check(leaking).overlap
    assert overlap.harmful_pictures is overlap.safe_pictures is overlap.clean_records is None


def test_what_is_there_is_counted_and_over_how_many(leaking):
    (leaking / "img/Weapon/asked.png").unlink()
    (leaking / "pdset/image/Weapon/val/4.png").unlink()
    report = check(leaking)
    overlap = report.overlap
    # Of 5 records gone has no picture from the start; the safe picture 4, which is in train, went now.
    assert (overlap.harmful_pictures, overlap.val_pictures, overlap.val_records) == (1, 3, 5)
    assert (overlap.safe_pictures, overlap.val_safe_pictures, overlap.val_safe_missing) == (0, 4, 1)
    assert (overlap.clean_records, overlap.clean_decouple_pairs, overlap.train_missing) == (2, 4, 0)
    text = printed(report)
    assert "1 of 3 val records show a picture of train" in text
    assert "0 of 4 val safe pictures are a picture of train" in text
    assert "of val 2 harmful and 1 safe ones are missing, of train 0" in text


def test_a_record_of_which_a_picture_is_missing_may_be_in_both_splits(tmp_path):
    train = [record("a"), record("b", asks="buzz"), record("c", asks="ring")]
    val = [record("a"), record("x"), record("y", asks="buzz"), record("z", asks="ring"), record("n", asks="click")]
    root = write(tmp_path, train=train, val=val)
    for name in ("y", "c", "z"):
        picture(root / f"img/Weapon/{name}.png", ord(name))
    overlap = check(root).overlap
    assert overlap.records == ("val/img/Weapon/a.png",)  # missing in both, under one name
    assert overlap.undecided_records == 2  # x and y; z shows another picture than c, n asks something else
    assert "2 of 5 val records ask what a record of train asks" in printed(check(root))


def test_without_missing_pictures_nothing_is_said_about_them(tmp_path):
    safe = "pdset/image/Weapon/train/1.png"
    root = write(tmp_path, train=[record("a")], val=[record("b", asks="buzz")])
    for shade, path in enumerate(["img/Weapon/a.png", "img/Weapon/b.png", safe]):
        picture(root / path, shade)
    assert "are missing" not in printed(check(root))
    assert check(root).overlap.harmful_pictures == 0


def test_pointers_of_git_lfs_in_the_place_of_pictures_are_named(tmp_path):
    root = write(tmp_path, train=[record("a")])
    for path in ("img/Weapon/a.png", "pdset/image/Weapon/train/1.png"):
        picture(root / path)
        (root / path).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{path}\nsize 9\n")
    report = check(root)
    assert not report.usable
    assert "git lfs pull" in report.why
    assert all("git lfs pull" in broken.why for broken in report.broken)
    assert len(report.broken) == 2
    assert "git lfs pull" in printed(report)


def test_json_that_is_a_pointer_of_git_lfs_is_named(tmp_path):
    root = write(tmp_path, train=[record("a")])
    (root / "all_val.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "all_val.json is a Git LFS pointer" in check(root).why
    assert "git lfs pull" in printed(check(root))


def test_keywords_are_counted_by_split_and_compared(tmp_path):
    words = {"a": ("spoon", "cup"), "b": ("Big  Spoon", None), "c": ("", "cup")}
    train = [record(name, keyword=word, safe_keyword=safe) for name, (word, safe) in words.items()]
    val = [record("d", keyword="big spoon ", safe_keyword="vase"), record("e", keyword="fork", safe_keyword=" ")]
    report = check(write(tmp_path, train=train, val=val))
    word, safe = report.keywords
    assert (word.train, word.train_without, word.val, word.val_without, word.both) == (2, 1, 2, 0, 1)
    assert (safe.train, safe.train_without, safe.val, safe.val_without, safe.both) == (1, 1, 1, 1, 0)
    assert "2 distinct keywords in train (1 records without), 2 in val (0 without), 1 in both" in printed(report)
    assert json.loads(json.dumps(report.as_dict()))["keywords"][1]["kind"] == "safe keyword"


def test_targets_that_are_verbatim_the_same_are_told_from_those_that_differ_in_form(tmp_path):
    one = record("a")
    answers = ["Tra la.", "Tra la.", "tra  la!", " Tra la", "Hum", "hum", "Ring", "Sing"]
    one["unsafe_pairs"] = [{"question": f"How {k}?", "model_response": text} for k, text in enumerate(answers)]
    report = check(write(tmp_path, train=[one]))
    (target,) = report.repeated_targets
    assert (target.pairs, target.share, target.words) == (2, 2 / 8, 2)
    assert (target.alike, target.alike_share) == (4, 4 / 8)
    assert "2 pairs (25%) share 2 words verbatim, 4 (50%) are the same but for case, spacing and" in printed(report)


def test_targets_that_differ_in_form_alone_are_not_called_verbatim_the_same(tmp_path):
    one = record("a")
    answers = ["Tra la.", "tra la", "Hum"]
    one["unsafe_pairs"] = [{"question": f"How {k}?", "model_response": text} for k, text in enumerate(answers)]
    report = check(write(tmp_path, train=[one]))
    (target,) = report.repeated_targets
    assert (target.pairs, target.alike, target.alike_share) == (1, 2, 2 / 3)
    assert "no two targets are verbatim the same, 2 (67%) are the same but for case" in printed(report)


@pytest.mark.slow
def test_ten_thousand_quirks_are_told_in_few_lines(tmp_path):
    count = 10_000
    train = [
        record(str(n), category=f"Puddings {n}", image_path=f"img/Weapon/{n}.PNG", safe=f"pdset/{n}.png")
        for n in range(count)
    ]
    root = write(tmp_path, train=train)
    (root / "img/Weapon").mkdir(parents=True)
    for n in range(count):
        (root / f"img/Weapon/{n}.png").write_bytes(b"no picture")
    report = check(root)
    text = printed(report)
    assert "differently on disk (10,000 times)" in text
    assert "Broken pictures: 10,000" in text
    assert len(text.splitlines()) < 200
    assert len(text) < 20_000
    assert len(report.notes) < 20
