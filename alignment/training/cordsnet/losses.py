"""What the stages minimise: errors of a linear inverse, decisions that must be right late, distance from rest.

Targets are classes, (batch,) int64, or shares of classes, (batch, class) float: cross-entropy is defined for both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.models.cordsnet.network import CordsNet

ITERATIONS = 3


class Inverse(NamedTuple):
    """A linear recurrent area after a few iterations from its input.

    Attributes
    ----------
    state : s_n = sum over k = 0 ... n of W^k x
    last_term : W^n x, how far the series is from its end
    """

    state: Tensor
    last_term: Tensor


class Outcome(NamedTuple):
    """A loss, and the logits (batch, class) that tell how many decisions were right."""

    loss: Tensor
    logits: Tensor


def ramp(steps: int, *, decades: float = 3.0) -> Tensor:
    """Weights of the last steps: from 10^-decades to 1, equally spaced in their logarithm.

    Parameters
    ----------
    steps : how many

    Returns
    -------
    (steps,) float64

    Examples
    --------
    >>> ramp(4).tolist()
    [0.001, 0.01, 0.1, 1.0]
    """
    return torch.logspace(-decades, 0, steps, dtype=torch.float64)


def truncated_inverse(kernel: Tensor, inputs: Tensor, *, iterations: int = ITERATIONS) -> Inverse:
    """(I - W)^-1 x as far as some iterations of s <- W * s + x from s = x go: a truncated Neumann series.

    Parameters
    ----------
    kernel : (channel, channel, row, column) of W
    inputs : (batch, channel, row, column), x

    Examples
    --------
    >>> half = torch.full((1, 1, 1, 1), 0.5)
    >>> float(truncated_inverse(half, torch.ones(1, 1, 1, 1)).state)
    1.875
    """
    state = before = inputs
    for _ in range(iterations):
        before, state = state, F.conv2d(state, kernel, padding=kernel.shape[-1] // 2) + inputs
    return Inverse(state, state - before)


def inverse_loss(
    kernels: Sequence[Tensor], inputs: Sequence[Tensor], targets: Sequence[Tensor], *, penalty: float
) -> Tensor:
    """Mean over areas of the squared error of a truncated inverse, and of the square of its last term.

    Parameters
    ----------
    kernels : W_l of each area
    inputs : b_l + u_l of each area, (batch, channel, row, column)
    targets : what its state should be, of the same shapes
    penalty : weight of the last term, which keeps the spectral radius of W_l below 1
    """
    found = [truncated_inverse(kernel, each) for kernel, each in zip(kernels, inputs, strict=True)]
    errors = [F.mse_loss(inverse.state, target) for inverse, target in zip(found, targets, strict=True)]
    lasts = [inverse.last_term.square().mean() for inverse in found]
    return torch.stack(errors).mean() + penalty * torch.stack(lasts).mean()


def ramped_cross_entropy(logits: Sequence[Tensor], targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over steps of the cross-entropy at each, times its weight.

    Parameters
    ----------
    logits : (batch, class) of each of some steps
    targets : classes or shares of classes
    weights : (step,)
    """
    losses = torch.stack([F.cross_entropy(each, targets) for each in logits])
    return (losses * weights.to(losses)).mean()


def decision_loss(network: CordsNet, images: Tensor, targets: Tensor, *, ramp_steps: int, decades: float) -> Outcome:
    """Ramped cross-entropy of a network that starts from rates of 0, without a blank phase.

    Parameters
    ----------
    network : with its slope and clock
    images : (batch, channel, row, column), normalised
    targets : classes or shares of classes
    ramp_steps, decades : of `ramp`
    """
    weights = network.folded()
    drive = network.drive(images, weights)
    steps = network.clock.steps
    logits = [
        network.readout(rates, weights)
        for step, rates in enumerate(
            network.trajectory(network.rest(len(images), weights), drive, weights, steps=steps), 1
        )
        if step > steps - ramp_steps
    ]
    loss = ramped_cross_entropy(logits, targets, ramp(len(logits), decades=decades))
    return Outcome(loss, logits[-1].detach())


def returning_loss(
    network: CordsNet,
    images: Tensor,
    targets: Tensor,
    *,
    ramp_steps: int,
    decades: float,
    penalty: float,
    penalty_steps: int,
) -> Outcome:
    """Ramped cross-entropy after a blank phase, and how far a second blank phase leaves the rates from where they were.

    Parameters
    ----------
    network, images, targets, ramp_steps, decades : as of `decision_loss`; the second blank is as long as the first
    penalty : weight of the mean square distance from the spontaneous rates
    penalty_steps : over how many of the last steps it is taken
    """
    weights = network.folded()
    rates = baseline = network.spontaneous(weights, len(images))
    steps, logits = network.clock.steps, []
    for step, after in enumerate(network.trajectory(rates, network.drive(images, weights), weights, steps=steps), 1):
        rates = after
        if step > steps - ramp_steps:
            logits.append(network.readout(rates, weights))
    loss = ramped_cross_entropy(logits, targets, ramp(len(logits), decades=decades))
    blank_steps, distances = network.clock.blank_steps, []
    for step, after in enumerate(network.trajectory(rates, weights.bias, weights, steps=blank_steps), 1):
        if step > blank_steps - penalty_steps:
            distances += [(rate - rest).square().mean() for rate, rest in zip(after, baseline, strict=True)]
    return Outcome(loss + penalty * torch.stack(distances).mean(), logits[-1].detach())
