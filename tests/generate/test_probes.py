"""Probes: kept for good, of any number of sessions at once, and read as far as a damaged file can be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from safeeraser.files import FileError
from safeeraser.generate import probes

pytestmark = pytest.mark.usefixtures("runs_folder")
ROW = {"time": 1.0, "data": "demo", "item": "a", "question": "Why?", "answers": {}, "kept": True}


def test_without_a_file_there_are_no_probes_and_reading_makes_none(runs_folder: Path):
    assert probes.of("demo").kept == []
    assert not runs_folder.exists()


def test_answers_to_the_same_question_come_together_and_the_latest_of_a_run_counts():
    probes.keep("demo", "a", " Why? ", {"one": "so", "two": "no"})
    probes.keep("demo", "b", "Why?", {"one": "else"})
    probes.keep("other", "a", "Why?", {"one": "other data"})
    probes.keep("demo", "a", "Why?", {"two": "yes", "three": "perhaps"})
    newest, oldest = probes.of("demo").kept
    assert (newest.item, newest.answers) == ("b", {"one": "else"})
    assert (oldest.item, oldest.question) == ("a", "Why?")
    assert oldest.answers == {"one": "so", "two": "yes", "three": "perhaps"}
    assert len(probes.of("other").kept) == 1


def test_the_first_who_asked_and_when_each_run_was_made_are_kept():
    probes.keep("demo", "a", "Why?", {"one": "so"}, who="Ann", made={"one": "1"})
    probes.keep("demo", "a", "Why?", {"one": "no", "two": "yes"}, who="Bo", made={"one": "2", "two": "1"})
    (probe,) = probes.of("demo").kept
    assert (probe.who, probe.made) == ("Ann", {"one": "2", "two": "1"})


def test_a_removed_probe_is_gone_with_its_answers_until_it_is_asked_again():
    probes.keep("demo", "a", "Why?", {"one": "so"})
    probes.remove(probes.of("demo").kept[0])
    assert probes.of("demo").kept == []
    probes.keep("demo", "a", "Why?", {"two": "no"})
    assert [probe.answers for probe in probes.of("demo").kept] == [{"two": "no"}]


def test_hostile_texts_come_back_as_they_were_and_are_one_probe_each():
    text = '"}\\n{`:red[x]` <b>, ä 🙂\u2028\n$x$'
    probes.keep("demo", "../a", text, {'"], "': text})
    (probe,) = probes.of("demo").kept
    assert (probe.item, probe.question, probe.answers) == ("../a", text, {'"], "': text})
    probes.keep("demo", 'a", "b', "c", {})
    probes.keep("demo", "a", 'b", "c', {})
    assert len({probe.key for probe in probes.of("demo").kept}) == 3


@pytest.mark.parametrize(
    "damage",
    [
        "{broken",
        "[]",
        json.dumps(ROW | {"answers": ["so"]}),
        json.dumps(ROW | {"question": ""}),
        json.dumps(ROW | {"time": 1e300}),
        json.dumps(ROW | {"time": float("nan")}),
        json.dumps(ROW | {"kept": 1}),
    ],
)
def test_a_damaged_line_costs_itself_alone_and_is_named(damage: str):
    probes.keep("demo", "a", "Why?", {"one": "so"})
    with probes.file().open("a") as file:
        file.write(f"{damage}\n")
    probes.keep("demo", "b", "Why?", {"one": "so"})
    found = probes.of("demo")
    assert [probe.item for probe in found.kept] == ["b", "a"]
    assert found.damage
    assert f"{probes.file()}, line 2: " in found.damage


def test_what_a_kill_left_half_written_spoils_no_other_row():
    probes.keep("demo", "a", "Why?", {"one": "so"})
    with probes.file().open("a") as file:
        file.write('{"time": 1.0, "da')
    probes.keep("demo", "b", "Why?", {"one": "so"})
    assert len(probes.of("demo").kept) == 2


def test_a_folder_in_place_of_the_file_is_told_and_nothing_is_kept():
    probes.file().mkdir(parents=True)
    assert "probes.jsonl cannot be read" in (probes.of("demo").damage or "")
    with pytest.raises(FileError, match="A folder is in its place"):
        probes.keep("demo", "a", "Why?", {})


WRITER = """
import sys
from safeeraser.generate import probes
for k in range(40):
    probes.keep("demo", str(k), "Why?", {sys.argv[1]: "so"})
"""


def test_sessions_that_ask_at_once_lose_no_answer():
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name]) for name in ("one", "two")]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0]
    found = probes.of("demo")
    assert found.damage is None
    assert len(found.kept) == 40
    assert all(probe.answers == {"one": "so", "two": "so"} for probe in found.kept)
