"""Files that are whole or not there: the only way to write, append to, read the end of, or stamp a file.

Covered: a kill or a full disk at any moment, several processes that write one file, and errors that say what to do.
Not covered: which files there are and what is in them (`runs/folder.py`, `store.py`, `data/`).
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from safeeraser.errors import SafeEraserError

END = 65_536  # bytes that `end` and `last_lines` read
AT_ONCE = 64  # lines that `append` writes together
PROBE = 1_000_000  # bytes

_ADVICE = {
    errno.ENOSPC: "The disk is full: free space on it, then give the same command again.",
    errno.EDQUOT: "Your quota on this disk is used up: free space, then give the same command again.",
    errno.EFBIG: "A limit on the size of files is in force (ulimit -f): raise it, then give the same command again.",
    errno.EROFS: "The disk is read-only: choose a folder that can be written (SAFEERASER_RUNS for runs).",
    errno.EACCES: "Make it writable, or choose another folder (SAFEERASER_RUNS for runs).",
    errno.EPERM: "Make it writable, or choose another folder (SAFEERASER_RUNS for runs).",
    errno.EISDIR: "A folder is in its place: move it away, then give the same command again.",
    errno.EEXIST: "A file is where a folder has to be: move it away, then give the same command again.",
    errno.ENOTDIR: "A file is where a folder has to be: move it away, then give the same command again.",
}


class FileError(SafeEraserError):
    """A file cannot be written or read; the message names it and says what to do. reason: in the system's words."""

    def __init__(self, path: Path, act: str, error: OSError) -> None:
        self.reason = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Check the disk and the folder's permissions.")
        super().__init__(f"{path} cannot be {act}: {self.reason}. {advice}")


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole: a kill leaves the old one or the new one, and beside it at most `scratch_of(path)`.

    The next writing takes that over. Makes the folder if it is missing. Raises FileError.
    """
    scratch = scratch_of(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(scratch) as file:
            file.truncate(0)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            scratch.replace(path)
        _sync(path.parent)


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Write a folder whole, in place of one that is there: a kill leaves all of it or nothing. Raises FileError.

    fill: writes the files into the empty folder that it is given, by `put` or a library's own way. Where it fails,
    nothing is left of what it wrote.
    """
    scratch = scratch_of(target)
    with explained(target):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            fill(scratch)
        except BaseException as error:
            try:
                if isinstance(error, Exception):
                    _probe(scratch)  # libraries say in words of their own that a disk is full, the system clearly
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            raise
        for file in scratch.rglob("*"):
            _sync(file)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
        _sync(target.parent)


def put(path: Path, content: str | bytes) -> None:
    """Write a file below a folder that `write_folder` fills, which nobody else sees yet. Raises FileError."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def scratch_of(path: Path) -> Path:
    """The name under which a file or folder is written before it gets its own."""
    return path.with_name(f".{path.name}.new")


def append(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file and make sure that they are on the disk. Raises FileError.

    A kill leaves some of the lines and perhaps the start of the next, which `lines` leaves out; a full disk leaves
    whole lines only.
    """
    encoded = (f"{line}\n".encode() for line in lines)
    with explained(path):
        file = path.open("ab", buffering=0)
    with file:
        start = file.tell()
        while some := b"".join(islice(encoded, AT_ONCE)):
            with explained(path):
                try:
                    while some:
                        some = some[file.write(some) :]
                except OSError:
                    os.truncate(path, start + path.read_bytes()[start:].rfind(b"\n") + 1)
                    raise
        with explained(path):
            os.fsync(file.fileno())


def append_in_turn(path: Path, lines: Iterable[str]) -> None:
    """`append` for a file that several processes add to: one after the other, on lines of their own.

    What a kill left half-written stays as it is. Makes the folder if it is missing. Raises FileError.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            half = size and file.read() != b"\n"
            append(path, ["", *lines] if half else lines)


def lines(path: Path) -> list[bytes]:
    """The whole lines of a file, without their ends; none where there is no file. Raises FileError."""
    return _read(path).split(b"\n")[:-1]


def last_lines(path: Path) -> list[str]:
    """The whole lines in the last END bytes of a file; none where there is no file. Raises FileError."""
    return end(path)[:-1]


def end(path: Path) -> list[str]:
    """The lines in the last END bytes of a file, from the first whole one on; the last has no end yet, or is empty."""
    with explained(path, "read"):
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - END))
                found = file.read().decode("utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
    return found[1:] if size > END else found


def count_lines(path: Path) -> int:
    """How many whole lines a file has; 0 where there is none. Raises FileError."""
    return _read(path).count(b"\n")


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file changes: time of change in ns and size in bytes; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@contextmanager
def explained(path: Path, act: str = "written") -> Iterator[None]:
    """Turn what the system says into a FileError that says what to do; act: what cannot be done with the path."""
    try:
        yield
    except OSError as error:
        raise FileError(path, act, error) from error


@contextmanager
def _alone(scratch: Path) -> Iterator:
    """The scratch file, open and locked: another process that writes the same file waits its turn."""
    while True:
        file = scratch.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is(scratch, file.fileno()):
                break
        except BaseException:
            file.close()
            raise
        file.close()  # another process has given it its name meanwhile
    with file:
        yield file


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _probe(folder: Path) -> None:
    """Raise OSError if nothing can be written here."""
    file = folder / ".probe"
    file.write_bytes(bytes(PROBE))
    file.unlink()


def _sync(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    with explained(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
