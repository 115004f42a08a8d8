"""Distances against SciPy and rsatoolbox, where features share a mean, where stimuli are copies, and in one pass."""

import numpy as np
import pytest
import torch
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm
from scipy.spatial.distance import pdist

from alignment.encoding import RowSubset, TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.rsa.distances import DISTANCES, rdm

SCIPY = {
    "1-pearson": lambda x: pdist(x, "correlation"),
    "1-cosine": lambda x: pdist(x, "cosine"),
    "euclidean": lambda x: pdist(x, "euclidean"),
    "squared-euclidean": lambda x: pdist(x, "sqeuclidean"),
    "squared-euclidean/units": lambda x: pdist(x, "sqeuclidean") / x.shape[1],
}
TOOLBOX = {"1-pearson": "correlation", "squared-euclidean/units": "euclidean"}


def draw(n: int = 40, p: int = 300, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def precision_of(p: int) -> torch.Tensor:
    mixing = draw(2 * p, p, seed=9)
    return torch.linalg.inv(mixing.T @ mixing / len(mixing))


@pytest.mark.parametrize("distance", SCIPY)
@pytest.mark.parametrize("feature_chunk", [None, 1, 7, 300])
def test_distances_are_those_of_scipy(distance: str, feature_chunk: int | None) -> None:
    x = draw()
    found = rdm(x, distance=distance, feature_chunk=feature_chunk)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, SCIPY[distance](x.numpy()), rtol=1e-11, atol=1e-13)


def test_every_distance_has_a_reference() -> None:
    assert set(SCIPY) | {"squared-mahalanobis/units"} == set(DISTANCES)


@pytest.mark.parametrize("distance", TOOLBOX)
def test_distances_are_those_of_rsatoolbox(distance: str) -> None:
    x = draw()
    theirs = calc_rdm(Dataset(x.numpy()), method=TOOLBOX[distance]).dissimilarities[0]
    np.testing.assert_allclose(rdm(x, distance=distance), theirs, rtol=0, atol=1e-12)


def test_mahalanobis_is_that_of_scipy_and_rsatoolbox() -> None:
    x, precision = draw(20, 30), precision_of(30)
    theirs = calc_rdm(Dataset(x.numpy()), method="mahalanobis", noise=precision.numpy()).dissimilarities[0]
    for feature_chunk in (None, 1, 8):
        given = {"distance": "squared-mahalanobis/units", "precision": precision, "feature_chunk": feature_chunk}
        found = rdm(x + 100, **given)
        np.testing.assert_allclose(found, pdist(x, "mahalanobis", VI=precision.numpy()) ** 2 / 30, rtol=1e-9)
        np.testing.assert_allclose(found, theirs, rtol=1e-9)


@pytest.mark.parametrize("feature_chunk", [None, 50])
@pytest.mark.parametrize("distance", ["1-pearson", "euclidean", "squared-euclidean/units"])
def test_a_mean_a_million_times_the_spread_costs_nothing(distance: str, feature_chunk: int | None) -> None:
    x = draw()
    of_rows = 1e6 * (1 + draw(40, 1, seed=1)) if distance == "1-pearson" else 0
    shifted = x + of_rows + (0 if distance == "1-pearson" else 1e6 * draw(1, 300, seed=2))
    found = rdm(shifted, distance=distance, feature_chunk=feature_chunk)
    # what is left is the rounding of the shifted features themselves
    np.testing.assert_allclose(found, SCIPY[distance](x.numpy()), rtol=1e-7, atol=1e-8)


def test_chunks_of_other_means_are_merged_exactly() -> None:
    x = draw() + torch.repeat_interleave(1e4 * draw(40, 6, seed=1), 50, dim=1)
    expected = SCIPY["1-pearson"](x.numpy())
    for width in (50, 33, 299):
        np.testing.assert_allclose(rdm(x, feature_chunk=width), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("distance", SCIPY)
def test_float32_and_float16_features_are_summed_in_float64(distance: str) -> None:
    for dtype in (torch.float32, torch.float16):
        x = (draw() + 1).to(dtype)
        np.testing.assert_allclose(rdm(x, distance=distance), SCIPY[distance](x.double().numpy()), atol=1e-11)


@pytest.mark.parametrize("distance", SCIPY)
def test_copies_of_a_stimulus_are_at_0_and_tie(distance: str) -> None:
    x = (draw(200, 20_000) + 3).float()
    x[150] = x[3]
    x[199] = x[3]
    square = torch.zeros(200, 200, dtype=torch.float64)
    rows, columns = torch.triu_indices(200, 200, offset=1)
    square[rows, columns] = square[columns, rows] = rdm(x, distance=distance, feature_chunk=999)
    assert square[3, 150] == square[3, 199] == square[150, 199] == 0
    assert (square[3, 4:150] > 0).all()


def test_sources_are_read_by_columns_on_any_rows() -> None:
    x = draw()
    rows = torch.arange(0, 40, 3)
    subset = RowSubset(TensorFeatures(x), rows)
    torch.testing.assert_close(rdm(subset, feature_chunk=64), rdm(x[rows]), rtol=0, atol=1e-14)


def test_the_smallest_features_that_float32_holds_are_not_lost() -> None:
    x = draw(10, 50)
    for distance in ("1-pearson", "1-cosine"):
        tiny = (1e-30 * x).float()
        np.testing.assert_allclose(rdm(tiny, distance=distance), SCIPY[distance](x.numpy()), atol=1e-6)


@pytest.mark.parametrize(
    ("distance", "value", "message"),
    [
        ("1-pearson", 0.1, "2 stimuli, row 4 first, have features that do not vary"),
        ("1-cosine", 0.0, "2 stimuli, row 4 first, have no feature other than 0"),
    ],
)
def test_stimuli_without_an_angle_are_refused(distance: str, value: float, message: str) -> None:
    x = (draw() + 1).float()
    x[[4, 9]] = value
    with pytest.raises(DataError, match=message):
        rdm(x, distance=distance, feature_chunk=70)
    assert torch.isfinite(rdm(x, distance="euclidean")).all()


def test_variation_within_rounding_is_none() -> None:
    x = (draw() + 1).float()
    x[4] = torch.nextafter(torch.tensor(5.0), torch.tensor(6.0))
    x[4, ::2] = 5.0
    with pytest.raises(DataError, match="1 stimuli, row 4 first"):
        rdm(x)
    assert torch.isfinite(rdm(x.double() * torch.tensor([1.0, 1 + 1e-5]).double().repeat(150))).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    x = draw()
    x[3, 200] = bad
    with pytest.raises(DataError, match="units 150 to 225 hold a NaN or an infinity"):
        rdm(x, feature_chunk=75)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (draw(), {"distance": "1-pearsn"}, "unknown distance '1-pearsn'; did you mean 1-pearson"),
        (draw(1), {}, "1 stimulus"),
        (torch.ones(3, 3, 3), {}, "give a floating point matrix"),
        (torch.ones(3, 3, dtype=torch.int64), {}, "give a floating point matrix"),
        (draw(), {"feature_chunk": 0}, "feature_chunk is 0"),
        (draw(), {"precision": torch.eye(300)}, "takes no precision matrix"),
        (draw(), {"distance": "squared-mahalanobis/units"}, "needs a precision matrix"),
        (draw(), {"distance": "squared-mahalanobis/units", "precision": torch.eye(3)}, r"precision is \(3, 3\)"),
        (draw(4, 2), {"distance": "squared-mahalanobis/units", "precision": -torch.eye(2)}, "positive definite"),
        (
            draw(4, 2),
            {"distance": "squared-mahalanobis/units", "precision": torch.tensor([[1.0, 0.5], [0.0, 1.0]])},
            "symmetric",
        ),
        (
            draw(4, 2),
            {"distance": "squared-mahalanobis/units", "precision": torch.full((2, 2), float("nan"))},
            "symmetric",
        ),
    ],
)
def test_bad_requests_are_named_in_one_line(x: torch.Tensor, options: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        rdm(x, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("distance", SCIPY)
def test_gpu_and_cpu_agree(distance: str) -> None:
    x = draw()
    there = rdm(x.cuda(), distance=distance, feature_chunk=64)
    assert there.is_cuda
    np.testing.assert_allclose(there.cpu(), rdm(x, distance=distance), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(rdm(x, distance=distance, device="cuda", feature_chunk=64), there, rtol=0, atol=1e-12)
