"""`safeeraser report`: the form follows the file's name, and what cannot be is named before any work."""

import json
import shutil
from pathlib import Path

import pytest

from app import BASE, PO, PO_PD
from safeeraser import cli
from safeeraser.charts import exports
from safeeraser.runs.folder import EXAMPLES


@pytest.fixture(autouse=True)
def undrawn(runs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "svgs", lambda charts, **_: [b"<svg/>" for _ in charts])


def test_a_report_of_two_runs_holds_the_base_and_the_command_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", PO, PO_PD, "--seed", "3", "--examples", "1"]) == 0
    assert capsys.readouterr().out == "report: report.html\n"
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"safeeraser report {PO} {PO_PD} --seed 3 --examples 1" in text
    assert BASE in text
    assert text.count('<section class="question">') == 1


def test_tables_are_printed_or_written_in_the_form_of_the_files_name(tmp_path: Path, capsys):
    for name, begins in (("t.tex", "% in the preamble:"), ("t.md", "# Unlearning and over-forgetting: 2 runs")):
        assert cli.main(["report", PO, "--output", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    capsys.readouterr()
    assert cli.main(["report", PO, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Unlearning")


def test_examples_are_the_questions_that_the_report_draws_with_each_runs_answer(tmp_path: Path, capsys):
    assert cli.main(["report", PO, PO_PD, "--format", "examples", "--examples", "5", "--seed", "3"]) == 0
    head, _, *rows, empty, told = capsys.readouterr().out.splitlines()
    assert head == "| Picture | Question | base | PO | PO+PD |"
    assert (len(rows), empty) == (5, "")
    assert told.startswith("5 of 384 questions about safe pictures of val, drawn by seed 3: demo")
    assert cli.main(["report", PO, PO_PD, "--examples", "5", "--seed", "3", "--output", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for row in rows:
        picture, question, base, refused, _ = row.strip("| ").split(" | ")
        assert picture in base
        assert question in page
        assert base.removesuffix(" (answers)") in page
        assert refused.endswith("(refuses)")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "report.pdf"], "end the name with .html, .tex, .md"),
        (["--output", "nowhere/report.html"], "there is no folder nowhere"),
        (["--format", "latex", "--harmful-pictures"], "no effect with --format latex"),
        (["--format", "examples", "--harmful-pictures"], "no effect with --format examples"),
        (["--format", "markdown", "--seed", "1"], "--seed has no effect with --format markdown"),
    ],
)
def test_what_cannot_be_is_named_before_any_work(flags: list[str], message: str, monkeypatch, capsys):
    monkeypatch.setattr("safeeraser.commands.running.load", lambda _: pytest.fail("worked"))
    assert cli.main(["report", PO, *flags]) == 1
    assert message in capsys.readouterr().err


def test_a_run_on_data_that_changed_is_refused(runs_folder: Path, capsys):
    shutil.copytree(EXAMPLES / PO, runs_folder / "mine")
    config = runs_folder / "mine" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data_hash": "0" * 64}))
    assert cli.main(["report", "mine"]) == 1
    assert "mine was made on other data than demo holds now" in capsys.readouterr().err
