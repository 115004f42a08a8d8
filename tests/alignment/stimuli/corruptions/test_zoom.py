"""The enlarged centre against SciPy's zoom, cut as in the published code."""

import math

import numpy as np
import pytest
from scipy import ndimage

from alignment.stimuli.corruptions.zoom import zoom_in


@pytest.mark.parametrize("edge", [32, 33, 224])
@pytest.mark.parametrize("factor", [1.0, 1.01, 1.11, 1.24, 1.75, 2.5, 4.5])
def test_it_is_that_of_scipy(edge: int, factor: float) -> None:
    image = np.random.default_rng(0).random((edge, edge, 2))
    crop = math.ceil(edge / factor)
    start = (edge - crop) // 2
    # "nearest", since rounding puts SciPy's last sample a hair outside, where its default fills in zeros
    large = ndimage.zoom(
        image[start : start + crop, start : start + crop], (factor, factor, 1), order=1, mode="nearest"
    )
    cut = (len(large) - edge) // 2
    np.testing.assert_allclose(zoom_in(image, factor), large[cut : cut + edge, cut : cut + edge], atol=1e-9)


def test_both_edges_of_an_oblong_are_enlarged() -> None:
    down, across = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 61), indexing="ij")
    ramp = np.stack([down, across], axis=2)
    enlarged = zoom_in(ramp, 2.0)
    assert enlarged.shape == ramp.shape
    np.testing.assert_allclose(enlarged[20, 30], 0, atol=0.03)
    np.testing.assert_allclose(np.ptp(enlarged[:, 30, 0]), 1, atol=0.06)
    np.testing.assert_allclose(np.ptp(enlarged[20, :, 1]), 1, atol=0.06)
