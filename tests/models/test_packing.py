"""Packing: the pairs of a picture behind one prefix get the losses and gradients of rows of their own."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import families
import pytest
import torch
from documents import README, text_of
from rich.console import Console
from rich.text import Text
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from safeeraser import losses, stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.generate import answering, decode
from safeeraser.models import adapter, attention, encoder, loading, packing
from safeeraser.models import families as models
from safeeraser.models.encoder import Encoder
from safeeraser.plan import forecast, hardware, tables
from safeeraser.runs.progress import reporter
from safeeraser.unlearn import forward, reference, train
from safeeraser.unlearn.examples import Examples
from safeeraser.unlearn.forward import term_losses

ALL = [(method, pd) for method in losses.METHODS for pd in (False, True)]


@pytest.fixture(scope="module")
def full_picture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaVA that spends 576 tokens on a picture, as LLaVA-1.5 does."""
    return families.tiny(tmp_path_factory.mktemp("model576"), side=336, patch=14, width=16, layers=1)


def test_a_row_holds_the_shared_tokens_once_and_positions_go_on_from_them():
    sequences = [[1, 2, 3, 4], [1, 2, 5], [1, 2, 3, 6, 7]]
    assert packing.shared(sequences, limit=9) == 2
    assert packing.shared(sequences, limit=1) == 1
    row = packing.pack(sequences, 2)
    assert row.ids == [1, 2, 3, 4, 5, 3, 6, 7]
    assert row.positions == [0, 1, 2, 3, 2, 2, 3, 4]
    assert row.segments == [0, 0, 1, 1, 2, 3, 3, 3]


def test_text_goes_on_one_behind_the_largest_place_in_a_picture():
    # Two tokens, a picture of 2 x 3, text; the second row has no picture.
    places = torch.arange(10).expand(2, -1)
    found = packing.axes(places, [packing.Grid(2, 2, 3), None])
    assert found.shape == (3, 2, 10)
    assert found[:, 0].tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]
    assert torch.equal(found[:, 1], torch.arange(10).expand(3, -1))
    assert packing.axes(places, [None, None]) is places


def test_a_token_sees_the_prefix_and_its_own_pair_up_to_itself():
    seen = packing.mask(torch.tensor([[0, 1, 1, 2, -1]]))
    assert seen.shape == (1, 1, 5, 5)
    assert seen[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [1, 0, 0, 0, 1],
    ]


def test_a_pictures_tokens_see_each_other_both_ways_where_they_are_named():
    segments = torch.tensor([[0, 0, 0, 1]])
    seen = packing.mask(segments, torch.tensor([[False, True, True, False]]))
    assert seen[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_the_tokens_of_one_tile_do_not_see_the_next_one():
    seen = packing.mask(torch.zeros(1, 5, dtype=torch.int), torch.tensor([[True, True, False, True, True]]))
    assert seen[0, 0].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
    ]


def test_what_is_near_goes_by_the_place_in_the_own_sequence():
    # A prefix of 3 tokens and two segments: the second one's places go on from the prefix, too.
    places = torch.tensor([[0, 1, 2, 3, 4, 3, 4]])
    seen = packing.near(places, places, 2)
    assert seen.shape == (1, 1, 7, 7)
    assert seen[0, 0, 5].int().tolist() == [0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("heads", [4, 2])
def test_attention_without_a_mask_is_attention_with_it(heads: int):
    # Two rows with a prefix of 3: segments of 2 and 4 tokens, and of 1, 2 and 1 with padding behind them.
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 0, 1, 2, 2, 3, -1, -1]])
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, count, 9, 8, generator=generator).requires_grad_() for count in (4, heads, heads)
    )
    module = torch.nn.Module()
    module.num_key_value_groups = 4 // heads
    real = segments != packing.PADDING
    found = []
    for packs in (None, attention.packs(segments)):
        seen, _ = attention.attend(module, query, key, value, packing.mask(segments), packs=packs, scaling=0.3)
        gradients = torch.autograd.grad(seen[real].square().sum(), (query, key, value))
        found.append((seen[real], *gradients))
    for masked, split in zip(*found, strict=True):
        assert torch.allclose(masked, split, atol=1e-5)


def test_prefixes_of_different_lengths_need_the_mask():
    assert attention.packs(torch.tensor([[0, 0, 1, 2], [0, 1, 1, 2]])) is None
    found = attention.packs(torch.tensor([[0, 1, 1, 2], [0, 1, 2, -1]]))
    assert found is not None
    assert found.counts == (2, 2)
    assert found.token.tolist() == [[1, 2], [3, 0], [5, 0], [6, 0]]
    assert found.real.tolist() == [[True, True], [True, False], [True, False], [True, False]]


@pytest.mark.parametrize(("method", "pd"), ALL)
def test_packed_and_separate_rows_have_equal_losses_and_gradients(
    config: RunConfig, tiny_data: Dataset, method: str, pd: bool
):
    compare(config, tiny_data, method=method, pd=pd)


def documented() -> dict[str, list[str]]:
    """What the README's table says of each family, by type: class, packing, answers, difference, what falls back."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\| `(\w+)` \| (.*) \|$", text_of(README), re.MULTILINE)
    return {kind: [name, *rest.split(" | ")] for kind, name, rest in rows}


def test_the_readmes_table_says_what_the_row_of_every_family_does():
    assert documented().keys() == models.FAMILIES.keys()
    for kind, family in models.FAMILIES.items():
        name, packing, answers, _, without = documented()[kind]
        assert name == MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[kind]
        assert (packing.split(", ")[0], answers) == (("yes", "shared") if family.packs else ("no", "plain"))
        assert ("three dimensions" in packing, "mask" in packing) == (family.grid is not None, family.both_ways)
        refused = [not family.caches, family.grid is not None]
        assert ["--feature-cache" in without, "--vicinal" in without] == refused


@pytest.mark.parametrize("family", families.FAMILIES)
@pytest.mark.parametrize("long", [False, True])
def test_they_are_equal_in_every_family(
    config: RunConfig,
    tiny_data: Dataset,
    family: str,
    long: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(encoder, "LONG", 1 if long else 10**6)
    config = config.model_copy(update={"model": str(families.FAMILIES[family](tmp_path))})
    found = compare(config, tiny_data, method="kl", pd=True)
    assert found.separate > found.packed
    stated = documented()[family][3]
    assert found.difference < 3 * float(stated)  # another machine rounds otherwise


@pytest.mark.parametrize("family", [kind for kind, row in models.FAMILIES.items() if row.grid or row.both_ways])
def test_packed_as_llavas_rows_are_they_would_differ(
    config: RunConfig, tiny_data: Dataset, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    as_llava = replace(models.FAMILIES[family], grid=None, both_ways=False)
    monkeypatch.setitem(models.FAMILIES, family, as_llava)
    config = config.model_copy(update={"model": str(families.FAMILIES[family](tmp_path))})
    with pytest.raises(AssertionError):
        compare(config, tiny_data, method="kl", pd=True)


@pytest.mark.parametrize(("method", "pd"), [("kl", True), ("po", True)])
def test_they_are_equal_with_576_picture_tokens(
    config: RunConfig, full_picture_model: Path, tiny_data: Dataset, method: str, pd: bool
):
    config = config.model_copy(update={"model": str(full_picture_model)})
    separate, packed, _ = compare(config, tiny_data, method=method, pd=pd)  # long rows: attention without a mask
    assert separate > 3 * packed  # 12 prefixes of 576 tokens against 2


@pytest.mark.parametrize("method", ["kl", "gd"])
def test_they_are_equal_where_answers_are_cut_at_the_longest_length(config: RunConfig, tiny_data: Dataset, method: str):
    _, processor = loading.load(config.model)
    short = Encoder(processor, max_length=26)
    pairs = [pair for record in tiny_data.train[:1] for pair in record.pairs]
    lengths = [len(short.tokens(vqa.question, vqa.answer, vqa.picture)[0]) for vqa in pairs]
    assert lengths.count(max(lengths)) > 1  # some are cut
    assert min(lengths) < max(lengths)  # others are not
    compare(config, tiny_data, method=method, pd=True, max_length=26)


def test_kl_and_npo_ask_the_base_model_only_about_the_pairs_that_need_it(config: RunConfig, tiny_data: Dataset):
    _, processor = loading.load(config.model)
    for method, needed in (("kl", "retain"), ("npo", "forget")):
        terms = losses.terms(method, pd=True)
        micro = Encoder(processor).micro_batch([Examples(tiny_data, terms, 0)[0]], terms, pack=True)
        assert [name for _, name, _ in micro.base_pairs] == [needed]
    terms = losses.terms("gd", pd=True)
    assert Encoder(processor).micro_batch([Examples(tiny_data, terms, 0)[0]], terms, pack=True).base == ()


def test_a_family_that_is_not_known_to_pack_gets_rows_of_its_own_and_says_so(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    llava = replace(models.FAMILIES["llava"], packs=False)
    monkeypatch.setitem(models.FAMILIES, "llava", llava)
    monkeypatch.setattr(decode, "answers", None)  # must not be asked
    run = stages.open_run(config.model_copy(update={"max_steps": 1}), Source(config.data))
    with reporter(Console(file=(said := io.StringIO()), width=200)) as progress:
        train.train(run, tiny_data, progress)
        answering.generate(run, tiny_data, progress)
    note = "note: models of type 'llava' are not known to share a picture's tokens: each question gets a row of its own"
    assert said.getvalue().count(f"{note}\n") == 2
    told = forecast.forecast(run.config, tiny_data, [hardware.get("h100")])
    assert told.tokens
    assert told.tokens.computed == told.tokens.separate > told.tokens.packed
    assert told.evaluation.computed == told.evaluation.separate
    micro = Encoder(loading.load(config.model)[1]).micro_batch(
        [Examples.of(tiny_data, run.config)[place] for place in range(config.batch_size)], run.config.terms, pack=True
    )
    assert all(batch.segments is None for batch in micro.batches)
    assert f"Packing: {note.removeprefix('note: ')}." in [
        line
        for part in tables.render(told)
        if isinstance(part, Text)
        for line in part.plain.replace("- ", "").split("\n")
    ]


def test_shuffled_pictures_keep_their_pairs_together_and_every_pass_has_a_new_order(tiny_data: Dataset):
    examples = Examples(tiny_data, losses.terms("gd", pd=True), seed=1, shuffle="pictures")
    count = len(examples.pairs)
    passes = [[dict(examples[i])["forget"] for i in range(start, start + count)] for start in (0, count)]
    for one in passes:
        assert all(len({vqa.picture for vqa in one[place : place + 4]}) == 1 for place in range(0, count, 4))
    assert sorted(vqa.id for vqa in passes[0]) == sorted(vqa.id for vqa in passes[1])
    assert passes[0] != passes[1]


class Compared(NamedTuple):
    """Tokens of rows of their own and of packed rows, and the largest difference of a logit."""

    separate: int
    packed: int
    difference: float


def compare(config: RunConfig, data: Dataset, *, method: str, pd: bool, max_length: int = 512) -> Compared:
    """Assert that losses, logits and gradients of the pairs of two pictures agree."""
    terms = losses.terms(method, pd=pd)
    examples = Examples(data, terms, 0, shuffle="pictures")
    found = []
    for pack in (False, True):
        torch.manual_seed(0)
        network, processor = loading.load(config.model)
        adapted = adapter.attach(network, config).eval()
        for parameter in adapter.trainable(adapted):
            torch.nn.init.normal_(parameter, std=0.1)
        micro = Encoder(processor, max_length=max_length).micro_batch(
            [examples[place] for place in range(8)], terms, pack=pack
        )
        parts = term_losses(adapted, reference.computed(adapted, losses.layer(terms)), micro, terms)
        sum((term.weight * parts[term.name] for term in terms), start=torch.zeros(())).backward()
        trained = [parameter.grad for parameter in adapter.trainable(adapted)]  # of RMU, only up to its layer
        gradients = torch.cat([gradient.flatten() for gradient in trained if gradient is not None])
        with torch.no_grad():
            logits = forward.answers(forward.predictions(adapted), micro.batches).predictions["logits"]
        found.append(({name: value.item() for name, value in parts.items()}, gradients, logits, micro))
    (losses_separate, separate, apart, rows), (losses_packed, packed, together, packs) = found
    difference = (together - apart).abs().max()
    assert difference < 1e-5 * apart.abs().max()
    assert losses_packed == pytest.approx(losses_separate, rel=1e-5)
    assert (packed - separate).norm() < 1e-5 * separate.norm()
    assert sum(len(batch.labels) for batch in packs.batches) == (4 if pd else 2)
    return Compared(rows.tokens, packs.tokens, difference.item())
