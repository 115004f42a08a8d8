r"""Centred kernel alignment of two sets of features on the same stimuli, biased and unbiased.

$\mathrm{CKA}(K, L) = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, L)}$ (Kornblith et al. 2019,
ICML, section 3). With $K$ and $L$ centred on both sides, HSIC is up to a factor that cancels

- biased, $\mathrm{HSIC}_0$ (Gretton et al. 2005): $\sum_{ij} K_{ij} L_{ij}$;
- unbiased, $\mathrm{HSIC}_1$ (Song et al. 2012, JMLR 13, eq. 5; in CKA: Nguyen et al. 2021, Murphy et al. 2024):
  $\sum_{ij} K_{ij} L_{ij} - \frac{n}{n-2} \sum_i K_{ii} L_{ii} + \frac{\sum_i K_{ii} \sum_i L_{ii}}{(n-1)(n-2)}$.

The second is Song's estimator, in which diagonals are 0, written for matrices whose rows sum to 0 with the diagonal.
The similarity of a stimulus with itself says nothing of the geometry, yet with more units than stimuli it makes up most
of the biased sum: biased CKA of unrelated noise comes near 1. Unbiased CKA is a ratio of unbiased estimates: about 0
there, and often below.

Both are invariant to rotations, shifts and one scale of the features, with linear and radial kernels
(`alignment.grams`), not to a scale per unit: a few directions of large variance can decide them.

Errors: biased CKA depends on n, and a resample with copies raises it, since a copy is as similar to its original as a
stimulus to itself: take `jackknife_cka` with `alignment.jackknife.jackknife_error`. Unbiased CKA is resampled by
`weighted_cka`, where copies of one stimulus are never compared, or jackknifed too. Shares of 300 simulations in which
value +- t x error holds the expected value at this n (mean error / sd of the value), linear kernels:

================================  ===========  ===================  ===================  ===================
stimuli, units, neuroids          biased CKA   biased, jackknife    unbiased, jackknife  unbiased, weights
================================  ===========  ===================  ===================  ===================
100, 50, 50, hardly any noise     0.97         0.95 (1.03)          0.95 (1.04)          0.94 (1.02)
100, 500, 100, as much noise      0.84         0.93 (0.98)          0.93 (0.98)          0.94 (0.99)
100, 500, 500, mostly noise       0.84         0.98 (1.29)          0.98 (1.20)          0.98 (1.30)
60, 300, 100, unrelated           0.72         0.99 (1.45)          0.99 (1.37)          1.00 (1.61)
================================  ===========  ===================  ===================  ===================

Where little is shared all are wide, as resampled pairs are. Quantiles of biased CKA over resamples with copies held the
value itself in 1 % of the second case and in none of the last two.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.features import FeatureSource, spans
from alignment.errors import RequestError
from alignment.grams import (
    centred_features,
    centred_gram,
    check_grams,
    compute_device,
    linear_gram,
    paired_sources,
)

Bias = Literal["biased", "unbiased"]
Floats = npt.NDArray[np.float64]

_LEAST_STIMULI = {"biased": 2, "unbiased": 4}
_RESAMPLES_AT_ONCE = 512


def cka(gram_x: Tensor, gram_y: Tensor, *, bias: Bias) -> float:
    """Centred kernel alignment of two Gram matrices; equations in the head of this module.

    Parameters
    ----------
    gram_x, gram_y : Tensor
        `(stimulus, stimulus)`, symmetric, the same stimuli; they need not be centred.
    bias : {"biased", "unbiased"}
        HSIC_0 or HSIC_1.

    Returns
    -------
    float
        In [0, 1] when biased; at most 1, and around 0 for unrelated features, when unbiased. 0 when either does not
        vary over stimuli, as in `alignment.correlation.pearson`.

    Raises
    ------
    RequestError
        When the shapes do not fit or there are too few stimuli (2; unbiased 4).
    DataError
        When a value is not finite.

    Examples
    --------
    >>> x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    >>> round(cka(linear_gram(x), linear_gram(3 * x.flip(1) - 1), bias="unbiased"), 6)
    1.0
    """
    left, right = _checked(gram_x, gram_y, bias=bias)
    products = [
        _hsic((a * b).sum(), a.diagonal(), b.diagonal(), bias=bias)
        for a, b in ((left, right), (left, left), (right, right))
    ]
    return float(_ratio(*products, floor=_rounding(left)))


def linear_cka(
    x: Tensor | FeatureSource,
    y: Tensor | FeatureSource,
    *,
    bias: Bias,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> float:
    r"""Linear CKA from features, without Gram matrices where both have fewer units than there are stimuli.

    There $\sum_{ij} K_{ij} L_{ij} = \lVert X^\top Y \rVert_F^2$ of the centred features, and the diagonals are the
    squared lengths of the stimuli.

    Parameters
    ----------
    x, y : Tensor or FeatureSource
        `(stimulus, unit)`, the same stimuli.
    bias : {"biased", "unbiased"}
        As in `cka`.
    feature_chunk, device
        As in `alignment.grams.linear_gram`.

    Returns
    -------
    float
        That of `cka(linear_gram(x), linear_gram(y), bias=bias)`.

    Raises
    ------
    RequestError, DataError
        As in `linear_gram` and `cka`.

    Examples
    --------
    >>> x = torch.randn(2000, 5, generator=torch.Generator().manual_seed(0))
    >>> round(linear_cka(x, x[:, [3, 0]], bias="biased"), 1)
    0.6
    """
    sources, where = paired_sources(x, y), compute_device(x, device)
    n_stimuli = sources[0].shape[0]
    if any(source.shape[1] >= n_stimuli for source in sources):
        grams = [linear_gram(source, feature_chunk=feature_chunk, device=where) for source in sources]
        return cka(*grams, bias=bias)
    _check_stimuli(n_stimuli, bias=bias)
    left, right = (_unit_features(source, device=where) for source in sources)
    products = [
        _hsic((a.T @ b).square().sum(), a.square().sum(1), b.square().sum(1), bias=bias)
        for a, b in ((left, right), (left, left), (right, right))
    ]
    return float(_ratio(*products, floor=_rounding(left)))


def jackknife_cka(gram_x: Tensor, gram_y: Tensor, *, bias: Bias) -> Floats:
    """CKA without each stimulus in turn: equal to deleting its row and column, in O(n^2) for all of them.

    Parameters
    ----------
    gram_x, gram_y : Tensor
        `(stimulus, stimulus)`, as in `cka`. The bandwidth of a radial kernel stays that of all stimuli.
    bias : {"biased", "unbiased"}
        As in `cka`.

    Returns
    -------
    array (stimulus,) float64

    Raises
    ------
    RequestError, DataError
        As in `cka`, with one stimulus more.

    Examples
    --------
    >>> x = torch.randn(9, 30, generator=torch.Generator().manual_seed(0))
    >>> k, l = linear_gram(x), linear_gram(x[:, :7])
    >>> bool(np.isclose(jackknife_cka(k, l, bias="biased")[8], cka(k[:8, :8], l[:8, :8], bias="biased")))
    True
    """
    left, right = _checked(gram_x, gram_y, bias=bias, left_out=1)
    products = [_without_each(a, b, bias=bias) for a, b in ((left, right), (left, left), (right, right))]
    return _ratio(*products, floor=_rounding(left)).cpu().numpy()


def weighted_cka(gram_x: Tensor, gram_y: Tensor, counts: npt.ArrayLike) -> Floats:
    r"""Unbiased CKA of each resample of stimuli; copies of one stimulus are never compared with each other.

    HSIC_1 is the mean of $K_{ij} (L_{ij} + L_{qr} - 2 L_{iq})$ over all ordered quadruples of different stimuli (Song
    et al. 2012, section 2.3). A resample with counts $w$ gives each quadruple the weight $w_i w_j w_q w_r$, the number
    of ways to draw it from the resample. No quadruple holds a stimulus twice: all copies count, and none is paired with
    another. With diagonals of 0, $M = K \circ L$, $W = \sum_i w_i$, $Q = \sum_i w_i^2$ and powers of $w$ taken by
    element, the weighted sum is, up to a factor that cancels,

    .. math:: (W^2 - Q)\, w \cdot M w - 2 W\, w^2 \cdot M w + 2\, w^2 \cdot M w^2 + (w \cdot K w)(w \cdot L w)
       - 2\, (w^2 + W w) \cdot (Kw \circ Lw) + 2\, w \cdot (K w^2 \circ L w + K w \circ L w^2),

    products of matrices with all counts at once. Its expectation over multinomial counts is a multiple of HSIC_1, so
    that resamples of the ratio lie around the value (within a tenth of their sd where it was measured).

    Parameters
    ----------
    gram_x, gram_y : Tensor
        `(stimulus, stimulus)`, as in `cka`.
    counts : array (resample, stimulus)
        How often each stimulus stands in each resample; any weights >= 0 will do. All 1 gives unbiased `cka`.

    Returns
    -------
    array (resample,) float64

    Raises
    ------
    RequestError
        When shapes do not fit, or a resample holds fewer than 4 different stimuli.
    DataError
        When a value is not finite.

    Examples
    --------
    >>> x = torch.randn(9, 30, generator=torch.Generator().manual_seed(0))
    >>> k, l = linear_gram(x), linear_gram(x[:, :7])
    >>> bool(np.isclose(weighted_cka(k, l, np.ones((1, 9)))[0], cka(k, l, bias="unbiased")))
    True
    """
    left, right = (_hollow(gram) for gram in _checked(gram_x, gram_y, bias="unbiased"))
    weights = torch.as_tensor(np.asarray(counts, np.float64), device=left.device)
    if weights.ndim != 2 or weights.shape[1] != len(left):
        raise RequestError(f"counts: shape {tuple(weights.shape)} is not (resample, {len(left)} stimuli)")
    if not bool(((weights >= 0) & weights.isfinite()).all()) or bool(((weights > 0).sum(1) < 4).any()):
        raise RequestError("counts: each resample needs finite counts >= 0, and 4 different stimuli at least")
    values = []
    for start, stop in spans(len(weights), _RESAMPLES_AT_ONCE):
        part = weights[start:stop].T
        part = part * (len(left) / part.sum(0))  # the sum of any weights scales every product alike
        products = [_weighted(a, b, weights=part) for a, b in ((left, right), (left, left), (right, right))]
        values.append(_ratio(*products, floor=_rounding(left)))
    return torch.cat(values).cpu().numpy() if values else np.empty(0)


def _hsic(inner: Tensor, of_left: Tensor, of_right: Tensor, *, bias: Bias) -> Tensor:
    """From the sum of products of centred matrices and their diagonals."""
    if bias == "biased":
        return inner
    n = len(of_left)
    return inner - n / (n - 2) * (of_left @ of_right) + of_left.sum() * of_right.sum() / ((n - 1) * (n - 2))


def _without_each(left: Tensor, right: Tensor, *, bias: Bias) -> Tensor:
    """HSIC `(stimulus,)` without each stimulus: row sums say what its row and column took part in."""
    of_left, of_right, remain = left.diagonal(), right.diagonal(), len(left) - 1
    if bias == "biased":
        share = len(left) / remain
        products = left * right
        return products.sum() - 2 * share * products.sum(1) + share**2 * of_left * of_right
    left, right = _hollow(left), _hollow(right)
    by_row = (left * right).sum(1)
    # a row of a centred matrix sums to minus its diagonal once that is 0, and to less its entry without a stimulus
    of_sums = of_left @ of_right - of_left * of_right + right @ of_left + left @ of_right + by_row
    of_totals = (of_left.sum() - 2 * of_left) * (of_right.sum() - 2 * of_right)
    inner = by_row.sum() - 2 * by_row
    return inner + of_totals / ((remain - 1) * (remain - 2)) - 2 / (remain - 2) * of_sums


def _weighted(left: Tensor, right: Tensor, *, weights: Tensor) -> Tensor:
    """The weighted sum of `weighted_cka` for hollow matrices and weights `(stimulus, resample)` of mean 1."""
    n = len(left)
    squares = weights.square()
    both = torch.cat([weights, squares], dim=1)
    products, of_left, of_right = ((matrix @ both).chunk(2, dim=1) for matrix in (left * right, left, right))
    sums = of_left[0] * of_right[0]
    crossed = of_left[1] * of_right[0] + of_left[0] * of_right[1]
    by_stimulus = (
        ((n**2 - squares.sum(0)) * weights - 2 * n * squares) * products[0]
        + 2 * squares * products[1]
        - 2 * (squares + n * weights) * sums
        + 2 * weights * crossed
    )
    return (by_stimulus.sum(0) + (weights * of_left[0]).sum(0) * (weights * of_right[0]).sum(0)) / n**2


def _ratio(both: Tensor, left: Tensor, right: Tensor, *, floor: float) -> Tensor:
    """0 where a set of features does not vary: what is left of its HSIC is rounding."""
    varies = (left > floor) & (right > floor)
    return torch.where(varies, both / torch.where(varies, left * right, 1.0).sqrt(), 0.0)


def _rounding(matrix: Tensor) -> float:
    """How large rounding may leave an HSIC of matrices of norm 1."""
    return 4 * len(matrix) * torch.finfo(matrix.dtype).eps


def _hollow(gram: Tensor) -> Tensor:
    return gram - gram.diagonal().diag()


def _unit_features(source: FeatureSource, *, device: torch.device) -> Tensor:
    """Centred features whose Gram matrix has norm 1, or 0."""
    features = centred_features(source, device=device)
    norm = float((features.T @ features).norm())
    return features / norm**0.5 if norm > 0 else features


def _checked(gram_x: Tensor, gram_y: Tensor, *, bias: Bias, left_out: int = 0) -> list[Tensor]:
    """Both in float64, centred, of norm 1, or 0."""
    check_grams(gram_x, gram_y)
    _check_stimuli(len(gram_x) - left_out, bias=bias)
    grams = [centred_gram(gram_x, name="gram_x"), centred_gram(gram_y.to(gram_x.device), name="gram_y")]
    return [gram / (float(gram.norm()) or 1.0) for gram in grams]


def _check_stimuli(n_stimuli: int, *, bias: Bias) -> None:
    if bias not in _LEAST_STIMULI:
        raise RequestError(f"bias={bias!r} is not known: choose one of {', '.join(_LEAST_STIMULI)}")
    if n_stimuli < _LEAST_STIMULI[bias]:
        raise RequestError(f"{n_stimuli} stimuli: {bias} CKA needs {_LEAST_STIMULI[bias]} at least")
