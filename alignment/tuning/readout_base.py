r"""What readouts have in common: which activations they take, in which order, and how their weights are penalised.

Units are a vector `(unit,)`, tokens `(token, feature)`, maps `(channel, row, column)`, or maps at several time bins
`(time_bin, channel, row, column)`. A position is a place of the map, or a token; a vector has one position, and its
units are channels. Features of tokens are channels too, and so are the channels of every time bin.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.errors import RequestError, unknown

Norm = Literal["l1", "l2"]


class Readout(nn.Module):
    """What readouts have in common: the activations they take, pooling before all else, a bias and a penalty.

    Parameters
    ----------
    shape : tuple of int
        Of the activations of one image.
    n_neuroids : int
    pool : int, optional
        Maps larger than pool x pool are average-pooled to it, as in `alignment.record`.

    Raises
    ------
    RequestError
        No shape, no neuroid, or pooling of what is no map.
    """

    # what `penalty` is about
    penalised: tuple[str, ...]

    def __init__(self, shape: tuple[int, ...], n_neuroids: int, *, pool: int | None = None) -> None:
        super().__init__()
        if not 1 <= len(shape) <= 4 or min(shape) < 1 or n_neuroids < 1:
            raise RequestError(
                f"a readout of activations {shape} to {n_neuroids} neuroids: give (unit,), (token, feature), (channel, "
                "row, column) or (time_bin, channel, row, column), and 1 neuroid at least"
            )
        if pool is not None and (pool < 1 or len(shape) < 3):
            raise RequestError(f"pool={pool} of activations {shape}: only maps can be pooled, to 1 x 1 or more")
        self.shape, self.n_neuroids, self.pool = tuple(shape), n_neuroids, pool
        self.bias = nn.Parameter(torch.zeros(n_neuroids))

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """Of the activations of one image, time bins among the channels of maps, once pooled."""
        if len(self.shape) < 3:
            return self.shape
        *channels, rows, columns = self.shape
        rows, columns = (edge if self.pool is None else min(self.pool, edge) for edge in (rows, columns))
        return math.prod(channels), rows, columns

    @property
    def n_channels(self) -> int:
        """Channels of a position."""
        return self.shape[1] if len(self.shape) == 2 else self.pooled_shape[0]

    @property
    def n_positions(self) -> int:
        """Positions once pooled."""
        return math.prod(self.pooled_shape) // self.n_channels

    def pooled(self, activations: Tensor) -> Tensor:
        """`(image, *pooled_shape)`.

        Raises
        ------
        RequestError
            They are not of the layer this readout was made for.
        """
        if tuple(activations.shape[1:]) != self.shape:
            raise RequestError(
                f"activations {tuple(activations.shape)} of images whose units are {self.shape}: give the layer this "
                "readout was made for, at the same time bins"
            )
        maps = activations.flatten(1, 2) if len(self.shape) == 4 else activations
        if self.pool is None:
            return maps
        _, rows, columns = self.pooled_shape
        return F.adaptive_avg_pool2d(maps, (rows, columns))

    def positions(self, activations: Tensor) -> Tensor:
        """`(image, channel, position)`, pooled."""
        pooled = self.pooled(activations)
        if len(self.shape) == 2:
            return pooled.transpose(1, 2)
        return pooled.reshape(len(pooled), self.n_channels, self.n_positions)

    def penalty(self, norm: Norm = "l2") -> Tensor:
        r"""Mean over neuroids of $\sum |w|$ (l1) or $\sum w^2$ (l2) over the weights of a neuroid; no bias.

        Raises
        ------
        RequestError
            Another norm.
        """
        if norm not in ("l1", "l2"):
            raise unknown("norm", norm, ("l1", "l2"))
        weights = [getattr(self, name) for name in self.penalised]
        sizes = [(weight.abs() if norm == "l1" else weight.square()).sum() for weight in weights]
        return torch.stack(sizes).sum() / self.n_neuroids


def random_of(seed: int, *names: str | int) -> torch.Generator:
    """A torch generator for a purpose of a readout, as `alignment.seeds.generator`."""
    return torch.Generator().manual_seed(seeds.derive(seed, "readout", *names))


def uniform_weights(n_neuroids: int, width: int, *, random: torch.Generator) -> nn.Parameter:
    """Weights `(neuroid, width)`, uniform within 1 / sqrt(width) of 0."""
    return nn.Parameter((2 * torch.rand(n_neuroids, width, generator=random) - 1) / math.sqrt(width))
