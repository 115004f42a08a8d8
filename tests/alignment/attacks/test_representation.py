"""An attack on a layer, against the closed form for a linear layer and what random perturbations do."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alignment.attacks.gradient import random_start
from alignment.attacks.representation import RepresentationAttack
from alignment.attacks.threat import Norm, Threat, distances
from alignment.errors import DataError, RequestError
from alignment.models import TorchModel


@pytest.fixture
def pixels() -> Tensor:
    return 0.3 + 0.4 * torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def linear_model() -> TorchModel:
    layer = nn.Linear(48, 6)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    layer.weight.data += 1.0  # one direction that stands out
    return TorchModel(nn.Sequential(nn.Flatten(), layer), name="linear", image_size=(4, 4), layers=["1"])


def test_a_linear_layer_moves_by_its_largest_singular_value(pixels: Tensor) -> None:
    model = linear_model()
    attack = RepresentationAttack("1", steps=40)
    found = attack.perturb(model, pixels, Threat("l2", 0.2), seeds=range(5))
    clean = model.record(pixels, ["1"])["1"].flatten(1).detach()
    largest = torch.linalg.svdvals(model.module[1].weight.detach())[0]
    expected = (0.2 * largest) ** 2 / clean.square().sum(1)
    shift = attack.shift(model, found, pixels, seeds=range(5))
    assert (shift <= expected * (1 + 1e-5)).all()
    np.testing.assert_allclose(shift, expected, rtol=0.05)


def test_one_unit_moves_by_the_sum_of_its_weights(pixels: Tensor) -> None:
    layer = nn.Linear(48, 1)
    model = TorchModel(nn.Sequential(nn.Flatten(), layer), name="unit", image_size=(4, 4), layers=["1"])
    attack = RepresentationAttack("1")
    found = attack.perturb(model, pixels, Threat("linf", 0.1), seeds=range(5))
    clean = model.record(pixels, ["1"])["1"].flatten().detach()
    expected = (0.1 * layer.weight.detach().abs().sum() / clean) ** 2
    np.testing.assert_allclose(attack.shift(model, found, pixels, seeds=range(5)), expected, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_deep_layer_moves_far_more_than_by_chance(pixels: Tensor, norm: Norm) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 5))
    model = TorchModel(net, name="net", image_size=(4, 4), layers=["3", "5"])
    threat, attack = Threat(norm, 0.05 if norm == "linf" else 0.2), RepresentationAttack("3")
    found = attack.perturb(model, pixels, threat, seeds=range(5))
    assert distances(found, pixels, norm=norm).max() <= threat.epsilon + 1e-6
    assert found.min() >= 0 and found.max() <= 1
    chance = torch.stack(
        [
            attack.shift(model, random_start(pixels, threat, seeds=range(at, at + 5)), pixels, seeds=range(5))
            for at in range(20)
        ]
    )
    assert (attack.shift(model, found, pixels, seeds=range(5)) > 2 * chance.mean(0)).all()
    turned = torch.tensor([3, 0])
    again = attack.perturb(model, pixels[turned], threat, seeds=[3, 0])
    np.testing.assert_allclose(again, found[turned], atol=1e-5)
    assert all(weight.grad is None for weight in net.parameters())


def test_time_bins_can_be_chosen(pixels: Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            self.part(torch.zeros_like(x) + 1 + 0 * x)
            return self.part(x)

    model = TorchModel(Twice(), name="twice", image_size=(4, 4), layers=["part"])
    threat = Threat("linf", 0.1)
    first, second = (RepresentationAttack("part", time_bins=(at,)) for at in (0.0, 1.0))
    moved = second.perturb(model, pixels, threat, seeds=range(5))
    assert second.shift(model, moved, pixels, seeds=range(5)).min() > 0
    assert first.shift(model, moved, pixels, seeds=range(5)).max() == 0
    with pytest.raises(RequestError, match="no time_bin 2"):
        RepresentationAttack("part", time_bins=(2.0,)).perturb(model, pixels, threat, seeds=range(5))


def test_bad_images_are_named(pixels: Tensor) -> None:
    with pytest.raises(DataError, match="scale them to"):
        RepresentationAttack("1").perturb(linear_model(), pixels * 255, Threat(), seeds=range(5))
    with pytest.raises(RequestError, match="5 images and 2 seeds"):
        RepresentationAttack("1").perturb(linear_model(), pixels, Threat(), seeds=range(2))


def test_noise_is_held_fixed(pixels: Tensor) -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.part(x + torch.randn_like(x))

    model = TorchModel(Noisy(), name="noisy", image_size=(4, 4), layers=["part"], stochastic=True)
    attack = RepresentationAttack("part", steps=5)
    assert attack.shift(model, pixels, pixels, seeds=range(5)).max() == 0
    moved = attack.perturb(model, pixels, Threat("linf", 0.1), seeds=range(5))
    np.testing.assert_allclose((moved - pixels).abs(), 0.1, atol=1e-6)
