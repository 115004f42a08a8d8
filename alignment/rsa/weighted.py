"""Similarities of RDMs in which each pair of stimuli counts as often as a resample says.

Each engine compares all models with all subjects in all resamples. Pearson and cosine are functions of weighted
moments: products of vectors are formed once for many resamples, and their sums are matrix products. Rank correlations
are in `weighted_ranks`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding.features import spans
from alignment.rsa.pooling import Bounds, Comparison, bounds_of_cosines, cosine_ratio

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_RESAMPLES_AT_ONCE = 1024
_VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Pairs:
    """The pairs of stimuli that were measured.

    Parameters
    ----------
    first, second : Tensor (pair,) int32
        Positions of their stimuli.
    """

    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, measured: npt.NDArray[np.bool_], *, n_stimuli: int) -> "Pairs":
        """Those of an upper triangle, row by row, that are marked."""
        rows, columns = torch.triu_indices(n_stimuli, n_stimuli, offset=1, dtype=torch.int32)
        marked = torch.from_numpy(measured)
        return cls(rows[marked], columns[marked])

    def __len__(self) -> int:
        return len(self.first)

    def weights(self, counts: Tensor, *, part: slice = slice(None)) -> Tensor:
        """(resample, pair): products of counts `(resample, stimulus)`, of their type."""
        return counts.index_select(1, self.first[part]) * counts.index_select(1, self.second[part])


class Engine(Protocol):
    """Comparisons under the pair weights of resamples; models and subjects are `(rdm, measured pair)`."""

    def similarities(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles:
        """(resample, model, subject)."""
        ...

    def bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """Each (resample, subject)."""
        ...


@dataclass(frozen=True)
class Moments:
    """Pearson and cosine.

    Parameters
    ----------
    pairs : Pairs
    comparison : with comparator "pearson" or "cosine"
    """

    pairs: Pairs
    comparison: Comparison

    def similarities(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles:
        """From the weighted products of models with themselves and with subjects."""
        (x, _), (y, _) = self._scaled(models), self._scaled(subjects)

        def products(part: slice) -> Doubles:
            a, b = x[:, part], y[:, part]
            return np.concatenate([(a[:, None] * b).reshape(-1, b.shape[1]), a**2, b**2, a, b])

        n_models, n_subjects = len(x), len(y)
        sizes = (n_models * n_subjects, n_models, n_subjects, n_models, n_subjects)
        means = np.split(self._means(products, sum(sizes), counts=counts), np.cumsum(sizes)[:-1], axis=1)
        cross, power, own_power, mean, own_mean = means
        cross = cross.reshape(len(counts), n_models, n_subjects)
        if self._centred:
            cross = cross - mean[:, :, None] * own_mean[:, None]
            power, own_power = power - mean**2, own_power - own_mean**2
        return cosine_ratio(cross, power[:, :, None] * own_power[:, None])

    def bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """Pools are sums of subjects, so that their similarities follow from the subjects' own correlations."""
        y, lengths = self._scaled(subjects)
        first, second = np.triu_indices(len(y))

        def products(part: slice) -> Doubles:
            return np.concatenate([y[first, part] * y[second, part], y[:, part]])

        means = self._means(products, len(first) + len(y), counts=counts)
        covariance = np.empty((len(counts), len(y), len(y)))
        covariance[:, first, second] = covariance[:, second, first] = means[:, : len(first)]
        if self._centred:
            mean = means[:, len(first) :]
            covariance -= mean[:, :, None] * mean[:, None]
        variance = np.diagonal(covariance, axis1=1, axis2=2)
        alike = cosine_ratio(covariance, variance[:, :, None] * variance[:, None])
        plain = self.comparison.pooling == "mean"
        return bounds_of_cosines(alike, lengths * np.sqrt(np.maximum(variance, 0)) if plain else np.ones_like(variance))

    @property
    def _centred(self) -> bool:
        return self.comparison.comparator == "pearson"

    def _scaled(self, vectors: Doubles) -> tuple[Doubles, Doubles]:
        """Vectors about their mean for Pearson, of mean square 1 so that moments lose no digits; and their sizes."""
        centred = vectors - vectors.mean(axis=1, keepdims=True) if self._centred else vectors
        sizes = np.sqrt(np.mean(centred**2, axis=1))
        return centred / np.where(sizes > 0, sizes, np.inf)[:, None], sizes

    def _means(self, products: Callable[[slice], Doubles], n_products: int, *, counts: Counts) -> Doubles:
        """(resample, product), weighted over pairs; `products` gives `(product, pair)` of some pairs."""
        sums, totals = torch.zeros(len(counts), n_products).double(), torch.zeros(len(counts), 1).double()
        for rows in slices(len(counts), _RESAMPLES_AT_ONCE):
            drawn = torch.from_numpy(counts[rows].astype(np.float64))
            width = max(1, _VALUES_AT_ONCE // max(n_products, len(drawn)))
            for part in slices(len(self.pairs), width):
                weights = self.pairs.weights(drawn, part=part)
                sums[rows].addmm_(weights, torch.from_numpy(products(part)).T)
                totals[rows] += weights.sum(1, keepdim=True)
        return sums.div_(totals).numpy()


def slices(total: int, width: int) -> Iterator[slice]:
    """Consecutive slices that cover `range(total)` in steps of `width`."""
    return (slice(start, stop) for start, stop in spans(total, width))
