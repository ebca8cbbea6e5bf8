"""A bundle's files: what is in the index, what of harm is not in it at all, and what may be replaced."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from browser import sent
from PIL import Image
from worlds import SECRET, checked, content, read, small, telling, write

from app import PO, PO_PD
from safeeraser import cli, files, stages
from safeeraser.bundle import folder, pictures
from safeeraser.bundle.contents import Contents
from safeeraser.bundle.folder import BundleError
from safeeraser.charts import outcome_words
from safeeraser.data import images
from safeeraser.data.source import Source
from safeeraser.report import collecting
from safeeraser.report.collecting import Group
from safeeraser.runs.folder import Run, RunError
from safeeraser.score import outcomes


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Group, Path]]:
    """Runs on a data set that says nothing of itself, and their bundle."""
    place = tmp_path_factory.mktemp("hiding")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAFEERASER_RUNS", str(place / "runs"))
        group = small(place, harmless=False, answer=telling)
        yield group, write(group, place / "bundle")


@pytest.fixture(scope="module")
def po() -> Group:
    runs = [Run.find(PO), Run.find(PO_PD)]
    rows = {run.name: run.scores for run in (*runs, runs[0].base)}
    (group,) = collecting.collect(runs, {"demo": Source("demo")}, rows=rows)  # pyright: ignore[reportArgumentType]
    return group


def originals(group: Group, *, harmful: bool) -> set[Path]:
    items = [item for item in group.source.items.values() if item.split == "val" and item.picture]
    dangerous = pictures.hidden(items)
    return dangerous if harmful else {item.picture for item in items if item.picture} - dangerous


def test_no_file_holds_a_harmful_picture_nor_anything_it_could_be_told_from(hiding: tuple[Group, Path]):
    group, bundle = hiding
    found = content(bundle)
    assert len(originals(group, harmful=True)) > 10
    for path in originals(group, harmful=True):
        assert not [name for name, text in found.items() if path.read_bytes() in text], path
        assert not [name for name, text in found.items() if path.name.encode() in Path(name).name.encode()]
    drawn = [body for name, body in found.items() if name.endswith(".webp")]
    assert sent(drawn, originals(group, harmful=True)) == set()
    assert sent(drawn, originals(group, harmful=False)) == originals(group, harmful=False)
    small = [name for name in found if name.endswith(".webp") and max(Image.open(bundle / name).size) <= images.PREVIEW]
    assert len(small) == len(originals(group, harmful=True))


def test_harmful_words_are_in_no_file_and_harmless_ones_are(hiding: tuple[Group, Path]):
    group, bundle = hiding
    whole = b"\n".join(content(bundle).values())
    assert SECRET.encode() not in whole
    assert b"plain words about" in whole
    stored = {json.dumps(item.answer).encode() for item in group.source.items.values() if item.split == "val"}
    harmful = {
        json.dumps(item.answer).encode()
        for item in group.source.items.values()
        if outcome_words.harmful_set(item.set) and item.answer
    }
    assert len(harmful) > 10
    assert not [text for text in harmful if text in whole]
    assert [text for text in stored - harmful if text in whole]


def test_a_harmful_stored_answer_is_folded_whatever_it_is_said_about(po: Group):
    """A model may take a safe thing for a harmful one, and give that one's answer."""
    hidden, shown = (Contents(po, hides=hides) for hides in (True, False))
    harmful = next(item for item in po.source.items.values() if outcome_words.harmful_set(item.set))
    safe = next(item for item in hidden.items if item.set == "decouple")
    row = {"answer": f" {harmful.answer.upper()}", "outcome": "off topic", "reply": ""}
    assert [contents._said(safe, row)[0] for contents in (hidden, shown)] == [None, row["answer"]]


def test_no_file_says_where_on_this_machine_its_data_lay(hiding: tuple[Group, Path]):
    group, bundle = hiding
    where = str(Path(group.rows[0]["data"]).parent)
    assert Path(where).is_absolute()
    assert [name for name, text in content(bundle).items() if where.encode() in text] == []


def test_originals_are_in_it_where_that_is_asked_for(hiding: tuple[Group, Path], tmp_path: Path):
    group, _ = hiding
    found = content(write(group, tmp_path / "bundle", originals=True))
    drawn = [body for name, body in found.items() if name.endswith(".webp")]
    assert sent(drawn, originals(group, harmful=True)) == originals(group, harmful=True)
    assert SECRET.encode() in b"\n".join(found.values())
    assert b"Shows harmful pictures" in found["index.html"]


def test_a_picture_brings_nothing_of_its_file_along(tmp_path: Path):
    picture = Image.new("RGB", (60, 40), "red")
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"by me")
    found = images.seen(tmp_path / "a.jpg", hidden=False, form="WEBP")
    assert b"taken at home" in (tmp_path / "a.jpg").read_bytes()
    assert found
    assert b"taken at home" not in found
    assert b"by me" not in found


def test_the_index_says_what_every_run_makes_of_every_question(po: Group):
    contents = Contents(po, hides=False)
    index = contents.index({})
    at = index["items"]["id"].index("val/img/Weapon/41.jpg/decouple/0")
    rows = outcomes.answers(Run.find(PO_PD), "demo").set_index("id")
    assert [run["label"] for run in index["runs"]] == ["base", "PO", "PO+PD"]
    assert index["outcomes"][index["codes"][2][at]] == rows.loc["val/img/Weapon/41.jpg/decouple/0", "outcome"]
    assert index["items"]["split"][0] == "val"
    assert index["items"]["set"][0] == "decouple"
    assert index["items"]["split"][-1] == "train"
    (pair,) = index["pairs"]
    assert [index["runs"][run]["label"] for run in pair["runs"]] == ["PO", "PO+PD", "base"]
    assert [part["number"] for part in pair["parts"]] == ["384 of 384", "111 of 384", "4 of 384"]
    assert pair["parts"][1]["sure"] == "29 %, 95 % interval 19–42 %"
    sarr = next(metric for metric in index["metrics"] if metric["key"] == "sarr")
    assert (sarr["scores"][2]["text"], sarr["scores"][2]["says"]) == ("28.9", "95 % interval 18.9 to 41.6, n = 384")
    assert len(index["cases"]) == 384
    safe, harmful = index["cases"][0]
    assert index["items"]["id"][safe].replace("/decouple/", "/forget/") == index["items"]["id"][harmful]


def test_a_chunk_has_the_answers_of_its_items_with_the_wrong_refusal_marked(po: Group):
    contents = Contents(po, hides=False)
    chunks = list(contents.chunks())
    assert sum(map(len, chunks)) == len(contents.items) == 3168
    at = next(place for place, item in enumerate(contents.items) if item.id == "val/img/Weapon/41.jpg/decouple/0")
    stored, (base, refusing, _) = chunks[at // 100][at % 100]
    assert stored == contents.items[at].answer
    assert base[2:] == []
    text, _, (start, end) = refusing
    assert text[start:end] == text


def test_the_same_runs_make_the_same_bytes_and_the_checksums_see_one_change(hiding: tuple[Group, Path], tmp_path: Path):
    group, bundle = hiding
    again = write(group, tmp_path / "again")
    assert content(again) == content(bundle)
    assert checked(again).returncode == 0
    (again / "data" / "index.js").write_text("receive()")
    assert checked(again).returncode == 1


def test_the_header_of_a_space_is_yaml_and_listed_among_the_checksums(hiding: tuple[Group, Path], tmp_path: Path):
    group, bundle = hiding
    space = write(group, tmp_path / "space", space=True)
    _, header, _ = (space / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said = yaml.safe_load(header)
    assert (said["sdk"], said["app_file"]) == ("static", "index.html")
    assert said["title"] == "Unlearning and over-forgetting: 2 runs"
    assert checked(space).returncode == 0
    assert not (bundle / "README.md").exists()


def test_only_a_bundle_is_replaced_and_only_where_that_is_asked_for(hiding: tuple[Group, Path], tmp_path: Path):
    group, _ = hiding
    bundle = write(group, tmp_path / "bundle")
    with pytest.raises(BundleError, match="is not empty; choose another folder, or add --force"):
        folder.check_place(bundle, replace=False)
    folder.check_place(bundle, replace=True)
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds more than one: notes\.txt"):
        folder.check_place(bundle, replace=True)
    (tmp_path / "other").mkdir()
    folder.check_place(tmp_path / "other", replace=False)
    (tmp_path / "other" / "mine").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle"):
        folder.check_place(tmp_path / "other", replace=True)
    with pytest.raises(BundleError, match="is no folder"):
        folder.check_place(tmp_path / "other" / "mine", replace=True)


def test_a_full_disk_leaves_the_old_bundle_and_nothing_beside_it(
    hiding: tuple[Group, Path], tmp_path: Path, monkeypatch
):
    group, _ = hiding
    bundle = write(group, tmp_path / "bundle")
    before = content(bundle)
    put = files.put

    def full(path: Path, text: str | bytes) -> None:
        if path.name == "index.html":
            with files.explained(path):
                raise OSError(28, "No space left on device")
        put(path, text)

    monkeypatch.setattr(files, "put", full)
    with pytest.raises(files.FileError, match="The disk is full"):
        write(group, bundle)
    assert content(bundle) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_runs_that_do_not_compare_are_refused_by_name(po: Group):
    row = stages.score(Run.find(PO_PD), po.source, "demo") | {"judge": "rules"}
    both = collecting.collect([Run.find(PO), Run.find(PO_PD)], {"demo": po.source}, rows={PO_PD: row})  # pyright: ignore
    with pytest.raises(BundleError, match=rf"differ in data, judge or decoding.*{PO_PD}.*bundle each apart"):
        folder.only(both)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-run", "--out", "b"], "no run 'no-such-run'"),
        ([PO, "--out", "nowhere/b"], "there is no folder nowhere"),
        ([PO, "--out", "full"], "full is not empty"),
        ([PO, "--out", "b", "--judge", "rules"], "has no verdicts by 'rules'"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_made(
    words: list[str], message: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert cli.main(["bundle", *words]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_originals_of_data_that_may_disturb_need_a_yes(hiding: tuple[Group, Path], tmp_path: Path, monkeypatch, capsys):
    group, bundle = hiding
    monkeypatch.setenv("SAFEERASER_RUNS", str(bundle.parent / "runs"))
    names = [str(run.folder) for run in group.runs.values()]
    words = ["bundle", *names, "--judge", "people", "--out", str(tmp_path / "b"), "--with-originals"]
    assert cli.main(words) == 1
    assert "nobody is here to agree" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda: "yes")
    assert cli.main(words) == 1
    assert "not confirmed, so nothing was made" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert cli.main([*words, "--yes"]) == 0
    assert read(tmp_path / "b")["hides"] is False


def test_a_run_without_verdicts_is_named(hiding: tuple[Group, Path]):
    group, _ = hiding
    with pytest.raises(RunError, match="no verdicts by 'rules'"):
        collecting.collect(list(group.runs.values()), {group.rows[0]["data"]: group.source}, judge="rules")
