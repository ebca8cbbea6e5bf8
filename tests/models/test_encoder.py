"""Prompts, labels and padding."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from safeeraser.data.records import DataError, Dataset
from safeeraser.losses import IGNORED, Term, nll
from safeeraser.models import encoder as batches
from safeeraser.models import loading
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import SETS, Batch, Encoder
from safeeraser.unlearn.forward import answers, behind, view

PACKAGE = Path(batches.__file__).parents[1]


@pytest.fixture(scope="module")
def encoder(tiny_model) -> Encoder:
    _, processor = loading.load(str(tiny_model))
    return Encoder(processor)


@pytest.fixture
def item(tiny_data: Dataset):
    return replace(tiny_data.train[0].forget[0], question="Where is it?", answer="It sits.")


def decode(encoder: Encoder, ids) -> str:
    return encoder.tokenizer.decode(ids)


def test_only_the_answer_and_its_end_token_are_labelled(encoder, item):
    longer = replace(item, answer="It sits at the centre.")
    (batch,) = encoder.training_batches([(0, "forget", longer), (1, "retain", item)], pack=False)
    labelled = [decode(encoder, row[row != IGNORED]) for row in batch.labels]
    assert labelled == ["It sits at the centre.</s>", "It sits.</s>"]
    prompts = [
        decode(encoder, ids[row == IGNORED]) for ids, row in zip(batch.inputs["input_ids"], batch.labels, strict=True)
    ]
    assert prompts[0].replace("<image>", "").replace("<pad>", "") == "USER: \nWhere is it? ASSISTANT:"
    assert batch.inputs["attention_mask"].sum(1).tolist() == [
        len(row)
        for row in (
            encoder.tokens(longer.question, longer.answer, longer.picture)[0],
            encoder.tokens(item.question, item.answer, item.picture)[0],
        )
    ]


def test_token_ids_are_the_processors_own(encoder, item):
    picture = encoder.processor(
        images=Image.open(item.picture), text=encoder.prompt(item.question), return_tensors="pt"
    )
    ours = encoder.prompt_batch([item])
    assert torch.equal(ours["input_ids"], picture["input_ids"])
    assert torch.allclose(ours["pixel_values"], picture["pixel_values"])


def test_prompts_are_padded_on_the_left(encoder, item):
    batch = encoder.prompt_batch([item, replace(item, question="Where is it in this picture?")])
    pad = encoder.tokenizer.pad_token_id
    assert batch["input_ids"][0, 0] == pad
    assert batch["input_ids"][0, -1] != pad
    assert batch["attention_mask"][0].tolist() == (batch["input_ids"][0] != pad).long().tolist()


def test_a_long_answer_is_cut_and_a_long_question_is_refused(encoder, item):
    short = Encoder(encoder.processor, max_length=len(encoder.tokens(item.question, None, item.picture)[0]) - 16 + 2)
    ids, prompt = short.tokens(item.question, item.answer, item.picture)
    assert len(ids) == prompt + 2
    with pytest.raises(DataError, match="--max-length 4 leaves no room"):
        Encoder(encoder.processor, max_length=4).tokens(item.question, item.answer, item.picture)


def test_without_the_end_token_an_answer_ends_with_its_own_last(encoder, item):
    bare = Encoder(encoder.processor, end_token=False)
    ids, prompt = encoder.tokens(item.question, item.answer, item.picture)
    assert bare.tokens(item.question, item.answer, item.picture) == (ids[:-1], prompt)
    (batch,) = bare.training_batches([(0, "forget", item)], pack=True)
    assert decode(bare, batch.labels[batch.labels != IGNORED]) == "It sits."


def test_a_system_prompt_is_before_each_question_and_none_of_the_longest_length(encoder, item):
    told = Encoder(encoder.processor, system_prompt="Where is the kite?", max_length=12)
    plain = Encoder(encoder.processor, max_length=12)
    ids, prompt = told.tokens(item.question, item.answer, item.picture)
    theirs, length = plain.tokens(item.question, item.answer, item.picture)
    assert decode(told, ids[:prompt]).startswith("SYSTEM: Where is the kite? USER:")
    assert ids[prompt:] == theirs[length:]
    assert len(ids) - len(theirs) == prompt - length > 4
    pairs = [(0, "forget", item), (0, "retain", replace(item, question="What is this?"))]
    (row,) = told.training_batches(pairs, pack=True)
    text = decode(told, row.inputs["input_ids"][0])
    assert (text.count("SYSTEM:"), text.count("ASSISTANT:")) == (1, 2)
    with pytest.raises(ModelError, match="--system-prompt contains <image>, which means something else"):
        Encoder(encoder.processor, system_prompt="See <image>.")


def test_an_encoder_keeps_no_more_pictures_and_texts_than_it_may(encoder, tiny_data, monkeypatch):
    monkeypatch.setattr(batches, "PICTURES", 100_000)  # two pictures of 3 x 64 x 64 numbers
    monkeypatch.setattr(batches, "TEXTS", 5_000)
    small = Encoder(encoder.processor)
    for record in tiny_data.train[:5]:
        vqa = record.forget[0]
        assert small.tokens(vqa.question, None, vqa.picture) == encoder.tokens(vqa.question, None, vqa.picture)
    assert len(small.seen.cache) == 2
    assert 0 < small.tokens.cache.currsize <= 5_000
    assert len(small.tokens.cache) < 5


def test_a_missing_picture_is_named(encoder, item, tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg: the picture is missing"):
        encoder.prompt_batch([replace(item, picture=tmp_path / "gone.jpg")])


def test_a_term_sees_its_own_sets_and_each_token_is_predicted_from_the_one_before():
    # One packed row: a forget pair (prompt 9, answer 1 2) and a retain pair (prompt 9, answer 3).
    labels = torch.tensor([[IGNORED, 1, 2, IGNORED, 3]])
    member = torch.tensor([[0, 0, 0, 2, 2]])
    example = torch.tensor([[4, 4, 4, 5, 5]])
    batch = Batch({"attention_mask": torch.ones(1, 5)}, labels, example, member)
    # Every place's logits are its number.
    seen = answers(lambda inputs, places: {"logits": places[None, :, None].expand(1, -1, 6).float()}, [batch])
    terms = (Term("forget", nll, ("forget",)), Term("both", nll, ("forget", "retain")), Term("pd", nll, ("decouple",)))
    forget, both, decouple = (view(seen, term, terms, {}) for term in terms)
    assert forget is not None
    assert both is not None
    assert SETS[0] == "forget"
    assert forget.labels.tolist() == [1, 2]
    assert forget.logits[:, 0].tolist() == [0, 1]
    assert forget.example.tolist() == [4, 4]
    assert both.labels.tolist() == [1, 2, 3]
    assert both.logits[:, 0].tolist() == [0, 1, 3]
    assert both.member is not None
    assert both.member.tolist() == [0, 0, 2]
    assert decouple is None


def test_hidden_states_are_those_behind_a_layer_and_never_the_normed_ones():
    states = [torch.tensor(number) for number in range(5)]  # of the embeddings, then behind each of 4 layers
    assert [behind(layer, states).item() for layer in (0.0, 8 / 32, 0.5, 1.0)] == [1, 1, 2, 3]


def test_the_base_models_predictions_reach_the_tokens_they_belong_to():
    # Two rows: retain pair of example 1 (answer 7), then the forget and retain pairs of example 0 (answers 5 and 6).
    labels = torch.tensor([[IGNORED, 7, IGNORED], [IGNORED, 5, 6]])
    member = torch.tensor([[2, 2, 2], [0, 0, 2]])
    example = torch.tensor([[1, 1, 1], [0, 0, 0]])
    batch = Batch({"attention_mask": torch.ones(2, 3)}, labels, example, member)
    seen = answers(lambda inputs, places: {"logits": torch.zeros(2, len(places), 8)}, [batch])
    assert seen.labels.tolist() == [5, 6, 7]
    terms = (Term("forget", nll, ("forget",)), Term("retain", nll, ("retain",), needs=("base_logits",)))
    base = {"logits": torch.tensor([[60.0], [70.0]])}  # of the retain answers, in order of example
    forget, retain = (view(seen, term, terms, base) for term in terms)
    assert forget is not None
    assert retain is not None
    assert forget.base_logits is None
    assert retain.labels.tolist() == [6, 7]
    assert retain.base_logits is not None
    assert retain.base_logits.flatten().tolist() == [60, 70]


def test_a_process_that_is_not_forked_gets_an_equal_encoder(encoder: Encoder, item):
    encoder.pixels(item.picture)
    own = Encoder(encoder.processor, max_length=99, system_prompt="Where is it?", end_token=False, even=0.5)
    sent = pickle.loads(pickle.dumps(own))
    assert (sent.max_length, sent.system_prompt, sent.end_token) == (99, "Where is it?", False)
    assert (sent.even, len(sent.seen.cache)) == (0.5, 0)
    assert sent.tokens(item.question, item.answer, item.picture) == own.tokens(item.question, item.answer, item.picture)


def test_every_stage_encodes_as_the_runs_settings_say():
    made = {path.name: path.read_text().count("Encoder(") for path in PACKAGE.rglob("*.py") if path.name != "health.py"}
    assert {name: count for name, count in made.items() if count} == {}
    used = {path.name for path in PACKAGE.rglob("*.py") if "Encoder.of(processor, config)" in path.read_text()}
    assert used == {"answering.py", "answerer.py", "train.py", "tokens.py"}
