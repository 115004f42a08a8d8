"""Held-out correlations against SciPy."""

import numpy as np
import pytest
import scipy.stats
import torch
import xarray as xr

from alignment.encoding import fit_ridge, predictivity
from alignment.errors import RequestError


def test_equals_scipy_and_keeps_coordinates() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 10, generator=g)
    y = x @ torch.randn(10, 4, generator=g) + 3 * torch.randn(60, 4, generator=g) + 100
    y[40:, 2] = 0.1
    fit = fit_ridge(x[:40], y[:40], alphas=[1e-2, 1.0])
    measured = xr.DataArray(
        y[40:].numpy(),
        dims=("stimulus", "neuroid"),
        coords={"roi": ("neuroid", ["V1", "V1", "V4", "V4"]), "stimulus": np.arange(20)},
    )
    values = predictivity(fit, x[40:], measured)
    assert values.dims == ("neuroid",) and list(values.coords) == ["roi"] and values[2] == 0
    for i in (0, 1, 3):
        expected = scipy.stats.pearsonr(fit.predict(x[40:])[:, i].double(), y[40:, i].double())[0]
        assert float(values[i]) == pytest.approx(expected, abs=1e-10)
    np.testing.assert_array_equal(predictivity(fit, x[40:], measured.transpose()).values, values.values)
    with pytest.raises(RequestError, match="responses"):
        predictivity(fit, x[40:], y[40:, :3])
