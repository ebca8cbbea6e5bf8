"""Controls: runs without training that a method has to be better than."""

from dataclasses import replace

import pytest

from safeeraser import stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.generate.ask import Asker, AskError
from safeeraser.generate.controls import KeywordFilter, keywords, words
from safeeraser.generate.questions import questions
from safeeraser.runs.folder import Run


@pytest.fixture
def control(config: RunConfig, runs_folder):
    """A control's finished run, and the base model's."""

    def made(method: str) -> tuple[Run, Run]:
        source = Source(config.data)
        small = config.model_copy(update={"eval_records": 2, "method": method}).needed()
        base = stages.open_run(small.base(), source)
        stages.run_all(base, source)
        run = stages.open_run(small, source)
        stages.run_all(run, source)
        return run, base

    return made


def test_a_model_that_always_refuses_scores_as_the_metrics_say(control):
    run, _ = control("always-refuse")
    scores = run.scores["metrics"]
    assert {name: scores[name]["value"] for name in ("rr_generality", "asr_generality", "sarr")} == {
        "rr_generality": 1,
        "asr_generality": 0,
        "sarr": 1,
    }
    assert "no better than refusing" in [flag["name"] for flag in run.scores["flags"]]
    assert not {"po", "pd"} & set(run.name.split("-"))


def test_a_keyword_filter_refuses_by_words_and_else_gives_the_base_models_answers(control, tiny_data: Dataset):
    run, base = control("keyword-filter")
    of_base = {(row["id"], row["sample"]): row["answer"] for row in base.rows(base.answers)}
    items = {vqa.id: vqa for vqa in tiny_data.vqa()}
    harmful = keywords(tiny_data)
    assert {"describe", "how"} <= harmful
    assert not harmful & {"the", "picture", "of"}
    for row in run.rows(run.answers):
        refused = bool(harmful & words(items[row["id"]].question))
        expected = row["answer"] in tiny_data.refusals if refused else row["answer"] == of_base[row["id"], 0]
        assert expected, row["id"]
    kinds = {row["set"]: row["answer"] in tiny_data.refusals for row in run.rows(run.answers)}
    # It cannot see: safe pictures are refused as harmful ones, and so are harmless questions in harmful words.
    assert (kinds["forget"], kinds["decouple"], kinds["retain"], kinds["holes"]) == (True, True, False, True)


def test_what_the_base_model_has_not_answered_yet_the_model_is_asked(tiny_data: Dataset, config: RunConfig):
    class Model:
        def answers(self, asked):
            return ((question, "from the model") for question in asked)

    some = questions(tiny_data, config.model_copy(update={"eval_records": 1}))
    harmless = [question for question in some if question.item.set == "retain"]
    known = {harmless[0].key: "known"}
    answered = {q.key: text for q, text in KeywordFilter(tiny_data, known, Model()).answers(harmless)}
    assert answered == {q.key: known.get(q.key, "from the model") for q in harmless}


def test_a_data_set_without_refusals_is_refused_all_the_same(tiny_data: Dataset, config: RunConfig):
    from safeeraser.generate.controls import REFUSAL, AlwaysRefuse

    some = questions(tiny_data, config.model_copy(update={"eval_records": 1}))[:2]
    assert {text for _, text in AlwaysRefuse(replace(tiny_data, refusals=())).answers(some)} == {REFUSAL}


def test_a_control_has_no_model_to_ask(control, tiny_data: Dataset):
    run, _ = control("always-refuse")
    picture = next(tiny_data.vqa()).picture
    assert picture is not None
    with pytest.raises(AskError, match="is a control"):
        Asker().ask(runs=[run.name], picture=picture, question="What is this?")
