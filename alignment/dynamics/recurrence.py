"""A convolution as a linear map with an adjoint, such as ARPACK asks for.

A convolution W that keeps the shape (channel, row, column) of its maps is an N x N matrix, N = channels x rows x
columns, which is never formed: products with vectors are convolutions. With zeros beyond the border the spectrum is not
that of the Fourier symbol, which belongs to a circular convolution.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.errors import RequestError

# of the identity that is pushed through a convolution at once, in numbers
DENSE_BLOCK = 1 << 24


@dataclass(frozen=True)
class Recurrence:
    """A linear map of maps onto maps of the same shape, in float64: x -> shift x + gain (scale (W * x)).

    Parameters
    ----------
    kernel : (channel, channel / groups, row, column) of W
    shape : (channel, row, column) of the maps
    dilation, groups : of the convolution
    circular : whether it goes on at the opposite border, rather than with zeros
    scale : (channel, row, column), by which each output is multiplied; None for 1
    shift, gain : see above

    Raises
    ------
    RequestError
        The convolution does not give maps of this shape.

    Examples
    --------
    >>> identity = torch.zeros(2, 2, 3, 3)
    >>> identity[[0, 1], [0, 1], 1, 1] = 1
    >>> Recurrence(identity, (2, 4, 4)).dense().trace().item()
    32.0
    """

    kernel: Tensor
    shape: tuple[int, int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    circular: bool = False
    scale: Tensor | None = None
    shift: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        outputs, inputs, rows, columns = self.kernel.shape
        channels = self.shape[0]
        if (outputs, inputs * self.groups) != (channels, channels) or rows % 2 == 0 or columns % 2 == 0:
            raise RequestError(
                f"spectrum: a kernel {tuple(self.kernel.shape)} does not map {self.shape} onto itself; give one of as "
                "many channels out as in, with odd edges"
            )
        if self.scale is not None and tuple(self.scale.shape) != self.shape:
            raise RequestError(f"spectrum: the scale is {tuple(self.scale.shape)}, expected {self.shape}")

    @property
    def size(self) -> int:
        """N, the number of units."""
        return math.prod(self.shape)

    def apply(self, maps: Tensor) -> Tensor:
        """The map of (batch, channel, row, column) float64."""
        margin = self._margin
        if self.circular:
            padded = F.pad(maps, (margin[1], margin[1], margin[0], margin[0]), mode="circular")
            moved = F.conv2d(padded, self._kernel, dilation=self.dilation, groups=self.groups)
        else:
            moved = F.conv2d(maps, self._kernel, padding=margin, dilation=self.dilation, groups=self.groups)
        scaled = moved if self.scale is None else moved * self.scale.to(moved)
        return self.gain * scaled + self.shift * maps

    def adjoint(self, maps: Tensor) -> Tensor:
        """The transposed map, <W x, y> = <x, W' y>: of a convolution, the transposed convolution."""
        point = torch.zeros_like(maps, requires_grad=True)
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self.apply(point), point, maps)
        return found

    def dense(self) -> Tensor:
        """The matrix (N, N) float64, its columns the maps of unit vectors; for small N."""
        block = max(1, DENSE_BLOCK // self.size)
        columns = [
            self.apply(self._units(start, min(start + block, self.size))).flatten(1)
            for start in range(0, self.size, block)
        ]
        return torch.cat(columns).T.contiguous()

    def scaled(self, scale: Tensor) -> "Recurrence":
        """The map followed by a product with `scale` (channel, row, column), such as the slopes of an activation."""
        return replace(self, scale=scale)

    def stepped(self, alpha: float) -> "Recurrence":
        """(1 - alpha) + alpha times the map: an Euler step of dr/dt = -r + W r."""
        return replace(self, shift=1 - alpha + alpha * self.shift, gain=alpha * self.gain)

    def as_operator(self) -> LinearOperator:
        """For SciPy, with its adjoint."""

        def product(vector: np.ndarray) -> np.ndarray:
            return self.apply(self._maps(vector)).numpy().reshape(-1)

        def adjoint(vector: np.ndarray) -> np.ndarray:
            return self.adjoint(self._maps(vector)).numpy().reshape(-1)

        return LinearOperator((self.size, self.size), matvec=product, rmatvec=adjoint, dtype=np.float64)

    @cached_property
    def _kernel(self) -> Tensor:
        return self.kernel.detach().cpu().double()

    @property
    def _margin(self) -> tuple[int, int]:
        rows, columns = self.kernel.shape[2:]
        return self.dilation[0] * (rows // 2), self.dilation[1] * (columns // 2)

    def _maps(self, vector: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64)).view(1, *self.shape)

    def _units(self, start: int, stop: int) -> Tensor:
        return F.one_hot(torch.arange(start, stop), self.size).double().view(-1, *self.shape)


def recurrence_of(layer: nn.Conv2d, size: tuple[int, int]) -> Recurrence:
    """A convolution of any network as a map of its maps onto themselves.

    Parameters
    ----------
    layer : of stride 1 that keeps rows, columns and channels; its bias has no part in the spectrum
    size : (row, column) of the maps

    Raises
    ------
    RequestError
        It changes the shape of its maps.

    Examples
    --------
    >>> recurrence_of(nn.Conv2d(4, 4, 3, padding=1), (6, 6)).size
    144
    """
    margin = tuple(dilation * (edge // 2) for dilation, edge in zip(layer.dilation, layer.kernel_size, strict=True))
    padded = layer.padding == "same" or tuple(layer.padding) == margin
    if set(layer.stride) != {1} or not padded or layer.padding_mode not in ("zeros", "circular"):
        raise RequestError(f"spectrum: {layer} does not map {size} onto itself; give a convolution of stride 1")
    return Recurrence(
        layer.weight.detach(),
        (layer.in_channels, *size),
        dilation=(layer.dilation[0], layer.dilation[1]),
        groups=layer.groups,
        circular=layer.padding_mode == "circular",
    )
