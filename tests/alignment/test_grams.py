"""Gram matrices against NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.grams import linear_gram, rbf_gram


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(20, 70, generator=torch.Generator().manual_seed(0)) + 5


def test_linear_is_the_product_of_centred_features(features: torch.Tensor) -> None:
    values = features.double().numpy()
    expected = (values - values.mean(0)) @ (values - values.mean(0)).T
    np.testing.assert_allclose(linear_gram(features), expected, atol=1e-10)
    np.testing.assert_allclose(linear_gram(TensorFeatures(features), feature_chunk=9), expected, atol=1e-10)


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_radial_is_that_of_scikit_learn(features: torch.Tensor, fraction: float) -> None:
    values = features.double().numpy()
    gamma = 1 / (2 * (fraction * np.median(pdist(values))) ** 2)
    np.testing.assert_allclose(rbf_gram(features, sigma_fraction=fraction), rbf_kernel(values, gamma=gamma), atol=1e-12)
    moved = rbf_gram(-3 * features.flip(1) + 100, sigma_fraction=fraction)
    np.testing.assert_allclose(moved, rbf_kernel(values, gamma=gamma), atol=1e-4)


def test_features_that_do_not_vary_leave_no_rounding() -> None:
    assert not linear_gram(torch.full((7, 3), 0.1)).any()


def test_faults_in_one_line(features: torch.Tensor) -> None:
    with pytest.raises(RequestError, match="sigma_fraction is 0"):
        rbf_gram(features, sigma_fraction=0)
    with pytest.raises(RequestError, match="1 stimulus"):
        rbf_gram(features[:1], sigma_fraction=1)
    with pytest.raises(DataError, match="most pairs"):
        rbf_gram(torch.cat([features[:1].expand(15, -1), features[:5]]), sigma_fraction=1)
    with pytest.raises(DataError, match="NaN"):
        linear_gram(torch.tensor([[0.0], [torch.nan]]))
