"""The loss of images under attack with its input gradient, and the best points met so far.

Of a stochastic model both are means over draws (expectation over transformation, Athalye et al. 2018, ICML): the
gradient of the mean loss is the mean of gradients. Weights collect no gradient: it is asked for at the pixels alone.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.losses import margin, of_decisions
from alignment.attacks.threat import Logits, Moment, decisive


class Standing(NamedTuple):
    """How images stand.

    Attributes
    ----------
    loss : (batch,) mean over decisions and draws
    margin : (batch,) mean over decisions and draws of the highest other logit above that of the true class
    broken : (batch,) whether every decision of every draw is wrong
    """

    loss: Tensor
    margin: Tensor
    broken: Tensor


@dataclass(frozen=True)
class Objective:
    """A loss of a batch of images.

    Parameters
    ----------
    logits : of the model under attack
    labels : (batch,) int64
    seeds : one per image
    stream : names that keep the draws of this ascent apart from all others
    moment : which decisions count; the loss is their mean, since one image cannot be the worst for each of them
    loss : {"ce", "dlr", "margin"}
    targets : (batch,) int64; None for a loss towards any other class
    samples : draws of a stochastic model per evaluation
    """

    logits: Logits
    labels: Tensor
    seeds: tuple[int, ...]
    stream: tuple[str | int, ...]
    moment: Moment
    loss: str = "ce"
    targets: Tensor | None = None
    samples: int = 1

    def take(self, rows: Tensor) -> "Objective":
        """The same of some images, by position."""
        seeds = tuple(self.seeds[row] for row in rows.tolist())
        targets = None if self.targets is None else self.targets[rows]
        return replace(self, labels=self.labels[rows], seeds=seeds, targets=targets)

    def value(self, pixels: Tensor, step: int) -> Standing:
        """Where `pixels` (batch, 3, row, column) stand; `step` names the draws."""
        with torch.no_grad():
            return _mean([self._draw(pixels, step, sample)[0] for sample in range(self.samples)])

    def slope(self, pixels: Tensor, step: int) -> tuple[Standing, Tensor]:
        """Where `pixels` stand, and the gradient of the loss at them, of their shape; 0 where there is none."""
        standings = []
        with torch.inference_mode(False), torch.enable_grad():
            total = torch.zeros_like(pixels)
            for sample in range(self.samples):
                # copies made here can enter a gradient, also where the caller's tensors cannot (inference mode)
                leaf = pixels.detach().clone().requires_grad_()
                standing, loss = self._draw(leaf, step, sample)
                standings.append(standing)
                total += gradient(loss, leaf)
            return _mean(standings), total / self.samples

    def _draw(self, pixels: Tensor, step: int, sample: int) -> tuple[Standing, Tensor]:
        seeds = draw_seeds(self.seeds, *self.stream, step, sample)
        labels, targets = self.labels.clone(), None if self.targets is None else self.targets.clone()
        scores = decisive(self.logits(pixels, seeds=seeds), self.moment)
        loss = of_decisions(self.loss, scores, labels, targets).mean(1)
        found = scores.detach()
        # no class is given by scores that are not numbers
        wrong = ((found.argmax(-1) != labels[:, None]) & ~found.isnan().any(-1)).all(1)
        return Standing(loss.detach(), margin(found, labels).mean(1), wrong), loss


def gradient(loss: Tensor, pixels: Tensor) -> Tensor:
    """Of the summed loss at `pixels`; zeros where the loss does not depend on them by any differentiable way.

    Entries that are not finite count as 0: where a network has no usable gradient, an attack goes on with the rest of
    it, and `flags` reports it.
    """
    if not loss.requires_grad:
        return torch.zeros_like(pixels)
    (found,) = torch.autograd.grad(loss.sum(), pixels, allow_unused=True)
    return torch.zeros_like(pixels) if found is None else found.nan_to_num(0.0, 0.0, 0.0)


def _mean(standings: list[Standing]) -> Standing:
    if len(standings) == 1:
        return standings[0]
    loss, margins, wrong = (torch.stack(field) for field in zip(*standings, strict=True))
    return Standing(loss.mean(0), margins.mean(0), wrong.all(0))


class Best:
    """Per image the best point seen: broken before not, then the higher margin.

    Margins, unlike losses, compare between targets.

    Parameters
    ----------
    pixels : (batch, 3, row, column), the answer for images of which no point is offered
    drops : whether an image whose point is broken needs no more; never so where draws decide, since one of them may
        have been lucky
    """

    def __init__(self, pixels: Tensor, *, drops: bool) -> None:
        self.points = pixels.detach().clone()
        self.margin = torch.full((len(pixels),), -float("inf"), dtype=pixels.dtype, device=pixels.device)
        self.broken = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
        self.drops = drops

    def offer(self, rows: Tensor, points: Tensor, standing: Standing) -> None:
        """Points for the images at `rows`, and how they stand."""
        known = self.broken[rows]
        higher = standing.margin > self.margin[rows]
        better = (standing.broken & ~known) | (higher & (standing.broken | ~known))
        self.points[rows[better]] = points[better]
        self.margin[rows[better]] = standing.margin[better].to(self.margin.dtype)
        self.broken[rows] |= standing.broken

    def left(self) -> Tensor:
        """Positions of the images that still need an attack."""
        return torch.arange(len(self.points), device=self.points.device)[~self.broken | (not self.drops)]
