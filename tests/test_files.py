"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeeraser import files
from safeeraser.files import FileError


def test_a_file_is_written_whole_into_a_new_folder_and_over_what_was_left_half_written(tmp_path: Path):
    file = tmp_path / "new" / "state.json"
    files.write(file, "ä\n")
    files.scratch_of(file).write_text("half")
    files.write(file, b"second")
    assert file.read_bytes() == b"second"
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "state.json"
    files.write(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"state\.json cannot be written: No space left.* free space on it"):
        files.write(file, "new")
    assert file.read_text() == "old"
    monkeypatch.undo()
    files.write(file, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json"]


def test_processes_that_write_one_file_at_once_all_succeed(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path; from safeeraser import files\n"
        "for number in range(100): files.write(Path(sys.argv[1]), sys.argv[2] * 10_000)"
    )
    file = tmp_path / "one.json"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(file), letter]) for letter in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert file.read_text() in {letter * 10_000 for letter in "abc"}
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_whole_lines_and_the_rest_can_be_added_later(tmp_path: Path):
    """A limit on the size of files stands in for the disk: the system refuses in the middle of a line."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from safeeraser import files\\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_050, 10_050))\\n"
        "try: files.append(Path(sys.argv[1]), ['x' * 99] * 1_000)\\n"
        "except files.FileError as error: print(error)"
    ).replace("\\n", "\n")
    file = tmp_path / "answers.jsonl"
    ran = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert "cannot be written" in ran.stdout
    assert "ulimit -f" in ran.stdout
    assert file.stat().st_size == 10_000
    files.append(file, ["y"])
    assert files.lines(file) == [b"x" * 99] * 100 + [b"y"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "adapter"
    files.write_folder(target, lambda folder: folder.joinpath("a").write_text("first") and None)

    def fails(folder: Path) -> None:
        (folder / "a").write_text("second")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        files.write_folder(target, fails)
    assert (target / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]
    files.write_folder(target, lambda folder: folder.joinpath("b").write_text("third") and None)
    assert [path.name for path in target.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_library_says_of_a_full_disk_is_said_in_the_systems_words(tmp_path: Path, monkeypatch):
    def fails(folder: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664]")

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_probe", full)
    with pytest.raises(FileError, match=r"No space left on device\. The disk is full: free space"):
        files.write_folder(tmp_path / "adapter", fails)


def test_lines_are_whole_and_the_last_ones_are_read_from_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "log.txt"
    assert files.lines(file) == files.last_lines(file) == []
    file.write_bytes("eins\nzwei ä\ndrei".encode())
    assert files.lines(file) == [b"eins", "zwei ä".encode()]
    assert files.count_lines(file) == 2
    monkeypatch.setattr(files, "END", 14)
    assert files.last_lines(file) == ["zwei ä"]


@pytest.mark.parametrize("read", [files.lines, files.last_lines, files.count_lines])
def test_a_folder_in_the_place_of_a_file_is_named(read, tmp_path: Path):
    with pytest.raises(FileError, match=r"cannot be read: Is a directory\. A folder is in its place"):
        read(tmp_path)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="A file is where a folder has to be"):
        files.write(tmp_path / "file" / "below", "")


def test_a_stamp_changes_with_the_file(tmp_path: Path):
    file = tmp_path / "a"
    assert files.stamp(file) is None
    file.write_text("a")
    first = files.stamp(file)
    file.write_text("ab")
    assert files.stamp(file) != first


def test_what_is_added_in_turn_never_shares_a_line_with_what_a_kill_left(tmp_path: Path):
    file = tmp_path / "new" / "tags.jsonl"
    files.append_in_turn(file, ["one", "two"])
    files.append_in_turn(file, ["three"])
    assert files.lines(file) == [b"one", b"two", b"three"]
    file.write_bytes(b"one\nhal")
    files.append_in_turn(file, ["two"])
    assert files.lines(file) == [b"one", b"hal", b"two"]
