"""FAB-T: the smallest adversarial perturbation, by steps onto linearised boundaries (Croce & Hein 2020, ICML)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.checks import check_images
from alignment.attacks.gradient import check_counts
from alignment.attacks.losses import margin
from alignment.attacks.objective import Objective
from alignment.attacks.threat import Logits, Moment, Norm, Threat, decisive, distances

ALPHA_MAX = 0.1  # largest weight of the step from the image itself
ETA = 1.05  # length of a step, in units of the way to the linearised boundary
BETA = 0.9  # share that is kept of a perturbation once it is adversarial
SEARCH_STEPS = 12  # passes of the final search along a segment, its two ends included
BEYOND = 1e-4  # how far past a boundary the final search steps, so that rounding does not leave it short
TINY = 1e-12


@dataclass(frozen=True)
class FABT:
    """Fast adaptive boundary attack, targeted.

    Targets are the classes of highest score after the label. A step linearises the boundary between label and target at
    the present point x, finds the displacements d(x) and d(x0) of smallest norm that bring x and the image x0 onto it
    within [0, 1], and takes (Algorithm 1)

        x <- clip((1 - alpha) (x + eta d(x)) + alpha (x0 + eta d(x0))),    alpha = min(|d(x)| / (|d(x)| + |d(x0)|), 0.1)

    with eta = 1.05. If that is adversarial, it is remembered where it is the nearest so far, and drawn back to
    x0 + 0.9 (x - x0). At the end the segment from x0 to the nearest point is searched for the place where the class
    changes, by turns at the root of the line through the margins at both ends and at the middle, and one more point is
    tried: x0 moved just beyond the boundary linearised there.

    With the moment "each" a point is adversarial when every decision is wrong, and the boundary is that of the decision
    furthest from it. To attack one decision, give its logits alone.

    Parameters
    ----------
    steps : int
        Of each run; two forward passes and one backward pass each.
    restarts : int
        Runs for each target. The first starts from the image; others at random, half as far from it as the nearest
        adversarial point, or half the radius of the threat where that is smaller.
    targets : int
        Classes tried at most.

    Raises
    ------
    RequestError
        A number below 1.

    Examples
    --------
    The nearest image that a classifier of brightness calls dark has the brightness of its threshold.

    >>> def logits(pixels, *, seeds=None):
    ...     brightness = pixels.mean((1, 2, 3))
    ...     return torch.stack([brightness - 0.5, torch.zeros_like(brightness)], 1)[:, None]
    >>> bright = torch.full((1, 3, 8, 8), 0.6)
    >>> _, distance = FABT(steps=5).minimal(logits, bright, torch.tensor([0]), norm="linf", seeds=[0])
    >>> round(float(distance), 3)
    0.1
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 9

    def __post_init__(self) -> None:
        check_counts(steps=self.steps, restarts=self.restarts, targets=self.targets)

    @property
    def name(self) -> str:
        """How tables call it."""
        return "fab-t"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """An adversarial image for each: one within the ball if one was found there, else the nearest found.

        An image found within the ball needs no more targets, and is not moved closer to the boundary, where rounding
        may decide the class.

        Parameters
        ----------
        logits : Logits
        pixels : Tensor (batch, 3, row, column) float32 in [0, 1]
        labels : Tensor (batch,) int64
        threat : Threat
        seeds : sequence of int
            One per image.

        Returns
        -------
        Tensor like `pixels`, in [0, 1]
            Within the ball or not. Images for which nothing was found, or that are wrong as they are, come back as they
            are.
        """
        return self._nearest(logits, pixels, labels, threat, seeds=seeds, enough=threat.epsilon)[0]

    def minimal(
        self,
        logits: Logits,
        pixels: Tensor,
        labels: Tensor,
        *,
        norm: Norm,
        seeds: Sequence[int],
        moment: Moment = "last",
    ) -> tuple[Tensor, Tensor]:
        """The nearest adversarial image found for each, over all targets, and how far it is.

        Parameters
        ----------
        logits, pixels, labels, seeds
            As for `perturb`.
        norm : {"linf", "l2"}
        moment : {"last", "mean", "each"}

        Returns
        -------
        pixels : Tensor like `pixels`, in [0, 1]
        distances : Tensor (batch,) float32
            0 for images that are wrong as they are, inf where nothing was found.

        Raises
        ------
        RequestError, DataError
            Images, labels or seeds that are not of that shape or range, or do not fit each other.
        """
        check_images(pixels, labels, seeds)
        widest = 1.0 if norm == "linf" else float(pixels[0].numel()) ** 0.5
        return self._nearest(logits, pixels, labels, Threat(norm, widest, moment), seeds=seeds, enough=0.0)

    def _nearest(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int], enough: float
    ) -> tuple[Tensor, Tensor]:
        """Points and how far they are; one within `enough` is left as it is."""

        def facing(rows: Tensor, *stream: str | int, targets: Tensor | None = None) -> Objective:
            """The images at `rows`, each facing its hardest decision alone."""
            one_decision = _Hardest(logits, labels[rows], threat.moment)
            own = tuple(seeds[row] for row in rows.tolist())
            return Objective(one_decision, labels[rows], own, (self.name, *stream), "last", "margin", targets)

        everyone = facing(torch.arange(len(pixels), device=pixels.device))
        nearest, distance = pixels.detach().clone(), torch.where(everyone.value(pixels, 0).broken, 0.0, torch.inf)
        for rank, target in enumerate(_targets(everyone, pixels, count=self.targets)):
            for restart in range(self.restarts):
                rows = (distance > enough).nonzero().squeeze(1)
                if not len(rows):
                    return nearest, distance
                run = facing(rows, rank, restart, targets=target[rows])
                start = pixels[rows]
                if restart:
                    radius = distance[rows].clamp(max=threat.epsilon) / 2
                    start = _random_start(start, run, norm=threat.norm, radius=radius)
                found, reached = _descend(run, pixels[rows], start, norm=threat.norm, steps=self.steps)
                nearer = reached < distance[rows]
                nearest[rows[nearer]], distance[rows[nearer]] = found[nearer], reached[nearer]
        rows = ((distance > enough) & distance.isfinite()).nonzero().squeeze(1)
        if len(rows):
            nearest[rows] = _searched(facing(rows, "search"), pixels[rows], nearest[rows], norm=threat.norm)
            distance[rows] = distances(nearest[rows], pixels[rows], norm=threat.norm)
        return nearest, distance


@dataclass(frozen=True)
class _Hardest:
    """Of each image, the scores of the decision furthest from wrong: once that is wrong, so is every other."""

    logits: Logits
    labels: Tensor
    moment: Moment

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """(batch, 1, class)."""
        scores = decisive(self.logits(pixels, seeds=seeds), self.moment)
        hardest = margin(scores.detach(), self.labels).argmin(1)
        return scores[torch.arange(len(scores), device=scores.device), hardest][:, None]


def displacement(points: Tensor, normals: Tensor, changes: Tensor, *, norm: Norm) -> Tensor:
    """The smallest d with normal . d = change and 0 <= point + d <= 1; the furthest possible where none is enough.

    Along the path of solutions d_i = sign(change normal_i) min(lambda a_i, room_i), with a_i = 1 (Linf) or |normal_i|
    (L2) and room_i the way to the end of the range, normal . d is piecewise linear in lambda and grows: sorting the
    values of lambda at which pixels meet their end finds the piece, and lambda in it, exactly.

    Parameters
    ----------
    points : Tensor (batch, ...) in [0, 1]
    normals : Tensor like `points`
    changes : Tensor (batch,)
    norm : {"linf", "l2"}

    Returns
    -------
    Tensor like `points`

    Examples
    --------
    >>> point, normal, change = torch.tensor([[0.9, 0.5]]), torch.tensor([[1.0, 1.0]]), torch.tensor([0.4])
    >>> displacement(point, normal, change, norm="linf")
    tensor([[0.1000, 0.3000]])
    """
    # in units of the largest weight, so that saturated networks do not run out of digits
    unit = normals.flatten(1).abs().amax(1, keepdim=True)
    unit = torch.where(unit > 0, unit, 1.0)
    signed = normals.flatten(1) / unit * torch.where(changes < 0, -1.0, 1.0).to(normals)[:, None]
    here, weight = points.flatten(1), signed.abs()
    room = torch.where(signed > 0, 1 - here, here)
    speed = torch.ones_like(weight) if norm == "linf" else weight
    # a pixel without weight may meet its end anywhere: it changes nothing
    ends, order = torch.where(weight > 0, room / speed.clamp(min=TINY), 0.0).sort(1)
    # many small terms: their sums need more digits than they do
    rising = (weight * speed).gather(1, order).double()
    stopped = (weight * room).gather(1, order).double().cumsum(1)
    still = rising.flip(1).cumsum(1).flip(1)
    before = torch.nn.functional.pad(stopped[:, :-1], (1, 0))
    reached = before + ends * still
    needed = changes.abs().double()[:, None] / unit
    piece = torch.searchsorted(reached, needed).clamp(max=reached.shape[1] - 1)
    rate = still.gather(1, piece).clamp(min=TINY)
    way = ((needed - before.gather(1, piece)) / rate).to(points)
    moved = torch.where(needed > reached[:, -1:], room, torch.minimum(way * speed, room))
    return (signed.sign() * moved).view_as(points)


def _targets(objective: Objective, pixels: Tensor, *, count: int) -> list[Tensor]:
    """(batch,) classes of falling score, without the label."""
    with torch.no_grad():
        scores = objective.logits(pixels, seeds=draw_seeds(objective.seeds, *objective.stream, "targets"))[:, 0]
    others = scores.scatter(1, objective.labels[:, None], -torch.inf)
    return list(others.topk(min(count, scores.shape[1] - 1), dim=1).indices.T)


def _random_start(origin: Tensor, run: Objective, *, norm: Norm, radius: Tensor) -> Tensor:
    """A point at `radius` (batch,) from each image, clipped to [0, 1]."""
    generators = [torch.Generator().manual_seed(seed) for seed in draw_seeds(run.seeds, *run.stream, "start")]
    if norm == "linf":
        noise = torch.stack([2 * torch.rand(origin.shape[1:], generator=each) - 1 for each in generators]).to(origin)
    else:
        noise = torch.stack([torch.randn(origin.shape[1:], generator=each) for each in generators]).to(origin)
    length = distances(noise, torch.zeros_like(noise), norm=norm)
    return (origin + noise * (radius / length)[:, None, None, None]).clamp(0, 1)


def _descend(run: Objective, origin: Tensor, start: Tensor, *, norm: Norm, steps: int) -> tuple[Tensor, Tensor]:
    """The nearest adversarial point met, and how far it is; inf where none was."""
    x, nearest, distance = start, origin.clone(), torch.full_like(run.labels, torch.inf, dtype=origin.dtype)
    for step in range(steps):
        standing, slope = run.slope(x, 2 * step)
        onward = displacement(x, slope, -standing.loss, norm=norm)
        afresh = _from_origin(x, standing.loss, slope, origin=origin, norm=norm)
        length, total = (distances(d, torch.zeros_like(d), norm=norm) for d in (onward, afresh))
        alpha = (length / (length + total).clamp(min=TINY)).clamp(max=ALPHA_MAX)[:, None, None, None]
        x = ((1 - alpha) * (x + ETA * onward) + alpha * (origin + ETA * afresh)).clamp(0, 1)
        broken = run.value(x, 2 * step + 1).broken
        reached = distances(x, origin, norm=norm)
        nearer = broken & (reached < distance)
        distance = torch.where(nearer, reached, distance)
        nearest[nearer] = x[nearer]
        x = torch.where(broken[:, None, None, None], origin + BETA * (x - origin), x)
    return nearest, distance


def _from_origin(x: Tensor, loss: Tensor, slope: Tensor, *, origin: Tensor, norm: Norm) -> Tensor:
    """The displacement of the image onto the boundary linearised at x."""
    there = loss + (slope * (origin - x)).sum((1, 2, 3))
    return displacement(origin, slope, -there, norm=norm)


def _searched(objective: Objective, origin: Tensor, found: Tensor, *, norm: Norm) -> Tensor:
    """The adversarial points `found`, brought as close to each image as a short search can."""
    at_boundary = _first_wrong(objective, origin, found)
    standing, slope = objective.slope(at_boundary, SEARCH_STEPS)
    afresh = _from_origin(at_boundary, standing.loss, slope, origin=origin, norm=norm)
    tried = (origin + (1 + BEYOND) * afresh).clamp(0, 1)
    wrong = objective.value(tried, SEARCH_STEPS + 1).broken
    nearer = wrong & (distances(tried, origin, norm=norm) < distances(at_boundary, origin, norm=norm))
    return torch.where(nearer[:, None, None, None], tried, at_boundary)


def _first_wrong(objective: Objective, origin: Tensor, found: Tensor) -> Tensor:
    """Where the way from each image to an adversarial point crosses the boundary, by a bracketing search."""
    goal = found
    low, high = origin.new_zeros(len(origin)), origin.new_ones(len(origin))
    below, above = (objective.value(end, step).margin for step, end in enumerate((origin, found)))
    for step in range(2, SEARCH_STEPS):
        root = (below / (below - above).clamp(max=-TINY)).clamp(0, 1).to(low)
        # just beyond the root, so that where margins are linear the bracket closes from above
        share = root + BEYOND * (1 - root) if step % 2 == 0 else torch.full_like(root, 0.5)
        at = low + share * (high - low)
        tried = origin + at[:, None, None, None] * (goal - origin)
        standing = objective.value(tried, step)
        wrong, here = standing.broken, standing.margin
        found = torch.where(wrong[:, None, None, None], tried, found)
        low, high = torch.where(wrong, low, at), torch.where(wrong, at, high)
        below, above = torch.where(wrong, below, here), torch.where(wrong, here, above)
    return found
