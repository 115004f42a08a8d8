"""Distillation against SciPy's relative entropy, the rest against closed forms and plain autograd."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn

from alignment.errors import RequestError
from alignment.tuning.losses import NEURAL, distillation, gradient_norms, l2_starting_point


def logits(*shape: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 20.0])
@pytest.mark.parametrize("shape", [(6, 10), (4, 3, 10)])
def test_distillation_is_the_relative_entropy_of_scipy(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher = logits(*shape, seed=0), logits(*shape, seed=1)
    p_s, p_t = (softmax(z.numpy() / temperature, axis=-1) for z in (student, teacher))
    expected = temperature**2 * rel_entr(p_t, p_s).sum(-1).mean()
    assert distillation(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_distillation_of_equal_logits_is_exactly_0(dtype: torch.dtype) -> None:
    z = (logits(100, 3, 10, seed=0) * 10).to(dtype)
    student = z.clone().requires_grad_()
    loss = distillation(student, z, temperature=2.0)
    assert loss == 0
    loss.backward()
    assert student.grad is not None
    assert student.grad.abs().max().item() < 1e-8


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_distillation_is_the_difference_of_probabilities(temperature: float) -> None:
    student, teacher = logits(5, 10, seed=0).requires_grad_(), logits(5, 10, seed=1).requires_grad_()
    distillation(student, teacher, temperature=temperature).backward()
    p_s, p_t = (softmax(z.detach().numpy() / temperature, axis=-1) for z in (student, teacher))
    np.testing.assert_allclose(student.grad, temperature * (p_s - p_t) / 5, atol=1e-12)
    assert teacher.grad is None


def test_logits_that_do_not_fit_are_named() -> None:
    with pytest.raises(RequestError, match=r"student \(2, 3\) and of the teacher \(2, 4\)"):
        distillation(torch.zeros(2, 3), torch.zeros(2, 4), temperature=1.0)
    with pytest.raises(RequestError, match="temperature 0 is not above 0"):
        distillation(torch.zeros(2, 3), torch.zeros(2, 3), temperature=0)


def test_the_distance_from_the_start_is_a_sum_of_squares() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    start = [parameter.detach().clone() for parameter in net.parameters()]
    assert l2_starting_point(net.parameters(), start) == 0
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.5)
    distance = l2_starting_point(net.parameters(), start)
    assert distance.item() == pytest.approx(0.25 * sum(p.numel() for p in start))
    distance.backward()
    for parameter in net.parameters():
        np.testing.assert_allclose(parameter.grad, np.full(parameter.shape, 1.0))


def test_parameters_of_another_network_are_refused() -> None:
    with pytest.raises(RequestError, match="2 parameters and 1 of the start differ"):
        l2_starting_point([torch.zeros(2), torch.zeros(3)], [torch.zeros(2)])
    with pytest.raises(RequestError, match="differ in number or shape"):
        l2_starting_point([torch.zeros(2)], [torch.zeros(3)])
    with pytest.raises(RequestError, match="0 parameters"):
        l2_starting_point([], [])


def test_every_term_is_audited_by_itself() -> None:
    torch.manual_seed(0)
    backbone, head = nn.Linear(5, 4).double(), nn.Linear(4, 3).double()
    frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    images, y = torch.randn(64, 5, dtype=torch.float64), torch.randn(64, 4, dtype=torch.float64)
    features = backbone(images)
    terms = {name: loss(features, y) for name, loss in NEURAL.items()}
    terms |= {
        # values copied out of the graph: the value is right, and trains nothing
        "copied": torch.tensor([float(loss.detach()) for loss in terms.values()]).mean(),
        "head only": head(features.detach()).square().mean(),
    }
    norms = gradient_norms(terms, [*backbone.parameters(), frozen])
    assert norms["copied"] == norms["head only"] == 0
    for name in NEURAL:
        backbone.zero_grad()
        terms[name].backward(retain_graph=True)
        lengths = np.concatenate([parameter.grad.numpy().ravel() for parameter in backbone.parameters()])
        assert norms[name] == pytest.approx(np.linalg.norm(lengths), rel=1e-12)
        assert norms[name] > 0


def test_an_audit_of_a_frozen_backbone_is_refused() -> None:
    with pytest.raises(RequestError, match="no parameter requires a gradient"):
        gradient_norms({"mse": torch.zeros(())}, [torch.zeros(3)])
