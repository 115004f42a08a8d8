r"""Auto-PGD: gradient ascent that halves its own step; untargeted and targeted, the first two attacks of AutoAttack.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks"
(ICML), section 3 and algorithm 1, with the values given there: a first step of $2 \epsilon$, momentum 0.75,
$\rho = 0.75$, and checkpoints $w_j = \lceil p_j N \rceil$ where $p_0 = 0$, $p_1 = 0.22$ and
$p_{j+1} = p_j + \max(p_j - p_{j-1} - 0.03, 0.06)$.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import check_counts, random_start, steepest
from alignment.attacks.losses import check_loss
from alignment.attacks.objective import Best, Objective
from alignment.attacks.threat import Logits, Threat, decisive
from alignment.errors import RequestError

# of epsilon
FIRST_STRIDE = 2.0
MOMENTUM = 0.75


@dataclass(frozen=True)
class APGD:
    """Auto-PGD (Croce & Hein 2020), towards any other class or in turn towards the most likely ones.

    At a checkpoint the step of an image is halved if its loss rose in fewer than a share rho of the steps since the
    checkpoint before, or if neither its step nor its highest loss changed from there to here; it then goes on from its
    best point.

    Parameters
    ----------
    steps : of each ascent
    loss : {"ce", "dlr", "margin"}
    targets : 0 for none; k for one ascent towards each of the k other classes with the highest logits (towards all
        others where there are fewer)
    restarts : ascents, of each target
    rho : the share of steps above
    samples : draws of a stochastic model over which loss and gradient are averaged
    keep_going : whether images that are broken are pushed on, as a transfer to other models needs; else they rest,
        which saves most of the time. They never rest with samples above 1

    Raises
    ------
    RequestError
        A count below 1, targets below 0, an unknown loss or a rho outside [0, 1].

    Examples
    --------
    >>> APGD(loss="dlr", targets=9).name, APGD().settings()["steps"]
    ('apgd-t-dlr', 100)
    """

    steps: int = 100
    loss: str = "ce"
    targets: int = 0
    restarts: int = 1
    rho: float = 0.75
    samples: int = 1
    keep_going: bool = False

    def __post_init__(self) -> None:
        check_loss(self.loss)
        check_counts(steps=self.steps, restarts=self.restarts, samples=self.samples)
        if self.targets < 0:
            raise RequestError(f"targets is {self.targets}; give 0 for none, or how many classes to aim at")
        if not 0 <= self.rho <= 1:
            raise RequestError(f"rho is {self.rho:g}; give a share of steps between 0 and 1")

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"apgd-{'t-' if self.targets else ''}{self.loss}"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """As `Attack.perturb`."""
        best = Best(pixels, drops=self.samples == 1 and not self.keep_going)
        goals = self._goals(logits, pixels, labels, threat, seeds=seeds)
        for goal, restart in product(goals, range(self.restarts)):
            rows = best.left()
            if not len(rows):
                break
            objective = self._objective(logits, labels, threat, seeds=seeds, goal=goal, restart=restart).take(rows)
            for _ in self._ascend(objective, pixels[rows], threat, best=best, rows=rows):
                pass
        return best.points

    def trace(self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]) -> Tensor:
        """As `Traced.trace`."""
        goal = self._goals(logits, pixels, labels, threat, seeds=seeds)[0]
        objective = self._objective(logits, labels, threat, seeds=seeds, goal=goal, restart=0)
        best = Best(pixels, drops=False)
        margins = list(self._ascend(objective, pixels, threat, best=best, rows=best.left()))
        return torch.stack(margins).cummax(0).values

    def _goals(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> list["_Goal"]:
        if not self.targets:
            return [_Goal("any", None)]
        with torch.no_grad():
            scores = logits(pixels, seeds=draw_seeds(seeds, self.name, "targets"))
        mean = decisive(scores, threat.moment).mean(1)
        others = mean.scatter(1, labels[:, None], -float("inf"))
        likely = others.topk(min(self.targets, mean.shape[1] - 1), dim=1).indices
        return [_Goal(f"target{rank}", column) for rank, column in enumerate(likely.T)]

    def _objective(
        self, logits: Logits, labels: Tensor, threat: Threat, *, seeds: Sequence[int], goal: "_Goal", restart: int
    ) -> Objective:
        stream = (self.name, goal.name, restart)
        setting = Objective(logits, labels, tuple(seeds), stream, threat.moment, loss=self.loss, samples=self.samples)
        return replace(setting, targets=goal.targets)

    def _ascend(
        self, objective: Objective, pixels: Tensor, threat: Threat, *, best: Best, rows: Tensor
    ) -> Iterator[Tensor]:
        """One ascent from a random start, each point offered to `best`; yields the margins of the images left."""
        points = random_start(pixels, threat, seeds=draw_seeds(objective.seeds, *objective.stream, "start"))
        standing, slope = objective.slope(points, 0)
        climb = _Climb.begin(pixels, points, loss=standing.loss, slope=slope, stride=FIRST_STRIDE * threat.epsilon)
        spans = checkpoint_spans(self.steps)
        for step in range(1, self.steps + 1):
            best.offer(rows, points, standing)
            yield standing.margin
            if best.drops and standing.broken.any():
                kept = torch.nonzero(~standing.broken).flatten()
                if not len(kept):
                    return
                rows, objective, climb = rows[kept], objective.take(kept), climb.take(kept)
            points = climb.next(threat, momentum=1.0 if step == 1 else MOMENTUM)
            if step < self.steps:
                standing, slope = objective.slope(points, step)
                climb.arrive(points, loss=standing.loss, slope=slope)
                if step in spans:
                    climb.check(spans[step], rho=self.rho)
        standing = objective.value(points, self.steps)
        best.offer(rows, points, standing)
        yield standing.margin


def checkpoint_spans(steps: int) -> dict[int, int]:
    """Checkpoints, as numbers of steps, each with how many steps lie between it and the one before.

    Examples
    --------
    >>> list(checkpoint_spans(100)), list(checkpoint_spans(100).values())
    ([22, 41, 57, 70, 80, 87, 93, 99], [22, 19, 16, 13, 10, 7, 6, 6])
    """
    # in hundredths, where the published shares are whole and no rounding moves a checkpoint
    before, at = 0, 22
    spans: dict[int, int] = {}
    last = 0
    while at < 100:
        checkpoint = -(-at * steps // 100)
        if checkpoint > last:
            spans[checkpoint], last = checkpoint - last, checkpoint
        before, at = at, at + max(at - before - 3, 6)
    return spans


class _Goal(NamedTuple):
    name: str
    targets: Tensor | None


@dataclass
class _Climb:
    """Where the ascent of each image stands, one row per image."""

    pixels: Tensor
    at: Tensor
    before: Tensor
    loss: Tensor
    slope: Tensor
    top: Tensor
    top_loss: Tensor
    top_slope: Tensor
    stride: Tensor
    # steps that raised the loss since the last checkpoint, the highest loss there, and whether the stride was halved
    rises: Tensor
    mark: Tensor
    halved: Tensor

    @classmethod
    def begin(cls, pixels: Tensor, start: Tensor, *, loss: Tensor, slope: Tensor, stride: float) -> "_Climb":
        return cls(
            pixels=pixels,
            at=start,
            before=start,
            loss=loss,
            slope=slope,
            top=start.clone(),
            top_loss=loss.clone(),
            top_slope=slope.clone(),
            stride=torch.full_like(loss, stride),
            rises=torch.zeros_like(loss),
            mark=loss.clone(),
            halved=torch.zeros_like(loss, dtype=torch.bool),
        )

    def take(self, rows: Tensor) -> "_Climb":
        return _Climb(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def next(self, threat: Threat, *, momentum: float) -> Tensor:
        stride = self.stride.view(-1, *[1] * (self.at.ndim - 1)).to(self.at.dtype)
        ahead = threat.project(self.at + stride * steepest(self.slope, threat.norm), self.pixels)
        inertia = (1 - momentum) * (self.at - self.before)
        return threat.project(self.at + momentum * (ahead - self.at) + inertia, self.pixels)

    def arrive(self, points: Tensor, *, loss: Tensor, slope: Tensor) -> None:
        self.rises += loss > self.loss
        self.before, self.at, self.loss, self.slope = self.at, points, loss, slope
        higher = torch.nonzero(loss > self.top_loss).flatten()
        self.top[higher], self.top_slope[higher] = points[higher], slope[higher]
        self.top_loss = torch.maximum(self.top_loss, loss)

    def check(self, span: int, *, rho: float) -> None:
        stuck = ~self.halved & (self.top_loss <= self.mark)
        self.halved = (self.rises < rho * span) | stuck
        self.stride = torch.where(self.halved, self.stride / 2, self.stride)
        back = torch.nonzero(self.halved).flatten()
        self.at, self.slope, self.loss = self.at.clone(), self.slope.clone(), self.loss.clone()
        self.at[back], self.slope[back], self.loss[back] = self.top[back], self.top_slope[back], self.top_loss[back]
        self.rises = torch.zeros_like(self.rises)
        self.mark = self.top_loss.clone()
