"""Procrustes against SciPy's rotations, matrix square roots, and leaving rows out."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes, sqrtm
from scipy.spatial import procrustes

from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.grams import linear_gram
from alignment.jackknife import deletion_groups, jackknife_error
from alignment.procrustes import (
    angular_distance,
    jackknife_procrustes,
    procrustes_similarity,
    procrustes_similarity_of_grams,
    squared_distance,
)

WIDTHS = [(6, 6), (6, 25), (25, 80), (80, 3)]


def features(n: int, p: int, q: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    shared = random.standard_normal((n, 3))
    x, y = (2 * shared @ random.standard_normal((3, w)) + random.standard_normal((n, w)) + 4 for w in (p, q))
    return torch.from_numpy(x), torch.from_numpy(y)


def shape(x: torch.Tensor, width: int) -> np.ndarray:
    """Centred, of norm 1, padded with zeros."""
    values = x.numpy() - x.numpy().mean(0)
    return np.pad(values / np.linalg.norm(values), ((0, 0), (0, width - values.shape[1])))


def best_rotation(x: torch.Tensor, y: torch.Tensor) -> float:
    """Squared distance left by the rotation that SciPy finds."""
    a, b = (shape(z, max(x.shape[1], y.shape[1])) for z in (x, y))
    return float(np.sum((a @ orthogonal_procrustes(a, b)[0] - b) ** 2))


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_equals_the_distance_after_the_best_rotation(p: int, q: int) -> None:
    x, y = features(25, p, q)
    expected = best_rotation(x, y)
    similarity = procrustes_similarity(x, y)
    assert squared_distance(similarity) == pytest.approx(expected, abs=1e-10)
    assert angular_distance(similarity) == pytest.approx(np.arccos(1 - expected / 2), abs=1e-8)
    streamed = procrustes_similarity(TensorFeatures(x.float()), TensorFeatures(y), feature_chunk=11)
    assert streamed == pytest.approx(similarity, abs=1e-6)


def test_equals_scipys_disparity() -> None:
    """Disparity lets a scale free too: 1 - s^2."""
    x, y = features(25, 6, 6)
    assert 1 - procrustes_similarity(x, y) ** 2 == pytest.approx(procrustes(x.numpy(), y.numpy())[2], abs=1e-10)


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_gram_matrices_give_what_features_give(p: int, q: int) -> None:
    x, y = features(25, p, q)
    k, m = (z.numpy() for z in (linear_gram(x), linear_gram(y)))
    root = sqrtm(k).real
    expected = np.trace(sqrtm(root @ m @ root)).real / np.sqrt(np.trace(k) * np.trace(m))
    assert procrustes_similarity_of_grams(x @ x.T, y @ y.T) == pytest.approx(procrustes_similarity(x, y), abs=1e-9)
    assert procrustes_similarity(x, y) == pytest.approx(expected, abs=1e-5)  # roots of rounding


@pytest.mark.parametrize("p", [10, 60])
def test_rotation_scale_and_shift_leave_nothing(p: int) -> None:
    x, y = features(30, p, 12)
    rotation = torch.linalg.qr(torch.randn(p, p, generator=torch.Generator().manual_seed(1), dtype=x.dtype))[0]
    turned = 0.2 * x @ rotation - 9
    assert procrustes_similarity(turned, y) == pytest.approx(procrustes_similarity(x, y), abs=1e-10)
    similarity = procrustes_similarity(turned, x)
    assert squared_distance(similarity) == pytest.approx(0, abs=1e-12)
    assert 0 <= angular_distance(similarity) < 1e-6
    assert squared_distance(procrustes_similarity(x * torch.linspace(0.1, 3, p), x)) > 0.01


@pytest.mark.parametrize(("p", "q"), WIDTHS)
def test_jackknife_equals_leaving_rows_out(p: int, q: int) -> None:
    x, y = features(25, p, q)
    alone = [1 - best_rotation(x[rest], y[rest]) / 2 for rest in (np.arange(25) != i for i in range(25))]
    np.testing.assert_allclose(jackknife_procrustes(x, y), alone, atol=1e-9)
    labels = deletion_groups(25, n_groups=7, seed=0)
    grouped = [1 - best_rotation(x[rest], y[rest]) / 2 for rest in (labels != group for group in range(7))]
    np.testing.assert_allclose(jackknife_procrustes(x, y, groups=labels), grouped, atol=1e-9)


def test_jackknife_errors_are_the_spread_of_the_value() -> None:
    random = np.random.default_rng(0)
    maps = [random.standard_normal((3, width)) for width in (40, 30)]
    values, alone, grouped = [], [], []
    for draw in range(50):
        shared = random.standard_normal((30, 3))
        x, y = (torch.from_numpy(shared @ a + random.standard_normal((30, a.shape[1]))) for a in maps)
        values.append(procrustes_similarity(x, y))
        alone.append(jackknife_error(jackknife_procrustes(x, y))[0])
        labels = deletion_groups(30, n_groups=10, seed=draw)
        grouped.append(jackknife_error(jackknife_procrustes(x, y, groups=labels))[0])
    assert 0.75 < np.mean(alone) / np.std(values) < 1.35
    assert 0.75 < np.mean(grouped) / np.std(values) < 1.35


def test_what_does_not_vary_is_similar_to_nothing() -> None:
    x, _ = features(12, 5, 5)
    for constant in (torch.full((12, 3), 0.1), torch.full((12, 40), 1e6 + 0.1)):
        assert procrustes_similarity(x, constant) == 0
        assert procrustes_similarity_of_grams(x @ x.T, (constant @ constant.T).double()) == 0
        assert not jackknife_procrustes(x, constant).any()
    one = torch.zeros(12, 1)
    one[3] = 1
    without = jackknife_procrustes(x, one)
    assert without[3] == 0 and (np.delete(without, 3) > 0).all()


def test_faults_in_one_line() -> None:
    x, y = features(6, 5, 5)
    with pytest.raises(RequestError, match="same stimuli in the same order"):
        procrustes_similarity(x, y[:5])
    with pytest.raises(RequestError, match="2 at least"):
        procrustes_similarity(x[:1], y[:1])
    with pytest.raises(RequestError, match="same stimuli"):
        procrustes_similarity_of_grams(x, y)
    with pytest.raises(RequestError, match="not distances"):
        procrustes_similarity_of_grams(x @ x.T, torch.cdist(y, y))
    with pytest.raises(RequestError, match="one integer label"):
        jackknife_procrustes(x, y, groups=[0, 1])
    with pytest.raises(RequestError, match="leave 2 at least"):
        jackknife_procrustes(x, y, groups=[0, 0, 0, 0, 0, 1])
    with pytest.raises(DataError, match="gram_y holds"):
        procrustes_similarity_of_grams(x @ x.T, torch.full((6, 6), torch.inf))
