"""Each measurement on networks made to have the symptom, and on one that is honest."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alignment.attacks.symptoms import (
    Specimen,
    are_probabilities,
    change_between_passes,
    change_in_company,
    depth_varies,
    largest_slopes,
    slope_errors,
)

Network = Callable[[Tensor], Tensor]


@pytest.fixture
def honest() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 4),
        ).eval()


def specimen(network: Network, n: int = 12) -> Specimen:
    pixels = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return network(images)[:, None]

    with torch.no_grad():
        labels = network(pixels).argmax(1)
    return Specimen(logits, pixels, labels, tuple(range(n)), "last")


def test_an_honest_network_shows_nothing(honest: nn.Module) -> None:
    subject = specimen(honest)
    assert change_between_passes(subject) == 0
    assert change_in_company(subject) < 1e-5
    assert not are_probabilities(subject)
    assert largest_slopes(subject).min() > 1e-4
    assert slope_errors(subject).median() < 0.1
    assert not depth_varies(subject, subject.pixels + 0.01)


def test_noise_shows_in_its_size(honest: nn.Module) -> None:
    subject = specimen(lambda x: 10 + 0.01 * torch.rand(len(x), 4))
    assert 0.0005 < change_between_passes(subject) < 0.001


def test_batch_statistics_show(honest: nn.Module) -> None:
    # running statistics are left alone, so that one pass does not change the next
    normed = nn.BatchNorm2d(3, track_running_stats=False)
    assert change_in_company(specimen(lambda x: honest(normed(x)))) > 0.01


def test_probabilities_show(honest: nn.Module) -> None:
    assert are_probabilities(specimen(lambda x: honest(x).softmax(1)))
    assert not are_probabilities(specimen(lambda x: honest(x).sigmoid()))
    assert not are_probabilities(specimen(lambda x: honest(x).log_softmax(1)))


@pytest.mark.parametrize(
    "network", [lambda x, f: f((x * 8).round() / 8), lambda x, f: f(x.detach()), lambda x, f: f(x) * 1e5]
)
def test_flat_losses_show(honest: nn.Module, network: Callable[[Tensor, Network], Tensor]) -> None:
    assert largest_slopes(specimen(lambda x: network(x, honest))).median() == 0


def test_gradients_that_are_no_numbers_are_none(honest: nn.Module) -> None:
    subject = specimen(lambda x: honest(x) + (x - x).sum((1, 2, 3))[:, None].sqrt())
    assert largest_slopes(subject).max() == 0


def loop(network: nn.Module, images: Tensor, *, stopped: bool) -> Tensor:
    state = images
    for _ in range(4):
        state = 0.3 * images + 0.9 * torch.tanh(state.detach() if stopped else state).roll(1, -1)
    return network(state)


def test_a_stopped_gradient_in_a_loop_shows(honest: nn.Module) -> None:
    assert slope_errors(specimen(lambda x: loop(honest, x, stopped=True))).median() > 0.5
    assert slope_errors(specimen(lambda x: loop(honest, x, stopped=False))).median() < 0.1


def test_an_invented_gradient_shows(honest: nn.Module) -> None:
    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return (x * 4).round() / 4

        @staticmethod
        def backward(ctx, slope):  # type: ignore[no-untyped-def]
            return slope

    assert slope_errors(specimen(lambda x: honest(Rounded.apply(x)))).median() > 0.9


def test_clipping_to_the_pixel_range_is_honest(honest: nn.Module) -> None:
    binary = (torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).float()

    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return honest(images.clamp(0, 1))[:, None]

    subject = Specimen(logits, binary, torch.zeros(8, dtype=torch.int64), tuple(range(8)), "last")
    assert slope_errors(subject).median() < 0.2


def until(network: nn.Module, images: Tensor, enough: Callable[[Tensor], bool]) -> Tensor:
    scores = network(images)
    for _ in range(5):
        if enough(scores):
            break
        scores = scores + network(images)
    return scores


def test_a_loop_that_stops_by_itself_shows(honest: nn.Module) -> None:
    with torch.no_grad():
        typical = honest(specimen(honest).pixels).abs().amax(1).median()

    def each(x: Tensor) -> Tensor:
        return torch.cat([until(honest, image[None], lambda scores: bool(scores.abs().max() > typical)) for image in x])

    subject = specimen(each)
    assert depth_varies(subject, subject.pixels)
    assert not depth_varies(specimen(lambda x: until(honest, x, lambda scores: False)), subject.pixels)


def test_time_bins_that_depend_on_the_image_show(honest: nn.Module) -> None:
    def logits(images: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        steps = 1 + int(images.mean() > 0.5)
        return honest(images)[:, None].expand(-1, steps, -1)

    pixels = torch.cat([torch.full((1, 3, 8, 8), value) for value in (0.2, 0.8)])
    subject = Specimen(logits, pixels, torch.tensor([0, 0]), (0, 1), "last")
    assert depth_varies(subject, pixels)
    assert change_in_company(subject) == np.inf
