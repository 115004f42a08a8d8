"""Losses against sums written out, dense matrices, and the network's own steps."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet
from alignment.training.cordsnet.losses import (
    decision_loss,
    inverse_loss,
    ramp,
    ramped_cross_entropy,
    returning_loss,
    truncated_inverse,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = CordsNet(Layout(2, image_size=(16, 16), n_classes=5), Clock(steps=6, blank_steps=4)).double()
    for bias in made.conv_bias:
        torch.nn.init.normal_(bias, std=0.2)
    return made


@pytest.fixture
def images():
    return torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_ramp_is_the_published_one():
    weights = ramp(30)
    assert weights[0] == pytest.approx(1e-3, rel=1e-12) and weights[-1] == 1 and len(weights) == 30
    np.testing.assert_allclose(weights, [10 ** (-3 + 3 * j / 29) for j in range(30)], rtol=1e-12)
    assert float(weights.mean()) == pytest.approx(0.157, abs=5e-4)


def test_three_iterations_are_the_truncated_series():
    drawn = torch.Generator().manual_seed(0)
    kernel = 0.1 * torch.randn(4, 4, 3, 3, dtype=torch.float64, generator=drawn)
    inputs = torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=drawn)
    found = truncated_inverse(kernel, inputs)
    terms = [inputs]
    for _ in range(3):
        terms.append(F.conv2d(terms[-1], kernel, padding=1))
    assert float((found.state - sum(terms)).abs().max()) < 1e-12
    assert float((found.last_term - terms[3]).abs().max()) < 1e-12
    many = truncated_inverse(kernel, inputs, iterations=200)
    assert float((many.state - F.conv2d(many.state, kernel, padding=1) - inputs).abs().max()) < 1e-12


def test_inverse_loss_is_the_sum_written_out():
    drawn = torch.Generator().manual_seed(0)
    kernels, inputs, targets = (
        [0.1 * torch.randn(4, 4, 3, 3, dtype=torch.float64, generator=drawn) for _ in range(2)],
        [torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=drawn) for _ in range(2)],
        [torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=drawn) for _ in range(2)],
    )
    expected = 0.0
    for kernel, each, target in zip(kernels, inputs, targets, strict=True):
        once = F.conv2d(each, kernel, padding=1)
        twice = F.conv2d(once, kernel, padding=1)
        thrice = F.conv2d(twice, kernel, padding=1)
        expected += ((each + once + twice + thrice - target) ** 2).mean() / 2 + 10 * (thrice**2).mean() / 2
    assert inverse_loss(kernels, inputs, targets, penalty=10.0).item() == pytest.approx(expected.item(), abs=1e-12)


def test_shares_of_one_class_are_the_class(network, images):
    classes = torch.tensor([0, 4, 2])
    shares = F.one_hot(classes, 5).double()
    for loss in (
        lambda targets: decision_loss(network, images, targets, ramp_steps=3, decades=3.0),
        lambda targets: returning_loss(
            network, images, targets, ramp_steps=3, decades=3.0, penalty=1.0, penalty_steps=2
        ),
    ):
        one, other = loss(classes), loss(shares)
        assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-12)
        assert torch.equal(one.logits, other.logits)


def test_decisions_are_those_of_the_last_steps_from_rest(network, images):
    targets = torch.tensor([0, 4, 2])
    network.slope = 1.0
    weights = network.folded()
    rates, losses = network.rest(3, weights), []
    for _ in range(6):
        rates = network.step(rates, network.drive(images, weights), weights)
        losses.append(F.cross_entropy(network.readout(rates, weights), targets))
    expected = sum(w * loss for w, loss in zip((1e-3, 10**-1.5, 1.0), losses[3:], strict=True)) / 3
    found = decision_loss(network, images, targets, ramp_steps=3, decades=3.0)
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-12)


def test_return_is_measured_from_the_spontaneous_rates(network, images):
    targets = torch.tensor([0, 4, 2])
    weights = network.folded()
    rates, blank = network.rest(3, weights), torch.zeros_like(images)
    states = []
    for shown, steps in ((blank, 4), (images, 6), (blank, 4)):
        for _ in range(steps):
            rates = network.step(rates, network.drive(shown, weights), weights)
            states.append(rates)
    decided = [F.cross_entropy(network.readout(state, weights), targets) for state in states[7:10]]
    crosses = ramped_cross_entropy([network.readout(state, weights) for state in states[7:10]], targets, ramp(3))
    assert crosses.item() == pytest.approx(
        sum(w * each for w, each in zip(ramp(3), decided, strict=True)).item() / 3, abs=1e-12
    )
    distance = np.mean(
        [(state[area] - states[3][area]).square().mean().item() for state in states[12:] for area in range(2)]
    )
    found = returning_loss(network, images, targets, ramp_steps=3, decades=3.0, penalty=7.0, penalty_steps=2)
    assert found.loss.item() == pytest.approx(crosses.item() + 7 * distance, rel=1e-9)
    # the first blank phase has no gradient; every weight has one all the same
    found.loss.backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in network.parameters())
