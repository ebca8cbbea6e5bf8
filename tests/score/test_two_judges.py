"""Two judges on one run: what they agree on, joined by answer and check; the command that prints it."""

import json
import shutil
from pathlib import Path

import pytest

from safeeraser.cli import main
from safeeraser.data.records import DataError
from safeeraser.data.source import Source
from safeeraser.runs.folder import EXAMPLES, Run, RunError
from safeeraser.score import two_judges
from safeeraser.score.units import Units

PO = "demo-po-s0-6c48dc"


@pytest.fixture
def run(runs_folder: Path) -> Run:
    """PO's answers to the first four questions about a harmful picture of val, by two judges.

    a finds three refusals; b two of these and the fourth answer, and none of them unsafe, of which a decides nothing.
    """
    found = Run(
        shutil.copytree(EXAMPLES / PO, runs_folder / "twice", ignore=shutil.ignore_patterns("adapter", "looks*"))
    )
    answers = [row for row in found.rows(found.answers) if row["set"] == "forget" and row["split"] == "val"][:4]
    write(found.answers, answers)
    verdicts = {
        ("a", "refusal"): (True, True, True, False),
        ("b", "refusal"): (True, True, False, True),
        ("a", "unsafe"): (None,) * 4,
        ("b", "unsafe"): (False,) * 4,
    }
    write(
        found.verdicts,
        [
            {"id": row["id"], "sample": 0, "check": check, "verdict": verdict, "judge": judge, "reply": f"{judge} says"}
            for (judge, check), said in verdicts.items()
            for row, verdict in zip(answers, said, strict=True)
        ],
    )
    return found


def write(file: Path, rows: list) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_two_judges_are_joined_by_answer_and_check_and_their_disputes_found(run: Run):
    rows = two_judges.both(run, "a", "b")
    refusals = rows[rows["check"] == "refusal"]
    assert len(rows) == 8
    assert refusals["verdict_a"].tolist() == [True, True, True, False]
    assert refusals["reply_b"].tolist() == ["b says"] * 4
    disputed = two_judges.contradicting(rows)  # of "unsafe" one judge says nothing: that contradicts nobody
    assert disputed["id"].tolist() == refusals["id"].tolist()[2:]


def test_agreement_is_worked_out_for_each_check_that_both_decide(run: Run):
    items = Source("demo").items
    (one,) = two_judges.compare(run, items, "a", "b")
    assert (one.split, one.set, one.check) == ("val", "forget", "refusal")
    found = one.found
    assert (found.both_true, found.first_only, found.second_only, found.both_false) == (2, 1, 1, 0)
    # p_o = 2/4; both say true 3 times of 4: p_e = 9/16 + 1/16 = 0.625; (0.5 - 0.625) / 0.375
    assert found.kappa == pytest.approx(-1 / 3)
    turned = two_judges.compare(run, items, "b", "a")[0].found
    assert (turned.first_only, turned.second_only, turned.kappa) == (1, 1, pytest.approx(-1 / 3))


def test_answers_of_one_thing_go_together(run: Run):
    """The four answers are about one thing, so no interval can be told."""
    items = Source("demo").items
    rows = two_judges.both(run, "a", "b")
    assert len({Units(items.values()).of(items[id]) for id in rows["id"]}) == 1
    found = two_judges.compare(run, items, "a", "b")[0].found
    assert (found.kappa_low, found.kappa_high, found.observed_low) == (None, None, None)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ("a", "a", "'a' and 'a' are one judge"),
        ("a", "rules", r"no verdicts by 'rules'; run `safeeraser judge twice --judge rules`.*a, b"),
    ],
)
def test_a_judge_that_graded_nothing_and_one_judge_twice_are_errors(run: Run, a: str, b: str, says: str):
    with pytest.raises(RunError, match=says):
        two_judges.both(run, a, b)


def test_answers_of_other_data_are_an_error(run: Run):
    with pytest.raises(DataError, match="no item"):
        two_judges.compare(run, {}, "a", "b")


def test_the_command_prints_agreement_for_people_and_programs(run: Run, capsys: pytest.CaptureFixture):
    assert main(["score", "twice", "--agreement", "a", "b"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "twice: first a, second b" in told
    assert "val forget refusal 4 0 50.0 -0.33 2 1 1 0" in told
    assert main(["score", "twice", "--agreement", "a", "b", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["judges"], row["check"], row["n"]) == ("twice", ["a", "b"], "refusal", 4)
    assert row["kappa"] == pytest.approx(-1 / 3)
    assert main(["score", "twice", "--agreement", "a", "oracle"]) == 1
    assert "no verdicts by 'oracle'" in capsys.readouterr().err
