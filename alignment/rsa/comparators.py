"""How alike RDMs are: one number for each pair of them, over the pairs of stimuli that were measured."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import squareform

from alignment.errors import DataError, RequestError, unknown
from alignment.rsa.rdms import RDMs
from alignment.rsa.whitening import solve_noise

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Whitening = Callable[[Doubles], Doubles]


@dataclass(frozen=True)
class Comparator:
    """One way to compare vectors of dissimilarities.

    Attributes
    ----------
    formula : str
        For vectors a and b over n measured pairs.
    of_vectors : callable
        (vectors `(rdm, pair)`, other vectors `(other rdm, pair)`, d to V^-1 d) to values `(rdm, other rdm)`.
    whitened : bool
        Whether V enters, the covariance that noise gives dissimilarities.
    """

    formula: str
    of_vectors: Callable[[Floats, Floats, Whitening], Doubles]
    whitened: bool = False


def compare(a: RDMs, b: RDMs, *, comparator: str, sigma: Floats | None = None) -> Doubles:
    """Similarity of each RDM of `a` with each RDM of `b`.

    An RDM that does not vary over pairs (for `cosine` and `whitened-cosine`: that is 0 everywhere) gets 0, as in
    rsatoolbox: it says nothing of the geometry.

    Parameters
    ----------
    a, b : RDMs
        Of the same stimuli; those of `b` may be in another order.
    comparator : str
        A name of `COMPARATORS`, which says the formula of each.
    sigma : array (stimulus, stimulus) float, optional
        Covariance of the errors of the patterns, in the order of `a.stimuli`, up to a factor; for the whitened
        comparators alone, where the identity is taken when it is not given.

    Returns
    -------
    array (len(a), len(b)) float64
        In [-1, 1] up to rounding.

    Raises
    ------
    RequestError
        An unknown comparator; `sigma` given to one that is not whitened, or not as it must be.
    DataError
        Other stimuli in `a` than in `b`; NaN in other places; fewer than 2 pairs measured.

    Examples
    --------
    >>> a = RDMs(np.array([[1.0, 2.0, 3.0]]), stimuli=("x", "y", "z"))
    >>> b = RDMs(np.array([[3.0, 2.0, 2.0], [1.0, 4.0, 9.0]]), stimuli=("x", "y", "z"))
    >>> compare(a, b, comparator="kendall-tau-a").round(3)
    array([[-0.667,  1.   ]])
    """
    if comparator not in COMPARATORS:
        raise unknown("comparator", comparator, COMPARATORS)
    chosen = COMPARATORS[comparator]
    if sigma is not None and not chosen.whitened:
        whitened = " or ".join(name for name, one in COMPARATORS.items() if one.whitened)
        raise RequestError(f"comparator={comparator!r} takes no sigma: it goes with {whitened}")
    b = _same_stimuli(a, b)
    measured = _measured_in_both(a, b)
    whitening = partial(
        solve_noise,
        measured=squareform(measured),
        sigma=None if sigma is None else np.asarray(sigma, np.float64),
    )
    return chosen.of_vectors(a.dissimilarities[:, measured], b.dissimilarities[:, measured], whitening)


def midranks(vectors: Floats) -> Doubles:
    """Ranks within each row from 1, ties given the mean of their ranks.

    What `scipy.stats.rankdata` gives, in about half its time.

    Parameters
    ----------
    vectors : array (rdm, pair) float
        Without NaN.

    Returns
    -------
    array (rdm, pair) float64

    Examples
    --------
    >>> midranks(np.array([[0.3, 0.1, 0.3]]))
    array([[2.5, 1. , 2.5]])
    """
    ranks = np.empty(vectors.shape)
    for row, vector in zip(ranks, vectors, strict=True):
        order = np.argsort(vector)
        starts, sizes = _runs(vector[order])
        row[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return ranks


def _same_stimuli(a: RDMs, b: RDMs) -> RDMs:
    only_one = set(a.stimuli) ^ set(b.stimuli)
    if only_one:
        raise DataError(
            f"RDMs of different stimuli: {min(only_one)!r} is in one of the two only ({len(only_one)} such); "
            "select the stimuli that both have"
        )
    return b.select(a.stimuli)


def _measured_in_both(a: RDMs, b: RDMs) -> npt.NDArray[np.bool_]:
    measured = ~np.isnan(a.dissimilarities[0])
    odd = int((measured == np.isnan(b.dissimilarities[0])).sum())
    if odd:
        raise DataError(f"RDMs: {odd} pairs are NaN in one of the two only; leave these stimuli out of both")
    if measured.sum() < 2:
        raise DataError("RDMs: 1 pair was measured, and one number correlates with nothing; give more stimuli")
    return measured


def _runs(ordered: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where runs of equal values start in a sorted vector, and how long they are."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return starts, np.diff(starts, append=len(ordered))


def _centred(vectors: Floats) -> Doubles:
    """Less the mean of each row; a row that varies by rounding alone becomes 0."""
    rounding = 4 * np.finfo(vectors.dtype).eps * np.abs(vectors).max(axis=1)
    # less the first entry, a constant is exactly 0, and so is its mean
    values = vectors.astype(np.float64) - vectors[:, :1]
    values -= values.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.einsum("ij,ij->i", values, values) / values.shape[1])
    values[sd <= rounding] = 0.0
    return values


def _centred_midranks(vectors: Floats) -> Doubles:
    return midranks(vectors) - (vectors.shape[1] + 1) / 2


def _cosines(products: Doubles, lengths: Doubles, other_lengths: Doubles) -> Doubles:
    """Products over lengths (their squares are given); 0 where a length is 0."""
    both = np.outer(np.sqrt(lengths), np.sqrt(other_lengths))
    return np.divide(products, both, out=np.zeros_like(products), where=both > 0)


def _cosine(x: Floats, y: Floats, _: Whitening) -> Doubles:
    left, right = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    return _cosines(left @ right.T, np.einsum("ij,ij->i", left, left), np.einsum("ij,ij->i", right, right))


def _pearson(x: Floats, y: Floats, whitening: Whitening) -> Doubles:
    return _cosine(_centred(x), _centred(y), whitening)


def _spearman(x: Floats, y: Floats, whitening: Whitening) -> Doubles:
    return _cosine(_centred_midranks(x), _centred_midranks(y), whitening)


def _rho_a(x: Floats, y: Floats, _: Whitening) -> Doubles:
    count = x.shape[1]
    return 12 / (count**3 - count) * (_centred_midranks(x) @ _centred_midranks(y).T)


def _kendall_tau_a(x: Floats, y: Floats, _: Whitening) -> Doubles:
    pairs = x.shape[1] * (x.shape[1] - 1) // 2
    untied, other_untied = ([pairs - _tied(vector) for vector in vectors] for vectors in (x, y))
    values = np.zeros((len(x), len(y)))
    for i, j in np.ndindex(values.shape):
        if untied[i] and other_untied[j]:
            tau_b = stats.kendalltau(x[i], y[j], method="asymptotic").statistic
            values[i, j] = tau_b * np.sqrt(untied[i] / pairs) * np.sqrt(other_untied[j] / pairs)
    return values


def _tied(vector: Floats) -> int:
    """How many pairs of entries are equal."""
    sizes = _runs(np.sort(vector))[1]
    return int((sizes * (sizes - 1) // 2).sum())


def _whitened_cosine(x: Floats, y: Floats, whitening: Whitening) -> Doubles:
    left, right = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    white_left, white_right = whitening(left), whitening(right)
    lengths = np.einsum("ij,ij->i", left, white_left), np.einsum("ij,ij->i", right, white_right)
    return _cosines(left @ white_right.T, *lengths)


def _whitened_pearson(x: Floats, y: Floats, whitening: Whitening) -> Doubles:
    return _whitened_cosine(_centred(x), _centred(y), whitening)


_WHITE = "V the covariance that noise gives dissimilarities (Diedrichsen et al. 2020)"

COMPARATORS: dict[str, Comparator] = {
    "pearson": Comparator("cosine of a - mean(a) and b - mean(b)", _pearson),
    "spearman": Comparator("Pearson of the midranks of a and b", _spearman),
    "kendall-tau-a": Comparator("(concordant - discordant) / (n (n - 1) / 2)", _kendall_tau_a),
    "rho-a": Comparator("12 / (n^3 - n) times the product of the centred midranks (Schütt et al. 2023)", _rho_a),
    "cosine": Comparator("a·b / (|a| |b|)", _cosine),
    "whitened-cosine": Comparator(
        f"a^T V^-1 b / sqrt(a^T V^-1 a b^T V^-1 b), {_WHITE}", _whitened_cosine, whitened=True
    ),
    "whitened-pearson": Comparator(
        f"whitened cosine of a - mean(a) and b - mean(b), {_WHITE}", _whitened_pearson, whitened=True
    ),
}
