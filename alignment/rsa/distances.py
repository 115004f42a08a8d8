r"""Dissimilarities of activation patterns, from features read a few columns at a time.

Every distance here is a function of inner products, so one pass over the features is enough: the Gram matrix of the
stimuli is summed over chunks of units in float64, then turned into distances row by row. Memory is that of one
`(stimulus, stimulus)` matrix, of its upper triangle and of one chunk; a precision of the units, where one is given, is
held twice.

Nothing is lost where features share a large mean. For the Euclidean family each unit is centred over stimuli first,
which leaves differences as they are. For Pearson each row is centred inside its chunk, and what lies between chunks is
added (Chan, Golub & LeVeque 1979): with $m$ the means of rows over the $u$ units so far and $m'$ those over the next
$u'$, the matrix $(m' - m)(m' - m)^\top u u' / (u + u')$. No sum of squares of uncentred values is ever taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from alignment.encoding.arguments import check_chunks
from alignment.encoding.features import ColumnReader, FeatureSource, as_source, chunk_width, spans
from alignment.errors import DataError, RequestError, unknown
from alignment.grams import centred, compute_device
from alignment.rsa.noise import Whitened, root_of_precision

# times sqrt(units): what float64 sums leave at most of the distance of two equal patterns, relative to their lengths
_ROUNDING = 8 * torch.finfo(torch.float64).eps
_TRIANGLE_BLOCKS = 8


class PairRule(Protocol):
    """Distances of one stimulus to others, from inner products and squared lengths; `rounding` is a share of these."""

    def __call__(self, inner: Tensor, length: Tensor, lengths: Tensor, *, rounding: float) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True)
class _Features:
    source: FeatureSource
    reader: ColumnReader
    precision: Tensor | None


@dataclass(frozen=True)
class Distance:
    """One way to measure how far two patterns are apart.

    Attributes
    ----------
    formula : str
        For patterns x and y over p units.
    gram : callable
        Features to inner products of stimuli, upper triangle `(stimulus, stimulus) float64`.
    of_pairs : PairRule
        Inner products to distances.
    per_unit : bool
        Whether the result is divided by the number of units.
    needs_precision : bool
        Whether a precision matrix of the units enters.
    """

    formula: str
    gram: Callable[[_Features], Tensor]
    of_pairs: PairRule
    per_unit: bool = False
    needs_precision: bool = False


def rdm(
    x: Tensor | FeatureSource,
    *,
    distance: str = "1-pearson",
    precision: Tensor | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Dissimilarities between all pairs of rows.

    Distances of equal patterns are exactly 0: what rounding can leave of a squared distance (2e-15 of the squared
    lengths, times the square root of the number of units) is set to 0, so that copies of a stimulus tie in a ranking
    instead of being ordered by noise.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`, at least 2 stimuli.
    distance : str
        A name of `DISTANCES`, which says the formula of each.
    precision : Tensor, optional
        `(unit, unit)`, symmetric and positive definite; for `squared-mahalanobis/units` alone.
    feature_chunk : int, optional
        Units read at once; chosen to bound memory unless given. For the Mahalanobis distance, each chunk of
        whitened units reads all later ones.
    device : torch.device or str, optional
        Where to compute; that of `x` when it is a tensor, else the CPU.

    Returns
    -------
    Tensor
        `(pair,) float64` on that device, in the order of `alignment.rsa.RDMs`.

    Raises
    ------
    RequestError
        An unknown distance; `x` not a floating point matrix of 2 stimuli or more; a precision matrix missing, not asked
        for, of another shape, or not positive definite.
    DataError
        Features hold a NaN or an infinity; a stimulus whose features do not vary (`1-pearson`) or are all 0
        (`1-cosine`): its angle to the others is undefined.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> rdm(x, distance="euclidean").numpy().round(3)
    array([5.   , 1.   , 4.243])
    """
    if distance not in DISTANCES:
        raise unknown("distance", distance, DISTANCES)
    chosen = DISTANCES[distance]
    source = as_source(x)
    check_chunks(feature_chunk=feature_chunk)
    n_stimuli, n_units = source.shape
    if n_stimuli < 2:
        raise RequestError("x has 1 stimulus: a distance needs 2 at least")
    if (precision is not None) != chosen.needs_precision:
        raise RequestError(
            f"distance={distance!r} {'needs a' if chosen.needs_precision else 'takes no'} precision matrix: "
            f"it goes with {' or '.join(name for name, one in DISTANCES.items() if one.needs_precision)}"
        )
    reader = ColumnReader(chunk_width(n_stimuli, feature_chunk), compute_device(x, device))
    gram = chosen.gram(_Features(source, reader, precision))
    pairs = _of_all_pairs(gram, chosen.of_pairs, rounding=_ROUNDING * n_units**0.5)
    return pairs.div_(n_units) if chosen.per_unit else pairs


def _of_all_pairs(gram: Tensor, of_pairs: PairRule, *, rounding: float) -> Tensor:
    """The upper triangle of distances, row by row, so that no second square is made."""
    count, lengths = len(gram), gram.diagonal().clone()
    pairs = gram.new_empty(count * (count - 1) // 2)
    start = 0
    for row in range(count - 1):
        stop = start + count - row - 1
        pairs[start:stop] = of_pairs(gram[row, row + 1 :], lengths[row], lengths[row + 1 :], rounding=rounding)
        start = stop
    return pairs


def _angular(inner: Tensor, length: Tensor, lengths: Tensor, *, rounding: float) -> Tensor:
    apart = 1 - inner / (length.sqrt() * lengths.sqrt())
    return apart.masked_fill_(apart < rounding, 0.0)


def _squared(inner: Tensor, length: Tensor, lengths: Tensor, *, rounding: float) -> Tensor:
    both = lengths + length
    apart = both - 2 * inner
    return apart.masked_fill_(apart < rounding * both, 0.0)


def _euclidean(inner: Tensor, length: Tensor, lengths: Tensor, *, rounding: float) -> Tensor:
    return _squared(inner, length, lengths, rounding=rounding).sqrt_()


def _gram_of_centred_rows(features: _Features) -> Tensor:
    source, reader = features.source, features.reader
    n_stimuli, n_units = source.shape
    gram = _empty_gram(features)
    mean = torch.zeros(n_stimuli, dtype=torch.float64, device=reader.device)
    for start, stop in spans(n_units, reader.width):
        block = reader.read(source, start, stop)
        of_block = block.mean(1)
        block -= of_block[:, None]
        _add_products(gram, block)
        step = of_block - mean
        gram.addr_(step, step, alpha=(stop - start) * start / stop)
        mean += step * ((stop - start) / stop)
    # a constant stored in float32 may differ from its own mean in the last bits
    rounding = 4 * torch.finfo(source.columns(0, 1).dtype).eps
    still = (gram.diagonal() / n_units).sqrt() <= rounding * mean.abs()
    _refuse(still, "have features that do not vary: 1-pearson is undefined for them")
    return gram


def _gram_of_rows(features: _Features) -> Tensor:
    gram = _empty_gram(features)
    for start, stop in spans(features.source.shape[1], features.reader.width):
        _add_products(gram, features.reader.read(features.source, start, stop))
    _refuse(gram.diagonal() == 0, "have no feature other than 0: 1-cosine is undefined for them")
    return gram


def _gram_of_centred_units(features: _Features) -> Tensor:
    gram = _empty_gram(features)
    for start, stop in spans(features.source.shape[1], features.reader.width):
        _add_products(gram, centred(features.reader.read(features.source, start, stop)))
    return gram


def _gram_of_whitened_units(features: _Features) -> Tensor:
    source, reader = features.source, features.reader
    assert features.precision is not None
    factor = root_of_precision(features.precision, n_units=source.shape[1], device=reader.device)
    return _gram_of_centred_units(_Features(Whitened(source, factor, reader), reader, None))


def _empty_gram(features: _Features) -> Tensor:
    count = features.source.shape[0]
    return torch.zeros(count, count, dtype=torch.float64, device=features.reader.device)


def _add_products(gram: Tensor, block: Tensor) -> None:
    """Adds the inner products of the rows of a block to the upper triangle, which is about half the work."""
    height = max(128, -(-len(block) // _TRIANGLE_BLOCKS))
    for start, stop in spans(len(block), height):
        gram[start:stop, start:].addmm_(block[start:stop], block[start:].T)


def _refuse(which: Tensor, why: str) -> None:
    if bool(which.any()):
        first = int(which.nonzero()[0, 0])
        raise DataError(f"{int(which.sum())} stimuli, row {first} first, {why}; leave them out or take another")


DISTANCES: dict[str, Distance] = {
    "1-pearson": Distance("1 - r(x, y), r Pearson's over units", _gram_of_centred_rows, _angular),
    "1-cosine": Distance("1 - x·y / (|x| |y|)", _gram_of_rows, _angular),
    "euclidean": Distance("|x - y|", _gram_of_centred_units, _euclidean),
    "squared-euclidean": Distance("|x - y|^2", _gram_of_centred_units, _squared),
    "squared-euclidean/units": Distance("|x - y|^2 / p", _gram_of_centred_units, _squared, per_unit=True),
    "squared-mahalanobis/units": Distance(
        "(x - y)^T P (x - y) / p, P the precision of the noise",
        _gram_of_whitened_units,
        _squared,
        per_unit=True,
        needs_precision=True,
    ),
}
