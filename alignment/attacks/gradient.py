"""Attacks by plain gradient ascent: one step (FGSM), or many with projection (PGD)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.losses import check_loss
from alignment.attacks.objective import Best, Objective
from alignment.attacks.threat import Logits, Norm, Threat
from alignment.errors import RequestError

# of the ball: enough to cross it from side to side, and a quarter more (Madry et al. 2018)
TRAVEL = 2.5


@dataclass(frozen=True)
class FGSM:
    """Fast gradient sign method (Goodfellow, Shlens & Szegedy 2015, ICLR): one step of size epsilon.

    In L2 the step goes along the gradient itself.

    Parameters
    ----------
    loss : {"ce", "dlr", "margin"}
    samples : draws of a stochastic model over which the gradient is averaged

    Examples
    --------
    >>> def logits(pixels, *, seeds=None):
    ...     brightness = pixels.mean((1, 2, 3))
    ...     return torch.stack([brightness, 0.55 - 0.1 * brightness], dim=1)[:, None]
    >>> grey = torch.full((1, 3, 2, 2), 0.51)
    >>> found = FGSM().perturb(logits, grey, torch.tensor([0]), Threat("linf", 8 / 255), seeds=[0])
    >>> logits(grey).argmax(-1), logits(found).argmax(-1)
    (tensor([[0]]), tensor([[1]]))
    """

    loss: str = "ce"
    samples: int = 1

    def __post_init__(self) -> None:
        check_loss(self.loss)
        check_counts(samples=self.samples)

    @property
    def name(self) -> str:
        """How tables call it."""
        return "fgsm"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """As `Attack.perturb`."""
        objective = Objective(
            logits, labels, tuple(seeds), (self.name,), threat.moment, loss=self.loss, samples=self.samples
        )
        return climb(_gradients(objective), pixels, pixels=pixels, threat=threat, steps=1, relative_step=1.0)


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al. 2018, ICLR), on the negative loss.

    x <- P(x + step * direction), the direction being the sign of the gradient (Linf) or the gradient over its length
    (L2), P the projection onto ball and pixel range. The last point of an ascent counts; of several, the best.

    Parameters
    ----------
    steps : of each ascent
    relative_step : step over epsilon; None: 2.5 / steps
    random_start : whether an ascent starts at a random point of the ball, else at the image
    restarts : ascents; of a deterministic model, those after the first take only the images not broken yet
    loss : {"ce", "dlr", "margin"}
    samples : draws of a stochastic model over which each gradient is averaged

    Raises
    ------
    RequestError
        A count below 1, a step that is not above 0, or restarts that would all start at the same point.
    """

    steps: int = 20
    relative_step: float | None = None
    random_start: bool = True
    restarts: int = 1
    loss: str = "ce"
    samples: int = 1

    def __post_init__(self) -> None:
        check_loss(self.loss)
        check_counts(steps=self.steps, restarts=self.restarts, samples=self.samples)
        if self.relative_step is not None and not 0 < self.relative_step < float("inf"):
            raise RequestError(f"relative_step is {self.relative_step:g}; give a share of epsilon above 0")
        if self.restarts > 1 and not self.random_start:
            raise RequestError(f"{self.restarts} restarts without random_start would all be the same; take one")

    @property
    def name(self) -> str:
        """How tables call it."""
        return "pgd"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """As `Attack.perturb`."""
        best = Best(pixels, drops=self.samples == 1)
        for restart in range(self.restarts):
            rows = best.left()
            if not len(rows):
                break
            objective = self._objective(logits, labels, threat, seeds=seeds, restart=restart).take(rows)
            points = self._ascend(_gradients(objective), pixels[rows], objective.seeds, threat, restart=restart)
            if self.restarts == 1:
                return points
            best.offer(rows, points, objective.value(points, self.steps))
        return best.points

    def trace(self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]) -> Tensor:
        """As `Traced.trace`."""
        objective = self._objective(logits, labels, threat, seeds=seeds, restart=0)
        margins: list[Tensor] = []

        def noted(at: Tensor, step: int) -> Tensor:
            standing, slope = objective.slope(at, step)
            margins.append(standing.margin)
            return slope

        last = self._ascend(noted, pixels, seeds, threat, restart=0)
        margins.append(objective.value(last, self.steps).margin)
        return torch.stack(margins).cummax(0).values

    def _objective(
        self, logits: Logits, labels: Tensor, threat: Threat, *, seeds: Sequence[int], restart: int
    ) -> Objective:
        stream = (self.name, restart)
        return Objective(logits, labels, tuple(seeds), stream, threat.moment, loss=self.loss, samples=self.samples)

    def _ascend(
        self,
        gradients: Callable[[Tensor, int], Tensor],
        pixels: Tensor,
        seeds: Sequence[int],
        threat: Threat,
        *,
        restart: int,
    ) -> Tensor:
        named = draw_seeds(seeds, self.name, "start", restart)
        start = random_start(pixels, threat, seeds=named) if self.random_start else pixels
        step = TRAVEL / self.steps if self.relative_step is None else self.relative_step
        return climb(gradients, start, pixels=pixels, threat=threat, steps=self.steps, relative_step=step)


def climb(
    gradients: Callable[[Tensor, int], Tensor],
    start: Tensor,
    *,
    pixels: Tensor,
    threat: Threat,
    steps: int,
    relative_step: float,
) -> Tensor:
    """Steepest ascent with projection.

    Parameters
    ----------
    gradients : (points, number of the step) -> gradient at the points, of their shape
    start, pixels : (batch, 3, row, column); where the ascent starts, and the centres of the balls
    threat : the ball
    steps, relative_step : how many, and how long as a share of epsilon

    Returns
    -------
    The last points
    """
    at = start
    for step in range(steps):
        direction = steepest(gradients(at, step), threat.norm)
        at = threat.project(at + relative_step * threat.epsilon * direction, pixels)
    return at


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The step of length 1 along which a linear loss rises most; 0 for an image whose gradient is 0.

    Examples
    --------
    >>> steepest(torch.tensor([[3e-30, -4e-30]]), "l2"), steepest(torch.tensor([[3e-30, -4e-30]]), "linf")
    (tensor([[ 0.6000, -0.8000]]), tensor([[ 1., -1.]]))
    """
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    # by the largest entry first: the squares of a tiny gradient would be 0
    largest = flat.abs().amax(1, keepdim=True)
    flat = flat / largest.where(largest > 0, 1.0)
    length = flat.norm(dim=1, keepdim=True)
    return (flat / length.where(length > 0, 1.0)).view_as(gradient)


def random_start(pixels: Tensor, threat: Threat, *, seeds: Sequence[int]) -> Tensor:
    """A point of each image's ball, uniform in it, then within the pixel range.

    Parameters
    ----------
    pixels : (batch, 3, row, column)
    threat : the ball
    seeds : one per image; each draws from a stream of its own, so that no image depends on its batch

    Returns
    -------
    (batch, 3, row, column)

    Examples
    --------
    >>> grey = torch.full((2, 3, 1, 1), 0.5)
    >>> threat = Threat("l2", 0.1)
    >>> both = random_start(grey, threat, seeds=[5, 6])
    >>> torch.equal(both[1:], random_start(grey[1:], threat, seeds=[6]))
    True
    """
    return threat.project(pixels + torch.stack([_in_ball(pixels[0], threat, seed) for seed in seeds]), pixels)


def _in_ball(like: Tensor, threat: Threat, seed: int) -> Tensor:
    # drawn on the processor, so that a seed means the same on every device
    draw = torch.Generator().manual_seed(seed)
    if threat.norm == "linf":
        delta = torch.rand(like.shape, generator=draw) * 2 - 1
    else:
        delta = torch.randn(like.shape, generator=draw)
        # the radius of a uniform point of a d-ball is the d-th root of a uniform number
        delta *= torch.rand((), generator=draw) ** (1 / like.numel()) / delta.norm()
    return (delta * threat.epsilon).to(like)


def check_counts(**counts: int) -> None:
    """Raise a RequestError for the first count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise RequestError(f"{name} is {count}; give at least 1")


def _gradients(objective: Objective) -> Callable[[Tensor, int], Tensor]:
    return lambda at, step: objective.slope(at, step)[1]
