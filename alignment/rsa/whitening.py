r"""The covariance that noise gives dissimilarities, and its inverse without a matrix of pairs by pairs.

Squared distances of noisy patterns are not independent: pairs that share a stimulus share its noise. For patterns whose
errors have the covariance $\Sigma$ `(stimulus, stimulus)`, and c the contrast of a pair (1 at one stimulus, -1 at the
other), noise alone gives the covariance (Diedrichsen et al. 2020, arXiv:2007.02789)

    $V_{pq} \propto (c_p^\top \Sigma \, c_q)^2$

With 1,000 stimuli V has 2.5e11 entries, but its inverse has a closed form. With D the square matrix of a vector d and
$Q = \Sigma^{-1} - \Sigma^{-1} 1 1^\top \Sigma^{-1} / (1^\top \Sigma^{-1} 1)$, the vector $V^{-1} d$ is the upper
triangle of $Q D Q / 2$. For $\Sigma = I$, V is $2 I + Z Z^\top$ with Z the incidence of pairs and stimuli: that can be
inverted (Woodbury) with any pairs left out. Only a given $\Sigma$ with pairs left out needs conjugate gradients.
"""

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, cg

from alignment.errors import DataError, RequestError

Floats = npt.NDArray[np.float64]
Ends = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

_TOLERANCE = 1e-12


def solve_noise(vectors: Floats, *, measured: npt.NDArray[np.bool_], sigma: Floats | None = None) -> Floats:
    """V^-1 d of each row d, V the covariance that noise gives dissimilarities (head of this module).

    Parameters
    ----------
    vectors : array (rdm, measured pair) float64
    measured : array (stimulus, stimulus) bool
        Which pairs the vectors hold, by the upper triangle.
    sigma : array (stimulus, stimulus) float64, optional
        Covariance of the errors of patterns, up to a factor; the identity when not given.

    Returns
    -------
    array (rdm, measured pair) float64

    Raises
    ------
    RequestError
        `sigma` is of another shape, or not symmetric and positive definite.
    DataError
        Conjugate gradients do not converge.

    Examples
    --------
    >>> solve_noise(np.array([[6.0, 0.0, 0.0], [4.0, 4.0, 4.0]]), measured=np.ones((3, 3), bool)).round(3)
    array([[ 1.667, -0.333, -0.333],
           [ 0.667,  0.667,  0.667]])
    """
    upper = np.triu(measured, k=1)
    rows, columns = np.nonzero(upper)
    if sigma is None:
        return _solve_independent(vectors, (rows, columns), count=len(measured))
    precision = _centred_inverse(sigma, count=len(measured))

    def solve_all(vector: Floats) -> Floats:
        product = precision @ _square(vector, (rows, columns), count=len(measured)) @ precision
        return product[rows, columns] / 2

    if len(rows) == len(measured) * (len(measured) - 1) // 2:
        return np.array([solve_all(vector) for vector in vectors])

    def covariance(vector: Floats) -> Floats:
        return _add_noise(vector, (rows, columns), sigma=sigma)

    shape = (len(rows), len(rows))
    forward = LinearOperator(shape, matvec=covariance, dtype=np.float64)
    nearly_back = LinearOperator(shape, matvec=solve_all, dtype=np.float64)
    return np.array([_conjugate_gradients(forward, vector, nearly_back) for vector in vectors])


def _solve_independent(vectors: Floats, ends: Ends, *, count: int) -> Floats:
    """(2 I + Z Z^T)^-1 d = (d - Z (2 I + Z^T Z)^-1 Z^T d) / 2."""
    rows, columns = ends
    inner = _square(np.ones(len(rows)), ends, count=count)
    inner[np.diag_indices(count)] = 2 + inner.sum(1)
    sums = [np.bincount(rows, vector, count) + np.bincount(columns, vector, count) for vector in vectors]
    shares = linalg.cho_solve(linalg.cho_factor(inner), np.array(sums).T).T
    return (vectors - shares[:, rows] - shares[:, columns]) / 2


def _add_noise(vector: Floats, ends: Ends, *, sigma: Floats) -> Floats:
    """V d: with L the sum of d_q c_q c_q^T over pairs q, entry p is c_p^T (Sigma L Sigma) c_p."""
    rows, columns = ends
    weights = -_square(vector, ends, count=len(sigma))
    weights[np.diag_indices(len(sigma))] = -weights.sum(1)
    product = sigma @ weights @ sigma
    own = product.diagonal()
    return own[rows] + own[columns] - 2 * product[rows, columns]


def _conjugate_gradients(forward: LinearOperator, vector: Floats, nearly_back: LinearOperator) -> Floats:
    solved, failed = cg(forward, vector, rtol=_TOLERANCE, atol=0.0, M=nearly_back)
    if failed:
        raise DataError("whitening by sigma with pairs left out does not converge: leave these stimuli out of all")
    return solved


def _centred_inverse(sigma: Floats, *, count: int) -> Floats:
    """Q of the head of this module."""
    if sigma.shape != (count, count):
        raise RequestError(f"sigma is {sigma.shape}: give (stimulus, stimulus), here {(count, count)}")
    if not (np.abs(sigma - sigma.T) <= 1e-5 * np.abs(sigma).max()).all():
        raise RequestError("sigma is not symmetric and finite: give the covariance of the errors of the patterns")
    try:
        np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise RequestError("sigma is not positive definite: shrink it towards its diagonal first") from None
    inverse = np.linalg.inv(sigma)
    sums = inverse.sum(1)
    return inverse - np.outer(sums, sums) / sums.sum()


def _square(vector: Floats, ends: Ends, *, count: int) -> Floats:
    """The symmetric matrix with a vector's entries at its pairs, 0 elsewhere."""
    square = np.zeros((count, count))
    square[ends] = vector
    return square + square.T
