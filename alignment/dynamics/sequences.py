"""A CordsNet under a sequence of stimuli: images, blanks between them, noise on each step; no step is held unasked."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.errors import RequestError
from alignment.models.cordsnet.network import CordsNet, Weights


class Phase(NamedTuple):
    """What is shown for some steps.

    Attributes
    ----------
    images : (batch, channel, row, column), normalised; None for the blank, 0
    steps : how many
    """

    images: Tensor | None
    steps: int


class State(NamedTuple):
    """A network after a step.

    Attributes
    ----------
    phase : which of the sequence, from 0
    step : of the phase, from 1
    rates : per area (batch, channel, row, column)
    logits : (batch, class)
    """

    phase: int
    step: int
    rates: list[Tensor]
    logits: Tensor


def run_sequence(
    network: CordsNet,
    phases: Sequence[Phase],
    *,
    noise: float = 0.0,
    noise_seeds: Sequence[int] | None = None,
    rates: Sequence[Tensor] | None = None,
) -> Iterator[State]:
    """Every step of a network that is shown one thing after another.

    Parameters
    ----------
    network : used as it is, with its own alpha
    phases : what is shown, of one batch size
    noise : standard deviation of Gaussian noise on each pixel, drawn anew at each step
    noise_seeds : of the noise, one per image, so that it depends on no other image of the batch
    rates : per area, to begin with; those after the network's own blank phase when not given

    Yields
    ------
    State

    Raises
    ------
    RequestError
        No phase has images, they have several batch sizes, or noise has no seed for each.

    Examples
    --------
    >>> from alignment.models.cordsnet.layout import Clock, Layout
    >>> net = CordsNet(Layout(2, image_size=(8, 8), n_classes=2), Clock(blank_steps=2))
    >>> image = torch.ones(1, 3, 8, 8)
    >>> [state.phase for state in run_sequence(net, [Phase(image, 2), Phase(None, 1)])]
    [0, 0, 1]
    """
    sizes = {len(phase.images) for phase in phases if phase.images is not None}
    if len(sizes) != 1:
        raise RequestError(
            f"sequence: its images come in batches of {sorted(sizes)}; give one batch size, and an image"
        )
    (batch,) = sizes
    if noise and (noise_seeds is None or len(noise_seeds) != batch):
        raise RequestError("sequence: noise needs a seed for each image; give noise_seeds=")
    draw = _Noise(noise, noise_seeds or ())
    weights = network.folded()
    now = list(rates) if rates is not None else network.spontaneous(weights, batch)
    for position, phase in enumerate(phases):
        shown = _blank(network, weights, batch) if phase.images is None else phase.images
        drive = network.drive(shown, weights)
        for step in range(phase.steps):
            if noise:
                drive = network.drive(draw.on(shown), weights)
            now = network.step(now, drive, weights)
            yield State(position, step + 1, now, network.readout(now, weights))


def linearisation(
    network: CordsNet, rates: Sequence[Tensor], drive: Sequence[Tensor], weights: Weights
) -> list[Tensor]:
    """Slopes D of the activations at a state, so that the Jacobian of dr/dt within an area is -1 + D W.

    Areas feed each other forward only, so that the network's spectrum is the union of those of its areas.

    Returns
    -------
    per area (batch, channel, row, column): 1 where the sum of inputs is above 0, else the network's slope below 0
    """
    sums = network.inputs(rates, drive, weights)
    return [torch.where(total > 0, 1.0, network.slope).to(total) for total in sums]


class _Noise:
    """Gaussian noise, each image's from a generator of its own."""

    def __init__(self, size: float, seeds: Sequence[int]) -> None:
        self.size = size
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def on(self, images: Tensor) -> Tensor:
        """Images with noise."""
        shape, dtype = images.shape[1:], images.dtype
        drawn = [torch.randn(shape, generator=each, dtype=dtype) for each in self.generators]
        return images + self.size * torch.stack(drawn).to(images.device)


def with_noise(images: Tensor, noise: float, noise_seeds: Sequence[int]) -> Tensor:
    """Images (batch, channel, row, column) with noise as at the first step of `run_sequence`."""
    return _Noise(noise, noise_seeds).on(images)


def _blank(network: CordsNet, weights: Weights, batch: int) -> Tensor:
    layout = network.layout
    return weights.entry.new_zeros(batch, layout.n_channels, *layout.image_size)
