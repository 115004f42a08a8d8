from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.random_projection import SparseRandomProjection

from alignment.projection import project, sparse_projection

UNITS, COMPONENTS = 4000, 300


def test_same_statistics_as_scikit_learn():
    ours = sparse_projection(UNITS, COMPONENTS, seed=0)
    theirs = SparseRandomProjection(COMPONENTS, density="auto", random_state=0).fit(np.zeros((1, UNITS))).components_
    values = ours.values().numpy()
    np.testing.assert_allclose(np.unique(np.abs(values)), np.unique(np.abs(theirs.data)), rtol=1e-6)
    expected, sd = UNITS * COMPONENTS / np.sqrt(UNITS), np.sqrt(UNITS * COMPONENTS / np.sqrt(UNITS))
    assert abs(len(values) - expected) < 4 * sd and abs(theirs.nnz - expected) < 4 * sd
    assert abs(np.mean(values > 0) - 0.5) < 4 * 0.5 / np.sqrt(len(values))
    per_column = np.bincount(ours.col_indices().numpy(), minlength=UNITS)
    # each column holds a binomial number of entries: its variance is close to its mean
    assert per_column.var() == pytest.approx(per_column.mean(), rel=0.15)
    starts = ours.crow_indices().numpy()
    rows = [ours.col_indices().numpy()[a:b] for a, b in pairwise(starts)]
    assert all(np.all(np.diff(row) > 0) for row in rows)


def test_keeps_distances_as_well_as_scikit_learn():
    x = np.random.default_rng(0).normal(size=(40, UNITS)).astype(np.float32)
    x[:, :50] *= 10
    theirs = SparseRandomProjection(COMPONENTS, random_state=0).fit_transform(x)
    ours = project(torch.from_numpy(x), COMPONENTS, seed=0).numpy()
    truth, spread = _distances(x), {}
    for name, projected in (("ours", ours), ("theirs", theirs)):
        ratio = _distances(projected) / truth
        assert abs(ratio.mean() - 1) < 0.15
        spread[name] = ratio.std()
    assert spread["ours"] < 1.5 * spread["theirs"]


def test_is_the_matrix_product_and_seeded():
    x = torch.randn(5, UNITS, generator=torch.Generator().manual_seed(0))
    dense = sparse_projection(UNITS, COMPONENTS, seed=2).to_dense()
    torch.testing.assert_close(project(x, COMPONENTS, seed=2), x @ dense.T, rtol=1e-4, atol=1e-4)
    assert torch.equal(project(x[3:], COMPONENTS, seed=2), project(x, COMPONENTS, seed=2)[3:])
    assert not torch.equal(project(x, COMPONENTS, seed=3), project(x, COMPONENTS, seed=2))


def test_few_units_are_left_alone():
    x = torch.randn(5, 20)
    assert project(x, 20, seed=0) is x


def _distances(x):
    square = (x**2).sum(1)
    distance = square[:, None] + square[None] - 2 * x @ x.T
    return distance[np.triu_indices(len(x), 1)]
