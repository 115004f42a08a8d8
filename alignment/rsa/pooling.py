"""Subjects against each other: pooled RDMs, how well the others predict each, and whether they agree at all.

The leave-one-subject-out bounds of Nili et al. (2014, PLoS Comput Biol 10:e1003553): the upper one compares each
subject with the pool of all subjects, itself included, which no model can beat on average where the pool is the best
one for the comparator; the lower one compares each with the pool of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from alignment.errors import RequestError, unknown
from alignment.rsa.comparators import COMPARATORS, compare, midranks
from alignment.rsa.rdms import RDMs, pair_positions
from alignment.seeds import generator

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Pooling = Literal["optimal", "mean"]


@dataclass(frozen=True)
class Comparison:
    """How RDMs are compared, and how those of subjects are pooled for it.

    Parameters
    ----------
    comparator : str
        A name of `COMPARATORS`.
    pooling : {"optimal", "mean"}
        "optimal": the mean of what the comparator sees: of z-scores for Pearson, of midranks for the rank
        correlations, of vectors of unit length for cosines. "mean": of dissimilarities as they are.
    squared : bool
        Each similarity is squared, as published for the 78-image set (Cichy et al. 2019). A square hides the sign
        and is above 0 by chance.

    Raises
    ------
    RequestError
        An unknown comparator or pooling.
    """

    comparator: str = "spearman"
    pooling: Pooling = "optimal"
    squared: bool = False

    def __post_init__(self) -> None:
        if self.comparator not in COMPARATORS:
            raise unknown("comparator", self.comparator, COMPARATORS)
        if self.pooling not in ("optimal", "mean"):
            raise unknown("pooling", self.pooling, ("optimal", "mean"))

    def of(self, a: RDMs, b: RDMs) -> Doubles:
        """Similarity of each RDM of `a` with each of `b`, `(len(a), len(b))`."""
        return self.finish(compare(a, b, comparator=self.comparator))

    def finish(self, similarities: Doubles) -> Doubles:
        """Squared where asked for."""
        return np.square(similarities) if self.squared else similarities


class Bounds(NamedTuple):
    """Of the noise ceiling, one value per subject; the means over subjects are the published bounds."""

    lower: Doubles
    upper: Doubles


def pool(rdms: RDMs, comparison: Comparison) -> RDMs:
    """The one RDM that is most like all of these.

    Returns
    -------
    RDMs
        One row; its scale means nothing after "optimal" pooling.

    Examples
    --------
    >>> rdms = RDMs(np.array([[1.0, 2.0, 3.0], [20.0, 10.0, 30.0]]), stimuli=("a", "b", "c"))
    >>> pool(rdms, Comparison("spearman")).dissimilarities
    array([[1.5, 1.5, 3. ]])
    """
    measured = ~np.isnan(rdms.dissimilarities[0])
    pooled = np.full((1, rdms.dissimilarities.shape[1]), np.nan)
    pooled[0, measured] = prepared(rdms.dissimilarities[:, measured], comparison).mean(axis=0)
    return RDMs(pooled, rdms.stimuli, subjects=("pool",))


def prepared(vectors: Floats, comparison: Comparison) -> Doubles:
    """Dissimilarities `(rdm, pair)`, without NaN, as they enter the mean."""
    return _PREPARED[comparison.comparator if comparison.pooling == "optimal" else ""](np.asarray(vectors, np.float64))


def leave_one_out(rdms: RDMs, comparison: Comparison) -> Bounds:
    """Bounds of the noise ceiling, subject by subject.

    Parameters
    ----------
    rdms : RDMs
        One per subject, at least two.
    comparison : Comparison

    Raises
    ------
    RequestError
        Fewer than two subjects.
    """
    if len(rdms) < 2:
        raise RequestError("one subject has no others to be compared with; a noise ceiling of RDMs needs two")
    everyone = pool(rdms, comparison)
    rows = range(len(rdms))
    others = [pool(rdms.take([other for other in rows if other != row]), comparison) for row in rows]
    lower = [comparison.of(pooled, rdms.take([row]))[0, 0] for row, pooled in enumerate(others)]
    return Bounds(np.array(lower), comparison.of(everyone, rdms)[0])


def bounds_of_cosines(alike: Doubles, share: Doubles) -> Bounds:
    """Leave-one-out bounds where a pool is a sum of vectors and similarity is their cosine: no pool need be formed.

    With A the cosines between subjects and w how much of each is in the pool, that of subject k with the pool of all is
    (A w)_k / sqrt(w A w), and with the pool of the others the same without w_k.

    Parameters
    ----------
    alike : array (..., subject, subject)
        Cosines, 1 on the diagonal: Pearson, cosine, centred kernel alignment.
    share : array (..., subject)
        Of vectors of unit length in the pool: how often each subject is there, times its length where lengths differ.

    Returns
    -------
    Bounds
        Each (..., subject); NaN for a subject that is not there, or has no others.
    """
    with_pool = np.einsum("...st,...t->...s", alike, share)
    power = np.einsum("...s,...s->...", share, with_pool)[..., None]
    upper = cosine_ratio(with_pool, power)
    lower = cosine_ratio(with_pool - share, power - 2 * share * with_pool + share**2)
    return where_defined(Bounds(lower, upper), share)


def cosine_ratio(products: Doubles, powers: Doubles) -> Doubles:
    """Products over the square root of powers; 0 where a power is 0, up to rounding."""
    varies = powers > 1e-24
    return np.where(varies, products / np.sqrt(np.where(varies, powers, 1.0)), 0.0)


def where_defined(bounds: Bounds, share: Doubles) -> Bounds:
    """NaN for subjects with no share in the pool; the lower bound needs somebody else as well."""
    absent = share == 0
    alone = share.sum(axis=-1, keepdims=True) == share
    return Bounds(np.where(absent | alone, np.nan, bounds.lower), np.where(absent, np.nan, bounds.upper))


def agreement_p_value(rdms: RDMs, comparison: Comparison, *, seed: int, n_permutations: int = 1000) -> float:
    """Probability, if no two subjects agreed on any geometry, of RDMs at least as alike as these.

    The statistic is the mean similarity over pairs of subjects, never squared. Under the null hypothesis the stimuli of
    each subject are exchangeable: they are permuted, rows and columns together, for each subject on its own.
    p = (1 + permutations at least as alike) / (1 + permutations).

    Parameters
    ----------
    rdms : RDMs
        One per subject, at least two, every pair measured.
    comparison : Comparison
    seed, n_permutations : int

    Returns
    -------
    float in (0, 1], one-sided

    Raises
    ------
    RequestError
        Fewer than two subjects, or pairs that were not measured.
    """
    if len(rdms) < 2 or np.isnan(rdms.dissimilarities).any():
        raise RequestError("agreement needs two subjects, and every pair of stimuli measured")
    count = len(rdms.stimuli)
    rows, columns = np.triu_indices(count, k=1)
    # permuted vectors are permuted after whatever the comparator takes out of each: that is done once
    vectors = prepared(rdms.dissimilarities, Comparison(comparison.comparator))
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    vectors /= np.where(lengths > 0, lengths, np.inf)[:, None]
    observed = _mean_similarity(vectors)
    random = generator(seed, "agreement")
    at_least = 0
    for _ in range(n_permutations):
        permuted = np.empty_like(vectors)
        for subject, vector in enumerate(vectors):
            order = random.permutation(count)
            permuted[subject] = vector[pair_positions(order[rows], order[columns], count=count)]
        at_least += _mean_similarity(permuted) >= observed
    return float((1 + at_least) / (1 + n_permutations))


def _mean_similarity(vectors: Doubles) -> float:
    """Over pairs of rows of unit length, without forming the pairs."""
    count = len(vectors)
    total = vectors.sum(axis=0)
    return float((total @ total - count) / (count * (count - 1)))


def _z_scores(vectors: Doubles) -> Doubles:
    sd = vectors.std(axis=1, keepdims=True)
    return (vectors - vectors.mean(axis=1, keepdims=True)) / np.where(sd > 0, sd, np.inf)


def _unit_length(vectors: Doubles) -> Doubles:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors / np.where(length > 0, length, np.inf)


_PREPARED: dict[str, Callable[[Doubles], Doubles]] = {
    "": lambda vectors: vectors,
    "pearson": _z_scores,
    "spearman": midranks,
    "rho-a": midranks,
    "kendall-tau-a": midranks,
    "cosine": _unit_length,
    "whitened-cosine": _unit_length,
    "whitened-pearson": _z_scores,
}
