"""Outputs put in the place of others, against passes by hand."""

import pytest
import torch
from torch import Tensor, nn

from alignment.dynamics.replay import replaying
from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.models.cordsnet.layout import Clock
from alignment.models.cordsnet.model import cordsnet


class Walk(nn.Module):
    """Three steps of a state that is read at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.state, self.readout = nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 12)
        for _ in range(3):
            state = self.state(self.step(state) + x.flatten(1))
        return self.readout(state)


@pytest.fixture(scope="module")
def model() -> TorchModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Walk()
    return TorchModel(module, name="walk", image_size=(2, 2), layers=["state", "step"], classes=["a", "b", "c"])


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 5, 3, 2, 2, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_what_follows_a_replaced_output_runs_freely(model: TorchModel, images: Tensor) -> None:
    here, there = images
    net, seen = model.module, model.record(there, ["state"])["state"]
    found = replaying(model, {"state": {1.0: seen[:, 1]}})(here)
    state = net.state(net.step(seen[:, 1]) + here.flatten(1))
    assert torch.equal(found[:, 0], net.readout(state))
    assert not torch.equal(found, model.logits(here))


@torch.no_grad()
def test_replaying_what_was_there_changes_nothing(model: TorchModel, images: Tensor) -> None:
    own = model.record(images[0], ["state", "step"])
    outputs = {layer: {float(k): values[:, k] for k in range(3)} for layer, values in own.items()}
    assert torch.equal(replaying(model, outputs)(images[0]), model.logits(images[0]))
    assert torch.equal(replaying(model, {})(images[0]), model.logits(images[0]))


@torch.no_grad()
def test_hooks_are_gone_afterwards(model: TorchModel, images: Tensor) -> None:
    logits = replaying(model, {"state": {0.0: torch.zeros(4, 12)}})
    with pytest.raises(RequestError, match=r"^walk: an output of shape \(4, 12\) cannot replace one of \(5, 12\)$"):
        logits(images[0])
    assert not any(part._forward_hooks for part in model.module.modules())


def test_a_gradient_passes_through_what_is_free(model: TorchModel, images: Tensor) -> None:
    leaf = images[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(replaying(model, {"state": {1.0: torch.zeros(5, 12)}})(leaf)[:, 0, 0].sum(), leaf)
    by_hand, net = images[0].clone().requires_grad_(), model.module
    last = net.readout(net.state(net.step(torch.zeros(5, 12)) + by_hand.flatten(1)))
    (expected,) = torch.autograd.grad(last[:, 0].sum(), by_hand)
    torch.testing.assert_close(slope, expected)


def test_what_cannot_be_replaced_is_named(model: TorchModel) -> None:
    with pytest.raises(RequestError, match=r"unknown layer of walk 'stat'; did you mean state"):
        replaying(model, {"stat": {}})
    with pytest.raises(RequestError, match=r"^walk: layer 'state' has no time_bin 3; it has 0 to 2$"):
        replaying(model, {"state": {3.0: torch.zeros(1, 12)}})
    rates = cordsnet(2, image_size=(16, 16), classes=("a", "b"), clock=Clock(steps=12, blank_steps=1))
    given = {time: torch.zeros(1, 64, 4, 4) for time in rates.time_bins["rates.0"][:1]}
    with pytest.raises(RequestError, match=r"^cordsnet_r2: a layer was called 12 times for its 10 time_bins, so that"):
        replaying(rates, {"rates.0": given})(torch.rand(1, 3, 16, 16))
