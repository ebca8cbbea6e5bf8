"""Votes in the arena: kept once, beside the labels, and what they say of the runs."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from safeeraser.score import labels, people, votes
from safeeraser.score.people import LabelError
from safeeraser.score.preference import standings
from safeeraser.score.votes import Vote

VOTE = Vote(
    token="t0",
    who="Ann",
    session="s",
    data="demo",
    item="val/1.jpg/decouple/0",
    question="What is this?",
    left="po",
    right="po-pd",
    left_sha="0" * 16,
    right_sha="1" * 16,
    temperature=0.7,
    seed=3,
    vote="right",
    left_tags=("refusal", "over-forgetting"),
)

pytestmark = pytest.mark.usefixtures("runs_folder")


def several(*given: str, left: str = "po", right: str = "po-pd", start: int = 0) -> list[Vote]:
    return [
        replace(VOTE, token=f"{left}{right}{n}", item=f"i{n}", vote=vote, left=left, right=right)
        for n, vote in enumerate(given, start)
    ]


def test_a_vote_comes_back_as_it_was_given():
    assert votes.every() == []
    assert votes.add(VOTE)
    assert votes.every() == [VOTE]


def test_a_question_has_one_vote_the_first():
    assert votes.add(VOTE)
    assert not votes.add(replace(VOTE, vote="left"))
    assert [vote.vote for vote in votes.every()] == ["right"]


def test_votes_lie_beside_the_labels_also_in_an_older_file():
    people.file().parent.mkdir(parents=True)
    with closing(sqlite3.connect(people.file())) as database:
        database.executescript(f"{people._LABELS} PRAGMA user_version = 1;")
    assert votes.every() == []
    votes.add(VOTE)
    assert votes.every() == [VOTE]
    assert labels.export().count("\n") == 1


@pytest.mark.parametrize(
    ("field", "value"), [("vote", "middle"), ("who", ""), ("left_tags", ("nice",)), ("right_tags", ("<b>",))]
)
def test_a_value_that_cannot_be_is_refused_with_its_field(field, value):
    with pytest.raises(LabelError, match=f"^{field}: must be"):
        replace(VOTE, **{field: value})


def test_votes_are_chosen_by_data_set_and_runs():
    for vote in (VOTE, replace(VOTE, token="t1", data="other"), replace(VOTE, token="t2", right="ga")):
        votes.add(vote)
    assert [vote.token for vote in votes.every(data="demo")] == ["t0", "t2"]
    assert [vote.token for vote in votes.every(runs=["po", "po-pd"])] == ["t0", "t1"]


def test_csv_and_jsonl_hold_every_field():
    [row] = csv.DictReader(io.StringIO(votes.as_csv([replace(VOTE, question="=1+1")])))
    assert row["question"] == "'=1+1"
    assert row["left_tags"] == "refusal;over-forgetting"
    assert json.loads(votes.as_jsonl([VOTE])) == json.loads(json.dumps(vars(VOTE)))


def test_two_runs_worked_out_by_hand():
    # po stands left: it wins 1, loses 5, and ties in 2, so its share is (1 + 2 / 2) / 8.
    found = standings(several("left", *["right"] * 5, "both fine", "both bad"))
    first, second = found
    assert (first.run, first.won, first.lost, first.both_fine, first.both_bad) == ("po-pd", 5, 1, 1, 1)
    assert first.share == 0.75
    assert second.share == 0.25
    # With one tie more: 6.5 of 9, and odds are the scores of Bradley-Terry for two.
    assert first.rating == pytest.approx(6.5 / 9, abs=1e-3)
    assert first.rating + second.rating == pytest.approx(1)
    assert first.rating_low is not None
    assert first.rating_high is not None
    assert 0.4 < first.rating_low < first.rating < first.rating_high < 1
    assert second.tags == {"refusal": 8, "over-forgetting": 8}


def test_sides_do_not_matter():
    turned = [*several("right", "right", "left"), *several("left", "left", "right", left="po-pd", right="po", start=3)]
    assert {one.run: one.won for one in standings(turned)} == {"po-pd": 4, "po": 2}


def test_a_run_that_never_lost_is_not_infinitely_strong_and_the_order_is_that_of_strength():
    chain = [
        *several(*["left"] * 4, left="a", right="b"),
        *several(*["left"] * 4, left="b", right="c"),
    ]
    found = standings(chain)
    assert [one.run for one in found] == ["a", "b", "c"]
    assert found[0].share == 1
    assert 0.5 < found[0].rating < 1


def test_one_question_many_times_is_one_question():
    same = [replace(VOTE, token=f"t{n}") for n in range(20)]
    [first, _] = standings(same)
    assert (first.n, first.questions) == (20, 1)
    assert first.rating_low is first.rating_high is None
    assert first.low is not None
    assert first.low < 0.1  # one question says little


def test_no_vote_no_standing():
    assert standings([]) == []
