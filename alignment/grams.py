"""Gram matrices of stimuli from features, linear and radial, for measures that compare them."""

import numpy as np
import torch
from torch import Tensor

from alignment.encoding.features import ColumnReader, FeatureSource, as_source, chunk_width, spans
from alignment.errors import DataError, RequestError


def linear_gram(
    x: Tensor | FeatureSource, *, feature_chunk: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Inner products of stimuli after each unit is centred, features read a few columns at a time.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`.
    feature_chunk : int, optional
        Units read at once; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where to compute; that of `x` when it is a tensor, else the CPU.

    Returns
    -------
    Tensor
        `(stimulus, stimulus) float64`, rows sum to 0; exactly 0 where the features do not vary.

    Raises
    ------
    RequestError
        When `x` is not a floating point matrix.
    DataError
        When features hold a NaN or an infinity.

    Examples
    --------
    >>> linear_gram(torch.tensor([[1.0], [3.0], [5.0]])).numpy()
    array([[ 4.,  0., -4.],
           [ 0.,  0.,  0.],
           [-4.,  0.,  4.]])
    """
    source = as_source(x)
    reader = ColumnReader(chunk_width(source.shape[0], feature_chunk), compute_device(x, device))
    gram = torch.zeros(source.shape[0], source.shape[0], dtype=torch.float64, device=reader.device)
    for start, stop in spans(source.shape[1], reader.width):
        block = centred(reader.read(source, start, stop))
        gram.addmm_(block, block.T)
    return gram


def rbf_gram(
    x: Tensor | FeatureSource,
    *,
    sigma_fraction: float,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """exp(-d^2 / (2 sigma^2)) of the Euclidean distances d between stimuli.

    sigma is a fraction of the median distance between different stimuli (Kornblith et al. 2019, ICML, section 3), which
    makes the kernel invariant to scale, shift and rotation of the features.

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`.
    sigma_fraction : float
        Above 0. The larger it is, the nearer a measure comes to that of the linear kernel.
    feature_chunk, device
        As in `linear_gram`.

    Returns
    -------
    Tensor
        `(stimulus, stimulus) float64`, 1 on the diagonal.

    Raises
    ------
    RequestError
        When `x` is not a floating point matrix of at least 2 stimuli, or `sigma_fraction` is not above 0.
    DataError
        When features hold a NaN or an infinity, or most pairs of stimuli are alike in all of them.

    Examples
    --------
    >>> rbf_gram(torch.tensor([[0.0], [1.0], [2.0]]), sigma_fraction=1.0)[0].numpy().round(4)
    array([1.    , 0.6065, 0.1353])
    """
    if not 0 < sigma_fraction < float("inf"):
        raise RequestError(f"sigma_fraction is {sigma_fraction}: give a fraction of the median distance above 0")
    gram = linear_gram(x, feature_chunk=feature_chunk, device=device)
    if len(gram) < 2:
        raise RequestError("x has 1 stimulus: a median distance needs 2 at least")
    lengths = gram.diagonal()
    # what rounding leaves of the distance of two equal stimuli may fall below 0
    squares = (lengths[:, None] + lengths - 2 * gram).clamp_(min=0)
    rows, columns = torch.triu_indices(len(gram), len(gram), offset=1, device=gram.device)
    median = float(np.median(squares[rows, columns].sqrt().cpu().numpy()))
    if median**2 <= 8 * torch.finfo(gram.dtype).eps * float(lengths.max()):
        raise DataError(
            "x: most pairs of stimuli are at distance 0, so sigma would be 0; give another layer or a linear kernel"
        )
    return torch.exp(squares / (-2 * (sigma_fraction * median) ** 2)).fill_diagonal_(1.0)


def centred_gram(gram: Tensor, *, name: str) -> Tensor:
    """A Gram matrix in float64 whose rows and columns sum to 0; 0 where rounding alone is left.

    Raises
    ------
    DataError
        When a value is not finite; `name` says in which.
    """
    gram = gram.double()
    if not bool(torch.isfinite(gram).all()):
        raise DataError(f"{name} holds a NaN or an infinity: check the features it came from")
    rounding = 4 * len(gram) * torch.finfo(gram.dtype).eps * float(gram.abs().max())
    means = gram.mean(0)
    gram = gram - means - means[:, None] + means.mean()
    return gram if float(gram.norm()) > rounding else torch.zeros_like(gram)


def check_grams(gram_x: Tensor, gram_y: Tensor) -> None:
    """Both are square and of as many stimuli."""
    if gram_x.ndim != 2 or gram_x.shape != gram_y.shape or gram_x.shape[0] != gram_x.shape[1]:
        raise RequestError(
            f"Gram matrices are {tuple(gram_x.shape)} and {tuple(gram_y.shape)}: "
            "give two (stimulus, stimulus) of the same stimuli"
        )


def paired_sources(x: Tensor | FeatureSource, y: Tensor | FeatureSource) -> tuple[FeatureSource, FeatureSource]:
    """Both as sources of columns, of as many stimuli."""
    left, right = as_source(x), as_source(y, name="y")
    if left.shape[0] != right.shape[0]:
        raise RequestError(
            f"x has {left.shape[0]} stimuli and y has {right.shape[0]}: give the same stimuli in the same order"
        )
    return left, right


def centred_features(source: FeatureSource, *, device: torch.device) -> Tensor:
    """All units at once, `(stimulus, unit) float64`, each of mean 0."""
    return centred(ColumnReader(source.shape[1], device).read(source, 0, source.shape[1]))


def centred(features: Tensor) -> Tensor:
    """Float64 features less their mean over stimuli, in place; a unit that varies by rounding alone becomes 0."""
    rounding = 4 * torch.finfo(features.dtype).eps * features.abs().amax(0)
    features -= features.mean(0)
    features[:, features.abs().amax(0) <= rounding] = 0
    return features


def compute_device(x: Tensor | FeatureSource, device: torch.device | str | None) -> torch.device:
    """The device asked for, that of `x` when it is a tensor, else the CPU."""
    if device is not None:
        return torch.device(device)
    return x.device if isinstance(x, Tensor) else torch.device("cpu")
