"""README and docs as the tests read them; run as a program, it prints their made tables anew.

A made table stands between `<!-- made by: COMMAND -->` and `<!-- end -->`, and is what that command prints.
"""

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

from safeeraser import cli

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
MADE = re.compile(r"(?<=<!-- made by: )safeeraser (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def name_of(page: Path) -> str:
    """`docs/judges.md`."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """What stands in its fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The command lines of its bash blocks in order, without comments and without entering the environment."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", "").splitlines()
    written = (re.sub(r"(^|\s+)#.*", "", line) for line in lines)
    return [line.removeprefix(". .venv/bin/activate && ") for line in written if line]


def printed(command: str) -> str:
    """What `safeeraser COMMAND` prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert cli.main(shlex.split(command)) == 0, command
    return said.getvalue().strip()


def remade(text: str) -> str:
    """A page's text with what the commands of its made tables print now."""
    return MADE.sub(lambda table: f"safeeraser {table[1]} -->\n{printed(table[1])}\n<!-- end -->", text)


if __name__ == "__main__":
    os.chdir(ROOT)
    for page in PAGES:
        page.write_text(remade(text_of(page)), encoding="utf-8")
