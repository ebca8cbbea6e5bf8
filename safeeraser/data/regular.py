"""Opening a file that somebody else wrote: a regular one of bounded size, or none.

Covered: pipes, devices and folders in the place of a file, which could be waited for or read for ever, files that are
too large, and pointers that Git LFS leaves in the place of files. Not covered: links (`finding.py`), and content.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

from safeeraser.data.records import DataError

_LFS_START = b"version https://git-lfs.github.com/spec/v1"
LFS_POINTER = "is a Git LFS pointer instead of the file: run `git lfs pull` in the data set folder"


class FileKindError(DataError):
    """What is there is no file that may be read; the message goes on after its name."""


def opened(path: Path, *, most: int) -> BufferedReader:
    """The file, open for reading; whoever asks closes it.

    Raises FileKindError for what is no regular file or has more than `most` bytes, and OSError as `Path.open` does.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if why := _unfit(os.fstat(descriptor), most=most):
            raise FileKindError(why)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _unfit(facts: os.stat_result, *, most: int) -> str | None:
    """Why a file with these facts is not read; None if it may be."""
    if stat.S_ISDIR(facts.st_mode):
        return "is a folder, not a file"
    if not stat.S_ISREG(facts.st_mode):
        return "is a pipe, a device or a socket, not a file"
    if facts.st_size > most:
        return f"has {facts.st_size:,} bytes, more than {most:,}"
    return None


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file with this start is what Git LFS leaves behind until it is asked for the file."""
    return start.startswith(_LFS_START)
