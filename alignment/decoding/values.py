"""Continuous variables read by a ridge."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding import FeatureSource, RowSubset, fit_ridge
from alignment.encoding.features import as_source
from alignment.errors import RequestError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-4, 4, 17))


def predict_values(
    x: Tensor | FeatureSource,
    values: npt.ArrayLike,
    *,
    train: npt.ArrayLike,
    test: npt.ArrayLike,
    alphas: Sequence[float] = ALPHAS,
) -> npt.NDArray[np.float64]:
    """Fit a ridge to continuous variables of some stimuli, such as an angle, and say those of others.

    The penalty of each variable is chosen by exact leave-one-out on the training stimuli, among multiples of the mean
    eigenvalue of their Gram matrix (`alignment.encoding.fit_ridge`).

    Parameters
    ----------
    x : Tensor or FeatureSource
        `(stimulus, unit)`.
    values : array (stimulus,) or (stimulus, variable)
    train, test : array of int
        Positions of stimuli.
    alphas : sequence of float

    Returns
    -------
    array, one row for each test stimulus, shaped as `values`

    Examples
    --------
    >>> x = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    >>> said = predict_values(x, 10 * x[:, 0].numpy(), train=range(10), test=[10, 11], alphas=[1e-9])
    >>> said.round(3)
    array([ 9.091, 10.   ])
    """
    source, known = as_source(x), np.asarray(values, np.float64)
    if len(known) != source.shape[0] or known.ndim not in (1, 2):
        raise RequestError(f"values {known.shape}: give one or more numbers to each of {source.shape[0]} stimuli")
    rows = [torch.as_tensor(np.asarray(each, np.int64)) for each in (train, test)]
    columns = torch.from_numpy(known.reshape(len(known), -1))
    fit = fit_ridge(RowSubset(source, rows[0]), columns[rows[0]], alphas=alphas)
    said = fit.predict(RowSubset(source, rows[1])).numpy()
    return said.reshape(len(said), *known.shape[1:])
