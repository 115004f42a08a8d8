"""What an attacker may do: how far pixels may move, in which norm, and against which moment of a network with time.

Pixels are float32 in [0, 1], so that epsilon means the same for every model: 8/255 is 8 grey levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from alignment.errors import RequestError, unknown

Norm = Literal["linf", "l2"]
Moment = Literal["last", "mean", "each"]
NORMS = ("linf", "l2")
MOMENTS = ("last", "mean", "each")


class Logits(Protocol):
    """Class scores of a model, differentiable in pixels; `Model.logits` is one."""

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """(batch, time_bin, class) from (batch, 3, row, column) in [0, 1]; one seed per image for stochastic models."""
        ...


@dataclass(frozen=True)
class Threat:
    """A ball around each image, within the range of pixels.

    Parameters
    ----------
    norm : {"linf", "l2"}
        Of the whole perturbation of an image.
    epsilon : float
        Radius in pixel units, above 0.
    moment : {"last", "mean", "each"}
        Which decision counts in a network with time: that of the last time_bin, that of the mean of logits over
        time_bins, or each one on its own (an image is robust at a time_bin).

    Raises
    ------
    RequestError
        An unknown norm or moment, or an epsilon that is not above 0 and finite.
    """

    norm: Norm = "linf"
    epsilon: float = 8 / 255
    moment: Moment = "last"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, NORMS)
        if self.moment not in MOMENTS:
            raise unknown("moment", self.moment, MOMENTS)
        if not 0 < self.epsilon < float("inf"):
            raise RequestError(f"epsilon is {self.epsilon:g}; give a radius above 0 in pixel units, such as 8/255")

    def project(self, perturbed: Tensor, pixels: Tensor) -> Tensor:
        """The nearest images within the ball around `pixels`, then within [0, 1].

        For Linf both constraints hold together; for L2 clipping to [0, 1] only shortens a perturbation, since `pixels`
        lie in [0, 1] themselves.

        Examples
        --------
        >>> import torch
        >>> x = torch.full((1, 3, 1, 1), 0.9)
        >>> float(Threat("linf", 0.05).project(x + 0.2, x).max())
        0.949999988079071
        """
        delta = perturbed - pixels
        if self.norm == "linf":
            delta = delta.clamp(-self.epsilon, self.epsilon)
        else:
            length = distances(perturbed, pixels, norm="l2").view(-1, *[1] * (pixels.ndim - 1))
            delta = delta * (self.epsilon / length.clamp(min=self.epsilon))
        return (pixels + delta).clamp(0.0, 1.0)


def distances(perturbed: Tensor, pixels: Tensor, *, norm: Norm) -> Tensor:
    """(batch,) size of each image's perturbation."""
    delta = (perturbed - pixels).flatten(1)
    return delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)


def decisive(logits: Tensor, moment: Moment) -> Tensor:
    """Logits (batch, time_bin, class) of the decisions that count, (batch, decision, class).

    Examples
    --------
    >>> import torch
    >>> decisive(torch.zeros(2, 5, 10), "mean").shape, decisive(torch.zeros(2, 5, 10), "each").shape
    (torch.Size([2, 1, 10]), torch.Size([2, 5, 10]))
    """
    if moment == "each":
        return logits
    return logits[:, -1:] if moment == "last" else logits.mean(1, keepdim=True)
