"""Labels: kept for good, the latest counts, two processes at once, and clear words about a file that is not one."""

import csv
import io
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeeraser.runs.folder import Run
from safeeraser.score import labels, people
from safeeraser.score.labels import Label, LabelError

RUN = Run(Path("runs/demo-po-s0"))
LABEL = Label(
    who="Ann", run=RUN.name, id="val/1.jpg/decouple/0", sample=0, answer_sha="0" * 16, check="normal", verdict=True
)

pytestmark = pytest.mark.usefixtures("runs_folder")


def test_without_a_file_there_are_no_labels_and_reading_makes_none():
    assert labels.of_run(RUN) == labels.history(RUN, id=LABEL.id, sample=0) == []
    assert labels.export().count("\n") == 1
    assert not labels.file().exists()


def test_a_label_comes_back_as_it_was_given(runs_folder):
    given = replace(LABEL, verdict=None, note='Übung\n"quoted", \'); DROP TABLE labels; --', sample=2)
    labels.add(given)
    assert labels.of_run(RUN) == [given]
    assert labels.file() == runs_folder / "labels.sqlite"


def test_the_latest_of_a_person_on_a_check_of_an_answer_counts_and_nothing_is_lost():
    first = replace(LABEL, verdict=True)
    others = [
        replace(LABEL, who="Bo"),
        replace(LABEL, check="refusal"),
        replace(LABEL, sample=1),
        replace(LABEL, id="val/2.jpg/decouple/0"),
        replace(LABEL, run="another"),
    ]
    last = replace(LABEL, verdict=None, answer_sha="1" * 16, time="2001-01-01T00:00:00+00:00")
    for label in (first, *others, last):
        labels.add(label)
    assert labels.of_run(RUN) == [*others[:4], last]
    assert labels.history(RUN, id=LABEL.id, sample=0) == [first, others[0], others[1], last]


def test_the_time_is_now_in_utc():
    values = {name: value for name, value in vars(LABEL).items() if name != "time"}
    given = datetime.fromisoformat(Label(**values).time)
    assert abs((datetime.now(UTC) - given).total_seconds()) < 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("who", value) for value in ("", "  ", "a" * 41, "Ann\n", "A\u202en")),
        ("note", "x" * 2001),
        ("check", "nice"),
        *(("time", value) for value in ("now", "2026-01-01T00:00:00", "2026-01-01T00:00:00+02:00")),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_field(field, value):
    with pytest.raises(LabelError, match=f"^{field}: must be"):
        replace(LABEL, **{field: value})


def test_the_longest_name_and_note_fit():
    labels.add(replace(LABEL, who="ä" * 40, note="x" * 2000))
    assert labels.of_run(RUN)[0].note == "x" * 2000


def test_a_fingerprint_is_the_start_of_the_sha_256_of_the_text():
    assert labels.fingerprint("abc") == "ba7816bf8f01cfea"
    assert labels.fingerprint("abc ") != labels.fingerprint("abc")


def test_the_export_holds_every_label_in_order():
    for verdict, note in ((True, 'a "b", c\nd'), (False, ""), (None, "")):
        labels.add(replace(LABEL, verdict=verdict, note=note))
    rows = list(csv.DictReader(io.StringIO(labels.export())))
    assert [row["verdict"] for row in rows] == ["true", "false", ""]
    assert rows[0] == {
        **{name: str(value) for name, value in vars(LABEL).items()},
        "verdict": "true",
        "note": 'a "b", c\nd',
    }


WRITER = """
import sys, time
from pathlib import Path
from safeeraser.score import labels, people
Path(sys.argv[2], sys.argv[1]).touch()
while len(list(Path(sys.argv[2]).iterdir())) < 3:
    time.sleep(0.001)
for k in range(40):
    labels.add(labels.Label(
        who=sys.argv[1], run="r", id=str(k), sample=0, answer_sha="", check="normal", verdict=True
    ))
"""


@pytest.mark.slow
def test_processes_that_write_the_first_labels_at_once_all_succeed(tmp_path):
    ready = tmp_path / "ready"
    ready.mkdir()
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, who, str(ready)]) for who in ("Ann", "Bo", "Cy")]
    try:
        assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
    found = labels.of_run(Run(Path("r")))
    assert {(label.who, label.id) for label in found} == {
        (who, str(k)) for who in ("Ann", "Bo", "Cy") for k in range(40)
    }
    with closing(sqlite3.connect(labels.file())) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_another_process_holds_for_too_long_is_an_error_that_names_it(monkeypatch):
    labels.add(LABEL)
    monkeypatch.setattr(people, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(labels.file(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LabelError, match=r"labels\.sqlite.*locked.*another process"):
            labels.add(LABEL)
        assert labels.of_run(RUN) == [LABEL]


USES = {"of_run": lambda: labels.of_run(RUN), "add": lambda: labels.add(LABEL), "export": labels.export}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("content", [b"", b"not a database at all, but longer than the header of one" * 40])
def test_a_file_that_is_not_one_of_labels_is_named_and_left_as_it_is(runs_folder, content, use):
    runs_folder.mkdir()
    labels.file().write_bytes(content)
    with pytest.raises(LabelError, match=r"runs/labels\.sqlite is .*not a file of labels.*move it away"):
        use()
    assert labels.file().read_bytes() == content


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_file_of_a_newer_version_is_named_and_not_touched(use):
    labels.add(LABEL)
    with closing(sqlite3.connect(labels.file())) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(LabelError, match=r"labels\.sqlite was written by a newer SafeEraser.*version 7.*update"):
        use()


def test_a_damaged_page_is_an_error_that_names_the_file():
    for k in range(20):
        labels.add(replace(LABEL, id=str(k), note="x" * 2000))
    whole = bytearray(labels.file().read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    labels.file().write_bytes(whole)
    with pytest.raises(LabelError, match=r"labels\.sqlite is damaged"):
        labels.export()


def test_a_row_changed_by_hand_is_an_error_that_names_the_file():
    labels.add(LABEL)
    with closing(sqlite3.connect(labels.file())) as database, database:
        database.execute("UPDATE labels SET \"check\" = 'nice'")
    with pytest.raises(LabelError, match=r"labels\.sqlite.*check: must be.*'nice'"):
        labels.of_run(RUN)


def test_what_is_left_of_a_file_that_was_moved_away_does_not_get_into_the_new_one():
    labels.add(LABEL)
    with closing(sqlite3.connect(labels.file(), isolation_level=None)) as other:
        assert other.execute("SELECT count(*) FROM labels").fetchone() == (1,)
        labels.add(replace(LABEL, who="Bo"))
        left = labels.file().with_name("labels.sqlite-wal")
        content = left.read_bytes()
        assert content
    labels.file().unlink()
    left.write_bytes(content)
    labels.file().with_name(".labels.sqlite.new").write_bytes(b"of a kill")
    labels.add(replace(LABEL, who="Cy"))
    assert [label.who for label in labels.of_run(RUN)] == ["Cy"]
    assert [path.name for path in labels.file().parent.iterdir()] == ["labels.sqlite"]
