"""CKA against dense matrices, sums over quadruples of stimuli, refits without a stimulus, and simulated coverage."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.cka import Bias, cka, jackknife_cka, linear_cka, weighted_cka
from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.grams import linear_gram, rbf_gram
from alignment.jackknife import jackknife_error

BIASES: tuple[Bias, ...] = ("biased", "unbiased")


def features(n: int, p: int, q: int, *, seed: int = 0, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets with three dimensions in common."""
    random = np.random.default_rng(seed)
    shared = random.standard_normal((n, 3))
    x, y = (shared @ random.standard_normal((3, w)) + noise * random.standard_normal((n, w)) + 4 for w in (p, q))
    return torch.from_numpy(x), torch.from_numpy(y)


def dense_hsic(k: np.ndarray, m: np.ndarray, bias: str) -> float:
    """Gretton et al. 2005, eq. 9; Song et al. 2012, eq. 5, with whole matrices."""
    n, ones = len(k), np.ones(len(k))
    if bias == "biased":
        centring = np.eye(n) - 1 / n
        return float(np.trace(k @ centring @ m @ centring)) / (n - 1) ** 2
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    last = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (ones @ k @ m @ ones)
    return float((np.trace(k @ m) + last) / (n * (n - 3)))


def quadruples(k: np.ndarray, m: np.ndarray, weights: np.ndarray) -> float:
    """The U-statistic of HSIC summed over ordered quadruples of different stimuli."""
    total = 0.0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        kernel = k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        total += weights[i] * weights[j] * weights[q] * weights[r] * kernel
    return total


def from_products(k: np.ndarray, m: np.ndarray, hsic) -> float:
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def uncentred(x: torch.Tensor) -> torch.Tensor:
    return x @ x.T


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("p", "q"), [(5, 8), (5, 90), (200, 90)])
def test_equals_the_dense_reference(p: int, q: int, bias: Bias) -> None:
    x, y = features(30, p, q)
    for k, m in ((uncentred(x), uncentred(y)), (rbf_gram(x, sigma_fraction=0.5), linear_gram(y))):
        expected = from_products(k.numpy(), m.numpy(), lambda a, b: dense_hsic(a, b, bias))
        assert cka(k, m, bias=bias) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("p", "q"), [(5, 8), (29, 3), (30, 3), (200, 90)])
def test_features_give_what_their_gram_matrices_give(p: int, q: int, bias: Bias) -> None:
    x, y = features(30, p, q)
    expected = cka(uncentred(x), uncentred(y), bias=bias)
    assert linear_cka(x, y, bias=bias) == pytest.approx(expected, abs=1e-10)
    streamed = linear_cka(TensorFeatures(x.float()), TensorFeatures(y), bias=bias, feature_chunk=7)
    assert streamed == pytest.approx(expected, abs=1e-6)


def test_unrelated_noise_in_many_units() -> None:
    x, y = torch.randn(2, 1000, 10_000, generator=torch.Generator().manual_seed(0))
    k, m = linear_gram(x), linear_gram(y)
    assert abs(cka(k, m, bias="unbiased")) < 0.1
    assert cka(k, m, bias="biased") > 0.9


@pytest.mark.parametrize("bias", BIASES)
def test_rotation_shift_and_scale_leave_it_alone(bias: Bias) -> None:
    x, y = features(40, 12, 60)
    rotation = torch.linalg.qr(torch.randn(60, 60, generator=torch.Generator().manual_seed(1), dtype=x.dtype))[0]
    turned = 0.3 * (y @ rotation) - 7
    assert linear_cka(x, turned, bias=bias) == pytest.approx(linear_cka(x, y, bias=bias), abs=1e-10)
    assert linear_cka(y, turned, bias=bias) == pytest.approx(1, abs=1e-10)
    radial = [cka(linear_gram(x), rbf_gram(z, sigma_fraction=0.7), bias=bias) for z in (y, turned)]
    assert radial[0] == pytest.approx(radial[1], abs=1e-10)
    stretched = y * torch.linspace(0.1, 3, 60)
    assert abs(linear_cka(x, stretched, bias=bias) - linear_cka(x, y, bias=bias)) > 1e-3


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("n", [5, 21])
def test_jackknife_equals_deleting_row_and_column(n: int, bias: Bias) -> None:
    x, y = features(n, 6, 40)
    for k, m in ((uncentred(x), uncentred(y)), (rbf_gram(x, sigma_fraction=1.0), linear_gram(y))):
        rest = [torch.tensor([j for j in range(n) if j != i]) for i in range(n)]
        expected = [
            from_products(k[r][:, r].numpy(), m[r][:, r].numpy(), lambda a, b: dense_hsic(a, b, bias)) for r in rest
        ]
        np.testing.assert_allclose(jackknife_cka(k, m, bias=bias), expected, atol=1e-9)


def test_weights_equal_the_sum_over_quadruples_of_different_stimuli() -> None:
    x, y = features(7, 4, 9)
    k, m = linear_gram(x), linear_gram(y)
    counts = np.array([[1, 1, 1, 1, 1, 1, 1], [3, 0, 1, 2, 0, 1, 0], [0, 2, 2, 1, 1, 0, 1], [0, 0, 4, 1, 0, 1, 1]])
    expected = [from_products(k.numpy(), m.numpy(), lambda a, b, w=w: quadruples(a, b, w)) for w in counts]
    np.testing.assert_allclose(weighted_cka(k, m, counts), expected, atol=1e-10)
    np.testing.assert_allclose(weighted_cka(k, m, 2.5 * counts), expected, atol=1e-10)
    assert expected[0] == pytest.approx(cka(k, m, bias="unbiased"), abs=1e-10)


def test_weights_of_a_subset_leave_the_other_stimuli_out() -> None:
    x, y = features(25, 60, 10)
    keep = np.random.default_rng(2).random((600, 25)) < 0.6
    some = [0, 1, 511, 512, 599]
    expected = [linear_cka(x[k], y[k], bias="unbiased") for k in map(torch.from_numpy, keep[some])]
    np.testing.assert_allclose(weighted_cka(linear_gram(x), linear_gram(y), keep)[some], expected, atol=1e-10)


def test_intervals_hold_the_point_and_cover_where_copies_would_miss_it() -> None:
    n, draws = 60, 150
    random = np.random.default_rng(0)
    counts = random.multinomial(n, np.full(n, 1 / n), size=200)
    factor = stats.t.ppf(0.975, n - 1)
    points = {name: np.empty(draws) for name in ("biased", "unbiased", "weights")}
    errors = {name: np.empty(draws) for name in points}
    maps = [random.standard_normal((3, width)) for width in (150, 80)]
    shifts, of_copies = np.empty(draws), []
    for draw in range(draws):
        shared = random.standard_normal((n, 3))
        sets = [shared @ a + 3 * random.standard_normal((n, a.shape[1])) for a in maps]
        k, m = (linear_gram(torch.from_numpy(x)) for x in sets)
        for bias in BIASES:
            points[bias][draw] = cka(k, m, bias=bias)
            errors[bias][draw], _ = jackknife_error(jackknife_cka(k, m, bias=bias))
        resampled = weighted_cka(k, m, counts)
        points["weights"][draw] = points["unbiased"][draw]
        errors["weights"][draw] = resampled.std(ddof=1) * np.sqrt(n / (n - 1))
        low, high = np.quantile(resampled, [0.025, 0.975])
        assert low < points["weights"][draw] < high
        shifts[draw] = resampled.mean() - points["weights"][draw]
        if draw < 8:
            copies = [np.repeat(np.arange(n), c) for c in counts[:50]]
            naive = [cka(k[rows][:, rows], m[rows][:, rows], bias="biased") for rows in copies]
            assert points["biased"][draw] < np.quantile(naive, 0.025)
            of_copies.append(np.mean(naive) - points["biased"][draw])
    for name, values in points.items():
        covered = np.mean(np.abs(values - values.mean()) < factor * errors[name])
        assert 0.9 <= covered <= 0.995, name
        assert 0.85 < errors[name].mean() / values.std() < 1.3, name
    assert abs(shifts.mean()) < 0.2 * errors["weights"].mean()
    assert np.mean(of_copies) > 2 * errors["biased"].mean()


@pytest.mark.parametrize("bias", BIASES)
def test_what_does_not_vary_is_similar_to_nothing(bias: Bias) -> None:
    x, _ = features(12, 5, 5)
    for constant in (torch.zeros(12, 3), torch.full((12, 3), 1e6 + 0.1), torch.full((12, 40), 0.1)):
        assert linear_cka(x, constant, bias=bias) == 0
        assert cka(uncentred(x), uncentred(constant), bias=bias) == 0
        assert not jackknife_cka(uncentred(x), uncentred(constant), bias=bias).any()


def test_a_resample_without_what_varies_is_similar_to_nothing() -> None:
    x, _ = features(12, 5, 5)
    two = torch.zeros(12, 1, dtype=x.dtype)
    two[3:5, 0] = torch.tensor([1.0, -1.0])
    seen = np.ones((2, 12))
    seen[1, 3:5] = 0
    values = weighted_cka(uncentred(x), uncentred(two), seen)
    assert values[0] == pytest.approx(linear_cka(x, two, bias="unbiased"), abs=1e-10)
    assert abs(values[0]) > 1e-3 and values[1] == 0


def test_faults_in_one_line() -> None:
    x, y = features(6, 5, 5)
    k, m = uncentred(x), uncentred(y)
    with pytest.raises(RequestError, match="same stimuli"):
        cka(k, m[:5, :5], bias="biased")
    with pytest.raises(RequestError, match="same stimuli"):
        cka(x, y, bias="biased")
    with pytest.raises(RequestError, match="same stimuli in the same order"):
        linear_cka(x, y[:5], bias="biased")
    with pytest.raises(RequestError, match="unbiased CKA needs 4"):
        linear_cka(x[:3, :2], y[:3, :2], bias="unbiased")
    with pytest.raises(RequestError, match="unbiased CKA needs 4"):
        jackknife_cka(k[:4, :4], m[:4, :4], bias="unbiased")
    with pytest.raises(RequestError, match="choose one of biased, unbiased"):
        cka(k, m, bias="debiased")
    with pytest.raises(RequestError, match="4 different stimuli"):
        weighted_cka(k, m, [[3, 2, 1, 0, 0, 0]])
    with pytest.raises(RequestError, match="not \\(resample, 6 stimuli\\)"):
        weighted_cka(k, m, np.ones(6))
    k[2, 3] = torch.nan
    with pytest.raises(DataError, match="gram_x holds"):
        cka(k, m, bias="biased")
