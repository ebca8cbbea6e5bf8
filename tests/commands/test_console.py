"""What the commands print: a name, a message or an answer is shown as it is, and can neither format nor steer."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest

from safeeraser import cli
from safeeraser.commands import console
from safeeraser.config import RunConfig
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.runs.progress import reporter

MARKUP = "[red]r[/red] [/] [link=https://evil.example]l[/link] :smile: [[x]] \\[y]"
# Sets the title, rings, clears the screen, goes back over the line, the same as one byte, turns the order of letters.
STEERING = "a\x1b]0;title\x07\x1b[2J\rb\b\x9b31m\x85\u202egnp\u2066x\u2028z\x00"
OWN = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")  # what rich itself writes: colours, and the lines of a progress bar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal that both consoles of the commands speak to."""
    shown = io.StringIO()
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "_file", shown)
        monkeypatch.setattr(one, "_force_terminal", True)
        monkeypatch.setattr(one, "_width", 400)
    return shown


def steers(text: str) -> bool:
    """Whether something is left that a terminal obeys, other than what rich writes."""
    return bool(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", OWN.sub("", text)))


def score_row(text: str) -> dict:
    row = json.loads((EXAMPLES / "demo-po-s0-6c48dc" / "scores.json").read_text())
    return row | {"model": text, "data": f"{text} data", "judge": text, "decoding": text}


def test_no_markup_and_no_emoji_is_read_in_a_text(terminal: io.StringIO):
    console.say(MARKUP)
    console.err.print(f"error: {MARKUP}")
    listed = console.table("Run", MARKUP)
    listed.add_row(MARKUP, "x")
    console.out.print(listed)
    assert OWN.sub("", terminal.getvalue()).count(MARKUP) == 4


def test_no_text_steers_the_terminal(terminal: io.StringIO):
    console.say(f"{STEERING} \udcff")  # as Python reads a byte of a file name that is no text
    console.err.print(f"error: {STEERING}")
    listed = console.table("Run", STEERING)
    listed.add_row(STEERING, "x")
    console.out.print(listed)
    shown = terminal.getvalue()
    assert not steers(shown)
    assert shown.count("?]0;title") == shown.count("?[2J") == 4
    shown.encode()


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_the_tables_of_scores_show_names_as_they_are(form: str, terminal: io.StringIO, capsys: pytest.CaptureFixture):
    console.show_scores([score_row(MARKUP), score_row(STEERING)], form)  # pyright: ignore
    shown = terminal.getvalue() + capsys.readouterr().out
    if form == "markdown":
        assert MARKUP not in shown  # it would be read as links and the like
        shown = re.sub(r"\\([^\w\s])", r"\1", shown)  # a sign after a backslash is read as the sign
    assert MARKUP in OWN.sub("", shown)
    assert not steers(shown)


def test_a_bar_shows_its_words_as_they_are(terminal: io.StringIO):
    with reporter(console.err) as progress:
        task = progress.add_task(MARKUP, total=1, completed=0, note=f"{MARKUP}{STEERING}")
        progress.update(task, completed=1, note=f"{MARKUP}{STEERING}")
    last = OWN.sub("", terminal.getvalue()).replace("\r", "")
    assert last.count(MARKUP) >= 2
    assert not steers(last)


def test_letters_of_every_script_stay(terminal: io.StringIO):
    text = "naïve – 日本語 عربي עברית नमस्ते می‌خواهم 👩‍🔬 a\u00a0b"
    console.say(text)
    assert text in terminal.getvalue()


def test_the_list_of_jobs_says_why_a_run_failed_and_obeys_it_not(runs_folder: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(EXAMPLES / "demo-po-s0-6c48dc", runs_folder / "one [red]:smile:")
    state = Run(runs_folder / "one [red]:smile:").folder / "state.json"
    said = {"status": "failed", "message": f"{MARKUP} {STEERING}"}
    state.write_text(json.dumps(json.loads(state.read_text()) | said))
    assert cli.main(["jobs"]) == 0
    shown = capsys.readouterr().out
    assert "one [red]:smile:" in shown
    assert MARKUP in shown
    assert not steers(shown)


def test_help_shows_a_percent_sign(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(RunConfig.model_fields["lr"], "description", "half (50%) of %(prog)s")
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert "half (50%) of %(prog)s" in capsys.readouterr().out
