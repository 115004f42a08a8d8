r"""The best alpha of every neuroid: a fast look at all of them, an exact look at those that could win.

A selection criterion is written as $m(\alpha) = \text{leading}(\alpha) + \text{remainder}(\alpha)$. The leading part is
exact and costs one small product for all alphas together. The remainder costs a large product per alpha, but it is
small and smooth, so it is screened cheaply (lower precision where the hardware makes that pay; fewer alphas and
interpolation where the grid is dense) and then the criterion is evaluated exactly wherever the screened value leaves
the winner open. How far screened values can be off is not assumed but measured, on every neuroid.

Measured on 2 cores with matrix units: 5 folds (n=4000, p=1000, 8000 neuroids, 10 alphas) 4.7 s without, 2.9 s with the
bfloat16 screen; leave-one-out (n=800, p=20000, 6000 neuroids, 99 alphas) 3.4 s without either, 1.4 s with the bfloat16
screen, 0.9 s with interpolation too. The alphas are the same.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

# Every criterion is analytic in log(alpha) within |Im| < pi (its poles are at alpha = -eigenvalue), so interpolation
# between nodes spaced h apart errs by exp(-pi^2 / h) of the remainder: 3e-6 at three nodes a decade.
_NODES_PER_DECADE = 3
_INTERPOLATION_DEGREE = 7
_SAFETY = 2.0
_FLOAT32_TIE = 1e-5  # relative; ten times the largest error of a float32 evaluation seen at n = 4000
# Criteria are in units of the variance of a neuroid. Where a model explains nearly all of it, the criterion falls but
# the rounding of the products that make it up does not: errors are taken relative to no less than this.
_LEAST = 0.1


class Criterion(Protocol):
    """A mean squared error of prediction as a function of alpha, for a block of neuroids."""

    @property
    def projected(self) -> Tensor:
        """Responses on the principal axes of the features, `(neuroid, axis)`."""
        ...

    @property
    def has_remainder(self) -> bool:
        """False when `leading` is the whole criterion."""
        ...

    def leading(self, alphas: Tensor) -> Tensor:
        """`(alpha, neuroid)`."""
        ...

    def remainder(self, alphas: Tensor, *, neuroids: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        """`(alpha, neuroid)` for some neuroids (None: all), with products in `dtype` (None: its own precision)."""
        ...


def choose(
    criterion: Criterion, alphas: Tensor, *, dtype: torch.dtype, in_float64: Callable[[Tensor], Criterion]
) -> tuple[Tensor, Tensor]:
    """Index of the best alpha and the criterion there, for every neuroid.

    Parameters
    ----------
    criterion : Criterion
        Of one block of neuroids.
    alphas : Tensor
        `(alpha,) float64`, in any order; of equal ones the first wins.
    dtype : torch.dtype
        Precision of `criterion`. float64: every alpha is evaluated; float32: screened, verified, and ties decided.
    in_float64 : callable
        Makes the criterion in float64 for some neuroids of the block, given their positions.

    Returns
    -------
    tuple of Tensor
        `(neuroid,) int64` and `(neuroid,)`.
    """
    values = criterion.leading(alphas)
    if criterion.has_remainder:
        values = _with_remainder(criterion, alphas, leading=values, dtype=dtype)
        if dtype != torch.float64:
            values = _decide_ties(values, alphas, in_float64=in_float64)
    value, index = values.min(0)
    return index, value


def _with_remainder(criterion: Criterion, alphas: Tensor, *, leading: Tensor, dtype: torch.dtype) -> Tensor:
    """The criterion in `dtype`, `(alpha, neuroid)`, infinite at alphas that were seen not to be the best."""
    screening = screening_dtype(leading.device, dtype=dtype)
    nodes = _nodes(alphas) if dtype != torch.float64 else alphas
    rest = criterion.remainder(nodes, neuroids=None, dtype=screening)
    if screening == dtype and nodes is alphas:
        return leading + rest
    if nodes is not alphas:
        rest = _interpolation(nodes.log(), alphas.log()).to(rest.dtype) @ rest
    return _verify(criterion, alphas, leading=leading, screened=leading + rest)


def _decide_ties(values: Tensor, alphas: Tensor, *, in_float64: Callable[[Tensor], Criterion]) -> Tensor:
    """Replace what float32 cannot order by float64: flat curves of neuroids that features hardly predict."""
    best = values.amin(0)
    close = values <= best + _FLOAT32_TIE * best.clamp(min=_LEAST)
    neuroids = (close.sum(0) > 1).nonzero()[:, 0]
    if len(neuroids) == 0:
        return values
    criterion = in_float64(neuroids)
    decided = torch.full((len(values), len(neuroids)), math.inf, dtype=torch.float64, device=values.device)
    _evaluate(criterion, alphas, leading=criterion.leading(alphas), pending=close[:, neuroids], out=decided)
    values = values.double()
    values[:, neuroids] = decided
    return values


def screening_dtype(device: torch.device, *, dtype: torch.dtype) -> torch.dtype:
    """bfloat16 where the processor has matrix units for it (8 times the rate of float32 here), else `dtype`."""
    if dtype != torch.float32:
        return dtype
    if device.type == "cpu":
        probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # torch has no public name for it yet
        return torch.bfloat16 if probe is not None and probe() else dtype
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else dtype


def _verify(criterion: Criterion, alphas: Tensor, *, leading: Tensor, screened: Tensor) -> Tensor:
    """Evaluate exactly until no alpha is left that could beat the best exact value, given the largest slip seen."""
    exact = torch.full_like(screened, math.inf)
    pending = torch.zeros_like(screened, dtype=torch.bool)
    pending[screened.argmin(0), torch.arange(screened.shape[1], device=screened.device)] = True
    known = torch.zeros_like(pending)
    while bool(pending.any()):
        _evaluate(criterion, alphas, leading=leading, pending=pending, out=exact)
        known |= pending
        best = exact.amin(0)
        scale = best.clamp(min=_LEAST)
        slip = torch.where(known, (screened - exact).abs() / scale, 0.0)
        pending = (screened <= best + _SAFETY * slip.max() * scale) & ~known
    return exact


def _evaluate(criterion: Criterion, alphas: Tensor, *, leading: Tensor, pending: Tensor, out: Tensor) -> None:
    """Write the criterion into `out` where `pending`, both `(alpha, neuroid)`, in the precision of the criterion."""
    for j in pending.any(1).nonzero()[:, 0].tolist():
        neuroids = pending[j].nonzero()[:, 0]
        rest = criterion.remainder(alphas[j : j + 1], neuroids=neuroids, dtype=None)[0]
        out[j, neuroids] = leading[j, neuroids] + rest


def _nodes(alphas: Tensor) -> Tensor:
    """Alphas at which the remainder is computed: those asked for, or fewer, evenly spaced in log(alpha)."""
    low, high = float(alphas.min()), float(alphas.max())
    count = max(math.ceil(math.log10(high / low) * _NODES_PER_DECADE) + 1, _INTERPOLATION_DEGREE + 1)
    if count >= len(alphas):
        return alphas
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64, device=alphas.device)


def _interpolation(nodes: Tensor, points: Tensor) -> Tensor:
    """Matrix `(point, node)` of Floater and Hormann's (2007) rational interpolation at evenly spaced nodes."""
    count, degree = len(nodes), _INTERPOLATION_DEGREE
    weights = [
        (-1) ** k * sum(math.comb(degree, k - i) for i in range(max(0, k - degree), min(k, count - 1 - degree) + 1))
        for k in range(count)
    ]
    gaps = points[:, None] - nodes[None, :]
    at_node = gaps.abs() < 1e-12 * (1 + nodes.abs().max())
    terms = nodes.new_tensor(weights) / torch.where(at_node, 1.0, gaps)
    rational = terms / terms.sum(1, keepdim=True)
    return torch.where(at_node.any(1, keepdim=True), at_node.to(rational.dtype), rational)
