r"""What an attack raises, per image and decision: above all, how wrong a decision is.

$z$ are the logits of a decision, $y$ is the true class, $t$ a target, $\pi$ the order of classes from the highest
logit to the lowest. The published losses are those of Croce & Hein 2020, "Reliable evaluation of adversarial
robustness with an ensemble of diverse parameter-free attacks" (ICML; section 4, and appendix for the targeted one).
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from alignment.errors import RequestError, unknown

# keeps 0 / 0 from becoming NaN where the three or four highest logits are equal
TINY = 1e-12


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    r"""$-\log \mathrm{softmax}(z)_y$.

    Parameters
    ----------
    scores : (batch, decision, class)
    labels : (batch,) int64

    Returns
    -------
    (batch, decision)

    Examples
    --------
    >>> import torch
    >>> cross_entropy(torch.zeros(1, 1, 4), torch.tensor([2])).exp()
    tensor([[4.]])
    """
    return F.cross_entropy(scores.movedim(-1, 1), labels[:, None].expand(scores.shape[:2]), reduction="none")


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    r"""$\max_{i \ne y} z_i - z_y$: above 0 where the decision is wrong (Carlini & Wagner 2017, IEEE S&P, $f_6$).

    Parameters and returns as for `cross_entropy`.

    Examples
    --------
    >>> import torch
    >>> margin(torch.tensor([[[1.0, 3.0, 2.5]]]), torch.tensor([1]))
    tensor([[-0.5000]])
    """
    own = labels[:, None, None].expand(*scores.shape[:2], 1)
    others = scores.scatter(-1, own, -float("inf"))
    return others.amax(-1) - scores.gather(-1, own)[..., 0]


def dlr(scores: Tensor, labels: Tensor) -> Tensor:
    r"""Difference of logits ratio, $-(z_y - \max_{i \ne y} z_i) / (z_{\pi_1} - z_{\pi_3})$; needs 3 classes.

    Neither a shift nor a scale of the logits changes it, so that a saturated softmax hides no gradient. Parameters and
    returns as for `cross_entropy`.
    """
    highest = scores.topk(3, dim=-1).values
    return margin(scores, labels) / (highest[..., 0] - highest[..., 2] + TINY)


def targeted_cross_entropy(scores: Tensor, _labels: Tensor, targets: Tensor) -> Tensor:
    r"""$\log \mathrm{softmax}(z)_t$; `targets` (batch,) int64, the rest as for `cross_entropy`."""
    return -cross_entropy(scores, targets)


def targeted_margin(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """$z_t - z_y$; `targets` (batch,) int64, the rest as for `cross_entropy`."""
    return _of(scores, targets) - _of(scores, labels)


def targeted_dlr(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    r"""$-(z_y - z_t) / (z_{\pi_1} - (z_{\pi_3} + z_{\pi_4}) / 2)$; needs 4 classes.

    `targets` (batch,) int64, the rest as for `cross_entropy`.
    """
    highest = scores.topk(4, dim=-1).values
    spread = highest[..., 0] - (highest[..., 2] + highest[..., 3]) / 2
    return targeted_margin(scores, labels, targets) / (spread + TINY)


class Untargeted(NamedTuple):
    """A loss towards any other class, and how many classes it needs."""

    of: Callable[[Tensor, Tensor], Tensor]
    least_classes: int


class Targeted(NamedTuple):
    """A loss towards a given class, and how many classes it needs."""

    of: Callable[[Tensor, Tensor, Tensor], Tensor]
    least_classes: int


UNTARGETED = {"ce": Untargeted(cross_entropy, 2), "dlr": Untargeted(dlr, 3), "margin": Untargeted(margin, 2)}
TARGETED = {
    "ce": Targeted(targeted_cross_entropy, 2),
    "dlr": Targeted(targeted_dlr, 4),
    "margin": Targeted(targeted_margin, 2),
}


def check_loss(name: str) -> None:
    """Raise a RequestError unless there is a loss of that name."""
    if name not in UNTARGETED:
        raise unknown("loss", name, UNTARGETED)


def of_decisions(name: str, scores: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """The loss of each decision, towards `targets` where they are given.

    Parameters
    ----------
    name : {"ce", "dlr", "margin"}
    scores : (batch, decision, class)
    labels, targets : (batch,) int64

    Returns
    -------
    (batch, decision)

    Raises
    ------
    RequestError
        Fewer classes than the loss is defined for.
    """
    least = (UNTARGETED if targets is None else TARGETED)[name].least_classes
    if scores.shape[-1] < least:
        kind = name if targets is None else f"targeted {name}"
        raise RequestError(f"the {kind} loss needs {least} classes, the model has {scores.shape[-1]}; take loss='ce'")
    if targets is None:
        return UNTARGETED[name].of(scores, labels)
    return TARGETED[name].of(scores, labels, targets)


def _of(scores: Tensor, classes: Tensor) -> Tensor:
    return scores.gather(-1, classes[:, None, None].expand(*scores.shape[:2], 1))[..., 0]
