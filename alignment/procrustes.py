r"""Procrustes shape similarity and distances: how well one set of features is rotated onto another.

Features are centred and divided by their Frobenius norm. The best orthogonal map $Q$ (units padded with zeros to the
same number) leaves

$d^2 = \min_Q \lVert X Q - Y \rVert_F^2 = 2 - 2 s, \qquad s = \lVert X^\top Y \rVert_*,$

with the nuclear norm, the sum of singular values (Schönemann 1966). $s$ is the similarity $1 - d^2 / 2$ in [0, 1];
$d^2$ is the distance of Ding et al. 2021 (NeurIPS), $d$ and $\arccos s$ are metrics (Williams et al. 2021, NeurIPS,
"Generalized shape metrics", section 2). All are invariant to rotations, shifts and one scale of the features.

Only inner products of stimuli matter: $s$ is the trace of the root of $K^{1/2} L K^{1/2}$, normalised, with $K$ and $L$
the Gram matrices, so that units beyond the number of stimuli are first replaced by at most n - 1 axes. Known failure:
many units always find a good rotation, so that unrelated noise has a similarity far above 0, the more so the fewer
stimuli there are. Resamples with copies would shift it; errors are those of the jackknife.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.axes import gram_equivalent
from alignment.encoding.features import FeatureSource
from alignment.errors import RequestError
from alignment.grams import centred_features, centred_gram, check_grams, compute_device, paired_sources

Floats = npt.NDArray[np.float64]

_LEAST_EIGENVALUE = -1e-6  # of the largest: a Gram matrix stored in float32 has nothing below this


def procrustes_similarity(
    x: Tensor | FeatureSource,
    y: Tensor | FeatureSource,
    *,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> float:
    r"""Normalised nuclear norm $\lVert X^\top Y \rVert_* / (\lVert X \rVert_F \lVert Y \rVert_F)$ of centred features.

    Parameters
    ----------
    x, y : Tensor or FeatureSource
        `(stimulus, unit)`, the same stimuli, any numbers of units.
    feature_chunk : int, optional
        Units read at once where there are at least as many as stimuli; chosen to bound memory unless given.
    device : torch.device or str, optional
        Where to compute; that of `x` when it is a tensor, else the CPU.

    Returns
    -------
    float
        In [0, 1]; 0 when either does not vary over stimuli, as in `alignment.correlation.pearson`.

    Raises
    ------
    RequestError
        When the stimuli differ in number, there are fewer than 2, or features are no floating point matrix.
    DataError
        When features hold a NaN or an infinity.

    Examples
    --------
    >>> x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    >>> round(procrustes_similarity(x, 2 - 5 * x.flip(1)), 6)
    1.0
    """
    left, right = _shapes(x, y, feature_chunk=feature_chunk, device=device)
    return _similarity(left.T @ right)


def procrustes_similarity_of_grams(gram_x: Tensor, gram_y: Tensor) -> float:
    """The same from two Gram matrices of the same stimuli, so that kernels other than the linear one can be compared.

    Parameters
    ----------
    gram_x, gram_y : Tensor
        `(stimulus, stimulus)`, symmetric and positive semi-definite; they need not be centred.

    Returns
    -------
    float
        As `procrustes_similarity` of features with these inner products.

    Raises
    ------
    RequestError
        When the shapes do not fit, there are fewer than 2 stimuli, or a matrix is not positive semi-definite.
    DataError
        When a value is not finite.

    Examples
    --------
    >>> x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    >>> round(procrustes_similarity_of_grams(x @ x.T, 7 * x @ x.T), 6)
    1.0
    """
    check_grams(gram_x, gram_y)
    _check_stimuli(len(gram_x))
    left = _unit(_square_root(gram_x, name="gram_x"))
    right = _unit(_square_root(gram_y.to(gram_x.device), name="gram_y"))
    return _similarity(left.T @ right)


def jackknife_procrustes(
    x: Tensor | FeatureSource,
    y: Tensor | FeatureSource,
    *,
    groups: npt.ArrayLike | None = None,
    feature_chunk: int | None = None,
    device: torch.device | str | None = None,
) -> Floats:
    r"""Procrustes similarity without each group of stimuli in turn: equal to leaving their rows out.

    Features are decomposed once. With $z$ centred coordinates of stimuli, deleting group $G$ of $n$ stimuli takes
    $\sum_G z_i w_i^\top + \sum_G z_i \sum_G w_i^\top / (n - |G|)$ from $X^\top Y$; its singular values are computed
    anew. That is one decomposition a group, of a matrix with at most min(unit, stimulus - 1) rows and columns: about a
    second each on 2 cores for a thousand stimuli with more units on both sides, 0.02 s with 100 neuroids on one. Where
    both are wide and stimuli are more than some 200, give 50 groups or so (`alignment.jackknife.deletion_groups`): the
    error then has 49 degrees of freedom.

    Parameters
    ----------
    x, y : Tensor or FeatureSource
        `(stimulus, unit)`, as in `procrustes_similarity`.
    groups : array (stimulus,) int, optional
        Label of the group with which a stimulus is left out; each alone unless given.
    feature_chunk, device
        As in `procrustes_similarity`.

    Returns
    -------
    array (group,) float64
        In the order of labels, for `alignment.jackknife.jackknife_error`.

    Raises
    ------
    RequestError
        As `procrustes_similarity`; or when labels do not fit, or a group leaves fewer than 2 stimuli.
    DataError
        As `procrustes_similarity`.

    Examples
    --------
    >>> x = torch.randn(9, 30, generator=torch.Generator().manual_seed(0))
    >>> without = jackknife_procrustes(x, x[:, :4])
    >>> bool(np.isclose(without[8], procrustes_similarity(x[:8], x[:8, :4])))
    True
    """
    left, right = _shapes(x, y, feature_chunk=feature_chunk, device=device)
    labels = np.arange(len(left)) if groups is None else np.asarray(groups)
    if labels.shape != (len(left),) or labels.dtype.kind not in "iu":
        raise RequestError(f"groups: {labels.dtype} {labels.shape}; give one integer label for each of {len(left)}")
    inner = left.T @ right
    values = []
    for label in np.unique(labels):
        a, b = (side[torch.from_numpy(labels == label).to(side.device)] for side in (left, right))
        remain = len(left) - len(a)
        if remain < 2:
            raise RequestError(f"groups: without group {label} there are {remain} stimuli; leave 2 at least")
        norms = [1 - part.square().sum() - part.sum(0).square().sum() / remain for part in (a, b)]
        without = inner - a.T @ b - torch.outer(a.sum(0), b.sum(0)) / remain
        # a norm of 1 of which rounding is left: the group held all that varied
        floor = 4 * len(left) * torch.finfo(inner.dtype).eps
        varies = all(float(norm) > floor for norm in norms)
        values.append(_similarity(without / (norms[0] * norms[1]).sqrt()) if varies else 0.0)
    return np.array(values)


def squared_distance(similarity: npt.ArrayLike) -> Floats:
    """2 - 2 s: squared Procrustes distance of centred features of unit norm (Ding et al. 2021), in [0, 2].

    Examples
    --------
    >>> squared_distance([1.0, 0.25])
    array([0. , 1.5])
    """
    return 2 - 2 * np.asarray(similarity, np.float64)


def angular_distance(similarity: npt.ArrayLike) -> Floats:
    """arccos(s): the angle on the sphere of shapes (Williams et al. 2021), radians in [0, pi / 2].

    Near s = 1 it resolves the square root of a rounding error: angles below 1e-7 are 0.

    Examples
    --------
    >>> angular_distance([1.0, 0.5]).round(4)
    array([0.    , 1.0472])
    """
    return np.arccos(np.asarray(similarity, np.float64))


def _shapes(
    x: Tensor | FeatureSource,
    y: Tensor | FeatureSource,
    *,
    feature_chunk: int | None,
    device: torch.device | str | None,
) -> tuple[Tensor, Tensor]:
    """Coordinates `(stimulus, axis)` of both, centred, of norm 1 (or 0), with at most as many axes as stimuli."""
    sources, where = paired_sources(x, y), compute_device(x, device)
    _check_stimuli(sources[0].shape[0])
    left, right = (
        _unit(
            centred_features(source, device=where)
            if source.shape[1] < source.shape[0]
            else gram_equivalent(source, feature_chunk=feature_chunk, device=where)
        )
        for source in sources
    )
    return left, right


def _similarity(inner: Tensor) -> float:
    # the bound that Cauchy and Schwarz give; rounding may pass it and arccos would not take that
    return min(1.0, float(torch.linalg.svdvals(inner).sum())) if inner.numel() else 0.0


def _unit(shape: Tensor) -> Tensor:
    norm = float(shape.norm())
    return shape / norm if norm > 0 else shape


def _square_root(gram: Tensor, *, name: str) -> Tensor:
    """Coordinates whose inner products are those of the centred matrix."""
    largest = float(gram.abs().max())
    values, vectors = torch.linalg.eigh(centred_gram(gram, name=name))
    if float(values[0]) < _LEAST_EIGENVALUE * largest:
        raise RequestError(
            f"{name} has an eigenvalue of {float(values[0]):.3g} beside entries of {largest:.3g}: "
            "give inner products, not distances"
        )
    kept = values > 4 * len(gram) * torch.finfo(values.dtype).eps * largest
    return vectors[:, kept] * values[kept].sqrt()


def _check_stimuli(n_stimuli: int) -> None:
    if n_stimuli < 2:
        raise RequestError(f"{n_stimuli} stimulus: a shape needs 2 at least")
