"""`safeeraser arena`: what it starts, what it prints of the votes, and what its page in docs/ says."""

import csv
import io
import json
import re
import shlex
from typing import Any

import pytest

from app import BASE, PO, PO_PD
from safeeraser import cli
from safeeraser.arena import server
from safeeraser.assets import ROOT
from safeeraser.score import votes
from safeeraser.score.votes import Vote

pytestmark = pytest.mark.usefixtures("runs_folder")


def voted(*given: str, left: str = PO, right: str = PO_PD) -> None:
    who: dict[str, Any] = {"who": "Ann", "session": "s", "data": "demo", "left_sha": "", "right_sha": ""}
    for vote in given:
        token = str(len(votes.every()))
        how: dict[str, Any] = {"item": token, "question": "What?", "temperature": 0.0, "seed": 0, "vote": vote}
        votes.add(Vote(token=token, left=left, right=right, **how, **who))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the arena was started."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "serve", lambda arena, **how: found.append({"runs": list(arena.runs), **how}))
    monkeypatch.delenv(server.PASSWORD, raising=False)
    return found


def test_alone_it_starts_the_shipped_pair_on_this_machine_without_a_password(started: list[dict[str, Any]]):
    assert cli.main(["arena"]) == 0
    [how] = started
    assert how["runs"] == [PO, PO_PD]
    assert (how["host"], how["share"], how["password"]) == ("127.0.0.1", False, None)


@pytest.mark.parametrize("flags", [["--host", "0.0.0.0"], ["--share"]])
def test_for_others_a_password_is_made_and_printed_once(started: list[dict[str, Any]], flags: list[str], capsys):
    assert cli.main(["arena", PO, *flags]) == 0
    [how] = started
    said = capsys.readouterr()
    assert (said.out + said.err).count(how["password"]) == 1
    assert how["runs"] == [PO, BASE]


def test_a_password_of_ones_own_is_never_printed(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv(server.PASSWORD, "a password of my own")
    assert cli.main(["arena", "--share"]) == 0
    said = capsys.readouterr()
    assert "a password of my own" not in said.out + said.err
    assert started[0]["password"] == "a password of my own"


def test_results_are_a_table_or_csv_or_every_vote(capsys):
    assert cli.main(["arena", "results"]) == 0
    assert "no vote yet" in capsys.readouterr().out
    voted("right", "right", "left", "both fine")
    assert cli.main(["arena", "results"]) == 0
    assert re.search(rf"{PO_PD} +4 +2 +1 +1 +0 +62\.5 \[", capsys.readouterr().out)
    assert cli.main(["arena", "results", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["run"], row["share"]) for row in rows] == [(PO_PD, "0.625"), (PO, "0.375")]
    assert cli.main(["arena", "results", "--format", "jsonl"]) == 0
    assert [json.loads(line)["vote"] for line in capsys.readouterr().out.splitlines()] == [
        *("right", "right", "left", "both fine")
    ]


def test_results_can_be_of_some_runs_and_every_vote_as_csv(capsys):
    voted("left")
    voted("left", right="demo-ga-s0-096b66")
    assert cli.main(["arena", "results", PO, PO_PD, "--format", "csv", "--votes"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["left"], row["right"]) == (PO, PO_PD)


def test_runs_that_never_met_are_in_tables_of_their_own(capsys):
    voted("left", "right")
    voted("left", left="other-po", right="other-ga")
    assert cli.main(["arena", "results", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["run"]: row["group"] for row in rows} == {PO: "0", PO_PD: "0", "other-po": "1", "other-ga": "1"}
    assert cli.main(["arena", "results"]) == 0
    assert capsys.readouterr().out.count("On demo") == 2


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_port_that_is_none_is_named(port: str, capsys):
    with pytest.raises(SystemExit):
        cli.main(["arena", "--port", port])
    assert "must be a whole number from 1 to 65535" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--format", "csv"], "--format has no effect on the arena itself"),
        (["results", "--share"], "--share has no effect on results"),
        (["results", "--votes"], "--votes needs --format csv"),
        (["no-such-run"], "no run 'no-such-run'"),
        (["results", "no-such-run"], "no vote on 'no-such-run'; there are votes on no run"),
    ],
)
def test_a_flag_that_has_no_effect_and_a_run_that_is_none_are_named(words: list[str], flag: str, capsys):
    assert cli.main(["arena", *words]) == 1
    assert flag in capsys.readouterr().err.replace("\n", " ")


def test_every_command_line_of_its_page_is_understood():
    page = (ROOT / "docs" / "arena.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^safeeraser (.+)$", blocks, re.MULTILINE)]
    assert len(lines) == 8
    for words in lines:
        cli.parser(only=words[0]).parse_args(words)
