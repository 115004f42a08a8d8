"""Similarities of RDMs in which each pair of stimuli counts as often as a resample says.

One object per comparator holds the subjects' RDMs; given the weights of pairs in some resamples it gives the similarity
of any vector with each subject, and the leave-one-subject-out bounds. Pearson and cosine are functions of weighted
moments, which are matrix products. Rank correlations need the ranks of each resample; the order of a vector is found
once, and ranks are running sums of weights in that order.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.rsa.pooling import Bounds, Comparison, bounds_of_cosines, cosine_ratio, where_defined

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

# a table of ranks by value is faster than sorting while it is not much longer than the vector
_TABLE_PER_PAIR = 24
_WHOLE_IN_FLOAT32 = 2**24


class Weighed(Protocol):
    """Subjects under the pair weights of some resamples."""

    def similarities(self, vector: Doubles) -> Doubles:
        """(resample, subject), of one model's dissimilarities `(pair,)`."""
        ...

    def bounds(self, subject_counts: Doubles) -> Bounds:
        """Each (resample, subject); NaN for a subject that is not there, or has no others."""
        ...


@dataclass(frozen=True)
class WeighedMoments:
    """Pearson and cosine.

    Parameters
    ----------
    subjects : (subject, pair) float64
    weights : (resample, pair) float64
    comparison : with comparator "pearson" or "cosine"
    """

    subjects: Doubles
    weights: Doubles
    comparison: Comparison

    def similarities(self, vector: Doubles) -> Doubles:
        """From the weighted products of the vector with itself and with each subject."""
        vector = self._scaled(vector[None])[0][0]
        shares, means, covariance = self._shares, self._means, self._covariance
        cross = shares @ (self._subjects * vector).T
        power = shares @ np.square(vector)
        if self._centred:
            mean = shares @ vector
            cross = cross - mean[:, None] * means
            power = power - mean**2
        return cosine_ratio(cross, power[:, None] * np.diagonal(covariance, axis1=1, axis2=2))

    def bounds(self, subject_counts: Doubles) -> Bounds:
        """Pools are sums of subjects, so that their similarities follow from the subjects' own correlations."""
        variance = np.diagonal(self._covariance, axis1=1, axis2=2)
        alike = cosine_ratio(self._covariance, variance[:, :, None] * variance[:, None, :])
        scale = 1.0 if self.comparison.pooling == "optimal" else self._sizes * np.sqrt(np.maximum(variance, 0))
        return bounds_of_cosines(alike, subject_counts * scale)

    @property
    def _centred(self) -> bool:
        return self.comparison.comparator == "pearson"

    @cached_property
    def _shares(self) -> Doubles:
        return self.weights / self.weights.sum(axis=1, keepdims=True)

    @cached_property
    def _means(self) -> Doubles:
        return self._shares @ self._subjects.T

    @cached_property
    def _subjects(self) -> Doubles:
        return self._scaled(self.subjects)[0]

    @cached_property
    def _sizes(self) -> Doubles:
        return self._scaled(self.subjects)[1]

    def _scaled(self, vectors: Doubles) -> tuple[Doubles, Doubles]:
        """Vectors about their mean for Pearson, of mean square 1 so that moments lose no digits; and their sizes."""
        centred = vectors - vectors.mean(axis=1, keepdims=True) if self._centred else vectors
        sizes = np.sqrt(np.mean(centred**2, axis=1))
        return centred / np.where(sizes > 0, sizes, np.inf)[:, None], sizes

    @cached_property
    def _covariance(self) -> Doubles:
        """(resample, subject, subject) of second moments, about the mean for Pearson."""
        count = len(self.subjects)
        first, second = np.triu_indices(count)
        products = self._shares @ (self._subjects[first] * self._subjects[second]).T
        covariance = np.empty((len(self.weights), count, count))
        covariance[:, first, second] = covariance[:, second, first] = products
        if self._centred:
            covariance -= self._means[:, :, None] * self._means[:, None, :]
        return covariance


@dataclass(frozen=True)
class WeighedRanks:
    """Spearman and rho-a.

    Parameters
    ----------
    subjects : (subject, pair) float64
    weights : (resample, pair) float64, whole numbers
    comparison : with comparator "spearman" or "rho-a"
    """

    subjects: Doubles
    weights: Doubles
    comparison: Comparison

    def similarities(self, vector: Doubles) -> Doubles:
        """From the weighted midranks of the vector and of the subjects."""
        return self._with_subjects(weighted_midranks(vector, self._weights), slice(None))

    def bounds(self, subject_counts: Doubles) -> Bounds:
        """Each pool is ranked anew in each resample."""
        counts = torch.from_numpy(subject_counts).to(self._weights.dtype)
        entering = self._entering
        total = torch.zeros_like(entering[0])
        for subject, each in enumerate(entering):
            total.addcmul_(counts[:, subject, None], each)
        upper = self._with_subjects(self._ranked(total), slice(None))
        lower = np.full_like(upper, np.nan)
        for subject in range(len(self.subjects)):
            others = total - counts[:, subject, None] * entering[subject]
            lower[:, subject] = self._with_subjects(self._ranked(others), slice(subject, subject + 1))[:, 0]
        return where_defined(Bounds(lower, upper), subject_counts)

    @cached_property
    def _weights(self) -> Tensor:
        """In float32 where it holds every sum of weights exactly, with its halves."""
        exact = 2 * len(self.subjects) * self.weights.sum(axis=1).max() < _WHOLE_IN_FLOAT32
        return torch.from_numpy(self.weights).to(torch.float32 if exact else torch.float64)

    @cached_property
    def _totals(self) -> Tensor:
        """(resample,) float64, how many pairs there are."""
        return torch.from_numpy(self.weights.sum(axis=1))

    @cached_property
    def _ranks(self) -> Tensor:
        """(subject, resample, pair)."""
        return torch.stack([weighted_midranks(vector, self._weights) for vector in self.subjects])

    @cached_property
    def _entering(self) -> Tensor:
        """What is summed into pools: ranks, or dissimilarities as they are."""
        if self.comparison.pooling == "optimal":
            return self._ranks
        return torch.from_numpy(self.subjects)[:, None].expand(-1, len(self.weights), -1).to(torch.float64)

    @cached_property
    def _weighed(self) -> Tensor:
        """(resample, subject, pair) float64, weights times centred ranks: they sum to 0."""
        weighed = torch.empty(len(self.weights), *self.subjects.shape, dtype=torch.float64)
        for subject, ranks in enumerate(self._ranks):
            torch.mul(ranks.double().sub_(self._middle[:, None]), self._doubles, out=weighed[:, subject])
        return weighed

    @cached_property
    def _powers(self) -> Tensor:
        """(resample, subject)."""
        return torch.stack([self._power(ranks.double()) for ranks in self._ranks], dim=1)

    @cached_property
    def _doubles(self) -> Tensor:
        return torch.from_numpy(self.weights)

    def _power(self, ranks: Tensor) -> Tensor:
        """(resample,), weighted sum of squares about the mean rank."""
        return torch.linalg.vecdot(ranks * self._doubles, ranks) - self._totals * self._middle.square()

    @cached_property
    def _middle(self) -> Tensor:
        """(resample,), the mean rank."""
        return (self._totals + 1) / 2

    def _ranked(self, pooled: Tensor) -> Tensor:
        if self.comparison.pooling == "mean":
            rows = zip(pooled.numpy(), self._weights, strict=True)
            return torch.stack([weighted_midranks(row, weights[None])[0] for row, weights in rows])
        # sums of midranks are whole numbers of halves, which their type holds exactly
        return midranks_of_integers((2 * pooled).long(), self._weights)

    def _with_subjects(self, ranks: Tensor, which: slice) -> Doubles:
        """(resample, subject) of some subjects."""
        ranks = ranks.double()
        cross = torch.bmm(self._weighed[:, which], ranks[:, :, None])[:, :, 0]
        if self.comparison.comparator == "rho-a":
            return (12 * cross / (self._totals**3 - self._totals)[:, None]).numpy()
        return cosine_ratio(cross.numpy(), (self._power(ranks)[:, None] * self._powers[:, which]).numpy())


def weighted_midranks(vector: Doubles, weights: Tensor) -> Tensor:
    """Ranks of one vector when each entry stands there as often as its weight says, ties given their mean rank.

    Parameters
    ----------
    vector : (entry,) float64
    weights : (resample, entry), whole numbers in a type that holds their sums exactly

    Returns
    -------
    (resample, entry), of the type of the weights; of an entry with weight 0, half a rank above the entries below it

    Examples
    --------
    >>> weighted_midranks(np.array([0.3, 0.1, 0.2]), torch.tensor([[1.0, 2.0, 1.0]]))
    tensor([[4.0000, 1.5000, 3.0000]])
    """
    order = np.argsort(vector, kind="stable")
    ordered = vector[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    group = np.cumsum(fresh) - 1
    here = weights.index_select(1, torch.from_numpy(order))
    if not fresh.all():
        groups = torch.from_numpy(group).expand(len(weights), -1)
        here = weights.new_zeros(len(weights), group[-1] + 1).scatter_add_(1, groups, here)
    ranks = here.cumsum(1).sub_(here.sub_(1).div_(2))
    place = np.empty(len(order), np.int64)
    place[order] = group
    return ranks.index_select(1, torch.from_numpy(place))


def midranks_of_integers(values: Tensor, weights: Tensor) -> Tensor:
    """`weighted_midranks` of other whole numbers in each resample, by a table over values or by sorting.

    Parameters
    ----------
    values : (resample, entry) int64, at least 0
    weights : (resample, entry), as in `weighted_midranks`

    Returns
    -------
    (resample, entry), of the type of the weights; 0 for entries of weight 0 where they were sorted
    """
    length = int(values.max()) + 1
    if length > _TABLE_PER_PAIR * values.shape[1]:
        return torch.stack([_midranks_by_sorting(row, each) for row, each in zip(values, weights, strict=True)])
    here = weights.new_zeros(len(values), length).scatter_add_(1, values, weights)
    # the table is mostly empty: it is passed through once, and read at the entries alone
    return here.cumsum(1).gather(1, values).sub_(here.gather(1, values).sub_(1).div_(2))


def _midranks_by_sorting(values: Tensor, weights: Tensor) -> Tensor:
    """Only entries that count are sorted; nothing looks at the others."""
    ranks = torch.zeros_like(weights)
    there = weights.nonzero()[:, 0]
    ranks[there] = weighted_midranks(values[there].double().numpy(), weights[None, there])[0]
    return ranks
