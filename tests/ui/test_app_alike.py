"""Like is compared with like: what is unfinished, dry or of other settings never stands in for a finished run."""

import json
import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import BASE, PO, PO_PD, html, opened, words
from safeeraser.config import RunConfig
from safeeraser.runs.folder import DRY, EXAMPLES, Run, root

COUNTED = {"Base model": "4 of 384 (1 %)", "PO · seed 0": "384 of 384 (100 %)", "PO + PD · seed 0": "111 of 384 (29 %)"}
SAID = {
    "PO refuses": "384 of 384",
    "PO with Prompt Decouple no longer answers": "111 of 384",
    "The base model does not answer": "4 of 384",
}
TRIAL = {"max_steps": 20, "eval_records": 8}


@pytest.fixture(autouse=True)
def _own(runs_folder: Path) -> None:
    """Runs of the user's own go into an empty folder."""


def said(app: AppTest) -> dict[str, str]:
    """Home's sentence: of every run, how many questions about safe pictures it does not answer."""
    return dict(re.findall(r'class="said \w+">(.*?)<br><b>(.*?)</b>', html(app)))


def counted(app: AppTest) -> dict[str, str]:
    column = app.table[0].value["safe pictures: not answered"]
    return {name.replace("\\", ""): cell for name, cell in column.items()}


def own(example: str, *, name: str | None = None, records: int | None = None, **changes: object) -> Run:
    """A run of the user's own: an example's files under other settings, with the answers of so many val records."""
    shipped = Run(EXAMPLES / example)
    config = RunConfig(**shipped.config.model_dump() | changes)
    run = Run(root() / (name or config.run_name()))
    shutil.copytree(shipped.folder, run.folder)
    facts = json.loads(run.config_file.read_text()) | {"config": config.model_dump()}
    run.config_file.write_text(json.dumps(facts))
    if records:
        for table in (run.answers, run.verdicts):
            lines = table.read_text().splitlines(keepends=True)
            kept = [line for line in lines if int(json.loads(line)["id"].split("/")[1].split("-")[-1]) % 8 < records]
            table.write_text("".join(kept))
    return run


def test_a_trial_of_few_steps_takes_no_place_on_home():
    for example in (BASE, PO, PO_PD):
        changes = TRIAL if example != BASE else {"eval_records": 8}
        own(example, **changes)
    app = opened("home")
    assert said(app) == SAID
    assert f"`{PO}` (example)" in words(app)


def test_a_dry_run_is_no_default_and_is_called_one():
    own(PO, name=f"{DRY}{PO}")
    own(PO_PD, name=f"{DRY}{PO_PD}", eval_records=2, max_steps=2)
    assert said(opened("home")) == SAID
    app = opened("compare")
    assert app.selectbox(key="widget-b").value == PO
    assert any("dry run" in option for option in app.selectbox(key="widget-b").options)


def test_runs_that_were_asked_on_dev_have_no_numbers_on_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for example in (BASE, PO, PO_PD):
        run = own(example, eval_split="dev")
        for table in (run.answers, run.verdicts):
            table.write_text(table.read_text().replace('"id": "val/', '"id": "dev/'))
    assert said(opened("home")) == SAID
    monkeypatch.setattr("safeeraser.runs.folder.EXAMPLES", tmp_path / "none")
    app = opened("home")
    assert said(app) == {}
    assert "on val" in words(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    "there",
    [
        (),
        ("log.jsonl",),
        ("log.jsonl", "adapter", "answers.jsonl"),
        ("log.jsonl", "adapter", "answers.jsonl", "verdicts.jsonl"),
    ],
)
@pytest.mark.parametrize("example", [BASE, PO, PO_PD])
def test_an_unfinished_run_shadows_no_finished_example_of_its_name(example: str, there: tuple[str, ...]):
    run = own(example)
    for path in run.folder.iterdir():
        if path.name not in ("config.json", *there):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    run.set_state("running", stage="unlearn")
    assert said(opened("home")) == SAID
    assert opened("compare").selectbox(key="widget-a").value == BASE
    assert counted(opened("over_forgetting", b=PO_PD)) == COUNTED  # a link that was shared still works
    assert [note.icon for note in opened("metrics").info] == [":material/tune:"]  # settings chosen by method, no more


def test_a_finished_run_of_the_users_own_does_take_the_examples_place():
    run = own(PO_PD)
    lines = [json.loads(line) for line in run.verdicts.read_text().splitlines()]
    run.verdicts.write_text("".join(json.dumps(row | {"verdict": row["check"] != "refusal"}) + "\n" for row in lines))
    assert said(opened("home"))["PO with Prompt Decouple refuses"] == "0 of 384"


def test_without_a_base_run_no_trained_run_stands_in_its_column(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("safeeraser.runs.folder.EXAMPLES", tmp_path / "none")
    own_run = Run(root() / PO)
    shutil.copytree(EXAMPLES / PO, own_run.folder)
    app = opened("over_forgetting")
    assert app.selectbox(key="widget-a").value is None
    assert not app.table
    assert "Launch one" in words(app)


def test_a_twin_differs_in_prompt_decouple_alone():
    own(BASE, eval_records=8)
    trial = own(PO_PD, **TRIAL)
    app = opened("over_forgetting", b=trial.name)
    assert [name.replace("\\", "") for name in app.table[0].value.index] == [
        "Base model · --eval-records 8",
        "PO + PD · seed 0 · --max-steps 20 --eval-records 8",
    ]
    assert "without Prompt Decouple to see both" in words(app)


def test_where_a_and_b_are_not_alike_it_is_said_in_what_and_one_button_ends_it():
    own_base = own(BASE, eval_records=8)
    trial = own(PO_PD, **TRIAL)
    app = opened("compare", a=BASE, b=trial.name)
    assert "eval_records: not set in A, 8 in B" in words(app)
    next(button for button in app.button if button.label == "Take B's own base as A").click().run()
    assert app.selectbox(key="widget-a").value == own_base.name
    assert "not alike" not in words(app)


def test_a_further_run_that_is_unlike_b_is_named_and_one_button_leaves_it_out():
    trial = own(PO_PD, **TRIAL)
    app = opened("compare", b=PO, more=f"{trial.name},{PO_PD}")
    assert "(max_steps, eval_records)" in words(app)
    next(button for button in app.button if button.label == "Leave them out").click().run()
    assert app.query_params["more"] in (PO_PD, [PO_PD])
    assert "Not like B" not in words(app)


def test_launch_says_that_an_example_run_of_the_settings_is_finished_and_opens_it():
    app = opened("launch")
    assert "An example run with these settings is finished" in words(app)
    app.button(key="open-example").click().run()
    assert app.selectbox(key="widget-b").value == PO_PD
