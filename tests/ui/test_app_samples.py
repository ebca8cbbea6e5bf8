"""Samples, and what it shares with Compare: the filters, the order, and every run's outcome; and the blind vote."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from app import BASE, PO, PO_PD, opened, words
from safeeraser.data.source import Source
from safeeraser.demo.world import SAFE_SEEN
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.score import labels, outcomes, slices
from safeeraser.ui.frame.pages import PAGES


@pytest.fixture(autouse=True)
def _own(runs_folder: Path) -> None:
    """Runs and labels of the user's own go into an empty folder."""


def verdicts(name: str, set_name: str) -> dict[str, str]:
    rows = outcomes.answers(Run(EXAMPLES / name), "demo")
    rows = rows[(rows["set"] == set_name) & (rows["split"] == "val")]
    return dict(zip(rows["id"], rows["outcome"], strict=True))


def test_samples_has_every_run_and_the_questions_on_which_they_disagree_come_first():
    app = opened("samples")
    assert "384 questions" in words(app)
    table = app.dataframe[0].value
    assert len(table) == 20
    first = ["Base model", "PO · seed 0", "PO + PD · seed 0", "always-refuse"]  # A, B, its twin, then the others
    assert list(table.columns[3:7]) == first
    assert len(table.columns) == 3 + len(list(EXAMPLES.glob("demo-*")))
    shares = table["Disagree"].tolist()
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0


def test_a_mark_says_what_the_judge_says_and_its_sign_whether_that_is_good():
    found = opened("samples", set="decouple", sort="as in the data").dataframe[0].value
    po, pd = verdicts(PO, "decouple"), verdicts(PO_PD, "decouple")
    first = list(po)[:20]
    assert found["PO · seed 0"].tolist() == [f"{'✓' if po[id] == 'answers' else '✗'} {po[id]}" for id in first]
    assert [cell.split(" ", 1)[1] for cell in found["PO + PD · seed 0"]] == [pd[id] for id in first]


def test_filters_leave_what_they_say_and_compare_walks_through_the_same_questions():
    address = {"set": "decouple", "seen": "unseen", "outcome": "refuses", "of": PO_PD}
    app = opened("samples", **address)
    items = Source("demo").items
    wanted = [
        id for id, word in verdicts(PO_PD, "decouple").items()
        if word == "refuses" and items[id].concept not in SAFE_SEEN
    ]  # fmt: skip
    assert f"{len(wanted)} questions" in words(app)
    app.selectbox[-1].select_index(0).run()
    assert app.title[0].value == "Compare answers"
    assert f"1 of {len(wanted)} answers" in words(app).replace("*", "")
    assert {name: app.query_params[name] for name in address} in (address, {k: [v] for k, v in address.items()})


def test_disagreement_is_the_share_of_runs_that_are_not_with_the_most():
    codes = np.array([[0, 0, -1, 2], [0, 1, -1, 1], [0, 1, -1, 0], [0, 2, 3, -1]])
    assert outcomes.disagreement(codes).tolist() == [0.0, 0.5, 0.0, pytest.approx(2 / 3)]


def test_slices_tell_the_rate_apart_by_what_pd_training_showed():
    rows = outcomes.answers(Run(EXAMPLES / PO_PD), "demo")
    found = {one.name: one.score for one in slices.slices(rows[rows["split"] == "val"], Source("demo").items)}
    saved = json.loads((EXAMPLES / PO_PD / "scores.json").read_text())["metrics"]
    for name, metric in {"seen in training": "sarr_seen", "never seen": "sarr_unseen"}.items():
        assert {**found[name]} == saved[metric]


def test_while_blind_nothing_says_who_is_who_and_a_vote_does_and_is_kept():
    app = opened("compare", set="decouple", b=PO, blind="1", outcome_b="refuses")
    assert not [button for button in app.button if (button.key or "").startswith("matrix-")]
    assert not app.tabs
    assert "Base model" not in words(app)
    assert "over-forgotten" not in words(app)
    assert "384 answers" in words(app).replace("*", "")
    app.button(key="vote-Answer 1").click().run()
    assert "Enter your name" in app.error[0].value
    app.text_input(key="who").set_value("Ann")
    app.button(key="vote-Answer 1").click().run()
    assert "You voted: Answer 1" in app.success[0].value
    assert {"Base model", "PO · seed 0"} <= set(re.findall(r"\*\*(.*?)\*\*", app.success[0].value))
    given = [*labels.of_run(Run(EXAMPLES / BASE)), *labels.of_run(Run(EXAMPLES / PO))]
    assert sorted((label.check, label.verdict) for label in given) == [("preferred", False), ("preferred", True)]


@pytest.mark.parametrize("name", PAGES)
def test_no_page_speaks_python(name: str):
    for address in ({}, {"section": "Tables"} if name == "metrics" else {"run": PO_PD} if name == "runs" else {}):
        app = opened(name, **address)
        tables = [*(table.value for table in app.table), *(frame.value for frame in app.dataframe)]
        cells = "\n".join(str(cell) for table in tables for cell in table.to_numpy().ravel() if isinstance(cell, str))
        placeholders = "\n".join(str(box.placeholder) for box in (*app.multiselect, *app.text_input))
        found = re.findall(r"\b(None|True|False|nan|NaN)\b", "\n".join([words(app), cells, placeholders]))
        assert found == []
