"""Losses and gradients at the pixels: independent of the batch, averaged over draws, and leaving weights alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.attacks.objective import Best, Objective, Standing
from alignment.seeds import derive

LABELS = torch.tensor([0, 1, 2])


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)).double()


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def over_time(network: nn.Module):  # type: ignore[no-untyped-def]
    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return torch.stack([network(pixels), network(0.5 * pixels), network(pixels**2)], dim=1)

    return logits


def noisy(network: nn.Module):  # type: ignore[no-untyped-def]
    def logits(pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        draws = [torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]
        return network(pixels + 0.3 * torch.stack(draws))[:, None]

    return logits


@pytest.mark.parametrize("moment", ["last", "mean", "each"])
def test_the_moment_says_what_is_raised(network: nn.Module, pixels: Tensor, moment: str) -> None:
    objective = Objective(over_time(network), LABELS, (0, 1, 2), ("t",), moment)  # type: ignore[arg-type]
    standing, slope = objective.slope(pixels, 0)
    leaf = pixels.clone().requires_grad_()
    first, second, third = network(leaf), network(0.5 * leaf), network(leaf**2)
    rows = {"last": [third], "mean": [(first + second + third) / 3], "each": [first, second, third]}[moment]
    losses = torch.stack([F.cross_entropy(row, LABELS, reduction="none") for row in rows]).mean(0)
    np.testing.assert_allclose(standing.loss, losses.detach(), rtol=1e-12)
    losses.sum().backward()
    np.testing.assert_allclose(slope, leaf.grad, rtol=1e-9, atol=1e-15)
    assert standing.broken.tolist() == [
        all(row[at].argmax() != LABELS[at] for row in rows) for at in range(len(LABELS))
    ]


def test_gradients_are_averaged_over_draws_of_their_own(network: nn.Module, pixels: Tensor) -> None:
    objective = Objective(noisy(network), LABELS, (5, 6, 7), ("a", 1), "last", samples=4)
    standing, slope = objective.slope(pixels, 9)
    leaf = pixels.clone().requires_grad_()
    losses = []
    for sample in range(4):
        scores = noisy(network)(leaf, seeds=[derive(seed, "a", 1, 9, sample) for seed in (5, 6, 7)])
        losses.append(F.cross_entropy(scores[:, 0], LABELS, reduction="none"))
    mean = torch.stack(losses).mean(0)
    mean.sum().backward()
    np.testing.assert_allclose(standing.loss, mean.detach(), rtol=1e-12)
    np.testing.assert_allclose(slope, leaf.grad, rtol=1e-9, atol=1e-15)
    assert not torch.equal(objective.slope(pixels, 10)[1], slope)


def test_one_lucky_draw_breaks_nothing(pixels: Tensor) -> None:
    def coin(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        assert seeds is not None
        sides = torch.tensor([seed % 2 for seed in seeds], dtype=images.dtype)
        return torch.stack([sides, 1 - sides, torch.zeros_like(sides)], dim=1)[:, None] + 0 * images.sum()

    labels = torch.zeros(3, dtype=torch.int64)
    one, many = (Objective(coin, labels, (0, 1, 2), ("c",), "last", samples=n) for n in (1, 20))
    assert any(one.value(pixels, step).broken.any() for step in range(10))
    assert not many.value(pixels, 0).broken.any()


def test_no_image_depends_on_its_batch(network: nn.Module, pixels: Tensor) -> None:
    objective = Objective(noisy(network), LABELS, (5, 6, 7), ("a",), "last", samples=2)
    slope = objective.slope(pixels, 0)[1]
    turned = torch.tensor([2, 0])
    np.testing.assert_allclose(objective.take(turned).slope(pixels[turned], 0)[1], slope[turned], rtol=1e-12)


def test_weights_collect_no_gradient(network: nn.Module, pixels: Tensor) -> None:
    wanted = [weight.requires_grad for weight in network.parameters()]
    _, slope = Objective(over_time(network), LABELS, (0, 1, 2), ("t",), "last").slope(pixels, 0)
    assert slope.abs().max() > 0
    assert all(weight.grad is None for weight in network.parameters())
    assert [weight.requires_grad for weight in network.parameters()] == wanted
    assert not pixels.requires_grad


def test_images_made_in_inference_mode_are_attacked_too(network: nn.Module, pixels: Tensor) -> None:
    objective = Objective(over_time(network), LABELS, (0, 1, 2), ("t",), "last")
    expected = objective.slope(pixels, 0)[1]
    with torch.inference_mode():
        found = replace(objective, labels=LABELS.clone()).slope(pixels.clone(), 0)[1]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("detached", [lambda x: x.detach(), lambda x: torch.zeros_like(x, requires_grad=True)])
def test_no_gradient_is_a_gradient_of_zeros(network: nn.Module, pixels: Tensor, detached) -> None:  # type: ignore[no-untyped-def]
    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return network(detached(images))[:, None]

    assert torch.equal(
        Objective(logits, LABELS, (0, 1, 2), ("t",), "last").slope(pixels, 0)[1], torch.zeros_like(pixels)
    )


def test_the_best_point_is_broken_before_it_is_close() -> None:
    best = Best(torch.zeros(3, 1), drops=True)
    rows = torch.arange(3)
    offers = [
        ([1.0, 1.0, 1.0], [-3.0, -1.0, 5.0], [False, False, True]),
        ([2.0, 2.0, 2.0], [-2.0, -4.0, 9.0], [False, True, False]),
        ([3.0, 3.0, 3.0], [-2.5, -2.0, 6.0], [False, True, True]),
    ]
    for points, margins, broken in offers:
        best.offer(
            rows, torch.tensor(points)[:, None], Standing(torch.zeros(3), torch.tensor(margins), torch.tensor(broken))
        )
    assert best.points.flatten().tolist() == [2.0, 3.0, 3.0]
    assert best.left().tolist() == [0]
    assert Best(torch.zeros(3, 1), drops=False).left().tolist() == [0, 1, 2]
