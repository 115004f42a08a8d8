"""Gradients through all passes and through the last alone, of recurrent networks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alignment.attacks.flags import flags_of_truncation
from alignment.attacks.gradient import PGD
from alignment.attacks.judge import judge
from alignment.attacks.threat import Threat
from alignment.attacks.time import truncated
from alignment.errors import RequestError
from alignment.models import TorchModel

STEPS = 4


class Cell(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.drive, self.state, self.change = nn.Linear(48, 24), nn.Linear(24, 24), change

    def forward(self, pixels: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(self.drive(pixels) + self.state(self.change(state)))


class Recurrent(nn.Module):
    """Shown the image at every step, which it mostly reads from its own past."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda state: state, *, leak: float = 0.15) -> None:
        super().__init__()
        self.cell, self.readout, self.leak = Cell(change), nn.Linear(24, 5), leak
        self.image_size = (4, 4)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x.flatten(1) - 0.5
        state, scores = torch.zeros(len(x), 24, dtype=x.dtype), []
        for step in range(STEPS):
            state = self.cell(x * (self.leak if step else 1.0), state)
            scores.append(self.readout(state))
        return scores


def build(module: nn.Module) -> TorchModel:
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters()):
            weight.copy_(
                torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) / weight.shape[-1] ** 0.5
            )
    return TorchModel(module, name="toy", image_size=(4, 4), layers=["cell"], classes=tuple("abcde"))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(60, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_values_stay_and_gradients_are_those_of_the_last_call(images: Tensor) -> None:
    module = Recurrent()
    model = build(module)
    logits, leaf = truncated(model), images.clone().requires_grad_()
    scores = logits(leaf)
    assert torch.equal(scores, model.logits(images))
    scores[:, -1, 0].sum().backward()
    flat = images.flatten(1) - 0.5
    with torch.no_grad():
        state = torch.zeros(60, 24)
        for step in range(STEPS - 1):
            state = module.cell(flat * (0.15 if step else 1.0), state)
    by_hand = flat.clone().requires_grad_()
    module.readout(module.cell(by_hand * 0.15, state))[:, 0].sum().backward()
    assert leaf.grad is not None and by_hand.grad is not None
    np.testing.assert_allclose(leaf.grad.flatten(1), by_hand.grad, atol=1e-6)
    again = images.clone().requires_grad_()
    model.logits(again)[:, -1, 0].sum().backward()
    assert again.grad is not None
    assert (again.grad - leaf.grad).abs().max() > 0.01


@pytest.mark.parametrize("moment", ["last", "mean"])
def test_a_network_is_weaker_under_the_full_gradient(images: Tensor, moment: str) -> None:
    model = build(Recurrent())
    with torch.no_grad():
        scores = model.logits(images)
    labels = (scores[:, -1] if moment == "last" else scores.mean(1)).argmax(1)
    threat = Threat("linf", 0.15, moment=moment)  # type: ignore[arg-type]
    attack = [PGD(random_start=False)]
    full = judge(model.logits, attack, images, labels, threat, seeds=range(60))
    cut = judge(truncated(model), attack, images, labels, threat, seeds=range(60))
    assert float(full.clean.mean()) == float(cut.clean.mean()) == 1
    assert float(full.accuracies[-1]) < float(cut.accuracies[-1]) - 0.05
    assert flags_of_truncation(full, cut) == ()


def test_each_time_bin_has_an_accuracy_of_its_own(images: Tensor) -> None:
    model = build(Recurrent())
    with torch.no_grad():
        labels = model.logits(images)[:, 0].argmax(1)
    verdict = judge(model.logits, [PGD()], images, labels, Threat("linf", 0.05, moment="each"), seeds=range(60))
    assert verdict.robust.shape == (60, STEPS)
    assert len(set(verdict.accuracies[-1].tolist())) > 1


class Scrambled(torch.autograd.Function):
    """Passes states on and tears their gradient to pieces, as an unstable recurrence does."""

    @staticmethod
    def forward(ctx, state):  # type: ignore[no-untyped-def]
        return state.clone()

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        noise = torch.randn(slope.shape, generator=torch.Generator().manual_seed(0))
        return 1e3 * noise * slope.abs().amax()


def test_masked_gradients_through_time_are_flagged(images: Tensor) -> None:
    model = build(Recurrent(Scrambled.apply, leak=1.0))
    with torch.no_grad():
        labels = model.logits(images)[:, -1].argmax(1)
    threat, attack = Threat("linf", 0.04), [PGD(random_start=False)]
    full = judge(model.logits, attack, images, labels, threat, seeds=range(60))
    cut = judge(truncated(model), attack, images, labels, threat, seeds=range(60))
    (flag,) = flags_of_truncation(full, cut)
    assert flag.kind == "through-time"


def test_draws_of_a_stochastic_network_are_cut_one_by_one(images: Tensor) -> None:
    model = build(Recurrent(lambda state: state + 0.1 * torch.randn_like(state)))
    model.stochastic = True
    few, seeds = images[:3], [4, 5, 6]
    logits, leaf = truncated(model), few.clone().requires_grad_()
    logits(leaf, seeds=seeds)[:, -1, 0].sum().backward()
    for at in range(3):
        alone = few[at : at + 1].clone().requires_grad_()
        logits(alone, seeds=[seeds[at]])[:, -1, 0].sum().backward()
        assert leaf.grad is not None and alone.grad is not None
        np.testing.assert_allclose(leaf.grad[at], alone.grad[0], atol=1e-6)
        assert alone.grad.abs().max() > 0


def test_hooks_are_gone_afterwards(images: Tensor) -> None:
    model = build(Recurrent())
    truncated(model)(images[:2])
    assert not model.module._forward_pre_hooks
    assert not model.module.cell._forward_hooks


def test_what_cannot_be_cut_is_named() -> None:
    flat = TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), name="flat", image_size=(4, 4), layers=["1"])
    with pytest.raises(RequestError, match="no layer with several time bins"):
        truncated(flat)
    with pytest.raises(RequestError, match="did you mean cell"):
        truncated(build(Recurrent()), ["cel"])
