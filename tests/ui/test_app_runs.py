"""The pages Launch and Runs, run as a session of the app runs them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import official as small
import pytest
from streamlit.testing.v1 import AppTest
from written import log_row

from app import opened, words
from safeeraser.config import RunConfig
from safeeraser.data.official import SPLIT_FILES
from safeeraser.data.records import Targets
from safeeraser.plan import measured
from safeeraser.runs import jobs, tags, watching
from safeeraser.runs.folder import EXAMPLES, Run
from safeeraser.ui.frame import state
from safeeraser.ui.parts import job_words
from safeeraser.ui.views import chosen_runs, run_list, run_view

EXAMPLE = "demo-po-s0-6c48dc"


def address(app: AppTest, name: str) -> str | None:
    value = app.query_params.get(name)
    return value[0] if isinstance(value, list) else value


def settings(app: AppTest) -> dict[str, Any]:
    return json.loads(address(app, "settings") or "{}")


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button if button.key != "key-hide"]


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def made(name: str, status: str, *, dead: bool = True, **changes: Any) -> Run:
    """A run as this process would have left it, or, dead, as a process left it that is gone."""
    run = Run.create(RunConfig.create(**changes), data_hash="a" * 64, name=name)
    run.set_state(status, stage="unlearn", step=7, steps=20)
    if dead:
        file = run.folder / "state.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"born": 1.0}))
    return run


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What was launched; each becomes a run that is there, and no process starts."""
    seen: list[RunConfig] = []

    def launch(config: RunConfig, *, name: str | None = None, device: str | None = None) -> str:
        seen.append(config)
        return Run.create(config, data_hash="a" * 64, name=name).name

    monkeypatch.setattr(jobs, "launch", launch)
    return seen


def test_every_setting_of_a_run_has_a_widget(runs_folder: Path):
    app = opened("launch")
    widgets = [*app.text_input, *app.selectbox, *app.toggle]
    found = {widget.key.removeprefix("setting-") for widget in widgets if (widget.key or "").startswith("setting-")}
    assert found == set(RunConfig.model_fields)
    assert app.code[0].value == "safeeraser run"
    assert "New run: demo-po-pd-s0-44136f" in words(app)
    assert "**Training**: 240 optimizer steps" in words(app)


def test_a_wrong_value_stays_as_typed_and_the_core_names_its_field(runs_folder: Path):
    app = opened("launch")
    app.text_input("setting-warmup").set_value("1.5").run()
    assert settings(app) == {"warmup": 1.5}
    assert app.text_input("setting-warmup").value == "1.5"
    assert "--warmup: Input should be less than 1" in words(app)
    app.text_input("setting-lr").set_value("fast").run()
    assert app.text_input("setting-lr").value == "fast"
    assert "--lr: Input should be a valid number" in words(app)
    assert "Launch" not in buttons(app)
    press(app, "Back to the preset")
    assert settings(app) == {}
    assert "Launch" in buttons(app)


def test_the_tuned_preset_follows_the_method(runs_folder: Path):
    app = opened("launch", preset="tuned")
    assert app.code[0].value == "safeeraser run"
    app.selectbox("setting-method").set_value("npo").run()
    assert (settings(app), app.text_input("setting-lr").value) == ({"method": "npo"}, "0.003")
    assert app.code[0].value == "safeeraser run --method npo --lr 0.003"
    app.text_input("setting-lr").set_value("0.0015").run()
    assert app.code[0].value == "safeeraser run --method npo"
    app.text_input("setting-lr").set_value("").run()
    assert settings(app) == {"method": "npo"}


def test_an_emptied_setting_means_none_where_it_may_be_and_else_the_presets_value(runs_folder: Path):
    app = opened("launch", settings='{"lora_rank":8,"eval_records":4}')
    assert app.code[0].value == "safeeraser run --lora-rank 8 --eval-records 4"
    app.text_input("setting-eval_records").set_value("").run()
    app.text_input("setting-lora_rank").set_value("").run()
    assert settings(app) == {}
    assert app.text_input("setting-lora_rank").value == "16"
    app.text_input("setting-look_every").set_value("").run()
    assert settings(app) == {"look_every": None}
    assert app.code[0].value == "safeeraser run --no-look-every"


def test_a_judge_is_chosen_or_typed_and_one_that_costs_is_told_to_come_afterwards(runs_folder: Path):
    app = opened("launch", settings='{"judge":"chat:some/model"}')
    assert app.selectbox("setting-judge").value == "chat:some/model"
    assert {"rules", "demo", "chat:gpt-4o"} <= set(app.selectbox("setting-judge").options)
    assert "asks before it spends" in words(app)
    assert "Launch" not in buttons(app)
    assert "There is no judge 'chat:'" in words(opened("launch", settings='{"judge":"chat:"}'))


def test_an_address_that_cannot_be_read_says_so(runs_folder: Path):
    app = opened("launch", settings="{broken")
    assert "cannot be read" in words(app)
    assert app.code[0].value == "safeeraser run"
    assert "--nonsense: no such setting" in words(opened("launch", settings='{"nonsense":1}'))


def test_a_clone_starts_from_the_settings_of_a_run_and_says_what_differs_from_its_preset(runs_folder: Path):
    app = opened("launch", copy=EXAMPLE)
    assert address(app, "copy") is None
    assert settings(app) == {"pd": False}
    assert f"{EXAMPLE} exists" not in words(app)  # the example is not the user's run
    made("published", "done", **RunConfig.create("paper", method="gd").model_dump())
    app = opened("launch", copy="published")
    assert (address(app, "preset"), settings(app)) == ("paper", {"method": "gd"})


def test_folders_that_hold_no_data_or_no_model_are_refused_before_the_launch(runs_folder: Path, tmp_path: Path):
    app = opened("launch", settings=json.dumps({"data": str(tmp_path)}))
    assert "holds neither" in words(app)
    assert "Launch" not in buttons(app)
    app = opened("launch", settings=json.dumps({"model": str(tmp_path)}))
    assert f"--model {tmp_path}: there is no config.json" in words(app)
    assert "Launch" not in buttons(app)


@pytest.mark.parametrize(("model", "warns"), [("some/model", True), ("demo", False)])
def test_targets_of_another_model_are_told_before_the_launch(
    model: str, warns: bool, runs_folder: Path, tmp_path: Path
):
    data = small.write(tmp_path / "data", train=[small.record()], val=[small.record("img/Weapon/2.jpg")])
    made = Targets(model, "", (), "data", "a" * 64, "0.1.0", "2026-01-01T00:00:00Z", {})
    (data / "targets.json").write_text(json.dumps(asdict(made)))
    app = opened("launch", settings=json.dumps({"data": str(data), "judge": "rules"}))
    told = "The targets are answers of some/model, the run's model is demo"
    assert (told in words(app)) == warns
    assert "Launch" in buttons(app)
    untrained = opened("launch", settings=json.dumps({"data": str(data), "judge": "rules", "method": "base"}))
    assert "The targets are answers" not in words(untrained)


def test_the_demo_judge_is_refused_on_other_data_before_the_launch(
    runs_folder: Path, tiny_data_folder: Path, tmp_path: Path
):
    folder = tmp_path / "other"
    shutil.copytree(tiny_data_folder, folder)
    for file in SPLIT_FILES.values():
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace("To make", "Take").replace("fetch", "bring"))
    app = opened("launch", settings=json.dumps({"data": str(folder)}))
    assert "--judge demo knows only the demo world" in words(app)
    assert "Launch" not in buttons(app)


def test_launch_starts_what_the_form_says_and_opens_the_run(runs_folder: Path, launched: list[RunConfig]):
    app = opened("launch", settings='{"pd":false,"max_steps":3}')
    press(app, "Launch")
    assert launched == [RunConfig.create(pd=False, max_steps=3)]
    assert (app.title[0].value, address(app, "run")) == ("Runs", launched[0].run_name())
    # A second click reaches Launch at the address that the first one opened.
    again = opened("launch", run=launched[0].run_name())
    assert (again.title[0].value, address(again, "run")) == ("Runs", launched[0].run_name())
    assert len(launched) == 1


def test_a_refused_launch_says_why_and_stays(runs_folder: Path):
    app = opened("launch", name="mine")
    made("mine", "done", method="gd")  # by somebody else, while the form was open
    press(app, "Launch")
    assert app.title[0].value == "Launch"
    assert "holds a run with other settings" in words(app)


def test_a_dry_run_shows_what_it_measured(runs_folder: Path, monkeypatch: pytest.MonkeyPatch):
    def dry(config: RunConfig, device: str | None = None) -> str:
        run = made(f"dry-{config.run_name()}", "done")
        steps = ((1, 9.0), (2, 4.0))
        rows = [log_row(step=step, seconds=seconds, peak_memory=2**30) for step, seconds in steps]
        run.append(run.log, rows)
        return run.name

    monkeypatch.setattr(measured, "launch_dry_run", dry)
    app = press(opened("launch"), "Dry run of two steps")
    assert "**A step**: 6.5 s (median of 2 steps)" in words(app)  # of 9 s and 4 s
    assert "**Memory**: 1.0 GiB" in words(app)


def test_a_sweep_lists_its_runs_and_queues_those_that_are_not_done(runs_folder: Path, launched: list[RunConfig]):
    made(RunConfig.create(method="ga", pd=False, seed=1).run_name(), "done", method="ga", pd=False, seed=1)
    app = opened("launch", methods="ga,po", seeds="0 1")
    table = app.dataframe[0].value
    assert len(table) == 8
    assert list(table[table["State"] != "new"]["State"]) == ["✓ done"]
    press(app, "Queue 7 runs")
    assert {(config.method, config.pd, config.seed) for config in launched} == {
        *(("ga", True, 0), ("ga", False, 0), ("ga", True, 1)),
        *(("po", True, 0), ("po", False, 0), ("po", True, 1), ("po", False, 1)),
    }
    assert app.title[0].value == "Runs"


def test_a_sweep_names_the_seed_that_is_none(runs_folder: Path):
    app = opened("launch", methods="po", seeds="0 x")
    assert "--seed: Input should be a valid integer" in words(app)
    assert "Queue 2 runs" in buttons(app)


def test_without_runs_the_list_says_what_to_do(runs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "EXAMPLES", tmp_path / "none")
    app = opened("runs")
    assert "No run yet" in words(app)
    assert buttons(app) == ["Launch a run"]


def test_the_list_shows_examples_with_scores_and_filters_by_the_address(runs_folder: Path):
    table = opened("runs").dataframe[0].value
    assert len(table) == len(list(EXAMPLES.glob("*/config.json")))
    row = table.set_index("Run").loc[EXAMPLE]
    score = Run(EXAMPLES / EXAMPLE).scores["metrics"]["sarr"]  # pyright: ignore
    assert (row["State"], row["PD"], row["n of SARR"]) == ("✓ done", "without", score["n"])
    assert row["SARR (%)"] == pytest.approx(100 * score["value"], abs=0.01)
    few = opened("runs", methods="kl", find="-PD-").dataframe[0].value
    assert sorted(few["Run"]) == ["demo-kl-pd-s0-1027d9"]
    several = opened("runs", methods="po,kl", find="DEMO").dataframe[0].value
    assert {*several["Run"]} == {
        path.name for path in EXAMPLES.glob("demo-*") if "-po-" in path.name or "-kl-" in path.name
    }
    none = opened("runs", find="nothing")
    assert "No run passes these filters" in words(none)
    assert len(press(none, "Clear all filters").dataframe[0].value) == len(table)


BASE, PO, PO_PD, GD = "demo-base-s0-e8752e", EXAMPLE, "demo-po-pd-s0-44136f", "demo-gd-s0-c897b5"


def chosen(*names: str, **more: str) -> AppTest:
    return opened("runs", chosen=",".join(names), **more)


def test_one_chosen_run_is_opened_by_a_button_above_the_table(runs_folder: Path):
    app = chosen(PO)
    assert {"Open", "Delete", "Choose none"} <= set(buttons(app))
    assert "runs compared" not in words(app)
    press(app, "Open")
    assert address(app, "run") == PO
    assert app.header[0].value.replace("\\", "") == PO


def test_a_tick_in_the_table_chooses_and_what_is_filtered_away_stays_chosen(runs_folder: Path):
    app = chosen(PO, GD, find="-pd-")
    assert app.multiselect("widget-chosen").value == [PO, GD]
    names = list(app.dataframe[0].value["Run"])
    app.session_state["runs-table"] = {"selection": {"rows": [names.index(PO_PD)]}}
    app.multiselect("widget-chosen").set_value([PO, GD, PO_PD]).run()
    assert address(app, "chosen") == f"{PO},{GD},{PO_PD}"
    assert app.session_state["runs-table"]["selection"]["rows"] == [names.index(PO_PD)]
    assert address(press(app, "Choose none"), "chosen") is None


def test_several_runs_are_compared_by_the_settings_in_which_they_differ(runs_folder: Path):
    made("mine", "failed", lr=0.5, seed=7)
    app = chosen(PO, PO_PD, "mine")
    table = app.dataframe[1].value.set_index("Setting")
    assert table.loc["pd"].to_dict() == {PO: "off", PO_PD: "on", "mine": "on"}
    assert set(table.index) == {"pd", "lr", "seed"}
    assert not {"None", "True", "False"} & set(table.to_numpy().ravel())
    (runs_folder / "mine" / "config.json").write_text("{}")
    app = chosen(PO, "mine")
    assert "Left out, as their settings cannot be read: mine" in words(app)


def test_the_losses_of_several_runs_lie_in_one_chart_of_a_term_that_is_chosen(runs_folder: Path):
    app = chosen(PO, GD, BASE, loss="retain")
    assert app.selectbox("widget-loss").options == ["total of all terms", "prefer", "forget", "retain"]
    numbers = app.dataframe[2].value
    assert set(numbers["Run"]) == {GD}
    app.selectbox("widget-loss").select("total of all terms").run()
    assert set(app.dataframe[2].value["Run"]) == {PO, GD}
    assert "Methods minimise different sums" in words(app)
    assert "None of these runs has logged" in words(chosen(BASE, made("mine", "failed").name))


def test_chosen_answers_stand_beside_each_other_the_base_models_first(runs_folder: Path):
    made("mine", "failed")
    found = {job.name: job for job in run_list.every()}
    picked = [found[name] for name in ("mine", PO, GD, PO_PD, BASE, "demo-kl-s0-253e61")]
    assert [job.name for job in chosen_runs.comparable(picked)] == [BASE, PO, GD, PO_PD, "demo-kl-s0-253e61"]
    app = press(chosen(PO, PO_PD, BASE), "Compare answers")
    assert app.title[0].value == "Compare answers"
    assert [address(app, name) for name in ("a", "b", "more")] == [BASE, PO, PO_PD]
    app = chosen(PO, "mine")
    assert next(button for button in app.button if button.label == "Compare answers").disabled


def test_tags_are_given_shown_searched_and_removed(runs_folder: Path):
    app = chosen(PO, PO_PD)
    app.text_input("tag-text").set_value("  for the talk ")
    press(app, "Tag 2 runs")
    assert tags.every().of(PO) == ["for the talk"]
    shown = app.dataframe[0].value.set_index("Run")["Tags"]
    assert [list(shown[name]) for name in (PO, PO_PD)] == [["for the talk"]] * 2
    assert sorted(opened("runs", find="TALK").dataframe[0].value["Run"]) == sorted([PO, PO_PD])
    press(chosen(PO), "Remove “for the talk” from 1 run")
    assert [tags.every().of(name) for name in (PO, PO_PD)] == [[], ["for the talk"]]
    app = chosen(PO)
    app.text_input("tag-text").set_value("   ")
    press(app, "Tag 1 run")
    assert "a tag has 1 to 30 printable characters" in words(app)


def test_a_damaged_file_of_tags_is_told_and_closes_nothing(runs_folder: Path):
    tags.give([PO], "kept")
    tags.file().write_text(tags.file().read_text() + "broken\n")
    app = chosen(PO)
    assert "Some tags are missing" in words(app)
    assert "line 2: not valid JSON" in words(app)
    assert list(app.dataframe[0].value.set_index("Run")["Tags"][PO]) == ["kept"]
    assert "kept" in words(opened("runs", run=PO))


def test_a_hostile_tag_is_text(runs_folder: Path):
    tags.give([PO], "![x](//evil.example) :red[x]")
    app = chosen(PO)
    label = next(button.label for button in app.button if button.label.startswith("Remove "))
    assert "](" not in label
    assert "](" not in "".join(element.value for element in opened("runs", run=PO).markdown)


def test_only_own_runs_that_are_not_active_are_deleted_and_the_others_say_why_they_stay(runs_folder: Path):
    made("mine", "failed")
    made("at-work", "running", dead=False)
    found = [job for job in run_list.every() if job.name in ("mine", "at-work", PO)]
    names, stay = chosen_runs.deletable(found)
    assert names == ["mine"]
    assert stay == {"at-work": "running: cancel it first", PO: "an example of the project"}
    app = press(chosen("mine", "at-work", PO), "Delete")
    assert Run.find("mine").folder.exists()
    assert "mine (" in words(app).replace("**", "")
    assert "at-work: running: cancel it first" in words(app)
    assert "Delete 1 run for good" in buttons(app)
    assert next(button for button in chosen(PO).button if button.label == "Delete").disabled


def test_a_run_takes_its_tags_with_it(runs_folder: Path):
    made("mine", "failed")
    tags.give(["mine", PO], "old")
    jobs.delete("mine")
    assert tags.every().by_run == {PO: ["old"]}


def test_names_with_commas_are_chosen_by_the_address_too():
    names = ["a,b", "50%2C", "c"]
    assert state.unlisted(state.listed(names)) == names
    assert state.listed(["a", "b"]) == "a,b"


def test_active_runs_come_first_then_the_newest(runs_folder: Path):
    made("old", "failed")
    made("worked-on", "running", dead=False)
    made("new", "failed")
    for name, made_at in (("old", "2030-01-01T00:00:00Z"), ("new", "2031-01-01T00:00:00Z")):
        file = runs_folder / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"created": made_at}))
    assert [job.name for job in run_list.every()][:3] == ["worked-on", "new", "old"]


def test_an_interrupted_run_says_what_happened_and_is_resumed(runs_folder: Path, monkeypatch: pytest.MonkeyPatch):
    run = made("cut-off", "running")
    (run.checkpoints / "step-5").mkdir(parents=True)
    (run.checkpoints / "step-10").mkdir()
    resumed: list[str] = []
    monkeypatch.setattr(jobs, "resume", resumed.append)
    app = opened("runs", run="cut-off")
    assert "ended before its end at step 7 of 20" in words(app)
    assert "goes on from the checkpoint of step 10" in words(app)
    assert "made by a command" in words(app)
    assert {"Resume", "Delete", "Clone into Launch"} <= set(buttons(app))
    assert "Cancel" not in buttons(app)
    press(app, "Resume")
    assert resumed == ["cut-off"]


def test_a_running_run_can_be_cancelled_and_then_only_stopped_by_force(
    runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run = made("at-work", "running", dead=False)
    asked: list[tuple[str, bool]] = []

    def cancel(name: str, *, force: bool = False) -> None:
        asked.append((name, force))
        run.cancel.touch()

    monkeypatch.setattr(jobs, "cancel", cancel)
    app = opened("runs", run="at-work")
    assert "Training at step 7 of 20" in words(app)
    assert "Delete" not in buttons(app)
    press(app, "Cancel")
    assert "Cancel" not in buttons(app)
    assert "Asked to stop" in words(app)
    press(app, "Force stop")
    assert asked == [("at-work", False), ("at-work", True)]
    with pytest.raises(jobs.StillActiveError, match="cancel it first"):
        jobs.delete("at-work")


def test_an_example_run_shows_all_and_cannot_be_changed(runs_folder: Path):
    app = opened("runs", run=EXAMPLE)
    assert buttons(app) == ["All runs", "Clone into Launch", "Compare with base"]
    scores, settings = (frame.value for frame in app.dataframe[-2:])
    assert scores.set_index("Metric").loc["SARR", "n"] > 0
    assert list(settings["Setting"]) == list(RunConfig.model_fields)


def test_a_run_is_deleted_only_after_a_second_question(runs_folder: Path):
    run = made("mine", "failed")
    app = press(opened("runs", run="mine"), "Delete")
    assert run.folder.exists()
    assert "mine and all in its folder" in words(app).replace("**", "")
    assert "Delete for good" in buttons(app)
    jobs.delete("mine")
    assert not run.folder.exists()


def test_a_run_that_is_gone_or_lies_elsewhere_is_not_opened(runs_folder: Path, tmp_path: Path):
    shutil.copytree(EXAMPLES / EXAMPLE, tmp_path / "elsewhere")
    runs_folder.mkdir()
    for name in ("gone", "../elsewhere"):
        app = opened("runs", run=name)
        assert f"no run {name} any more" in words(app)
        assert address(app, "run") is None


def test_settings_of_two_runs_are_compared_by_their_differences_only(runs_folder: Path):
    one, other = RunConfig.create(method="gd", lr=0.1), RunConfig.create(method="gd", max_steps=9)
    table = run_view.differences(one, other, names=("a", "b"))
    assert table.values.tolist() == [["max_steps", "–", "9"], ["lr", "0.1", "0.0015"]]
    app = opened("runs", run=EXAMPLE, **{"with": "demo-po-pd-s0-44136f"})
    assert app.dataframe[-1].value.values.tolist() == [["pd", "off", "on"]]


def test_a_log_shows_its_last_lines_each_as_it_ended(tmp_path: Path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"one\n\n 10 %\r 20 %\r\nlast without an end")
    assert run_view.log_tail(log) == ["one", " 20 %", "last without an end"]
    log.write_text("".join(f"line {n}\n" for n in range(1000)))
    assert run_view.log_tail(log) == [f"line {n}" for n in range(800, 1000)]
    # 65,536 bytes hold 159 whole lines of 410 bytes, from the 841st on; the cut one before them is left out.
    log.write_text("".join(f"line {n} {'x' * 400}\n" for n in range(1000)))
    assert [line.split(" x")[0] for line in run_view.log_tail(log)] == [f"line {n}" for n in range(841, 1000)]


def test_times_and_sizes_in_words():
    told = [job_words.duration(seconds) for seconds in (None, 1.24, 59.6, 89, 90, 3600, 9000)]
    assert told == ["–", "1.2 s", "60 s", "89 s", "2 min", "60 min", "2 h 30 min"]
    assert [job_words.size(count) for count in (None, 900, 2048, 3.5 * 2**30)] == ["–", "900 bytes", "2 KiB", "3.5 GiB"]


def test_the_sentence_of_every_state_says_what_to_do(runs_folder: Path):
    run = made("one", "failed")
    job = jobs.watch("one")
    told: Callable[..., str] = lambda **parts: job_words.sentence(  # noqa: E731
        type(job)(**vars(job) | parts), run
    ).replace("\\", "")
    assert "Put the reason right, then resume" in told()
    assert "at place 2 of its queue" in told(status="queued", device="cpu", place=2)
    assert "`safeeraser generate one`" in told(status="ready", stage="unlearn")
    assert told(status="stalled", pid=5).count("pid 5") == 1
    assert "base model's run first (answering the questions)" in told(status="running", stage="base model: generate")
    assert "3 min of training left, 50 tokens a second" in told(
        status="running", seconds_left=200, tokens_per_second=50.0
    )
    run.adapter.mkdir()
    assert "training is complete" in told(status="cancelled")


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({}, "../elsewhere", "must be a plain name"),
        ({}, "taken", "holds a run with other settings"),
        ({"lr": "inf"}, "", "finite"),
        ({"seed": "9" * 400}, "", "seed"),
    ],
)
def test_what_cannot_be_launched_is_said_by_the_form_and_no_button_is_offered(
    runs_folder: Path, settings: dict, name: str, message: str
):
    made("taken", "done", seed=7)
    app = opened("launch", settings=json.dumps(settings), name=name)
    assert not app.exception
    shown = "\n".join(str(one.value) for one in (*app.caption, *app.error)).replace("\\", "")
    assert message in shown
    assert not [button for button in app.button if button.key == "launch"]


def test_the_list_of_runs_says_what_a_method_is_combined_with(runs_folder: Path):
    made = Run.create(RunConfig.create(vicinal=1.0), data_hash="a")
    (job,) = [job for job in watching.every() if job.name == made.name]
    assert run_list.row(job, [])["Method"] == "PO+vicinal"
