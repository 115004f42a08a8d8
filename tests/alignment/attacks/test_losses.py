"""Losses against SciPy and the published formulas, written out one decision at a time."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from alignment.attacks.losses import TARGETED, UNTARGETED, check_loss, margin, of_decisions
from alignment.errors import RequestError

BATCH, DECISIONS, CLASSES = 5, 3, 6


@pytest.fixture
def scores() -> torch.Tensor:
    return 3 * torch.randn(BATCH, DECISIONS, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([0, 5, 2, 2, 1])
TARGETS = torch.tensor([3, 0, 1, 4, 5])


def by_hand(name: str, z: np.ndarray, y: int) -> float:
    ordered = np.sort(z)[::-1]
    gap = z[y] - np.max(np.delete(z, y))
    return {"ce": -log_softmax(z)[y], "margin": -gap, "dlr": -gap / (ordered[0] - ordered[2])}[name]


def targeted_by_hand(name: str, z: np.ndarray, y: int, t: int) -> float:
    ordered = np.sort(z)[::-1]
    spread = ordered[0] - (ordered[2] + ordered[3]) / 2
    return {"ce": log_softmax(z)[t], "margin": z[t] - z[y], "dlr": -(z[y] - z[t]) / spread}[name]


@pytest.mark.parametrize("name", UNTARGETED)
def test_untargeted(name: str, scores: torch.Tensor) -> None:
    expected = [[by_hand(name, z, y) for z in rows] for rows, y in zip(scores.numpy(), LABELS.tolist(), strict=True)]
    np.testing.assert_allclose(of_decisions(name, scores, LABELS), expected, rtol=1e-9)


@pytest.mark.parametrize("name", TARGETED)
def test_targeted(name: str, scores: torch.Tensor) -> None:
    cases = zip(scores.numpy(), LABELS.tolist(), TARGETS.tolist(), strict=True)
    expected = [[targeted_by_hand(name, z, y, t) for z in rows] for rows, y, t in cases]
    np.testing.assert_allclose(of_decisions(name, scores, LABELS, TARGETS), expected, rtol=1e-9)


@pytest.mark.parametrize("targets", [None, TARGETS])
def test_no_scale_or_shift_changes_the_logits_ratio(targets: torch.Tensor | None, scores: torch.Tensor) -> None:
    moved = of_decisions("dlr", 1e4 * scores + 7, LABELS, targets)
    np.testing.assert_allclose(moved, of_decisions("dlr", scores, LABELS, targets), rtol=1e-8)


@pytest.mark.parametrize("targets", [None, TARGETS])
@pytest.mark.parametrize("name", UNTARGETED)
def test_gradients_are_those_of_the_values(name: str, targets: torch.Tensor | None, scores: torch.Tensor) -> None:
    torch.autograd.gradcheck(lambda z: of_decisions(name, z, LABELS, targets), scores.requires_grad_())


def test_equal_logits_give_numbers() -> None:
    equal = torch.zeros(2, 1, 4)
    for name in UNTARGETED:
        assert of_decisions(name, equal, LABELS[2:4]).isfinite().all()
        assert of_decisions(name, equal, LABELS[2:4], TARGETS[1:3]).isfinite().all()


def test_the_margin_tells_wrong_from_right(scores: torch.Tensor) -> None:
    wrong = scores.argmax(-1) != LABELS[:, None]
    assert wrong.any() and not wrong.all()
    assert torch.equal(margin(scores, LABELS) > 0, wrong)


@pytest.mark.parametrize(("targets", "classes"), [(None, 2), (torch.tensor([1]), 3)])
def test_too_few_classes_are_named(targets: torch.Tensor | None, classes: int) -> None:
    with pytest.raises(RequestError, match=f"dlr loss needs {classes + 1} classes, the model has {classes}"):
        of_decisions("dlr", torch.zeros(1, 1, classes), torch.tensor([0]), targets)


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(RequestError, match="unknown loss 'cw'"):
        check_loss("cw")
