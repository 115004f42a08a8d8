"""How well matched units follow their neuroids on stimuli that the matching has not seen."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.correlation import pearson, weighted_pearson
from alignment.encoding.features import FeatureSource, as_source, chunk_width, spans
from alignment.errors import RequestError
from alignment.matching.plans import Matching


def matched_correlations(
    matching: Matching, x: Tensor | FeatureSource, y: Tensor, *, feature_chunk: int | None = None
) -> npt.NDArray[np.float64]:
    """Correlation of each neuroid with its unit, or the weighted mean over its units, on held-out stimuli.

    Parameters
    ----------
    matching : Matching
        Made on other stimuli.
    x : Tensor or FeatureSource
        `(stimulus, unit)`, the units of the matching.
    y : Tensor
        `(stimulus, neuroid) float`, the neuroids of the matching.
    feature_chunk : int, optional
        Units read at once; chosen to bound memory unless given.

    Returns
    -------
    array (neuroid,) float64
        Not clipped; 0 for a neuroid without a unit, as for one whose unit does not vary. The mean is the soft matching
        score.

    Raises
    ------
    RequestError
        When the units or neuroids are not those of the matching, or a value is not finite.

    Examples
    --------
    >>> from alignment.matching import match_one_to_one
    >>> x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    >>> matched_correlations(match_one_to_one(x[:40], x[:40, [5, 2]]), x[40:], -x[40:, [5, 2]]).round(6)
    array([-1., -1.])
    """
    total = np.zeros(matching.n_neuroids)
    for columns, neuroids, weights in _pairs(matching, x, y, feature_chunk=feature_chunk):
        r = pearson(columns, y[:, torch.from_numpy(neuroids).to(y.device)])
        total += np.bincount(neuroids, r * weights, minlength=len(total))
    return total


def resampled_matched_correlations(
    matching: Matching,
    x: Tensor | FeatureSource,
    y: Tensor,
    *,
    counts: npt.ArrayLike,
    feature_chunk: int | None = None,
) -> npt.NDArray[np.float64]:
    """The same in each resample of held-out stimuli; the matching stays as it is.

    Parameters
    ----------
    matching, x, y, feature_chunk
        As in `matched_correlations`.
    counts : array (resample, stimulus)
        How often each stimulus stands in each resample; any weights >= 0 will do.

    Returns
    -------
    array (resample, neuroid) float64
        Accurate to 1e-6.

    Raises
    ------
    RequestError
        As in `matched_correlations`, or when counts do not fit.

    Examples
    --------
    >>> from alignment.matching import match_soft
    >>> x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    >>> matching = match_soft(x[:40], x[:40, :2])
    >>> resampled_matched_correlations(matching, x[40:], x[40:, :2], counts=np.ones((5, 20))).shape
    (5, 2)
    """
    from scipy.sparse import csr_array

    total = np.zeros((len(np.asarray(counts)), matching.n_neuroids))
    for columns, neuroids, weights in _pairs(matching, x, y, feature_chunk=feature_chunk):
        r = weighted_pearson(columns, y[:, torch.from_numpy(neuroids).to(y.device)], counts)
        shares = csr_array((weights, neuroids, np.arange(len(weights) + 1)), shape=(len(weights), total.shape[1]))
        total += r @ shares
    return total


def _pairs(
    matching: Matching, x: Tensor | FeatureSource, y: Tensor, *, feature_chunk: int | None
) -> Iterator[tuple[Tensor, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Blocks of pairs: columns of their units `(stimulus, pair)`, their neuroids, their weights."""
    source = as_source(x)
    if (source.shape[1], *y.shape) != (matching.n_units, source.shape[0], matching.n_neuroids):
        raise RequestError(
            f"x is {source.shape} and y is {tuple(y.shape)}: the matching is of {matching.n_units} units to "
            f"{matching.n_neuroids} neuroids; give these, on the same stimuli"
        )
    for start, stop in spans(source.shape[1], chunk_width(source.shape[0], feature_chunk)):
        first, last = np.searchsorted(matching.units, [start, stop])
        if first < last:
            block = source.columns(start, stop)
            inside = torch.from_numpy(matching.units[first:last] - start).to(block.device)
            yield block[:, inside], matching.neuroids[first:last], matching.weights[first:last]
