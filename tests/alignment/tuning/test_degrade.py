"""A network is made as bad as was asked for, and no worse."""

import pytest
import torch
from torch import nn

from alignment.tuning.degrade import degrade


def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))
    x = torch.randn(2000, 20)
    return net, x, net(x).argmax(1)


def accuracy_of(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return float((net(x).argmax(1) == y).double().mean())


@pytest.mark.parametrize("target", [0.95, 0.7, 0.4])
def test_accuracy_comes_down_to_the_target(target: float):
    net, x, y = network()
    before = [weight.clone() for weight in net.parameters()]
    factor = degrade(net, lambda: accuracy_of(net, x, y), target=target, seed=3)
    assert factor > 0
    assert target - 0.01 <= accuracy_of(net, x, y) <= target
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_the_same_seed_gives_the_same_network_and_another_another():
    def degraded(seed: int) -> tuple[float, torch.Tensor]:
        net, x, y = network()
        factor = degrade(net, lambda: accuracy_of(net, x, y), target=0.6, seed=seed)
        return factor, torch.cat([weight.detach().flatten() for weight in net.parameters()])

    factors, states = zip(*(degraded(seed) for seed in (0, 0, 1)), strict=True)
    assert factors[0] == factors[1] and torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_network_that_is_no_better_stays_as_it_is():
    net, x, y = network()
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    assert degrade(net, lambda: accuracy_of(net, x, y), target=1.0, seed=0) == 0.0
    assert all(torch.equal(before[name], weight) for name, weight in net.named_parameters())
