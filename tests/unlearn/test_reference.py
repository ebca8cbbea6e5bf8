"""The base model as reference: from disk as good as computed."""

from pathlib import Path

import families
import pytest
import torch

from safeeraser import losses
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.models import adapter, loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run
from safeeraser.unlearn import reference, train
from safeeraser.unlearn.examples import Examples
from safeeraser.unlearn.forward import term_losses


@pytest.fixture
def adapted(config: RunConfig):
    """A model whose adapter has been trained already."""
    network, _ = loading.load(config.model)
    adapted = adapter.attach(network, config).eval()
    torch.manual_seed(0)
    for parameter in adapter.trainable(adapted):
        torch.nn.init.normal_(parameter, std=0.2)
    return adapted


@pytest.mark.parametrize("method", ["kl", "npo"])
@pytest.mark.parametrize("pack", [True, False])
def test_what_was_kept_gives_the_loss_that_was_computed(
    adapted, config: RunConfig, tiny_data: Dataset, tmp_path: Path, method: str, pack: bool
):
    terms = losses.terms(method, pd=True)
    examples = Examples(tiny_data, terms, 0, shuffle="pictures")
    encoder = Encoder(loading.load(config.model)[1])
    micro = encoder.micro_batch([examples[place] for place in range(5)], terms, pack=pack)
    plain = term_losses(adapted, reference.computed(adapted), micro, terms)
    kept = reference.Kept(adapted, limit=1.0, max_length=512, folder=tmp_path)
    first, second = (term_losses(adapted, kept, micro, terms) for _ in range(2))
    assert (kept.hits, kept.misses) == (5, 5)
    for name, value in plain.items():
        assert first[name].item() == pytest.approx(value.item(), rel=1e-6)
        assert second[name].item() == pytest.approx(value.item(), rel=1e-6)
    for how in ({"max_length": 40}, {"system_prompt": "Be brief."}, {"end_token": False}):
        other = reference.Kept(adapted, limit=1.0, **{"max_length": 512, **how}, folder=tmp_path)
        term_losses(adapted, other, micro, terms)
        assert other.hits == 0  # answers told or cut in another way are other pairs


@pytest.mark.parametrize("family", families.FAMILIES)
def test_what_was_kept_gives_the_loss_that_was_computed_in_every_family(
    family: str, config: RunConfig, tiny_data: Dataset, tmp_path: Path
):
    config = config.model_copy(update={"model": str(families.FAMILIES[family](tmp_path / "model"))})
    terms = losses.terms("kl", pd=True)
    examples = Examples(tiny_data, terms, 0, shuffle="pictures")
    adapted = families.perturbed(config)
    micro = Encoder(loading.load(config.model)[1]).micro_batch(
        [examples[place] for place in range(4)], terms, pack=True
    )
    plain = term_losses(adapted, reference.computed(adapted), micro, terms)
    kept = reference.Kept(adapted, limit=1.0, max_length=512, folder=tmp_path / "cache")
    for _ in range(2):
        found = term_losses(adapted, kept, micro, terms)
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {name: value.item() for name, value in plain.items()}, rel=1e-6
        )


def test_two_base_models_do_not_share_what_is_kept(adapted, config: RunConfig):
    again, _ = loading.load(config.model)
    assert reference.fingerprint(adapted.get_base_model()) != ""
    before = reference.fingerprint(again)
    assert reference.fingerprint(loading.load(config.model)[0]) == before
    with torch.no_grad():
        again.lm_head.weight.mul_(1.001)
    assert reference.fingerprint(again) != before


@pytest.mark.slow
def test_a_run_with_both_caches_is_the_run_without(
    config: RunConfig, tiny_data: Dataset, runs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = config.model_copy(update={"method": "kl", "shuffle": "pictures", "max_steps": 6, "look_every": None})
    cached = config.model_copy(update={"base_cache": 1.0, "feature_cache": 1.0})
    assert cached == config
    rows = {}
    for name, one in (("plain", config), ("cached", cached), ("again", cached)):
        run = Run.create(one, data_hash="tiny", name=name)
        train.train(run, tiny_data)
        rows[name] = [{"loss": row["loss"], **row["terms"], "norm": row["grad_norm"]} for row in run.rows(run.log)]
    for name in ("cached", "again"):
        for ours, theirs in zip(rows["plain"], rows[name], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4)
    assert list((tmp_path / "cache").rglob("base/*/*.safetensors"))
    assert list((tmp_path / "cache").rglob("features/*/*.safetensors"))
