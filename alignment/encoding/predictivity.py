"""How well a fitted encoding model predicts responses it has not seen."""

import torch
import xarray as xr
from torch import Tensor

from alignment.correlation import pearson
from alignment.encoding.features import FeatureSource
from alignment.encoding.ridge import RidgeFit
from alignment.errors import RequestError


def predictivity(fit: RidgeFit, x: Tensor | FeatureSource, y: Tensor | xr.DataArray) -> xr.DataArray:
    r"""Pearson correlation of predicted and measured responses over held-out stimuli, per neuroid.

    Parameters
    ----------
    fit : RidgeFit
        Made on other stimuli.
    x : Tensor or FeatureSource
        `(stimulus, unit)`, features of the held-out stimuli.
    y : Tensor or xr.DataArray
        `(stimulus, neuroid)`, their responses. Coordinates of neuroids, where there are any, are kept.

    Returns
    -------
    xr.DataArray
        `(neuroid,) float64`, neither clipped nor squared; 0 where measured or predicted responses do not vary.

    Raises
    ------
    RequestError
        When `y` does not fit `x` and the model in shape.

    Examples
    --------
    >>> from alignment.encoding import fit_ridge
    >>> x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> fit = fit_ridge(x[:40], x[:40, :2], alphas=[1e-3, 1.0])
    >>> predictivity(fit, x[40:], x[40:, :2]).round(3).values
    array([1., 1.])
    """
    if isinstance(y, xr.DataArray):
        y = y.transpose(..., "neuroid")
        coords = {name: coord for name, coord in y.coords.items() if coord.dims == ("neuroid",)}
        measured = torch.as_tensor(y.values)
    else:
        coords, measured = {}, y
    predicted = fit.predict(x)
    if measured.shape != predicted.shape:
        raise RequestError(
            f"y is {tuple(measured.shape)} where x and the fit make {tuple(predicted.shape)}: "
            "give the responses (stimulus, neuroid) to the stimuli of x, for the neuroids of the fit"
        )
    values = pearson(predicted, measured.to(predicted.device))
    return xr.DataArray(values, dims=("neuroid",), coords=coords, name="predictivity")
