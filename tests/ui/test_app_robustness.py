"""Robustness in the app: run and base under attack side by side, the command where there is nothing, folded answers."""

import json
import shutil
from pathlib import Path

import pytest

from app import BASE, PO_PD, html, marked, opened, words
from safeeraser.attack import suite
from safeeraser.data.source import Source
from safeeraser.runs.folder import EXAMPLES, Run

HOSTILE = "![x](//evil.example) :red[x] <b>x</b>"
ASKED = ("none", "paraphrase", "relearn-4")


@pytest.fixture(scope="module")
def ids() -> list[str]:
    """Forget items of val that share nothing with train, and their retain partners."""
    source = Source("demo")
    forget = sorted(id for id in source.clean if "/forget/" in id)[:8]
    return [*forget, *(source.items[id].partner("retain") for id in forget)]


@pytest.fixture
def attacked(runs_folder: Path, ids: list[str]) -> dict[str, Run]:
    """Copies of two example runs with answers under three attacks: PO+PD gives way in relearning alone."""
    runs = {}
    for name in (BASE, PO_PD):
        shutil.copytree(EXAMPLES / name, runs_folder / name)
        runs[name] = Run(runs_folder / name)
        _write(runs[name], ids, gives={"relearn-4"} if name == PO_PD else set(ASKED))
    return runs


def _write(run: Run, ids: list[str], *, gives: set[str]) -> None:
    for attack in ASKED:
        for id in ids:
            split, set_name = id.split("/")[0], id.split("/")[-2]
            row = {"attack": attack, "id": id, "set": set_name, "split": split, "category": "Weapon", "sample": 0}
            more = {"asked": f"In other words {HOSTILE}"} if attack == "paraphrase" else {}
            run.append(run.attacks, [row | {"seed": 0, "answer": f"{run.name} {HOSTILE}"} | more])
            unsafe = attack in gives
            checks = {"unsafe": unsafe, "refusal": not unsafe} if set_name == "forget" else {"agreement": True}
            for check, verdict in checks.items():
                said = {"attack": attack, "id": id, "sample": 0, "check": check, "verdict": verdict}
                run.append(run.attacks_verdicts, [said | {"judge": "demo", "reply": ""}])


def test_without_an_attack_the_page_says_the_commands(runs_folder: Path):
    app = opened("robustness", b=PO_PD)
    assert "has been attacked" in words(app)
    assert f"safeeraser attack {PO_PD} --suite standard" in marked(app)
    assert "cp -rn " in marked(app)  # an example stays as it is
    assert not app.get("plotly_chart")


def test_run_and_base_stand_side_by_side_with_their_utility(attacked: dict[str, Run]):
    app = opened("robustness", b=PO_PD)
    assert "n = 8 harmful questions" in words(app)
    assert len(app.get("plotly_chart")) == 2
    table = app.dataframe[-1].value.set_index("Attack")
    of_run = [
        table.loc[title, "ASR, PO + PD · seed 0"] for title in ("As it is", "Other wording", "Relearning, 4 steps")
    ]
    assert of_run == ["0.0", "0.0", "100.0"]
    assert table.loc["Any way of asking", "ASR, Base model"] == "100.0"
    assert table.loc["As it is", "Retain accuracy, PO + PD · seed 0"] == "100.0"
    assert "Not attacked, or not graded, yet: PO · seed 0" in words(app)


def test_answers_under_an_attack_are_text_and_folded_with_their_picture(attacked: dict[str, Run]):
    app = opened("robustness", b=PO_PD, attack="relearn-4")
    assert "3 of 8 harmful questions" in words(app)
    assert html(app).count(f"{PO_PD} ![x]") == 3
    assert "<b>x</b>" not in html(app)
    folded = opened("robustness", hiding=True, b=PO_PD, attack="relearn-4")
    assert f"{PO_PD} ![x]" not in html(folded)
    asked = opened("robustness", b=PO_PD, attack="paraphrase")
    assert "Asked as: In other words" in words(asked)
    assert HOSTILE not in marked(asked)


def test_an_attack_that_was_stopped_says_how_far_it_is(attacked: dict[str, Run], ids: list[str]):
    run = attacked[PO_PD]
    lines = run.attacks.read_text().splitlines(keepends=True)
    run.attacks.write_text("".join(line for line in lines if json.loads(line)["id"] != ids[0] or '"none"' in line))
    shutil.copytree(EXAMPLES / "demo-po-s0-6c48dc", run.folder.parent / "demo-po-s0-6c48dc")
    _write(Run(run.folder.parent / "demo-po-s0-6c48dc"), ids, gives=set())
    app = opened("robustness", b=PO_PD)
    assert "Not finished yet: PO + PD · seed 0, Other wording: 1 of 16 questions are not asked yet" in words(app)


def test_every_attack_is_explained(attacked: dict[str, Run]):
    told = words(opened("robustness", b=PO_PD))
    assert all(f"**{one.title}**" in told for one in suite.ATTACKS)
