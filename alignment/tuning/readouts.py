r"""From activations of one layer to responses: readouts that are tuned together with the network.

All take activations `(image, *unit)` and give `(image, neuroid)`; `alignment.tuning.readout_base` says what units,
channels and positions are.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.errors import RequestError, unknown
from alignment.tuning.readout_base import Readout, random_of, uniform_weights

# of positions from the middle, and of their spread, in units of half the map
FARTHEST_START = 0.3
FIRST_SPREAD = 0.3


class LinearReadout(Readout):
    """A weight from every unit to every neuroid, and a bias.

    Parameters
    ----------
    shape, n_neuroids, pool
        As in `Readout`.
    seed : int
        Of the weights, uniform within 1 / sqrt(units) of 0, as those of `nn.Linear`.

    Examples
    --------
    >>> LinearReadout((8, 6, 6), 5, seed=0, pool=2).weight.shape
    torch.Size([5, 32])
    """

    penalised = ("weight",)

    def __init__(self, shape: tuple[int, ...], n_neuroids: int, *, seed: int, pool: int | None = None) -> None:
        super().__init__(shape, n_neuroids, pool=pool)
        self.weight = uniform_weights(n_neuroids, math.prod(self.pooled_shape), random=random_of(seed, "linear"))

    def features(self, activations: Tensor) -> Tensor:
        """`(image, unit)`, in the order of the weights."""
        return self.pooled(activations).flatten(1)

    def forward(self, activations: Tensor) -> Tensor:
        """(image, *unit) to (image, neuroid)."""
        return F.linear(self.features(activations), self.weight, self.bias)

    @torch.no_grad()
    def set_map(self, weights: Tensor) -> None:
        """Copy weights `(neuroid, unit)`, in the order of `features`."""
        self.weight.copy_(weights)


class PooledReadout(Readout):
    """Mean over positions, a linear map, then ELU + 1: rates above 0, from what the whole image has in common.

    Parameters
    ----------
    shape, n_neuroids, pool
        As in `Readout`.
    seed : int
        Of the weights, as in `LinearReadout`.

    Examples
    --------
    >>> bool((PooledReadout((8, 6, 6), 5, seed=0)(torch.randn(2, 8, 6, 6)) > 0).all())
    True
    """

    penalised = ("weight",)

    def __init__(self, shape: tuple[int, ...], n_neuroids: int, *, seed: int, pool: int | None = None) -> None:
        super().__init__(shape, n_neuroids, pool=pool)
        self.weight = uniform_weights(n_neuroids, self.n_channels, random=random_of(seed, "pooled"))

    def forward(self, activations: Tensor) -> Tensor:
        """(image, *unit) to (image, neuroid)."""
        return F.elu(F.linear(self.positions(activations).mean(2), self.weight, self.bias)) + 1


class FactorisedReadout(Readout):
    r"""$\hat y_v = \sum_{cp} m_{vp} f_{vc} a_{cp} + b_v$: where a neuroid looks, times what it looks for.

    Klindt et al. 2017 (NeurIPS, "Neural system identification for large populations separating 'what' and 'where'"),
    where both factors are kept sparse by their l1 norm. At the start every neuroid looks everywhere alike.

    Parameters
    ----------
    shape, n_neuroids, pool
        As in `Readout`.
    seed : int
        Of the feature weights, uniform within 1 / sqrt(channels) of 0.

    Examples
    --------
    >>> factorised = FactorisedReadout((8, 6, 6), 5, seed=0)
    >>> factorised.mask.shape, factorised.weight.shape
    (torch.Size([5, 36]), torch.Size([5, 8]))
    """

    penalised = ("mask", "weight")

    def __init__(self, shape: tuple[int, ...], n_neuroids: int, *, seed: int, pool: int | None = None) -> None:
        super().__init__(shape, n_neuroids, pool=pool)
        self.mask = nn.Parameter(torch.full((n_neuroids, self.n_positions), 1 / self.n_positions))
        self.weight = uniform_weights(n_neuroids, self.n_channels, random=random_of(seed, "factorised"))

    def features(self, activations: Tensor) -> Tensor:
        """`(image, unit)`, in the order of `set_map`: channel, then position."""
        return self.positions(activations).flatten(1)

    def forward(self, activations: Tensor) -> Tensor:
        """(image, *unit) to (image, neuroid)."""
        seen = self.positions(activations) @ self.mask.T
        return torch.einsum("icv,vc->iv", seen, self.weight) + self.bias

    @torch.no_grad()
    def set_map(self, weights: Tensor) -> None:
        """The factors nearest to weights `(neuroid, unit)`: the first singular vectors, in equal shares."""
        u, s, vh = torch.linalg.svd(weights.unflatten(1, (self.n_channels, self.n_positions)), full_matrices=False)
        mask, weight = vh[:, 0], u[..., 0]
        share = s[:, :1].sqrt() * torch.where(mask.sum(1, keepdim=True) < 0, -1, 1)
        self.mask.copy_(mask * share)
        self.weight.copy_(weight * share)


class GaussianReadout(Readout):
    r"""Every neuroid reads the channels at one position of the map, which is learned.

    Lurz et al. 2021 (ICLR, "Generalization in data-driven models of primary visual cortex", section 2). In training the
    position of each image is drawn from $N(\mu_v, A_v A_v^\top)$, else it is $\mu_v$. Positions are (column, row) with
    -1 and 1 at the centres of the outermost units, bilinear in between; beyond them is what is at the edge.

    The draw of the k-th training pass is a function of the seed and k alone, and k is part of the state, so that a run
    that goes on draws what it would have drawn. On a GPU torch sums the gradient of the maps in no fixed order.

    Parameters
    ----------
    shape, n_neuroids, pool
        As in `Readout`; maps only.
    seed : int
        Of the feature weights, uniform within 1 / sqrt(channels) of 0, of the first positions, uniform within 0.3 of
        the middle, and of the draws. $A_v$ starts as 0.3 times the identity.

    Examples
    --------
    >>> gaussian, maps = GaussianReadout((8, 6, 6), 5, seed=0), torch.randn(2, 8, 6, 6)
    >>> torch.equal(gaussian(maps), gaussian(maps)), torch.equal(gaussian.eval()(maps), gaussian(maps))
    (False, True)
    """

    penalised = ("weight",)

    def __init__(self, shape: tuple[int, ...], n_neuroids: int, *, seed: int, pool: int | None = None) -> None:
        if len(shape) < 3:
            raise RequestError(f"a gaussian readout of activations {shape}: it needs maps (channel, row, column)")
        super().__init__(shape, n_neuroids, pool=pool)
        random = random_of(seed, "gaussian")
        self.weight = uniform_weights(n_neuroids, self.n_channels, random=random)
        self.position = nn.Parameter(FARTHEST_START * (2 * torch.rand(n_neuroids, 2, generator=random) - 1))
        self.spread = nn.Parameter(FIRST_SPREAD * torch.eye(2).repeat(n_neuroids, 1, 1))
        self.seed, self.draws = seed, 0

    def get_extra_state(self) -> Tensor:
        """How many training passes there were."""
        return torch.tensor(self.draws)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on after so many training passes."""
        self.draws = int(state)

    def forward(self, activations: Tensor) -> Tensor:
        """(image, channel, row, column) to (image, neuroid)."""
        # positions are meaningless in half precision
        maps = self.pooled(activations).to(self.position.dtype)
        read = F.grid_sample(maps, self._places(len(maps))[:, :, None], padding_mode="border", align_corners=True)
        return torch.einsum("icv,vc->iv", read[..., 0], self.weight) + self.bias

    def _places(self, n_images: int) -> Tensor:
        """`(image, neuroid, 2)`."""
        if not self.training:
            return self.position.expand(n_images, -1, -1)
        random = random_of(self.seed, "gaussian", "positions", self.draws)
        self.draws += 1
        noise = torch.randn(n_images, self.n_neuroids, 2, generator=random).to(self.position)
        return self.position + torch.einsum("vxz,ivz->ivx", self.spread, noise)


READOUTS: Mapping[str, type[LinearReadout | PooledReadout | FactorisedReadout | GaussianReadout]] = MappingProxyType(
    {"linear": LinearReadout, "pooled": PooledReadout, "factorised": FactorisedReadout, "gaussian": GaussianReadout}
)


def readout(kind: str, *, shape: tuple[int, ...], n_neuroids: int, seed: int, pool: int | None = None) -> Readout:
    """A readout of one layer.

    Parameters
    ----------
    kind : str
        A name of `READOUTS`: "linear", "pooled", "factorised" or "gaussian".
    shape : tuple of int
        Of the activations of one image: (unit,), (token, feature), (channel, row, column) or (time_bin, channel, row,
        column).
    n_neuroids : int
    seed : int
        Of whatever is drawn.
    pool : int, optional
        Maps larger than pool x pool are average-pooled to it before all else.

    Returns
    -------
    Readout
        From `(image, *shape)` to `(image, neuroid)`.

    Raises
    ------
    RequestError
        An unknown kind, or one that cannot be made for this shape.

    Examples
    --------
    >>> readout("factorised", shape=(8, 6, 6), n_neuroids=5, seed=0)(torch.zeros(2, 8, 6, 6)).shape
    torch.Size([2, 5])
    """
    if kind not in READOUTS:
        raise unknown("readout", kind, READOUTS)
    return READOUTS[kind](shape, n_neuroids, seed=seed, pool=pool)
