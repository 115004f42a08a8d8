"""Matchings against NumPy's correlations, SciPy's dense assignment and linear programming."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog

from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.matching import Matching, match_best_unit, match_one_to_one, match_soft
from alignment.matching.plans import LARGEST_PLAN


def features(n: int, p: int, q: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    shared = random.standard_normal((n, 4))
    x, y = (shared @ random.standard_normal((4, w)) + random.standard_normal((n, w)) + 4 for w in (p, q))
    return torch.from_numpy(x), torch.from_numpy(y)


def correlations(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """(unit, neuroid)."""
    return np.corrcoef(x.numpy().T, y.numpy().T)[: x.shape[1], x.shape[1] :]


def dense(matching: Matching) -> np.ndarray:
    plan = np.zeros((matching.n_units, matching.n_neuroids))
    plan[matching.units, matching.neuroids] = matching.weights
    return plan


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_best_unit_has_the_highest_signed_correlation(chunk: int | None) -> None:
    x, y = features(30, 50, 9)
    matching = match_best_unit(TensorFeatures(x), y, feature_chunk=chunk)
    order = np.argsort(matching.neuroids)
    np.testing.assert_array_equal(matching.units[order], correlations(x, y).argmax(0))
    np.testing.assert_array_equal(matching.neuroids[order], np.arange(9))
    assert (np.diff(matching.units) >= 0).all()
    inverted = match_best_unit(-x, y)
    np.testing.assert_array_equal(inverted.units[np.argsort(inverted.neuroids)], correlations(x, y).argmin(0))


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize(("p", "q"), [(50, 9), (12, 12), (9, 50), (400, 30)])
def test_one_to_one_is_the_dense_assignment(p: int, q: int, chunk: int | None) -> None:
    x, y = features(30, p, q, seed=p)
    r = correlations(x, y)
    expected = np.zeros_like(r)
    expected[linear_sum_assignment(r, maximize=True)] = 1
    np.testing.assert_array_equal(dense(match_one_to_one(x, y, feature_chunk=chunk)), expected)


@pytest.mark.parametrize(("p", "q"), [(12, 12), (15, 6), (6, 15), (7, 10)])
def test_soft_matching_is_the_optimum_of_its_linear_programme(p: int, q: int) -> None:
    x, y = features(30, p, q, seed=q)
    r = correlations(x, y)
    plan = dense(match_soft(x, y, feature_chunk=5)) / q
    np.testing.assert_allclose(plan.sum(0), 1 / q, atol=1e-12)
    np.testing.assert_allclose(plan.sum(1), 1 / p, atol=1e-12)
    rows = np.kron(np.eye(p), np.ones(q)), np.kron(np.ones(p), np.eye(q))
    marginals = np.r_[np.full(p, 1 / p), np.full(q, 1 / q)]
    best = linprog(-r.ravel(), A_eq=np.vstack(rows), b_eq=marginals, bounds=(0, None))
    assert np.sum(plan * r) == pytest.approx(-best.fun, abs=1e-9)
    if p == q:
        np.testing.assert_allclose(dense(match_soft(x, y)), dense(match_one_to_one(x, y)), atol=1e-12)


@pytest.mark.parametrize("match", [match_best_unit, match_one_to_one, match_soft])
def test_a_permutation_of_units_is_found(match) -> None:
    x = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    matching = match(x, 3 * x[:, order] - 2)
    np.testing.assert_array_equal(order[matching.neuroids], matching.units)
    np.testing.assert_allclose(matching.weights, 1)


def test_units_that_do_not_vary_are_taken_last() -> None:
    x, _ = features(30, 6, 3)
    y = x[:, [1, 2, 5]] + 0.1 * x[:, [0, 3, 4]]
    x[:, [0, 4]] = 0.1
    assert match_best_unit(x, y).units.tolist() == [1, 2, 5]
    assert match_one_to_one(x, y).units.tolist() == [1, 2, 5]


def test_faults_in_one_line() -> None:
    x, y = features(6, 5, 4)
    with pytest.raises(RequestError, match="same in the same order"):
        match_best_unit(x, y[:5])
    with pytest.raises(RequestError, match="2 at least"):
        match_one_to_one(x[:1], y[:1])
    with pytest.raises(RequestError, match="floating point matrix"):
        match_soft(x, y[:, 0])
    with pytest.raises(DataError, match="y holds"):
        match_soft(x, torch.full((6, 4), torch.nan))
    with pytest.raises(DataError, match="units 0 to 5 hold"):
        match_best_unit(torch.full((6, 5), torch.inf), y)
    wide = torch.zeros(1, 1).expand(6, LARGEST_PLAN // 4 + 1)
    with pytest.raises(RequestError, match="pool the maps"):
        match_soft(wide, y)
