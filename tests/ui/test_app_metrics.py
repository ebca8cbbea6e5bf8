"""The pages Metrics and Judge audit, with the example runs, with broken ones and with none; no browser, no model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import PO, PO_PD, html, marked, opened
from safeeraser import stages
from safeeraser.data.records import record_of
from safeeraser.data.source import Source
from safeeraser.demo.world import SAFE_SEEN
from safeeraser.judge.contract import CHECKS
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.score import labels, metrics, outcomes, votes
from safeeraser.score.labels import Label
from safeeraser.score.votes import Vote
from safeeraser.ui.views import audit_results, auditing, score_tables, scoring

SECTIONS = (
    *("By method", "With PD", "Trade-off", "Slices", "Inside SARR", "By category", "Along training"),
    *("Official and clean val", "Tables", "Published numbers, second-hand"),
)
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(runs_folder: Path) -> Open:
    """Opens a page; runs of the user's own go into an empty folder."""
    return opened


@pytest.fixture
def label_as(open_page: Open) -> Open:
    """Opens the audit and gives a name."""

    def opened(person: str, **parameters: str) -> AppTest:
        return open_page("judge_audit", hiding=True, **parameters).text_input(key="who").set_value(person).run()

    return opened


def test_votes_of_the_arena_stand_beside_the_metrics_where_there_are_any(open_page: Open):
    title = "What people prefer, in the arena"
    assert title not in [one.value for one in open_page("metrics").subheader]
    left, right = PO, PO_PD
    for token in ("a", "b"):
        votes.add(
            Vote(
                token=token,
                who="Ann",
                session="s",
                data="demo",
                item=token,
                question="What is this?",
                left=left,
                right=right,
                left_sha="",
                right_sha="",
                temperature=0,
                seed=0,
                vote="right",
                left_tags=("over-forgetting",),
            )
        )
    page = open_page("metrics")
    assert title in [one.value for one in page.subheader]
    [table] = [one.value for one in page.dataframe if "Preferred (%)" in one.value]
    assert list(table["Won"]) == [2, 0]
    assert table["Tags"][1] == "over-forgetting 2"


def address(app: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in app.query_params.items()}


def copy_run(name: str, runs_folder: Path, *, judges: tuple[str, ...], scored_by: str | None) -> None:
    """The PO example as a run of the user's own, with its verdicts under the names of these judges."""
    folder = runs_folder / name
    shutil.copytree(EXAMPLES / PO, folder, ignore=shutil.ignore_patterns("adapter", "looks*"))
    text = (EXAMPLES / PO / "verdicts.jsonl").read_text()
    graded = (text.replace('"judge": "demo"', f'"judge": "{judge}"') for judge in judges)
    (folder / "verdicts.jsonl").write_text("".join(graded))
    scores = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").unlink()
    if scored_by:
        (folder / "scores.json").write_text(json.dumps(scores | {"run": name, "judge": scored_by}))


def score(value: float | None, *, n: int = 8, unscored: int = 0) -> dict:
    ends = {"low": None, "high": None} if value is None else {"low": value / 2, "high": (1 + value) / 2}
    return {"value": value, **ends, "n": 0 if value is None else n, "unscored": unscored}


def row(name: str, *, method: str = "po", pd: float = 0, seed: int = 0, **values: dict) -> dict:
    made = {"model": "demo", "data": "demo", "data_hash": "1", "judge": "demo", "decoding": "greedy"}
    group = {"sarr": score(1.0), **values}
    return {"run": name, **made, "method": method, "pd": pd, "seed": seed, "metrics": group, "metrics_clean_val": group}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_of_metrics_opens_and_has_its_heading(open_page: Open, section: str):
    app = open_page("metrics", section=section)
    assert not app.exception
    assert not app.error
    assert [header.value for header in app.header] == [section]


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_every_metric_has_a_chart_and_items_that_it_stands_for(open_page: Open, metric: str):
    app = open_page("metrics", metric=metric)
    assert not app.exception
    row = metrics.METRICS[metric]
    assert set(row.opens) <= set(outcomes.OUTCOMES[row.set])


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch, runs_folder: Path) -> None:
    """One more row of METRICS, and a run that was scored with it; nothing else."""
    row = metrics.Metric(
        name="Short answers",
        says="answers about unseen safe things of at most three words",
        better="lower",
        split="val",
        set="decouple",
        score=lambda answered: float(len(answered.answer.split()) <= 3),
        opens=("off topic", "gibberish"),
        seen=False,
        refusing=0,
        judge="none",
        column="Short",
        main=True,
    )
    monkeypatch.setitem(metrics.METRICS, "short", row)
    shutil.copytree(EXAMPLES / PO_PD, runs_folder / "scored")
    run, source = Run(runs_folder / "scored"), Source("demo")
    run.save_scores(stages.score(run, source, "demo"))


@pytest.mark.slow
def test_a_row_of_metrics_is_all_that_a_metric_takes(one_more: None, open_page: Open, runs_folder: Path):
    assert Run(runs_folder / "scored").scores["metrics"]["short"]["n"] == 192
    by_bar = open_page("metrics", metric="short")
    assert not by_bar.exception
    assert "Short answers" in marked(by_bar)
    assert "a model that always refuses, 0 %" in marked(by_bar)
    (chosen,) = [name for name in by_bar.selectbox(key="twin-short").options if name.startswith("PO+PD")]
    by_bar.selectbox(key="twin-short").select(chosen).run()
    where = {"b": "scored", "split": "val", "set": "decouple", "outcome_b": "off topic,gibberish", "seen": "unseen"}
    assert where.items() <= address(by_bar).items()
    for means in ("", "1"):
        tables = [frame.value for frame in open_page("metrics", section="Tables", means=means).dataframe]
        assert any(column.startswith("Short") for column in tables[0].columns)
    for section, key in (("By category", "by"), ("Along training", "along"), ("Official and clean val", "val")):
        app = open_page("metrics", section=section, **{key: "short"})
        assert not app.exception
        assert not app.warning, section
    rows = [Run(runs_folder / "scored").scores]
    assert "| Short |" in score_tables.tables.as_markdown(rows)
    assert "Short %" in score_tables.tables.as_csv(rows)


def test_a_click_on_sarr_unseen_opens_unseen_things_only(open_page: Open):
    app = open_page("metrics", metric="sarr_unseen")
    app.selectbox(key="twin-sarr_unseen").select("PO+PD").run()
    assert {"b": PO_PD, "set": "decouple", "seen": "unseen"}.items() <= address(app).items()
    answers = outcomes.answers(Run(EXAMPLES / PO_PD), "demo")
    asked = answers[(answers["set"] == "decouple") & answers["outcome"].isin(metrics.NOT_ANSWERED)]
    records = {record.name: record for record in Source("demo").dataset.records}
    unseen = [name for name in asked["id"].map(record_of) if records[name].safe_keyword not in SAFE_SEEN]
    assert f"of {len(unseen)} answers" in marked(app)


@pytest.mark.parametrize("name", ["metrics", "judge_audit"])
def test_without_a_run_the_page_says_what_to_do(
    open_page: Open, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("safeeraser.runs.folder.EXAMPLES", tmp_path / "none")
    app = open_page(name)
    assert not app.exception
    assert any("Launch" in info.value for info in app.info)
    assert not app.get("plotly_chart")


def test_a_bar_opens_the_safe_pictures_that_the_run_does_not_answer(open_page: Open):
    app = open_page("metrics")
    app.selectbox(key="twin-sarr").select("PO+PD").run()
    kinds = ",".join(metrics.NOT_ANSWERED)
    expected = {"b": PO_PD, "split": "val", "set": "decouple", "outcome_b": kinds}
    assert expected.items() <= address(app).items()
    assert app.title[0].value == "Compare answers"


def test_a_cell_of_the_heat_map_opens_its_category_only(open_page: Open):
    app = open_page("metrics", section="By category")
    app.selectbox(key="twin-categories-sarr").select("PO+PD, Privacy").run()
    assert {"b": PO_PD, "set": "decouple", "category": "Privacy"}.items() <= address(app).items()


def test_a_part_of_sarr_opens_the_answers_of_that_kind(open_page: Open):
    app = open_page("metrics", section="Inside SARR")
    app.selectbox(key="twin-parts").select("PO: refusal").run()
    assert {"b": PO, "set": "decouple", "outcome_b": "refuses"}.items() <= address(app).items()


def test_a_run_that_only_another_judge_graded_is_named_with_the_command(open_page: Open, runs_folder: Path):
    copy_run("by-rules", runs_folder, judges=("rules",), scored_by="rules")
    text = marked(open_page("metrics", b=PO))
    assert "1 run has no scores by the judge `demo` and is not shown" in text
    assert "scored by `rules`; `safeeraser judge by-rules --judge demo`" in text


def test_a_run_graded_by_the_judge_is_scored_although_its_folder_keeps_another_judges_scores(
    open_page: Open, runs_folder: Path
):
    copy_run("by-both", runs_folder, judges=("rules", "demo"), scored_by="rules")
    app = open_page("metrics", runs="by-both", section="Tables")
    assert "no scores by" not in marked(app)
    assert app.dataframe[0].value["SARR (n = 384)"].tolist() == ["100.0 [92.6, 100.0]"]


def test_with_pd_every_method_is_tested_against_its_twin_and_corrected_for_their_number(open_page: Open):
    def tested(**address: str) -> pd.DataFrame:
        tables = (shown.value for shown in open_page("metrics", section="With PD", **address).dataframe)
        return next(table for table in tables if "Without PD" in table).set_index("Without PD")

    sarr, retain = tested(), tested(dumbbell="retain_accuracy")
    assert list(sarr["With PD"]) == ["GA+PD", "GD+PD", "KL+PD", "PO+PD"]
    po = sarr.loc["PO"]
    assert (po["Without (%)"], po["With (%)"], po["Difference (points)"], po["n"]) == (100.0, 28.9, -71.1, 384)
    assert {po["p by thing"], po["p (Holm)"]} == {"< 0.001"}
    alike, corrected = (retain.loc["PO", column] for column in ("p by thing", "p (Holm)"))
    assert 0.05 < float(alike) <= float(corrected)


def test_the_rules_say_how_often_they_err_beside_what_they_count(open_page: Open, runs_folder: Path):
    for name in ("one", "other"):
        copy_run(name, runs_folder, judges=("rules",), scored_by="rules")
    address = {"a": "one", "b": "other", "judge": "rules", "runs": "one,other"}
    assert "missed 11 of 51 refusals" in marked(open_page("metrics", metric="sarr", **address))
    assert "missed 11 of 51 refusals" not in marked(open_page("metrics", metric="rouge_l", **address))
    assert "missed 11 of 51 refusals" not in marked(open_page("metrics", metric="sarr"))


def test_a_run_that_is_not_scored_yet_is_named_with_the_command(open_page: Open, runs_folder: Path):
    copy_run("half", runs_folder, judges=("demo",), scored_by=None)
    assert "not scored yet; `safeeraser score half`" in marked(open_page("metrics", runs=f"half,{PO}"))


def test_of_more_than_a_dozen_runs_the_pair_and_one_of_each_method_are_shown_and_the_page_says_so(
    open_page: Open, runs_folder: Path
):
    for number in range(4):
        copy_run(f"more-{number}", runs_folder, judges=("demo",), scored_by="demo")
    app = open_page("metrics", b="more-3", section="Tables")
    assert "17 finished runs have answers on this data set. Shown are 14" in marked(app)
    assert len(app.dataframe[0].value) == 14  # B, the base model, 2 controls, and of each method and combination one


def test_a_method_that_does_not_beat_always_refusing_is_named():
    rows = [
        row("a", method="base", sarr=score(0.0, n=384)),
        row("b", method="ga"),
        row("c", method="po", pd=1, sarr=score(0.5)),
    ]
    base, refuse, worse = scoring.baselines(rows)
    assert "SARR 0.0 % (n = 384)" in base
    assert "SARR 100" in refuse
    assert worse.endswith("GA.")


def test_no_sentence_on_the_baseline_when_every_method_beats_it():
    assert len(scoring.baselines([row("c", pd=1, sarr=score(0.5))])) == 1


def test_the_table_by_run_has_intervals_and_n_and_unscored():
    rows = [row("a", sarr=score(0.5, n=8)), row("b", pd=1, sarr=score(0.25, n=6, unscored=2))]
    table = score_tables.by_run(rows, "Scores")
    assert table["SARR"].tolist() == ["50.0 [25.0, 75.0], n = 8", "25.0 [12.5, 62.5], n = 6, 2 unscored"]
    assert table["Specificity"].tolist() == ["–", "–"]
    assert table["PD weight"].tolist() == ["–", "1"]


def test_the_table_by_method_has_mean_and_sample_standard_deviation():
    rows = [row("a", sarr=score(0.2)), row("b", seed=1, sarr=score(0.4)), row("c", seed=2, sarr=score(None))]
    table = score_tables.by_method(rows, "Scores")
    assert table["SARR"].tolist() == ["30.0 ± 14.1 (2 of 3)"]  # deviation: sqrt(2 * 0.1² / (2 - 1)) = 0.141


def test_every_number_is_exported_with_its_interval_for_official_and_clean_val():
    table = score_tables.every_number([row("a", sarr=score(0.5))])
    assert table["val"].tolist() == ["official", "clean"]
    assert table[["value (%)", "95 % low", "95 % high", "n"]].iloc[0].tolist() == [50.0, 25.0, 75.0, 8]


def test_the_papers_numbers_stand_alone_with_their_source_and_a_warning(open_page: Open):
    app = open_page("metrics", section="Published numbers, second-hand")
    assert "Never comparable with the demo world" in app.warning[0].value
    assert "Source" in app.dataframe[0].value
    assert len(app.dataframe) == 1
    assert not app.get("plotly_chart")


def test_runs_without_answers_along_training_are_named(open_page: Open, runs_folder: Path):
    copy_run("blind", runs_folder, judges=("demo",), scored_by="demo")
    text = marked(open_page("metrics", section="Along training", runs="blind"))
    assert "No scores along training" in text
    assert "look_every" in text


def test_every_check_that_judges_are_asked_can_be_audited():
    assert set(auditing.AUDITS) == {f"{name}/{check}" for name, checks in CHECKS.items() for check in checks}


@pytest.mark.parametrize("check", auditing.AUDITS)
def test_every_check_opens_for_labelling_and_without_labels_the_results_say_so(
    label_as: Open, open_page: Open, check: str
):
    run = Run(EXAMPLES / PO_PD)
    if check.split("/")[1] not in {row["check"] for row in run.rows(run.verdicts)}:
        told = open_page("judge_audit", hiding=True, run=PO_PD, check=check).info[0].value
        assert f"safeeraser judge {run.name} --judge demo" in told
        return
    app = label_as("Ann", check=check, n="3")
    assert not app.exception
    assert not app.error
    assert "0 of 3 labelled by Ann" in app.get("progress")[0].proto.text
    app.query_params["show"] = "Results"
    app.run()
    assert not app.exception
    assert "No answer of this sample has a label yet" in marked(app)


def test_a_label_is_stored_at_once_and_the_next_answer_comes(label_as: Open):
    app = label_as("Ann", check="decouple/normal", n="3")
    app.text_input(key=next(box.key for box in app.text_input if box.key.startswith("note-"))).set_value("unsure").run()
    app.button(key="label-n").click().run()
    (stored,) = labels.of_run(Run(EXAMPLES / PO))
    assert (stored.who, stored.check, stored.verdict, stored.note) == ("Ann", "normal", False, "unsure")
    assert address(app)["at"] == "2"
    assert "1 of 3 labelled by Ann" in app.get("progress")[0].proto.text


def test_the_judges_verdict_is_hidden_until_the_label_and_shown_after_it(label_as: Open):
    app = label_as("Ann", check="decouple/normal", n="3")
    assert "refused" not in marked(app)  # the demo judge's reason
    assert "<mark>" not in html(app)
    app.button(key="label-y").click().run()
    assert "refused" not in marked(app)
    app.button(key="key-previous").click().run()
    assert "You: **Yes** · judge `demo`: **No** – refused" in marked(app)


def test_a_change_after_the_verdict_was_shown_is_noted_and_a_second_same_click_is_not_stored(label_as: Open):
    app = label_as("Ann", check="decouple/normal", n="3")
    app.button(key="label-y").click().run()
    app.button(key="key-previous").click().run()
    app.button(key="label-y").click().run()
    (first,) = labels.of_run(Run(EXAMPLES / PO))
    assert len(labels.history(Run(EXAMPLES / PO), id=first.id, sample=0)) == 1
    app.button(key="label-n").click().run()
    before, after = labels.history(Run(EXAMPLES / PO), id=first.id, sample=0)
    assert (before.verdict, before.note) == (True, "")
    assert (after.verdict, after.note) == (False, auditing.AFTERWARDS)


def test_every_answer_about_a_harmful_picture_is_folded_whatever_the_judge_says(label_as: Open):
    app = label_as("Ann", check="forget/unsafe", n="3")  # PO refuses: the judge calls none of them unsafe
    assert 'class="answer"' not in html(app)
    assert app.button(key="label-y").disabled
    app.button(key="key-reveal-text-audit").click().run()
    assert 'class="answer"' in html(app)
    assert not app.button(key="label-y").disabled


def drawn(check: str, n: int) -> auditing.Sample:
    run, audit = Run(EXAMPLES / PO), auditing.AUDITS[check]
    rows = outcomes.checked(run, "demo", audit.check)
    rows = rows[(rows["set"] == audit.set) & (rows["split"] == "val")]
    rows = rows.assign(unit=[id.rsplit("/", 2)[0] for id in rows["id"]])
    return auditing.Sample(run, audit, rows, outcomes.draw(rows, n=n, seed=0))


def give(sample: auditing.Sample, person: str, verdicts: list[bool | None]) -> None:
    for (_, one), verdict in zip(sample.drawn.iterrows(), verdicts, strict=False):
        sha = labels.fingerprint(one["answer"])
        found = {
            "run": PO,
            "id": one["id"],
            "sample": int(one["sample"]),
            "answer_sha": sha,
            "check": sample.audit.check,
        }
        labels.add(Label(who=person, verdict=verdict, **found))


def test_agreement_and_the_corrected_rate_are_worked_out_for_everyone_and_each_labeller(runs_folder: Path):
    """PO answers no safe picture: the judge says "not normal" of all. A labeller's 1 yes in 4 makes SARR 75."""
    sample = drawn("decouple/normal", n=5)
    give(sample, "Ann", [True, False, False, False, None])
    give(sample, "Bob", [False, False])
    everyone, ann, bob = audit_results.table(sample, labels.of_run(sample.run), ["Ann", "Bob"]).to_dict("records")
    assert (ann["Labelled"], ann["No verdict"], ann["n"]) == (5, 1, 4)
    assert ann["Same verdict (%)"].startswith("75.0 [")
    assert ann["Cohen's kappa"].startswith("0.00")
    assert ann["SARR corrected (%)"].startswith("75.0 [")
    assert (bob["Labelled"], bob["Same verdict (%)"].split()[0]) == (2, "100.0")
    # On the first answer Ann and Bob contradict each other: no majority. Of the other three all say no.
    assert (everyone["n"], everyone["Same verdict (%)"].split()[0]) == (3, "100.0")


def test_results_show_raw_and_corrected_rate_the_disputes_and_the_export(open_page: Open, runs_folder: Path):
    give(drawn("decouple/normal", n=4), "Ann", [True, False, False, False])
    app = open_page("judge_audit", check="decouple/normal", n="4", show="Results")
    assert not app.exception
    text = marked(app)
    assert "SARR as the judge `demo` sees it: 100.0 [92.6, 100.0] %" in text
    assert "Disputed answers: 1" in text
    assert "Judge `demo`: **No**: refused" in text
    assert app.dataframe[1].value.to_numpy().tolist() == [["Yes", 0, 0], ["No", 1, 3]]
    assert "drawn answers are labelled" not in text  # all of them are
    assert app.get("download_button")


def test_a_labeller_sees_no_dispute_about_an_answer_without_an_own_label(open_page: Open, runs_folder: Path):
    sample = drawn("decouple/normal", n=4)
    give(sample, "Ann", [True, True])
    give(sample, "Bob", [True])
    app = open_page("judge_audit", check="decouple/normal", n="4", show="Results")
    app.session_state["who"] = "Bob"
    text = marked(app.run())
    assert "Disputed answers: 2" in text
    assert "1 of them you have not labelled yet" in text
    assert text.count("Judge `demo`: **No**") == 1
    assert "2 of the 4 drawn answers are labelled" in text


def test_the_trade_off_says_what_refusing_unseen_harmful_things_means(open_page: Open):
    app = open_page("metrics", section="Trade-off", against="rr_unseen")
    assert "harmful things outside the forget set" in marked(app)
    assert not app.exception
