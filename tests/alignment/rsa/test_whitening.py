"""The inverse of the covariance of dissimilarities against the matrix itself, pairs by pairs."""

import numpy as np
import pytest

from alignment.errors import DataError, RequestError
from alignment.rsa import whitening
from alignment.rsa.whitening import solve_noise

COUNT = 9


def covariance_of_pairs(sigma: np.ndarray) -> np.ndarray:
    """(C Sigma C^T)^2, entry by entry, C the contrasts of all pairs."""
    rows, columns = np.triu_indices(len(sigma), k=1)
    contrasts = np.eye(len(sigma))[rows] - np.eye(len(sigma))[columns]
    return (contrasts @ sigma @ contrasts.T) ** 2


def errors(count: int) -> np.ndarray:
    mixing = np.random.default_rng(0).standard_normal((count, 3 * count))
    return mixing @ mixing.T / mixing.shape[1]


@pytest.mark.parametrize("sigma", [None, errors(COUNT), np.diag(np.linspace(0.5, 4, COUNT))])
@pytest.mark.parametrize("left_out", [[], [3, 7, 20], list(range(2, 36, 2))])
def test_solutions_are_those_of_the_whole_matrix(sigma: np.ndarray | None, left_out: list[int]) -> None:
    measured = np.ones((COUNT, COUNT), bool)
    rows, columns = np.triu_indices(COUNT, k=1)
    measured[rows[left_out], columns[left_out]] = False
    kept = measured[rows, columns]
    vectors = np.random.default_rng(1).standard_normal((3, kept.sum()))
    matrix = covariance_of_pairs(np.eye(COUNT) if sigma is None else sigma)[np.ix_(kept, kept)]
    found = solve_noise(vectors, measured=measured, sigma=sigma)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, vectors.T).T, rtol=1e-8, atol=1e-10)


def test_it_is_the_covariance_of_distances_of_noise() -> None:
    random = np.random.default_rng(2)
    sigma = errors(4)
    noise = np.linalg.cholesky(sigma) @ random.standard_normal((40_000, 2, 4, 20))
    rows, columns = np.triu_indices(4, k=1)
    first, second = (noise[:, fold, rows] - noise[:, fold, columns] for fold in (0, 1))
    # cross-validated between two folds, so that the mean is 0
    observed = np.cov((first * second).mean(2), rowvar=False)
    expected = covariance_of_pairs(sigma) / 20
    np.testing.assert_allclose(observed, expected, atol=0.05 * expected.max())


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_what_does_not_converge_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "_TOLERANCE", 0.0)
    measured = np.ones((COUNT, COUNT), bool)
    measured[0, 1] = False
    with pytest.raises(DataError, match="does not converge"):
        solve_noise(np.ones((1, 35)), measured=measured, sigma=errors(COUNT))


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (np.eye(3), r"sigma is \(3, 3\)"),
        (np.triu(np.ones((COUNT, COUNT))), "not symmetric and finite"),
        (np.full((COUNT, COUNT), np.nan), "not symmetric and finite"),
        (np.ones((COUNT, COUNT)) - 2 * np.eye(COUNT), "not positive definite"),
    ],
)
def test_a_covariance_that_is_none_is_refused(sigma: np.ndarray, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        solve_noise(np.ones((1, 36)), measured=np.ones((COUNT, COUNT), bool), sigma=sigma)
