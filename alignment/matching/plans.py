r"""Matching of single units to single neuroids: unlike a regression, it is sensitive to the axes of the features.

A matching is made on training stimuli by signed Pearson correlations $r_{ij}$ of unit i and neuroid j, and judged by
correlations on other stimuli:

- best unit: each neuroid takes its best unit, and several may take the same;
- one to one: the assignment with the largest sum of $r$ (Li et al. 2015, "Convergent learning"; Khosla & Williams
  2024); with fewer units than neuroids, the neuroids left over have no unit and score 0;
- soft: the plan $T \ge 0$ with row sums 1 / units and column sums 1 / neuroids that has the largest
  $\sum_{ij} T_{ij} r_{ij}$ (Khosla & Williams 2024, "Soft matching distance"): optimal transport of mass from units to
  neuroids, defined for any numbers of both, and the assignment where these are equal.

All are invariant to a permutation of units and to a shift and positive scale of each. Known failure: the more units
there are, the better the best of them; soft matching must use all units and so falls with those that match nothing.
Nothing is clipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.features import ColumnReader, FeatureSource, as_source, chunk_width, spans
from alignment.errors import DataError, RequestError
from alignment.grams import centred, compute_device

# exact transport takes 33 bytes a pair, and 13 s for 20 million pairs
LARGEST_PLAN = 30_000_000
_PIVOTS = 10**9


@dataclass(frozen=True)
class Matching:
    """Pairs of units and neuroids.

    Attributes
    ----------
    units, neuroids : array (pair,) int64
        Positions in the features and responses it was made on, units in increasing order.
    weights : array (pair,) float64
        Share of each unit in its neuroid, summing to 1 for every neuroid that has a unit. Those of a soft matching are
        the plan times the number of neuroids, so that a mean over neuroids is the sum over the plan.
    n_units, n_neuroids : int
        Of the features and responses it was made on.
    """

    units: npt.NDArray[np.int64]
    neuroids: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    n_units: int
    n_neuroids: int


def match_best_unit(
    x: Tensor | FeatureSource, y: Tensor, *, feature_chunk: int | None = None, device: torch.device | str | None = None
) -> Matching:
    """The unit that correlates best with each neuroid over the training stimuli.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, features of the training stimuli, read a few columns at a time.
    y : Tensor
        `(stimulus, neuroid) float`, their responses.
    feature_chunk : int, optional
        Units correlated at once; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where to compute; that of `x` when it is a tensor, else the CPU.

    Returns
    -------
    Matching
        One pair per neuroid, weight 1.

    Raises
    ------
    RequestError
        When `x` and `y` do not fit or there are fewer than 2 stimuli.
    DataError
        When a value is not finite.

    Examples
    --------
    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> match_best_unit(x, x[:, [5, 2, 2]] + 1).units
    array([2, 2, 5])
    """
    source, responses = _checked(x, y, device=device)
    units, _ = _candidates(source, responses, count=1, feature_chunk=feature_chunk)
    return _matching(units[:, 0], np.arange(y.shape[1]), np.ones(y.shape[1]), shape=(source.shape[1], y.shape[1]))


def match_one_to_one(
    x: Tensor | FeatureSource, y: Tensor, *, feature_chunk: int | None = None, device: torch.device | str | None = None
) -> Matching:
    """The assignment of different units to neuroids with the largest sum of correlations over the training stimuli.

    No neuroid needs a unit that is not among its best m, m the number of neuroids, since the others take m - 1 at most:
    the assignment among these candidates is the assignment among all units (LAPJVsp, Jonker & Volgenant 1987).

    Parameters
    ----------
    x, y, feature_chunk, device
        As in `match_best_unit`.

    Returns
    -------
    Matching
        min(unit, neuroid) pairs, weight 1.

    Raises
    ------
    RequestError, DataError
        As in `match_best_unit`.

    Examples
    --------
    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> matching = match_one_to_one(x, x[:, [5, 2, 7]] + 1)
    >>> matching.units, matching.neuroids
    (array([2, 5, 7]), array([1, 0, 2]))
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    source, responses = _checked(x, y, device=device)
    count = min(source.shape[1], y.shape[1])
    units, r = _candidates(source, responses, count=count, feature_chunk=feature_chunk)
    starts = np.arange(0, units.size + 1, count)
    # an entry of 0 would be no edge
    costs = csr_array((2 - r.ravel(), units.ravel(), starts), shape=(y.shape[1], source.shape[1]))
    neuroids, chosen = min_weight_full_bipartite_matching(costs)
    return _matching(chosen, neuroids, np.ones(count), shape=(source.shape[1], y.shape[1]))


def match_soft(
    x: Tensor | FeatureSource, y: Tensor, *, feature_chunk: int | None = None, device: torch.device | str | None = None
) -> Matching:
    """The transport plan from units to neuroids with the largest sum of correlations over the training stimuli.

    Exact, by the network simplex of POT (Bonneel et al. 2011): at most unit + neuroid - 1 pairs have a weight.

    Parameters
    ----------
    x, y, feature_chunk, device
        As in `match_best_unit`.

    Returns
    -------
    Matching

    Raises
    ------
    RequestError
        As in `match_best_unit`, or when units times neuroids exceed 30 million.
    DataError
        As in `match_best_unit`.

    Examples
    --------
    >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    >>> matching = match_soft(x, x[:, [3, 0]])
    >>> np.bincount(matching.neuroids, matching.weights)
    array([1., 1.])
    """
    from ot.lp import emd

    source, responses = _checked(x, y, device=device)
    shape = source.shape[1], y.shape[1]
    if shape[0] * shape[1] > LARGEST_PLAN:
        raise RequestError(
            f"soft matching of {shape[0]} units to {shape[1]} neuroids: a plan has at most {LARGEST_PLAN} pairs; "
            "pool the maps or choose fewer units or neuroids"
        )
    costs = np.empty(shape)
    for start, stop, r in _correlations(source, responses, feature_chunk=feature_chunk):
        costs[start:stop] = 1 - r.T.cpu().numpy()
    masses = [np.full(count, 1 / count) for count in shape]
    plan, report = emd(*masses, costs, numItermax=_PIVOTS, log=True)
    if report["warning"] is not None:
        raise DataError(f"soft matching of {shape[0]} units to {shape[1]} neuroids: {report['warning']}")
    units, neuroids = np.nonzero(plan)
    return _matching(units, neuroids, plan[units, neuroids] * shape[1], shape=shape)


def _matching(
    units: npt.NDArray[np.integer],
    neuroids: npt.NDArray[np.integer],
    weights: npt.NDArray[np.float64],
    *,
    shape: tuple[int, int],
) -> Matching:
    order = np.lexsort((neuroids, units))
    return Matching(units[order].astype(np.int64), neuroids[order].astype(np.int64), weights[order], *shape)


def _candidates(
    source: FeatureSource, responses: Tensor, *, count: int, feature_chunk: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The best `count` units of each neuroid `(neuroid, count)` and their correlations, in no order."""
    best = responses.new_empty(responses.shape[1], 0)
    units = torch.empty(best.shape, dtype=torch.int64, device=best.device)
    for start, stop, r in _correlations(source, responses, feature_chunk=feature_chunk):
        numbers = torch.arange(start, stop, device=best.device).expand(len(r), -1)
        best, units = torch.cat([best, r], dim=1), torch.cat([units, numbers], dim=1)
        if best.shape[1] > count:
            best, positions = best.topk(count, dim=1)
            units = units.gather(1, positions)
    return units.cpu().numpy(), best.cpu().numpy()


def _correlations(
    source: FeatureSource, responses: Tensor, *, feature_chunk: int | None
) -> Iterator[tuple[int, int, Tensor]]:
    """Blocks of units and their correlations `(neuroid, unit) float64` with responses of mean 0 and length 1."""
    width = min(chunk_width(source.shape[0], feature_chunk), chunk_width(responses.shape[1], feature_chunk))
    reader = ColumnReader(width, responses.device)
    for start, stop in spans(source.shape[1], width):
        yield start, stop, responses.T @ _of_length_1(reader.read(source, start, stop))


def _of_length_1(columns: Tensor) -> Tensor:
    """Centred columns of length 1; one that does not vary becomes 0 and so correlates with nothing."""
    columns = centred(columns)
    lengths = columns.norm(dim=0)
    return columns / torch.where(lengths > 0, lengths, 1.0)


def _checked(
    x: Tensor | FeatureSource, y: Tensor, *, device: torch.device | str | None
) -> tuple[FeatureSource, Tensor]:
    """Features, and responses as float64 columns of mean 0 and length 1."""
    source = as_source(x)
    if y.ndim != 2 or not y.is_floating_point() or 0 in y.shape:
        raise RequestError(f"y is {tuple(y.shape)} {y.dtype}: give a floating point matrix (stimulus, neuroid)")
    if len(y) != source.shape[0] or len(y) < 2:
        raise RequestError(
            f"x has {source.shape[0]} stimuli and y has {len(y)}: give the same in the same order, 2 at least"
        )
    responses = y.to(device=compute_device(x, device), dtype=torch.float64, copy=True)
    if not bool(torch.isfinite(responses).all()):
        raise DataError("y holds a NaN or an infinity: drop these neuroids or stimuli first")
    return source, _of_length_1(responses)
