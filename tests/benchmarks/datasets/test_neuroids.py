"""Constant and broken neuroids."""

import numpy as np
import pytest
import xarray as xr

from alignment.errors import DataError
from benchmarks.datasets.neuroids import drop_unusable


def responses(*, time_bins: int = 1) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(12, 6, time_bins)).astype(np.float32)
    return xr.DataArray(
        values,
        dims=("stimulus", "neuroid", "time_bin"),
        coords={"stimulus": list("abcdefghijkl"), "neuroid": np.arange(10, 16), "roi": ("neuroid", list("uvwxyz"))},
    )


def test_good_neuroids_are_left_as_they_are() -> None:
    kept = drop_unusable(responses())
    xr.testing.assert_identical(kept.drop_attrs(), responses())
    assert kept.attrs["dropped"] == []


def test_constant_and_broken_ones_are_named() -> None:
    spoilt = responses()
    spoilt[:, 1] = 3.0
    spoilt[4, 3] = np.nan
    spoilt[5, 4] = np.inf
    spoilt[:, 5] = np.nan
    kept = drop_unusable(spoilt)
    assert kept.attrs["dropped"] == ["11 (constant)", "13 (not finite)", "14 (not finite)", "15 (not finite)"]
    assert kept["neuroid"].values.tolist() == [10, 12]
    assert kept["roi"].values.tolist() == ["u", "w"]
    np.testing.assert_array_equal(kept.values, responses().values[:, [0, 2]])
    assert "dropped" not in spoilt.attrs


def test_positions_name_neuroids_without_names() -> None:
    spoilt = responses().drop_vars("neuroid")
    spoilt[:, 2] = 0
    assert drop_unusable(spoilt).attrs["dropped"] == ["2 (constant)"]


def test_constant_means_in_every_time_bin() -> None:
    resolved = responses(time_bins=3)
    resolved[:, 0, 0] = 1.0
    resolved[:, 1] = [1.0, 2.0, 3.0]
    assert drop_unusable(resolved).attrs["dropped"] == ["11 (constant)"]


def test_a_stimulus_without_responses_is_an_error() -> None:
    spoilt = responses()
    spoilt[[3, 7]] = np.nan
    with pytest.raises(DataError, match=r"stimulus 'd' are NaN for every neuroid \(2 such stimuli\)"):
        drop_unusable(spoilt)


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="no neuroid is left of 6: 0 not finite, 6 constant"):
        drop_unusable(responses() * 0)
