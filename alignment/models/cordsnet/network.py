"""The network: rates r of areas l = 0 to D - 1 that obey tau dr_l/dt = -r_l + relu(W_l * r_l + b_l + U_l * h_l).

Recurrence W_l is within an area; between areas signals go forward only, through U_l and skips:
h_0 = i, h_1 = r_0 + S_in(i), h_2 = r_1 + r_0, h_3 = r_2 + S_0(r_1), h_4 = r_3 + r_2, h_5 = r_4 + S_1(r_3) and so on.
An Euler step of size alpha is r <- (1 - alpha) r + alpha relu(...), for all areas at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.models.cordsnet.graph import ConvGraph, incoming, kernel
from alignment.models.cordsnet.layout import PUBLISHED_CLOCK, Clock, Layout


class Weights(NamedTuple):
    """Convolution kernels with their gains multiplied in, once for all steps, and biases.

    Attributes
    ----------
    entry, entry_skip : of the image's own convolution, and S_in
    recurrent, forward : W_l and U_l of each area
    skips : S_k
    bias : (1, channel, row, column) of each area
    readout, readout_bias : (class, channel) and (class,)
    """

    entry: Tensor
    entry_skip: Tensor
    recurrent: tuple[Tensor, ...]
    forward: tuple[Tensor, ...]
    skips: tuple[Tensor, ...]
    bias: tuple[Tensor, ...]
    readout: Tensor
    readout_bias: Tensor


class Rate(nn.Module):
    """The rates of one area after a step, so that each step of each area is a call of a module.

    Attributes
    ----------
    alpha : step in units of the time constant
    slope : of the activation below 0: 0 is the rectified network, 1 the linear one
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.slope = 0.0

    def forward(self, rates: Tensor, drive: Tensor) -> Tensor:
        """(1 - alpha) rates + alpha activation(drive); `drive` is overwritten."""
        return torch.lerp(rates, self._activated(drive).to(rates.dtype), self.alpha)

    def extra_repr(self) -> str:
        """Step and slope."""
        return f"alpha={self.alpha:g}, slope={self.slope:g}"

    def _activated(self, drive: Tensor) -> Tensor:
        if self.slope == 0:
            return drive.relu_()
        return drive if self.slope == 1 else F.leaky_relu(drive, self.slope)


class CordsNet(ConvGraph):
    """The dynamical network; its state dict has the published names.

    Parameters
    ----------
    layout : of the maps
    clock : of the steps

    Attributes
    ----------
    clock : may be set, and then `read_steps` is its last step
    read_steps : which steps with the image on the logits are read at, counted from 1; the last when not set
    slope : of the activation below 0, see `Rate`

    Examples
    --------
    >>> net = CordsNet(Layout(2, image_size=(16, 16), n_classes=5), Clock(steps=4, blank_steps=2))
    >>> net(torch.zeros(3, 3, 16, 16)).shape
    torch.Size([3, 1, 5])
    """

    def __init__(self, layout: Layout, clock: Clock = PUBLISHED_CLOCK) -> None:
        super().__init__(layout)
        self.conv_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in layout.maps)
        self.rates = nn.ModuleList(Rate(clock.alpha) for _ in range(layout.depth))
        self.read_steps: tuple[int, ...] = (clock.steps,)
        self._clock = clock

    @property
    def clock(self) -> Clock:
        """Step size, steps with the image on and blank steps before them."""
        return self._clock

    @clock.setter
    def clock(self, value: Clock) -> None:
        self._clock = value
        self.read_steps = (value.steps,)
        for rate in self._modules_of_rates():
            rate.alpha = value.alpha

    @property
    def slope(self) -> float:
        """Of the activation below 0: 0 in the rectified network, 1 in the linear one."""
        return self._modules_of_rates()[0].slope

    @slope.setter
    def slope(self, value: float) -> None:
        for rate in self._modules_of_rates():
            rate.slope = value

    def forward(self, images: Tensor, *, gradient_steps: int | None = None) -> Tensor:
        """Logits at `read_steps` after a blank phase.

        Parameters
        ----------
        images : (batch, channel, row, column), normalised: 0 is the blank; or of three colours in a grey network
        gradient_steps : how many of the last steps a gradient goes back through; all when not given, and then none of
            the blank phase

        Returns
        -------
        Tensor (batch, step, class)
        """
        weights = self.folded()
        rates = self.spontaneous(weights, len(images))
        drive = self.drive(images, weights)
        steps = self.clock.steps
        constant = 0 if gradient_steps is None else steps - gradient_steps
        read = []
        for step, rates_now in enumerate(self.trajectory(rates, drive, weights, steps=steps, constant=constant), 1):
            if step in self.read_steps:
                read.append(self.readout(rates_now, weights))
        return torch.stack(read, dim=1)

    def folded(self) -> Weights:
        """All kernels as they are applied, differentiable in gains and directions."""
        recurrent = tuple(map(kernel, self.area_conv))
        return Weights(
            kernel(self.inp_conv),
            kernel(self.inp_skip),
            recurrent,
            tuple(map(kernel, self.area_area)),
            tuple(map(kernel, self.skip_area)),
            tuple(_like(bias[None], weight) for bias, weight in zip(self.conv_bias, recurrent, strict=True)),
            kernel(self.out_fc),
            self.out_fc.bias,
        )

    def drive(self, images: Tensor, weights: Weights) -> tuple[Tensor, ...]:
        """What of each area's input does not change while an image is on: bias, and what the image adds to two areas.

        Since convolution is linear, U_1 * (r_0 + S_in(i)) = U_1 * r_0 + U_1 * S_in(i), and only the first changes.

        Parameters
        ----------
        images : (batch, channel, row, column)

        Returns
        -------
        per area (batch or 1, channel, row, column)
        """
        entry = F.avg_pool2d(F.conv2d(self.fitting(images), weights.entry, stride=2, padding=3), 3, stride=2, padding=1)
        first = F.conv2d(entry, weights.forward[0], padding=1) + weights.bias[0]
        skip = F.conv2d(entry, weights.entry_skip, padding=1)
        second = F.conv2d(skip, weights.forward[1], padding=1) + weights.bias[1]
        return (first, second, *weights.bias[2:])

    def rest(self, batch: int, weights: Weights) -> list[Tensor]:
        """Rates of 0: (batch, channel, row, column) of each area."""
        return [torch.zeros_like(bias).expand(batch, -1, -1, -1) for bias in weights.bias]

    def spontaneous(self, weights: Weights, batch: int) -> list[Tensor]:
        """Rates after the blank phase, without a gradient: the same for every image, so computed once.

        Returns
        -------
        per area (batch, channel, row, column)
        """
        with torch.no_grad():
            rates = self.rest(1, weights)
            for _ in range(self.clock.blank_steps):
                rates = self._step(rates, weights.bias, weights, called=False)
        return [rate.expand(batch, -1, -1, -1) for rate in rates]

    def trajectory(
        self, rates: Sequence[Tensor], drive: Sequence[Tensor], weights: Weights, *, steps: int, constant: int = 0
    ) -> Iterator[list[Tensor]]:
        """Rates after each of some steps under one drive; no earlier ones are held.

        Parameters
        ----------
        rates : per area (batch, channel, row, column), to begin with
        drive : of `drive`
        steps : how many
        constant : how many of them, from the first on, count as constants for a gradient
        """
        now = list(rates)
        for step in range(steps):
            with torch.no_grad() if step < constant else nullcontext():
                now = self._step(now, drive, weights, called=True)
            yield now

    def step(self, rates: Sequence[Tensor], drive: Sequence[Tensor], weights: Weights) -> list[Tensor]:
        """Rates of all areas one Euler step later, each from the rates before the step."""
        return self._step(rates, drive, weights, called=True)

    def inputs(self, rates: Sequence[Tensor], drive: Sequence[Tensor], weights: Weights) -> list[Tensor]:
        """W_l * r_l + b_l + U_l * h_l of each area, which its activation is applied to."""
        signals = [F.relu(rate) for rate in rates[:-1]]
        totals = []
        for area, rate in enumerate(rates):
            total = F.conv2d(rate, weights.recurrent[area], padding=1)
            total += drive[area]
            arriving = incoming(area, signals, weights.skips)
            if arriving is not None:
                stride = self.layout.strides[area]
                total += F.conv2d(arriving, weights.forward[area], stride=stride, padding=1)
            totals.append(total)
        return totals

    def readout(self, rates: Sequence[Tensor], weights: Weights) -> Tensor:
        """Logits (batch, class): a linear map of the mean over space of the last two areas' rectified rates."""
        last = F.relu(rates[-1]) + F.relu(rates[-2])
        return F.linear(last.mean((2, 3)), weights.readout, weights.readout_bias)

    def _modules_of_rates(self) -> list[Rate]:
        return [rate for rate in self.rates if isinstance(rate, Rate)]

    def _step(
        self, rates: Sequence[Tensor], drive: Sequence[Tensor], weights: Weights, *, called: bool
    ) -> list[Tensor]:
        totals = self.inputs(rates, drive, weights)
        modules = self._modules_of_rates()
        # the blank phase is no part of what hooks on the modules see
        return [
            module(rate, total) if called else module.forward(rate, total)
            for module, rate, total in zip(modules, rates, totals, strict=True)
        ]


def _like(values: Tensor, weight: Tensor) -> Tensor:
    """In the memory format of a kernel, which is that of the maps it makes."""
    channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return values.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
