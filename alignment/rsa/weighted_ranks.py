"""Rank correlations of RDMs in which each pair of stimuli counts as often as a resample says.

What a rank correlation sees of an entry is its *balance*: the weight of the entries below it less that of those above.
That is twice its midrank about the mean rank, a whole number, and sums to 0 under the weights. The order of a vector is
found once; in every resample its balances are one running sum of weights in that order.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from alignment.rsa.pooling import Bounds, Comparison, cosine_ratio
from alignment.rsa.weighted import Counts, Doubles, Pairs, slices

# enough for few calls, few enough to stay in a cache
_WEIGHTS_AT_ONCE = 100_000
_MODELS_AT_ONCE = 8
# a table of weights by value is faster than sorting while it is short, and not much longer than the vector
_TABLE_PER_ENTRY = 24
_TABLE = 2**20
_WHOLE_IN_FLOAT32 = 2**24
_WHOLE_IN_INT32 = 2**31
# leaving out fewer pairs than the rest saves less than it costs
_MOST_KEPT = 0.9


@dataclass(frozen=True)
class Order:
    """One vector, sorted once.

    Attributes
    ----------
    order : Tensor (entry,)
        Entries from the smallest to the largest.
    ends : Tensor (run,), optional
        Where each run of equal entries ends in that order; None where no two are equal.
    run : Tensor (entry,)
        The run that each entry is in.
    """

    order: Tensor
    ends: Tensor | None
    run: Tensor

    @classmethod
    def of(cls, vector: Tensor) -> "Order":
        """Of `(entry,)`, any real type without NaN."""
        ordered, order = torch.sort(vector)
        last = torch.ones(len(order), dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=last[:-1])
        runs = last.cumsum(0, dtype=torch.int32)
        runs -= last.int()
        ends = None if bool(last.all()) else torch.from_numpy(np.flatnonzero(last.numpy()).astype(np.int32))
        return cls(order.int(), ends, torch.empty_like(runs).scatter_(0, order, runs))

    def balances(self, weights: Tensor, *, of: Tensor | None = None) -> Tensor:
        """Weight below each entry less the weight above it, in each resample.

        Parameters
        ----------
        weights : Tensor (resample, entry)
            In a type that holds their sums exactly.
        of : Tensor (asked,) int, optional
            Entries that are asked for; all when not given.

        Returns
        -------
        Tensor (resample, entry) or (resample, asked), of the type of the weights

        Examples
        --------
        >>> Order.of(torch.tensor([0.3, 0.1, 0.3])).balances(torch.tensor([[1.0, 2.0, 1.0]]))
        tensor([[ 2., -2.,  2.]])
        """
        upto = weights.index_select(1, self.order).cumsum(1)
        if self.ends is not None:
            upto = upto.index_select(1, self.ends)
        balance = upto - upto[:, -1:]
        balance[:, 1:] += upto[:, :-1]
        return balance.index_select(1, self.run if of is None else self.run.index_select(0, of))


def balances_of_rows(values: Tensor, weights: Tensor) -> Tensor:
    """`Order.balances` of other whole numbers in each resample, by a table over values or by sorting.

    Parameters
    ----------
    values : Tensor (resample, entry) int64
        At least 0.
    weights : Tensor (resample, entry)

    Returns
    -------
    Tensor (resample, entry), of the type of the weights
    """
    length = int(values.max()) + 1
    if length > min(_TABLE, _TABLE_PER_ENTRY * values.shape[1]):
        # the shorter type is sorted in half the time
        rows = zip(values.int() if length <= _WHOLE_IN_INT32 else values, weights, strict=True)
        return torch.cat([Order.of(row).balances(each[None]) for row, each in rows])
    here = weights.new_zeros(len(values), length).scatter_add_(1, values, weights)
    upto = here.cumsum(1)
    # the table is mostly empty: it is passed through once, and read at the entries alone
    return upto.gather(1, values).mul_(2).sub_(here.gather(1, values)).sub_(upto[:, -1:])


@dataclass(frozen=True)
class _Drawn:
    """Pair weights of some resamples.

    Attributes
    ----------
    weights : Tensor (resample, pair)
        In a type that holds every sum of balances exactly.
    there : Tensor (kept pair,), optional
        The pairs that count, of a single resample; None where all pairs are kept.
    """

    weights: Tensor
    there: Tensor | None

    @classmethod
    def of(cls, weights: Tensor) -> "_Drawn":
        """Without the pairs that a single resample leaves out, where that makes a difference."""
        there = np.flatnonzero(weights.numpy()) if len(weights) == 1 else ()
        if not 0 < len(there) < _MOST_KEPT * weights.shape[1]:
            return cls(weights, None)
        return cls(weights, torch.from_numpy(np.asarray(there, np.int32)))

    @cached_property
    def kept(self) -> Tensor:
        """(resample, kept pair), their weights."""
        return self.weights if self.there is None else self.weights.index_select(1, self.there)

    @cached_property
    def roots(self) -> Tensor:
        """Square roots of `kept` in float64, so that a product of two weighted vectors has each weight once."""
        return self.kept.double().sqrt()

    @cached_property
    def totals(self) -> Doubles:
        """(resample,), how many pairs there are."""
        return self.kept.sum(1, dtype=torch.float64).numpy()

    def balances(self, orders: Sequence[Order]) -> list[Tensor]:
        """(resample, kept pair) of each vector."""
        return [order.balances(self.weights, of=self.there) for order in orders]

    def weighed(self, balances: Sequence[Tensor], *, room: Tensor) -> Tensor:
        """(resample, vector, kept pair): balances times the roots of the weights, written into `room`."""
        shape = (len(self.roots), len(balances), self.roots.shape[1])
        weighed = room[: math.prod(shape)].view(shape)
        for place, each in enumerate(balances):
            torch.mul(each, self.roots, out=weighed[:, place])
        return weighed


@dataclass(frozen=True)
class Ranks:
    """Spearman and rho-a.

    Parameters
    ----------
    pairs : Pairs
    comparison : with comparator "spearman" or "rho-a"
    """

    pairs: Pairs
    comparison: Comparison

    def similarities(self, models: Doubles, subjects: Doubles, counts: Counts) -> Doubles:
        """From the balances of models and of subjects."""
        of_models, of_subjects = _orders(models), _orders(subjects)
        room, own_room = self._room(len(subjects)), self._room(min(len(models), _MODELS_AT_ONCE))
        values = np.empty((len(counts), len(models), len(subjects)))
        for rows, drawn in self._drawn(counts, n_summed=1):
            seen = drawn.weighed(drawn.balances(of_subjects), room=room)
            for part in slices(len(models), _MODELS_AT_ONCE):
                own = drawn.weighed(drawn.balances(of_models[part]), room=own_room)
                values[rows, part] = self._compared(own, seen, drawn.totals)
        return values

    def bounds(self, subjects: Doubles, counts: Counts) -> Bounds:
        """Pools of ranks are ranked anew in each resample; those of dissimilarities are the same in all."""
        lower, upper = np.empty((2, len(counts), len(subjects)))
        orders = _orders(subjects)
        pools = [] if self.comparison.pooling == "optimal" else _orders(_pooled(subjects))
        room, own_room = self._room(len(subjects)), self._room(1)
        for rows, drawn in self._drawn(counts, n_summed=len(subjects)):
            balances = drawn.balances(orders)
            seen = drawn.weighed(balances, room=room)
            everyone, *others = drawn.balances(pools) if pools else _pools_ranked(balances, drawn.kept)
            upper[rows] = self._compared(drawn.weighed([everyone], room=own_room), seen, drawn.totals)[:, 0]
            for place, pool in enumerate(others):
                own = drawn.weighed([pool], room=own_room)
                lower[rows, place] = self._compared(own, seen[:, place : place + 1], drawn.totals)[:, 0, 0]
        return Bounds(lower, upper)

    @property
    def _at_once(self) -> int:
        return max(1, _WEIGHTS_AT_ONCE // len(self.pairs))

    def _room(self, n_vectors: int) -> Tensor:
        """For weighed vectors of the resamples taken at once: asking each time would take as long as filling it."""
        return torch.empty(self._at_once * n_vectors * len(self.pairs), dtype=torch.float64)

    def _drawn(self, counts: Counts, *, n_summed: int) -> Iterator[tuple[slice, _Drawn]]:
        """Some resamples at a time, in bounded memory; so many balances are to be summed."""
        most = n_summed * float(counts.sum(axis=1).max()) ** 2 / 2
        exact = torch.float32 if most < _WHOLE_IN_FLOAT32 else torch.float64
        for rows in slices(len(counts), self._at_once):
            yield rows, _Drawn.of(self.pairs.weights(torch.from_numpy(counts[rows]).to(exact)))

    def _compared(self, own: Tensor, seen: Tensor, totals: Doubles) -> Doubles:
        """(resample, own vector, seen vector) of weighed balances."""
        cross = torch.bmm(own, seen.transpose(1, 2)).numpy()
        if self.comparison.comparator == "rho-a":
            return 3 * cross / (totals**3 - totals)[:, None, None]
        return cosine_ratio(cross, _powers(own)[:, :, None] * _powers(seen)[:, None])


def _orders(vectors: Doubles) -> list[Order]:
    return [Order.of(torch.from_numpy(vector)) for vector in vectors]


def _pooled(vectors: Doubles) -> Doubles:
    """Means of all vectors, and of all but each."""
    others = [np.delete(vectors, place, axis=0).mean(axis=0) for place in range(len(vectors))]
    return np.stack([vectors.mean(axis=0), *others])


def _pools_ranked(balances: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
    """Balances of the sum of all balances, and of the sum of all but each."""
    total = torch.stack(tuple(balances)).sum(0)
    pools = (pool.long() for pool in (total, *(total - each for each in balances)))
    return [balances_of_rows(pool - pool.min(), weights) for pool in pools]


def _powers(weighed: Tensor) -> Doubles:
    """(resample, vector)."""
    values = weighed.numpy()
    return np.asarray(np.einsum("rvp,rvp->rv", values, values))
