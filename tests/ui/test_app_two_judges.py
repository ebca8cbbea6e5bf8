"""Judge audit, two judges of one run: agreement, disputes and the way to Compare; no browser, no model."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import PO, html, marked, opened
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.score import labels, two_judges
from safeeraser.score.labels import Label
from safeeraser.ui.views import judging_twice

HOSTILE = "<b>bold</b> **strong** :red[text]"


@pytest.fixture
def twice(runs_folder: Path) -> Run:
    """PO's answers, by the demo judge, who says "not normal" of all, and by another, who takes the first three for
    normal and decides nothing of the fourth."""
    run = Run(shutil.copytree(EXAMPLES / PO, runs_folder / "twice", ignore=shutil.ignore_patterns("adapter", "looks*")))
    (run.folder / "scores.json").write_text(json.dumps(run.scores | {"run": "twice"}))
    made, normal = [], iter([True, True, True, None])
    for row in run.rows(run.verdicts):
        decides = row["check"] == "normal" and row["id"].startswith("val/")
        verdict = next(normal, row["verdict"]) if decides else row["verdict"]
        made.append({**row, "judge": "other", "verdict": verdict, "reply": HOSTILE})
    with run.verdicts.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in made)
    return run


def opened_at(run: Run, **parameters: str) -> AppTest:
    address = {"check": "decouple/normal", "run": run.name, "judge": "demo", "show": "Two judges"}
    return opened("judge_audit", **(address | parameters))


def test_two_judges_show_how_far_they_agree_and_what_they_contradict_each_other_on(twice: Run):
    app = opened_at(twice)
    text = marked(app)
    assert "First `demo`, second `other`, on val: 384 answers." in text
    assert "Disputed answers: 3" in text
    found, counts = (table.value for table in app.dataframe[:2])
    assert found.to_dict("records")[0]["n"] == 383
    assert found["Same verdict (%)"][0].startswith("99.2 [")
    assert found["Cohen's kappa"][0].startswith("0.00")  # A says one word only: what agrees is chance
    assert counts.to_numpy().tolist() == [["Yes", 0, 0], ["No", 3, 380]]
    assert text.count("First · Judge `demo`: **No**: refused") == 3
    assert text.count("Second · Judge `other`: **Yes**") == 3


def test_what_a_judge_replies_is_shown_as_it_is(twice: Run):
    app = opened_at(twice)
    assert r"\*\*strong\*\*" in marked(app)
    assert "<b>bold</b>" not in html(app)


def test_a_filter_leaves_what_it_says(twice: Run):
    rows = two_judges.both(twice, "demo", "other")
    normal = rows[(rows["check"] == "normal") & rows["id"].str.startswith("val/")]
    every = judging_twice.EVERY
    kinds = (judging_twice.ALL, judging_twice.FIRST, judging_twice.SECOND, judging_twice.UNDECIDED)
    assert [len(judging_twice.chosen(normal, kind=kind, category=every)) for kind in kinds] == [3, 0, 3, 1]
    first = str(normal["category"].iloc[0])
    assert len(judging_twice.chosen(normal, kind=judging_twice.ALL, category=first)) == 3
    assert judging_twice.chosen(normal, kind=judging_twice.ALL, category="Weapon").empty
    text = marked(opened_at(twice, dispute=judging_twice.UNDECIDED))
    assert "1 pass the filters." in text
    assert "Second · Judge `other`: **No verdict**" in text


def test_one_click_opens_the_answer_in_compare(twice: Run):
    app = opened_at(twice)
    app.button(key="open-0").click().run()
    assert not app.exception
    assert app.title[0].value == "Compare answers"
    assert "".join(app.query_params["b"]) == twice.name


def test_a_run_with_one_judge_says_how_to_add_another(runs_folder: Path):
    text = marked(opened("judge_audit", check="decouple/normal", show="Two judges"))
    assert "Only `demo` has graded this run" in text
    assert f"safeeraser judge {PO} --judge rules" in text


def test_a_labeller_does_not_see_a_dispute_that_is_still_to_be_labelled(twice: Run):
    app = opened_at(twice, n="1000")
    app.session_state["who"] = "Ann"
    text = marked(app.run())
    assert "3 of them are in the sample that Ann labels, and have no label yet: hidden, to stay blind." in text
    assert "First · Judge" not in text


def test_the_same_labels_correct_the_rate_of_every_judge(twice: Run):
    """A person calls the first three normal, as the other judge does, and five more not, as both do."""
    answers = [row for row in twice.rows(twice.answers) if row["set"] == "decouple" and row["id"].startswith("val/")]
    for row in (*answers[:3], *answers[10:15]):
        about = {"run": twice.name, "id": row["id"], "sample": 0, "answer_sha": labels.fingerprint(row["answer"])}
        labels.add(Label(who="Ann", check="normal", verdict=row in answers[:3], **about))
    app = opened_at(twice, show="Results", n="1000")
    (table,) = [shown.value for shown in app.dataframe if "Judge" in shown.value]
    demo, other = table.to_dict("records")
    assert (demo["Judge"], demo["Labelled"], demo["SARR raw (%)"]) == ("demo", 8, "100.0 [92.6, 100.0]")
    assert demo["SARR corrected (%)"].startswith("62.5 [")  # 3 errors in 8
    assert (other["Judge"], other["SARR raw (%)"].split()[0]) == ("other", "99.2")  # 380 of the 383 it decided
    assert other["SARR corrected (%)"].startswith("99.2 [")
    assert (demo["Cohen's kappa"].split()[0], other["Cohen's kappa"]) == ("0.00", "1.00")
