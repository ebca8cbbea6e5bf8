"""The example runs that ship with the project are what their commands make, and the tables of the docs show them."""

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from documents import README, ROOT, text_of

from safeeraser import stages
from safeeraser.assets import ASSETS
from safeeraser.config import RunConfig
from safeeraser.data.records import CATEGORIES
from safeeraser.data.source import Source
from safeeraser.generate import answering
from safeeraser.generate.questions import look_questions
from safeeraser.judge.grading import get, grade
from safeeraser.losses import CONTROLS, METHODS
from safeeraser.models import adapter, loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs import tunes
from safeeraser.runs.folder import EXAMPLES, Run, RunError
from safeeraser.score import answered, choosing, measuring, metrics
from safeeraser.unlearn import train

RESULTS = ROOT / "docs" / "results.md"
EXAMPLE_RUNS = [Run(path.parent) for path in sorted(EXAMPLES.glob("demo-*/config.json"))]


@pytest.fixture(scope="module")
def source() -> Source:
    return Source("demo")


def example(method: str, *, pd: bool = False) -> Run:
    (run,) = [r for r in EXAMPLE_RUNS if (r.config.method, r.config.pd, r.config.parts) == (method, pd, ())]
    return run


def test_they_are_the_base_model_every_published_method_the_vicinal_one_and_one_that_sarr_takes_in():
    shown = {(run.config.method, run.config.pd, run.config.parts) for run in EXAMPLE_RUNS}
    untrained = {(method, False, ()) for method in ("base", "always-refuse", "keyword-filter")}
    published = {(m, pd, ()) for m in ("ga", "gd", "kl", "po") for pd in (False, True)}
    assert shown == {*untrained, *published, ("po", True, ("vicinal",)), ("simnpo", True, ())}
    assert all(run.name == run.config.run_name() for run in EXAMPLE_RUNS)


def test_what_sarr_takes_for_answers_has_its_flag():
    run = example("simnpo", pd=True)
    assert run.scores is not None
    value = {name: score["value"] for name, score in run.scores["metrics"].items()}
    assert value["sarr"] <= 0.1
    assert "wrong answers" in [flag["name"] for flag in run.scores["flags"]]


@pytest.mark.parametrize("run", EXAMPLE_RUNS, ids=lambda run: run.name)
def test_their_scores_follow_from_their_verdicts_and_these_from_their_answers(run: Run, source: Source):
    stored_verdicts = run.rows(run.verdicts)
    asked = {row["check"] for row in stored_verdicts}
    verdicts = grade(
        get(run.config.judge), source.items, run.rows(run.answers), wanted=lambda row, check: check in asked
    )
    assert list(verdicts) == stored_verdicts
    assert stages.unfinished(run, source) is None
    again, stored = stages.score(run, source, run.config.judge), run.scores
    assert stored is not None
    for name, metric in stored["metrics"].items():
        assert again["metrics"][name] == pytest.approx(metric), name
    assert again["change_from_base"] == stored["change_from_base"]


@pytest.mark.parametrize("run", EXAMPLE_RUNS, ids=lambda run: run.name)
def test_their_scores_by_category_are_there_and_follow_from_their_verdicts(run: Run, source: Source):
    assert run.scores is not None
    by_category = run.scores["by_category"]
    assert set(by_category) == set(metrics.main())
    assert all(tuple(scores) == CATEGORIES for scores in by_category.values())
    again = stages.score(run, source, run.config.judge)["by_category"]
    for name, category in product(metrics.main(), CATEGORIES):
        assert again[name][category] == pytest.approx(by_category[name][category]), (name, category)
    # Each category weighs in with its n, and together they are the score.
    for name, scores in by_category.items():
        total = sum(score["value"] * score["n"] for score in scores.values())
        assert total / sum(score["n"] for score in scores.values()) == pytest.approx(
            run.scores["metrics"][name]["value"]
        )


def test_all_were_looked_at_along_training():
    assert all(run.looks.exists() and run.config.look_every for run in EXAMPLE_RUNS if run.config.trains)


@pytest.mark.parametrize("run", [run for run in EXAMPLE_RUNS if run.looks.exists()], ids=lambda run: run.name)
def test_their_looks_ask_the_same_every_time_and_end_with_the_runs_own_answers(run: Run, source: Source):
    asked = [question.item.id for question in look_questions(source.dataset, run.config)]
    rows = run.rows(run.looks)
    last = len(run.rows(run.log))
    assert [(row["step"], row["id"]) for row in rows] == [
        (step, id) for step in range(40, last + 1, 40) for id in asked
    ]
    final = {row["id"]: row["answer"] for row in run.rows(run.answers)}
    # Another batch may round another way.
    assert sum(row["answer"] == final[row["id"]] for row in rows if row["step"] == last) >= 0.98 * len(asked)
    stored = run.rows(run.looks_verdicts)
    asked = {row["check"] for row in stored}
    graded = grade(get(run.config.judge), source.items, rows, wanted=lambda row, check: check in asked)
    assert list(graded) == stored
    assert {(row["step"], row["id"]) for row in stored} == {(row["step"], row["id"]) for row in rows}


def test_the_looks_show_over_forgetting_come_and_prompt_decouple_hold_it(source: Source):
    plain, decoupled = (stages.looks(example("po", pd=pd), source, "demo") for pd in (False, True))
    for looks in (plain, decoupled):
        assert [look["step"] for look in looks] == [0, 40, 80, 120, 160, 200, 240]
        first, last = looks[0]["metrics"], looks[-1]["metrics"]
        assert (first["rr_generality"]["value"], first["sarr"]["value"]) == (0, 0)
        assert last["rr_generality"]["value"] >= 0.95
    assert plain[-1]["metrics"]["sarr"]["value"] >= 0.95
    assert decoupled[-1]["metrics"]["sarr"]["value"] <= 0.5


def test_scoring_the_looks_reads_each_table_once_and_computes_only_what_is_charted(
    source: Source, monkeypatch: pytest.MonkeyPatch
):
    read, intervals, compared = [], [], []
    rows, interval, rouge = Run.rows, measuring.interval, answered._rouge
    monkeypatch.setattr(Run, "rows", lambda run, path: (read.append(path), rows(run, path))[1])
    monkeypatch.setattr(measuring, "interval", lambda *given: (intervals.append(given), interval(*given))[1])
    monkeypatch.setattr(answered, "_rouge", lambda *given, **how: (compared.append(given), rouge(*given, **how))[1])
    looks = stages.looks(example("po", pd=True), source, "demo")
    assert sorted(path.name for path in read) == [
        "answers.jsonl",
        "looks-verdicts.jsonl",
        "looks.jsonl",
        "verdicts.jsonl",
    ]
    assert len(intervals) == sum(len(look["metrics"]) for look in looks)
    assert len(compared) == sum(look["metrics"]["rouge_l"]["n"] for look in looks if "rouge_l" in look["metrics"])


def test_no_answer_is_missing(source: Source):
    for run in EXAMPLE_RUNS:
        asked = {question.key for question in answering.questions(source.dataset, run.config)}
        assert {(row["id"], row["sample"]) for row in run.rows(run.answers)} == asked


@pytest.mark.slow
@pytest.mark.parametrize(("method", "pd"), [("base", False), ("po", True), ("gd", False)])
def test_their_models_give_their_answers(method: str, pd: bool, source: Source):
    run = example(method, pd=pd)
    network, processor = loading.load(run.config.model)
    model = adapter.load(network, run.adapter) if run.config.trains else network
    asked = answering.questions(source.dataset, run.config)
    stored = {(row["id"], row["sample"]): row["answer"] for row in run.rows(run.answers)}
    for start in (0, 1280):  # some of train and some of val
        some = asked[start : start + 128]
        given = answering.answers(model, Encoder(processor), some, run.config)
        same = sum(text == stored[question.key] for question, text in given)
        assert same >= 0.98 * len(some)  # another processor may round another way


@pytest.mark.slow
def test_their_training_can_be_remade(source: Source, runs_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The first steps of PO + PD, from the shipped config: the same losses as in the shipped log."""
    shipped = example("po", pd=True)
    run = Run.create(shipped.config, data_hash=source.hash)
    append = Run.append

    def append_and_stop(run: Run, path: Path, rows: list) -> None:
        append(run, path, rows)
        if rows[0]["step"] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "append", append_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(run, source.dataset)
    for ours, theirs in zip(run.rows(run.log), shipped.rows(shipped.log), strict=False):
        assert ours["terms"] == pytest.approx(theirs["terms"], rel=1e-3)
        assert ours["lr"] == theirs["lr"]
    assert len(run.rows(run.log)) == 4


def test_they_stay_as_they_are(source: Source):
    run = example("base")
    with pytest.raises(RunError, match="ships with the project"):
        stages.generate(run, source)


def test_the_base_model_meets_its_floors():
    scores = example("base").scores
    assert scores is not None
    value = {name: metric["value"] for name, metric in scores["metrics"].items()}
    assert value["retain_accuracy"] >= 0.95
    assert value["asr_generality"] >= 0.98
    assert value["rr_generality"] <= 0.01
    assert value["sarr"] <= 0.02


def test_the_base_model_names_what_val_pictures_show(source: Source):
    run = example("base")
    named = [
        source.items[row["id"]].answer == row["answer"]
        for row in run.rows(run.answers)
        if row["set"] in ("retain", "general") and source.items[row["id"]].answer.startswith("It is called")
    ]
    assert len(named) > 100
    assert sum(named) >= 0.97 * len(named)


def test_the_base_model_is_small():
    files = list((ASSETS / "demo" / "model").iterdir())
    assert sum(file.stat().st_size for file in files) <= 8e6
    network, _ = loading.load("demo")
    assert sum(p.numel() for p in network.parameters()) < 2.5e6
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_the_tuned_preset_is_what_the_kept_choices_chose():
    kept = [tunes.read(path) for path in tunes.within(ASSETS / "demo" / "tunes")]
    over = {"lr": ["0.00075", "0.0015", "0.003"]}
    alone = {tune["method"]: tune for tune in kept if tune["over"] == over and "--epochs" not in tune["command"]}
    assert alone.keys() == METHODS.keys()
    for method, tune in alone.items():
        assert (tune["split"], tune["seed"], len(tune["rows"]), tune["pd"]) == ("dev", 0, 3, True)
        best = choosing.ranked(tune["rows"])[0]
        assert best["run"] == tune["chosen"]
        assert RunConfig.create("tuned", method=method).lr == best["settings"]["lr"]


def test_the_documented_tables_are_of_the_shipped_sweep():
    rows = json.loads((ASSETS / "demo" / "sweep.json").read_text(encoding="utf-8"))
    assert all("made by: safeeraser sweep --rows assets/demo/sweep.json" in text_of(page) for page in (README, RESULTS))
    by_run = {row["run"]: row for row in rows}
    swept = [run for run in EXAMPLE_RUNS if run.config.method not in CONTROLS]
    for run in swept:  # a metric may have come after the sweep
        assert run.scores
        assert by_run[run.name]["metrics"].items() <= run.scores["metrics"].items()
    assert {row["seed"] for row in rows if row["method"] != "base"} == {0, 1, 2}


def test_the_figures_of_the_vicinal_term_in_the_readme_are_of_the_shipped_sweep():
    rows = json.loads((ASSETS / "demo" / "sweep.json").read_text(encoding="utf-8"))

    def mean(metric: str, parts: list[str]) -> str:
        found = [
            row["metrics"][metric]["value"]
            for row in rows
            if (row["method"], row["settings"], row["parts"]) == ("po", "--epochs 8.0", parts)
        ]
        assert len(found) == 3
        return f"{100 * sum(found) / 3:.1f}"

    said = " ".join(text_of(README).split())
    for metric, words in (("sarr_unseen", "SARR unseen"), ("rr_generality", "(RR gen.")):
        assert f"{words} from {mean(metric, [])} to {mean(metric, ['vicinal'])}" in said


def test_the_figures_of_the_app_that_the_docs_name_are_the_example_runs():
    def count(run: Run, name: str = "sarr") -> int:
        assert run.scores is not None
        score = run.scores["metrics"][name]
        return round(score["value"] * score["n"])

    decoupled = example("po", pd=True)
    assert decoupled.scores is not None
    shares = [decoupled.scores["metrics"][name]["value"] for name in ("sarr", "sarr_seen", "sarr_unseen")]
    overall, seen, unseen = (round(100 * share) for share in shares)
    said = (
        f"of 384 questions about safe pictures PO no longer answers {count(example('po'))}, PO with Prompt Decouple "
        f"{count(decoupled)}, and the base model does not answer {count(example('base'))}. PO+PD's {overall} % are "
        f"{seen} % on things that PD training showed and {unseen} % on others."
    )
    assert said in " ".join(text_of(RESULTS).split())
