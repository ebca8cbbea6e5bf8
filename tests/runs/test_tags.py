"""Tags: kept for good, of any number of sessions at once, and read as far as a damaged file can be."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safeeraser.files import FileError
from safeeraser.runs import tags
from safeeraser.runs.tags import TagError

pytestmark = pytest.mark.usefixtures("runs_folder")


def test_without_a_file_there_are_no_tags_and_reading_makes_none(runs_folder: Path):
    assert tags.every().by_run == {}
    assert tags.every().of("one") == []
    tags.take(["one"], "x")
    assert not runs_folder.exists()


def test_a_tag_is_given_to_several_runs_and_taken_from_one():
    tags.give(["one", "two"], " for the talk ")
    tags.give(["two"], "wide")
    tags.give(["two"], "wide")
    tags.take(["one"], "for the talk")
    assert tags.every().by_run == {"two": ["for the talk", "wide"]}
    tags.give(["one"], "for the talk")
    assert tags.every().of("one") == ["for the talk"]
    assert len(tags.file().read_text().splitlines()) == 5
    tags.forget("two")
    assert tags.every().by_run == {"one": ["for the talk"]}


@pytest.mark.parametrize("text", ["", "  ", "x" * 31, "two\nlines", "\u202e", "\ud800"])
def test_what_is_no_short_line_of_text_is_no_tag(text: str):
    with pytest.raises(TagError, match="1 to 30 printable characters"):
        tags.give(["one"], text)
    assert not tags.file().exists()


def test_a_hostile_tag_comes_back_as_it_was_given():
    text = '"}\\n{`:red[x]` <b>, ä 🙂'
    tags.give(["../one, two"], text)
    assert tags.every().by_run == {"../one, two": [text]}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("{broken\n", "line 2: not valid JSON"),
        ('{"time": 1.0, "run": "one", "tag": 5, "given": true}\n', "line 2: tag: Input should be a valid string"),
        (f'{{"time": 1.0, "run": "one", "tag": "{"x" * 99}", "given": true}}\n', "line 2: tag: String should have"),
        ("\n[]\n", "line 2: .*, and 1 more"),
    ],
)
def test_a_damaged_line_costs_itself_alone_and_is_named(damage: str, words: str):
    tags.give(["one"], "first")
    with tags.file().open("a") as file:
        file.write(damage)
    tags.give(["one"], "last")
    found = tags.every()
    assert found.of("one") == ["first", "last"]
    assert found.damage
    assert f"{tags.file()}, " in found.damage
    assert re.search(words, found.damage)
    assert "Mend or remove that line" in found.damage


def test_a_folder_in_place_of_the_file_is_told_and_nothing_is_given():
    tags.file().mkdir(parents=True)
    assert "tags.jsonl cannot be read" in (tags.every().damage or "")
    with pytest.raises(FileError, match="A folder is in its place"):
        tags.give(["one"], "x")


WRITER = """
import sys, time
from pathlib import Path
from safeeraser.runs import tags
Path(sys.argv[2], sys.argv[1]).touch()
while len(list(Path(sys.argv[2]).iterdir())) < 3:
    time.sleep(0.001)
for k in range(40):
    tags.give([f"run {k}"], sys.argv[1])
"""


def test_sessions_that_give_tags_at_once_lose_none(tmp_path: Path):
    ready = tmp_path / "ready"
    ready.mkdir()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tag, str(ready)]) for tag in ("a", "b", "c")]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0]
    found = tags.every()
    assert found.damage is None
    assert {run: sorted(given) for run, given in found.by_run.items()} == {
        f"run {k}": ["a", "b", "c"] for k in range(40)
    }
    assert all(json.loads(line)["given"] for line in tags.file().read_text().splitlines())
