"""Correlations against SciPy, on explicitly repeated stimuli where they are weighted."""

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.correlation import NEUROIDS_AT_ONCE, pearson, weighted_pearson
from alignment.errors import RequestError


@pytest.fixture
def columns() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 7)) * [1, 10, 0.01, 1, 1, 1, 1] + [0, 1000, 0, -5, 0, 0, 0]
    return x, 0.5 * x + random.standard_normal((40, 7)) * [1, 3, 0.02, 1, 5, 0, 1]


def scipy_r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([stats.pearsonr(a, b).statistic for a, b in zip(x.T, y.T, strict=True)])


def test_pearson_is_that_of_scipy(columns: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(pearson(*columns), scipy_r(*columns), rtol=0, atol=1e-12)


def test_tensors_and_arrays_agree(columns: tuple[np.ndarray, np.ndarray]) -> None:
    tensors = [torch.from_numpy(c) for c in columns]
    np.testing.assert_array_equal(pearson(*tensors), pearson(*columns))


def test_neuroids_are_chunked_without_a_seam() -> None:
    random = np.random.default_rng(1)
    x, y = random.standard_normal((2, 12, NEUROIDS_AT_ONCE + 3))
    counts = random.multinomial(12, np.full(12, 1 / 12), size=4)
    last = np.s_[:, -5:]
    np.testing.assert_allclose(pearson(x, y)[-5:], scipy_r(x[last], y[last]), atol=1e-12)
    expected = [scipy_r(np.repeat(x[last], c, axis=0), np.repeat(y[last], c, axis=0)) for c in counts]
    np.testing.assert_allclose(weighted_pearson(x, y, counts)[last], expected, atol=3e-6)


def test_weights_equal_repeated_stimuli(columns: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = columns
    counts = np.random.default_rng(2).multinomial(40, np.full(40, 1 / 40), size=25)
    expected = [scipy_r(np.repeat(x, c, axis=0), np.repeat(y, c, axis=0)) for c in counts]
    np.testing.assert_allclose(weighted_pearson(x, y, counts), expected, rtol=0, atol=3e-6)


def test_counts_of_a_subset_leave_the_other_stimuli_out(columns: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = columns
    keep = np.arange(40) % 3 > 0
    r = weighted_pearson(x, y, keep[None].astype(int))
    np.testing.assert_allclose(r[0], scipy_r(x[keep], y[keep]), atol=3e-6)


@pytest.mark.parametrize("constant", [0.0, 1.1, -1e6])
def test_a_constant_prediction_explains_nothing(constant: float) -> None:
    y = np.random.default_rng(3).standard_normal((30, 2)).astype(np.float32)
    x = np.column_stack([np.full(30, constant, np.float32), y[:, 1]])
    np.testing.assert_allclose(pearson(x, y), [0, 1], atol=1e-12)
    np.testing.assert_allclose(weighted_pearson(x, y, np.ones((1, 30))), [[0, 1]], atol=1e-5)


def test_a_column_constant_in_one_resample_only() -> None:
    spike = np.zeros((1000, 1))
    spike[0] = 1
    other = np.random.default_rng(4).standard_normal((1000, 1))
    without, with_spike = np.ones((2, 1000), int)
    without[0] = 0
    r = weighted_pearson(spike, other, [without, with_spike])
    assert r[0] == 0
    assert r[1] == pytest.approx(scipy_r(spike, other), abs=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), "not both"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "needs 2 stimuli"),
        (np.array([[0.0], [np.nan]]), np.zeros((2, 1)), "predicted: values that are not finite"),
    ],
)
def test_bad_input_is_named(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        pearson(x, y)


@pytest.mark.parametrize("counts", [np.ones((2, 3)), np.zeros((1, 4)), -np.ones((1, 4)), np.ones(4)])
def test_bad_counts_are_named(counts: np.ndarray) -> None:
    with pytest.raises(RequestError, match="counts"):
        weighted_pearson(np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2), counts)
