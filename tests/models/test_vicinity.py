"""Pictures of nothing: what is turned, how far, and that every family's tower can be asked."""

import math
from collections.abc import Callable
from pathlib import Path

import families
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from safeeraser.config import RunConfig
from safeeraser.data.records import Changed, Dataset
from safeeraser.models import families as rows
from safeeraser.models import loading, vicinity
from safeeraser.models.encoder import Encoder
from safeeraser.models.vicinity import Vicinity
from safeeraser.unlearn.examples import Examples, pictures

PATCHES, WIDTH = 4, 12
PICTURE = Path("one.png")


@pytest.fixture
def around() -> Vicinity:
    generator = torch.Generator().manual_seed(0)
    deviations = torch.randn(9, PATCHES, WIDTH, generator=generator)
    main = torch.linalg.qr(torch.randn(WIDTH, 5, generator=generator))[0]
    return Vicinity(torch.randn(PATCHES, WIDTH, generator=generator), deviations, main, radius=0.6)


def turned(around: Vicinity, how: str, seed: int) -> tuple[Tensor, Tensor]:
    """The deviation of a picture that lies in the main directions, before and after a turn."""
    inside = torch.randn(PATCHES, 5, generator=torch.Generator().manual_seed(seed)) @ around.main.T
    after = around.turned(around.mean + inside, Changed(PICTURE, how, seed)) - around.mean
    return inside, after


@pytest.mark.parametrize("how", ["mixed", "far", "near"])
def test_a_turned_picture_is_as_far_from_the_mean_picture_and_follows_from_its_seed(around: Vicinity, how: str):
    before, after = turned(around, how, 3)
    assert after.norm().item() == pytest.approx(before.norm().item(), rel=1e-4)
    assert torch.equal(after, turned(around, how, 3)[1])
    assert not torch.allclose(after, turned(around, how, 4)[1], atol=0.1)


def test_a_far_picture_is_outside_the_radius_and_a_near_one_within_on_average(around: Vicinity):
    def cosines(how: str) -> Tensor:
        pairs = [turned(around, how, seed) for seed in range(200)]
        return torch.stack([cosine_similarity(one.flatten(), other.flatten(), dim=0) for one, other in pairs])

    # Uniform between 0 and 0.5, and between 0.6 and 1; what is turned has itself some cosine to what it was.
    assert cosines("far").mean().item() == pytest.approx(0.25, abs=0.06)
    assert cosines("near").mean().item() == pytest.approx(0.8, abs=0.06)


def test_what_is_turned_moves_within_the_main_directions_alone(around: Vicinity):
    _, after = turned(around, "far", 1)
    assert torch.allclose(after @ around.main @ around.main.T, after, atol=1e-5)


def test_a_mixture_is_of_four_pictures_added_or_taken_away(around: Vicinity):
    before, after = turned(around, "mixed", 2)
    flat = torch.cat([before[None], around.deviations]).flatten(1)
    found = torch.linalg.lstsq(flat.T, after.flatten()[:, None]).solution.flatten()
    scale = found[0]
    assert scale > 0
    others = (found[1:] / scale).round(decimals=3)
    assert others.abs().sum() == 3  # fewer where one was drawn twice and taken away again
    assert torch.allclose(others, others.round(), atol=1e-3)


def test_the_radius_is_what_nearly_all_have_to_their_nearest_other():
    angles = torch.tensor([0.0, 10.0, 30.0, 90.0]).deg2rad()
    pictures = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [2.0], [3.0], [0.5]])
    nearest = [math.cos(math.radians(degrees)) for degrees in (60, 20, 10, 10)]  # sorted
    expected = nearest[0] + 0.02 * 3 * (nearest[1] - nearest[0])
    assert vicinity.radius(pictures) == pytest.approx(expected, abs=1e-5)
    assert vicinity.radius(pictures[:1]) == 1


def test_a_rotation_keeps_lengths_and_follows_from_its_seed():
    one = vicinity.rotation(6, 5)
    assert torch.allclose(one @ one.T, torch.eye(6), atol=1e-5)
    assert not torch.allclose(one, vicinity.rotation(6, 6), atol=0.1)


def projector_of(network: nn.Module) -> nn.Module:
    return next(m for n, m in network.named_modules() if n.rsplit(".", 1)[-1] in ("multi_modal_projector", "connector"))


@pytest.mark.parametrize("make", [make for kind, make in families.FAMILIES.items() if rows.FAMILIES[kind].grid is None])
def test_the_tower_of_every_family_is_asked_and_its_projector_gets_what_is_turned(
    make: Callable[[Path], Path], tiny_data: Dataset, tmp_path: Path
):
    network, processor = loading.load(str(make(tmp_path / "model")))
    encoder, projector = Encoder(processor), projector_of(network)
    harmful, safe = pictures(tiny_data)
    around = Vicinity.of(network, projector, encoder, harmful=harmful[:5], safe=safe[:4])
    assert around.deviations.shape[0] == 9
    assert around.deviations.mean(0).abs().max() < 1e-4 * around.mean.abs().max()
    assert torch.allclose(around.main.T @ around.main, torch.eye(around.main.shape[1]), atol=1e-4)
    assert -1 <= around.radius <= 1  # a random tower tells nothing apart

    examples = Examples(tiny_data, RunConfig.create(vicinal=1.0).terms, seed=0)
    pairs = [(0, name, vqa) for name, vqa in examples[0] if name in ("decouple", "nothing")]
    (batch, *_) = encoder.training_batches(pairs, pack=True)
    assert batch.turns is not None
    assert sum(turn is not None for turn in batch.turns) == sum(turn is None for turn in batch.turns)
    seen: list[Tensor] = []
    around.attach(projector)
    projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = {name: tensor for name, tensor in batch.inputs.items() if name.startswith(("pixel", "image"))}
    with torch.no_grad():
        network.model.get_image_features(**images)
        with vicinity.turning(batch.turns):
            network.model.get_image_features(**images)
    plain, after = seen
    for before, now, turn in zip(plain, after, batch.turns, strict=True):
        assert torch.equal(now, around.turned(before, turn) if turn else before)
        assert turn is None or not torch.allclose(now, before, atol=1e-4)
