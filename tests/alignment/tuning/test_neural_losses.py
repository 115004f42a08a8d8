"""Neural losses against SciPy and loops over images and neuroids, their gradients against finite differences."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cosine as cosine_distance
from scipy.special import logsumexp

from alignment.cka import linear_cka
from alignment.errors import RequestError
from alignment.tuning.neural_losses import NEURAL, ceiling_weights, cka, corr, nce, rsm

IMAGES, NEUROIDS = 66, 7


def batch(*, seed: int = 0, images: int = IMAGES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    y = torch.randn(images, NEUROIDS, generator=random, dtype=torch.float64)
    y = y + torch.arange(NEUROIDS)
    p = 0.6 * y + torch.randn(images, NEUROIDS, generator=random, dtype=torch.float64)
    return p, y, torch.rand(NEUROIDS, generator=random, dtype=torch.float64)


def centred_cosine(x: np.ndarray, i: int, y: np.ndarray, j: int, w: np.ndarray | None) -> float:
    return 1 - cosine_distance(x[i] - x.mean(0), y[j] - y.mean(0), w)


def by_hand(name: str, p: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> float:
    n = len(p)
    if name == "mse":
        errors = [np.mean([(p[i, v] - y[i, v]) ** 2 for i in range(n)]) for v in range(y.shape[1])]
        return float(np.average(errors, weights=w))
    if name == "corr":
        return 1 - np.average([stats.pearsonr(p[:, v], y[:, v]).statistic for v in range(y.shape[1])], weights=w)
    if name == "cosine":
        return float(np.mean([cosine_distance(p[i], y[i], w) for i in range(n)]))
    if name == "cka":
        scaled = y if w is None else y * np.sqrt(w)
        return 1 - linear_cka(torch.from_numpy(p), torch.from_numpy(scaled), bias="biased")
    if name == "rsm":
        pairs = [(i, j) for i in range(n) for j in range(i)]
        s_p = np.clip([centred_cosine(p, i, p, j, None) for i, j in pairs], -0.999, 0.999)
        s_y = np.clip([centred_cosine(y, i, y, j, w) for i, j in pairs], -0.999, 0.999)
        return float(np.mean((np.arctanh(s_p) - np.arctanh(s_y)) ** 2))
    scores = np.array([[centred_cosine(p, i, y, j, w) for j in range(n)] for i in range(n)]) / 0.1
    rows, columns = (np.mean(logsumexp(s, axis=1) - np.diag(s)) for s in (scores, scores.T))
    return float(rows + columns) / 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NEURAL)
def test_values_are_those_of_loops(name: str, weighted: bool) -> None:
    p, y, w = batch()
    expected = by_hand(name, p.numpy(), y.numpy(), w.numpy() if weighted else None)
    assert NEURAL[name](p, y, w if weighted else None).item() == pytest.approx(expected, rel=1e-9)
    in_float32 = NEURAL[name](p.float(), y.float(), w if weighted else None)
    assert in_float32.dtype == torch.float32
    assert in_float32.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NEURAL)
def test_weights_have_no_scale_and_equal_ones_change_nothing(name: str) -> None:
    p, y, w = batch()
    loss = NEURAL[name]
    torch.testing.assert_close(loss(p, y, 7 * w), loss(p, y, w))
    torch.testing.assert_close(loss(p, y, torch.full((NEUROIDS,), 3.0)), loss(p, y))
    assert not torch.isclose(loss(p, y, w), loss(p, y), rtol=1e-4)


@pytest.mark.parametrize("name", NEURAL)
def test_gradients_are_those_of_the_values(name: str) -> None:
    p, y, w = batch(images=64 if name == "cka" else 6)
    # geometries take fewer units than neuroids, and finite differences fewer evaluations then
    p = p[:, :2].clone() if name == "cka" else p
    assert torch.autograd.gradcheck(lambda x: NEURAL[name](x, y, w), p.requires_grad_())


@pytest.mark.parametrize("name", ["cka", "rsm"])
def test_geometries_take_any_number_of_units(name: str) -> None:
    _, y, _ = batch()
    units = torch.randn(IMAGES, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert NEURAL[name](units, y).item() == pytest.approx(by_hand(name, units.numpy(), y.numpy(), None), rel=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e4])
@pytest.mark.parametrize("name", NEURAL)
def test_what_does_not_vary_gives_numbers(name: str, constant: float) -> None:
    _, y, _ = batch()
    p = torch.full((IMAGES, NEUROIDS), constant, requires_grad=True)
    loss = NEURAL[name](p, y.float())
    loss.backward()
    assert torch.isfinite(loss)
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


def test_a_constant_column_has_a_correlation_of_0_and_no_gradient() -> None:
    p, y, _ = batch()
    p[:, 2] = 1.1
    p.requires_grad_()
    loss = corr(p, y)
    others = [stats.pearsonr(p.detach()[:, v], y[:, v]).statistic for v in range(NEUROIDS) if v != 2]
    assert loss.item() == pytest.approx(1 - sum(others) / NEUROIDS)
    loss.backward()
    assert p.grad is not None
    assert (p.grad[:, 2] == 0).all()
    assert (p.grad[:, 3] != 0).all()


def test_cka_of_features_that_do_not_vary_is_0() -> None:
    _, y, _ = batch()
    assert cka(torch.ones(IMAGES, 4, dtype=torch.float64), y) == 1


@pytest.mark.parametrize("name", NEURAL)
def test_autocast_costs_no_precision(name: str) -> None:
    p, y, w = (tensor.float() for tensor in batch())
    outside = NEURAL[name](p, y, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(NEURAL[name](p, y, w), outside)
    assert NEURAL[name](p.bfloat16(), y, w).dtype == torch.float32


def test_a_lower_temperature_sharpens_the_choice() -> None:
    p, y, _ = batch()
    assert nce(10 * p + 3, y) == pytest.approx(nce(p, y).item())
    assert nce(y, y, temperature=0.01) < nce(y, y, temperature=0.1) < nce(y, y, temperature=1.0)
    with pytest.raises(RequestError, match="temperature 0 is not above 0"):
        nce(p, y, temperature=0)


def test_ceiling_weights_are_the_ceilings_with_mean_1() -> None:
    ceilings = np.array([0.1, np.nan, 0.7, 0.0])
    np.testing.assert_allclose(ceiling_weights(ceilings), np.array([0.1, 0, 0.7, 0]) / 0.2)
    assert torch.equal(ceiling_weights(torch.from_numpy(ceilings)), ceiling_weights(ceilings))


@pytest.mark.parametrize("ceilings", [[0.5, -0.1], [0.0, np.nan], [], [[0.5]], [np.inf, 1.0]])
def test_bad_ceilings_are_named(ceilings: list[float]) -> None:
    with pytest.raises(RequestError, match=r"^noise_ceilings: "):
        ceiling_weights(ceilings)


def test_too_small_batches_are_named() -> None:
    p, y, _ = batch(images=63)
    with pytest.raises(RequestError, match=r"batch of \(63, 7\).* needs 64 images at least") as error:
        cka(p, y)
    assert "\n" not in str(error.value)
    for loss, least in ((corr, 2), (nce, 2), (rsm, 3)):
        with pytest.raises(RequestError, match=f"needs {least} images at least"):
            loss(p[: least - 1], y[: least - 1])


@pytest.mark.parametrize("name", NEURAL)
def test_shapes_that_do_not_fit_are_named(name: str) -> None:
    p, y, w = batch()
    with pytest.raises(RequestError, match=r"predicted \(66, 7\) and observed \(65, 7\)"):
        NEURAL[name](p, y[:65])
    with pytest.raises(RequestError, match=r"weights: shape \(6,\) is not \(7 neuroids,\)"):
        NEURAL[name](p, y, w[:6])
    if name not in ("cka", "rsm"):
        with pytest.raises(RequestError, match=r"predicted \(66, 6\) and observed \(66, 7\)"):
            NEURAL[name](p[:, :6], y)
