"""Eigenvalues of recurrence without its matrix, by ARPACK (Lehoucq, Sorensen & Yang 1998), and what they say.

ARPACK needs products of a map with vectors only; `alignment.dynamics.recurrence` makes them of convolutions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigs

from alignment import seeds
from alignment.dynamics.recurrence import Recurrence
from alignment.errors import RequestError

# the largest real part, or the largest size
ORDERS = ("LR", "LM")
# below this a dense solver is as fast, and gives all eigenvalues
SMALL = 64
LEAST_BASIS = 20


class Spectrum(NamedTuple):
    """Some eigenvalues of a map, the leading one first.

    Attributes
    ----------
    values : (k,) complex128
    vectors : (k, channel, row, column) complex128, each of length 1
    residuals : (k,) length of W v - lambda v
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray


class Stability(NamedTuple):
    """Whether small deviations die out, dr/dt = -r + W r and its Euler steps.

    Attributes
    ----------
    growth : largest real part of the eigenvalues of W, minus 1; continuous time is stable below 0
    step_radius : largest |1 - alpha + alpha lambda|; steps are stable below 1
    """

    growth: float
    step_radius: float

    @property
    def continuous(self) -> bool:
        """Stable in continuous time."""
        return self.growth < 0

    @property
    def discrete(self) -> bool:
        """Stable in steps."""
        return self.step_radius < 1


def leading_spectrum(
    recurrence: Recurrence,
    k: int = 10,
    *,
    order: str = "LM",
    tolerance: float = 0.0,
    n_basis: int | None = None,
    seed: int = 0,
) -> Spectrum:
    """The k leading eigenvalues with eigenvectors, by ARPACK.

    A random kernel's eigenvalues crowd at the rim of their disk, so that of a large map the last digits take long:
    a tolerance of 1e-3 gives the radius to about as much in a fraction of the products.

    Parameters
    ----------
    recurrence : the map
    k : how many, 1 to N; complex ones come in pairs, of which the last may be cut
    order : {"LM", "LR"}
        Largest size, or largest real part.
    tolerance : residual that an eigenvalue may have, relative to its size; 0 is rounding error
    n_basis : vectors that ARPACK keeps, at least k + 2; 4 k or 20 when not given
    seed : of the starting vector

    Raises
    ------
    RequestError
        There are not as many, an unknown order, or no convergence.

    Examples
    --------
    >>> from torch import nn
    >>> from alignment.dynamics.recurrence import recurrence_of
    >>> spectrum = leading_spectrum(recurrence_of(nn.Conv2d(4, 4, 3, padding=1), (6, 6)), 3)
    >>> spectrum.vectors.shape, bool(spectrum.residuals.max() < 1e-10)
    ((3, 4, 6, 6), True)
    """
    if not 1 <= k <= recurrence.size:
        raise RequestError(f"spectrum: {k} eigenvalues of a map of {recurrence.size} units; give 1 to that")
    if order not in ORDERS:
        raise RequestError(f"spectrum: order {order!r}; give LM (largest size) or LR (largest real part)")
    # ARPACK finds at most N - 2
    whole = recurrence.size <= SMALL or k > recurrence.size - 2
    values, vectors = (
        _dense(recurrence)
        if whole
        else _arpack(recurrence, k, order=order, tolerance=tolerance, n_basis=n_basis, seed=seed)
    )
    # a pair has equal ranks: the one above the real axis first
    rank = np.lexsort((-values.imag, -(values.real if order == "LR" else np.abs(values)).round(9)))[:k]
    values, vectors = values[rank], vectors[:, rank]
    return Spectrum(values, vectors.T.reshape(len(values), *recurrence.shape), _residuals(recurrence, values, vectors))


def stability(recurrence: Recurrence, *, alpha: float, tolerance: float = 0.0, n_basis: int | None = None) -> Stability:
    """Whether dr/dt = -r + W r, and its Euler steps of size alpha, come to rest; W may be a linearisation D W.

    Parameters
    ----------
    recurrence : W
    alpha : step in units of the time constant
    tolerance, n_basis : of `leading_spectrum`

    Examples
    --------
    >>> weak = Recurrence(torch.full((1, 1, 1, 1), 0.5), (1, 3, 3))
    >>> stability(weak, alpha=0.2)
    Stability(growth=-0.5, step_radius=0.9)
    """
    rightmost = leading_spectrum(recurrence, 1, order="LR", tolerance=tolerance, n_basis=n_basis)
    largest = leading_spectrum(recurrence.stepped(alpha), 1, tolerance=tolerance, n_basis=n_basis)
    return Stability(float(rightmost.values[0].real - 1), float(abs(largest.values[0])))


def union(spectra: Sequence[np.ndarray]) -> np.ndarray:
    """Eigenvalues of areas that feed each other forward only, largest first.

    The whole Jacobian is block-triangular then, so that its spectrum is that of its diagonal blocks together.
    """
    values = np.concatenate([np.asarray(values, dtype=complex) for values in spectra])
    return values[np.argsort(-np.abs(values), kind="stable")]


def _dense(recurrence: Recurrence) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = scipy.linalg.eig(recurrence.dense().numpy())
    return values, vectors


def _arpack(
    recurrence: Recurrence, k: int, *, order: str, tolerance: float, n_basis: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    operator = recurrence.as_operator()
    start = seeds.generator(seed, "spectrum").standard_normal(recurrence.size)
    if not operator.matvec(start).any():
        # a map whose product with a random vector is 0, which ARPACK refuses, is 0
        return np.zeros(k, dtype=complex), np.eye(recurrence.size, k, dtype=complex)
    basis = min(recurrence.size, n_basis or max(LEAST_BASIS, 4 * k))
    try:
        return eigs(operator, k, which=order, ncv=basis, v0=start, tol=tolerance)
    except ArpackNoConvergence as error:
        raise RequestError(
            f"spectrum: {len(error.eigenvalues)} of {k} eigenvalues converged; give a larger n_basis, such as {8 * k}"
        ) from None
    except ArpackError as error:
        raise RequestError(f"spectrum: {error}; is the map finite?") from None


def _residuals(recurrence: Recurrence, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    parts = [
        recurrence.apply(torch.from_numpy(part.T.copy()).view(-1, *recurrence.shape)).flatten(1).numpy()
        for part in (vectors.real, vectors.imag)
    ]
    return np.linalg.norm((parts[0] + 1j * parts[1]).T - values * vectors, axis=0)
