"""Ridge against scikit-learn, himalaya and refitting by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from torch import Tensor

from alignment.encoding import TensorFeatures, fit_ridge, gram_equivalent
from alignment.errors import DataError, RequestError

Plant = Callable[..., tuple[Tensor, Tensor]]
SHAPES = [(60, 12), (30, 90), (40, 40), (40, 41), (41, 40)]
ALPHAS = np.logspace(-3, 4, 15)


def leave_one_out_by_refitting(x: Tensor, y: Tensor, alpha: float) -> np.ndarray:
    errors = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        model = Ridge(alpha=alpha).fit(x[rest].numpy(), y[rest].numpy())
        errors.append((y[i].numpy() - model.predict(x[i : i + 1].numpy())[0]) ** 2)
    return np.mean(errors, 0)


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_coefficients_and_predictions_equal_scikit_learn(planted: Plant, n: int, p: int) -> None:
    x, y = planted(n + 7, p, 5)
    fit = fit_ridge(x[:n], y[:n], alphas=[2.5], relative=False, coefficients=True)
    reference = Ridge(alpha=2.5).fit(x[:n].numpy(), y[:n].numpy())
    np.testing.assert_allclose(fit.coefficients.T, reference.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.intercept, reference.intercept_, rtol=1e-8)
    np.testing.assert_allclose(fit.predict(x[n:]), reference.predict(x[n:].numpy()), rtol=1e-8)
    np.testing.assert_allclose(x[n:] @ fit.coefficients + fit.intercept, fit.predict(x[n:]), rtol=1e-8)


@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leave_one_out_alphas_equal_scikit_learn(planted: Plant, n: int, p: int, dtype: torch.dtype) -> None:
    x, y = planted(n, p, 80)
    fit = fit_ridge(x.to(dtype), y.to(dtype), alphas=ALPHAS, relative=False)
    reference = RidgeCV(alphas=ALPHAS, alpha_per_target=True, store_cv_results=True).fit(x.numpy(), y.numpy())
    np.testing.assert_array_equal(fit.alphas, reference.alpha_)
    best = reference.cv_results_.mean(0).min(1)
    np.testing.assert_allclose(fit.cv_mse, best, rtol=1e-9 if dtype == torch.float64 else 2e-5)
    np.testing.assert_allclose(fit.cv_score, 1 - best / y.numpy().var(0), atol=1e-4)


@pytest.mark.parametrize(("n", "p"), [(12, 4), (9, 20), (10, 10)])
def test_leave_one_out_equals_refitting(planted: Plant, n: int, p: int) -> None:
    x, y = planted(n, p, 4)
    for alpha in (1e-2, 1.0, 30.0):
        fit = fit_ridge(x, y, alphas=[alpha], relative=False)
        np.testing.assert_allclose(fit.cv_mse, leave_one_out_by_refitting(x, y, alpha), rtol=1e-8)


def test_forgetting_the_constant_direction_would_pick_other_alphas(planted: Plant) -> None:
    """Weak signal, more units than stimuli: without the 1/n of the intercept, small alphas win by mistake."""
    n, alphas = 40, np.logspace(-4, 4, 17)
    x, y = planted(n, 300, 50, decay=0.5, seed=3)
    centred, z = x - x.mean(0), y - y.mean(0)
    gram = centred @ centred.T
    grid = alphas * float(gram.trace()) / n
    curves = {"right": [], "wrong": []}
    for alpha in grid:
        inverse = torch.linalg.inv(gram + alpha * torch.eye(n, dtype=torch.float64))
        c, g = inverse @ z, inverse.diagonal()[:, None]
        curves["right"].append((alpha * c / (alpha * g - 1 / n)).square().mean(0))
        curves["wrong"].append((c / g).square().mean(0))
    chosen = {name: alphas[torch.stack(curve).argmin(0)] for name, curve in curves.items()}
    fit = fit_ridge(x, y, alphas=alphas)
    np.testing.assert_allclose(fit.alphas, chosen["right"])
    assert np.mean(fit.alphas.numpy() > 10 * chosen["wrong"]) > 0.5


@pytest.mark.parametrize(("n", "p"), [(60, 12), (40, 90)])
def test_generalised_cross_validation_closed_form(planted: Plant, n: int, p: int) -> None:
    x, y = planted(n, p, 6)
    fit = fit_ridge(x, y, alphas=[0.7], relative=False, selection="gcv")
    design = np.hstack([np.ones((n, 1)), x.numpy()])
    penalty = np.diag([0.0] + [0.7] * p)
    hat = design @ np.linalg.solve(design.T @ design + penalty, design.T)
    expected = np.mean((y.numpy() - hat @ y.numpy()) ** 2, 0) / (1 - np.trace(hat) / n) ** 2
    np.testing.assert_allclose(fit.cv_mse, expected, rtol=1e-8)


@pytest.mark.parametrize(("n", "p"), [(90, 20), (60, 200), (61, 55)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_k_fold_alphas_equal_himalaya(planted: Plant, n: int, p: int, dtype: torch.dtype) -> None:
    """Same folds, same absolute alphas, its default criterion: squared error averaged over folds."""
    himalaya = pytest.importorskip("himalaya.ridge")
    backend = pytest.importorskip("himalaya.backend").set_backend("numpy")
    assert backend.name == "numpy"
    x, y = planted(n, p, 60)
    order = np.random.default_rng(0).permutation(n)
    labels = np.empty(n, dtype=int)
    for fold, rows in enumerate(np.array_split(order, 4)):
        labels[rows] = fold
    splits = [(np.flatnonzero(labels != fold), np.flatnonzero(labels == fold)) for fold in range(4)]
    reference = himalaya.RidgeCV(alphas=ALPHAS, fit_intercept=True, cv=splits, solver_params={"warn": False})
    reference.fit(x.numpy(), y.numpy())
    fit = fit_ridge(
        x.to(dtype), y.to(dtype), alphas=ALPHAS, relative=False, selection="kfold", folds=labels, coefficients=True
    )
    np.testing.assert_allclose(fit.alphas, reference.best_alphas_)
    np.testing.assert_allclose(fit.cv_mse, -reference.cv_scores_, rtol=1e-8 if dtype == torch.float64 else 5e-5)
    tolerance = 1e-8 if dtype == torch.float64 else 2e-3
    np.testing.assert_allclose(fit.coefficients, reference.coef_, rtol=tolerance, atol=tolerance)


def test_relative_alphas_are_in_units_of_the_mean_eigenvalue(planted: Plant) -> None:
    x, y = planted(30, 50, 4)
    centred = x - x.mean(0)
    unit = float(np.linalg.eigvalsh((centred @ centred.T).numpy()).mean())
    relative = fit_ridge(x, y, alphas=ALPHAS)
    absolute = fit_ridge(x, y, alphas=ALPHAS * unit, relative=False)
    assert relative.alpha_unit == pytest.approx(unit) and absolute.alpha_unit == 1.0
    np.testing.assert_allclose(relative.alphas * unit, absolute.alphas)
    np.testing.assert_allclose(relative.predict(x), absolute.predict(x))


@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
@pytest.mark.parametrize(("n", "p"), [(50, 20), (30, 100)])
def test_chunks_and_sources_change_nothing(planted: Plant, selection: str, n: int, p: int) -> None:
    x, y = planted(n, p, 11)
    folds = torch.arange(n) % 3 if selection == "kfold" else None
    whole = fit_ridge(x, y, alphas=ALPHAS, selection=selection, folds=folds, coefficients=True)
    pieces = fit_ridge(
        TensorFeatures(x),
        y,
        alphas=ALPHAS,
        selection=selection,
        folds=folds,
        coefficients=True,
        neuroid_chunk=4,
        feature_chunk=7,
    )
    np.testing.assert_array_equal(whole.alphas, pieces.alphas)
    np.testing.assert_allclose(whole.cv_mse, pieces.cv_mse)
    np.testing.assert_allclose(whole.coefficients, pieces.coefficients, atol=1e-10)
    np.testing.assert_allclose(whole.predict(x[:5]), pieces.predict(TensorFeatures(x[:5])))


@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
def test_primal_equals_dual(planted: Plant, selection: str) -> None:
    """A unit of zeros turns the primal problem into the dual one without changing it."""
    x, y = planted(40, 40, 9)
    folds = torch.arange(40) % 5 if selection == "kfold" else None
    padded = torch.hstack([x, torch.zeros(40, 1, dtype=x.dtype)])
    primal = fit_ridge(x, y, alphas=ALPHAS, selection=selection, folds=folds)
    dual = fit_ridge(padded, y, alphas=ALPHAS, selection=selection, folds=folds)
    assert type(primal.axes) is not type(dual.axes)
    np.testing.assert_array_equal(primal.alphas, dual.alphas)
    np.testing.assert_allclose(primal.cv_mse, dual.cv_mse)
    np.testing.assert_allclose(primal.predict(x + 1), dual.predict(padded + 1))


@pytest.mark.parametrize("p", [25, 300])
def test_gram_equivalent_serves_every_split(planted: Plant, p: int) -> None:
    x, y = planted(60, p, 8)
    z = gram_equivalent(x, feature_chunk=11)
    for start in (0, 15, 30):
        test = torch.arange(start, start + 15)
        train = torch.tensor([i for i in range(60) if i not in test.tolist()])
        direct = fit_ridge(x[train], y[train], alphas=ALPHAS)
        shared = fit_ridge(z[train], y[train], alphas=ALPHAS)
        np.testing.assert_array_equal(direct.alphas, shared.alphas)
        np.testing.assert_allclose(direct.predict(x[test]), shared.predict(z[test]), rtol=1e-8)


@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
def test_constant_and_duplicate_units(planted: Plant, selection: str) -> None:
    """A constant unit is as good as absent; a duplicate one is its sum, scaled."""
    x, y = planted(30, 8, 6)
    folds = torch.arange(30) % 3 if selection == "kfold" else None
    plain = torch.hstack([x[:, :7], x[:, 7:] * 2**0.5])
    doubled = torch.hstack([torch.full((30, 1), 0.1, dtype=x.dtype), x, x[:, 7:]])
    a = fit_ridge(plain, y, alphas=ALPHAS, selection=selection, folds=folds)
    b = fit_ridge(doubled, y, alphas=ALPHAS, selection=selection, folds=folds)
    np.testing.assert_array_equal(a.alphas, b.alphas)
    np.testing.assert_allclose(a.predict(plain), b.predict(doubled))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
def test_features_and_responses_that_do_not_vary(planted: Plant, selection: str, dtype: torch.dtype) -> None:
    x, y = (values.to(dtype) for values in planted(20, 30, 3))
    y[:, 1] = 0.1
    folds = torch.arange(20) % 2 if selection == "kfold" else None
    fit = fit_ridge(x, y, alphas=ALPHAS, selection=selection, folds=folds)
    assert fit.cv_score.isnan().tolist() == [False, True, False]
    np.testing.assert_allclose(fit.predict(x)[:, 1], 0.1, rtol=1e-6)
    still = fit_ridge(torch.full_like(x, 0.1), y, alphas=ALPHAS, selection=selection, folds=folds)
    np.testing.assert_allclose(still.predict(x), y.mean(0).expand(20, 3), rtol=1e-5)
    if selection == "loo":
        np.testing.assert_allclose(still.cv_mse, y.double().var(0, correction=0) * (20 / 19) ** 2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 5])
def test_three_stimuli(p: int) -> None:
    x = torch.tensor([[0.0, 1, 2, 3, 4], [1, 0, 5, 1, 1], [2, 2, 1, 0, 3]], dtype=torch.float64)[:, :p]
    y = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    fit = fit_ridge(x, y, alphas=[0.5], relative=False)
    np.testing.assert_allclose(fit.cv_mse, leave_one_out_by_refitting(x, y, 0.5), rtol=1e-8)


def test_responses_far_from_zero_keep_their_alphas_in_float32(planted: Plant) -> None:
    x, y = planted(80, 30, 40)
    near = fit_ridge(x.float(), y.float(), alphas=ALPHAS)
    far = fit_ridge(x.float(), (y * 1e-3 + 7.0).float(), alphas=ALPHAS)
    assert (near.alphas == far.alphas).double().mean() >= 0.95


def test_floored_scaling_equals_scaling_by_hand(planted: Plant) -> None:
    x, y = planted(40, 15, 4, decay=4.0)
    sd = x.std(0, correction=0)
    scaled = x / sd.clamp(min=float(0.1 * sd.square().mean().sqrt()))
    assert (sd < 0.1 * sd.square().mean().sqrt()).any()
    fit = fit_ridge(x, y, alphas=ALPHAS, scale="floored_sd", coefficients=True)
    by_hand = fit_ridge(scaled, y, alphas=ALPHAS)
    np.testing.assert_allclose(fit.predict(x), by_hand.predict(scaled))
    np.testing.assert_allclose(x @ fit.coefficients + fit.intercept, by_hand.predict(scaled))


@settings(max_examples=25, deadline=None)
@given(
    shift=st.floats(-10, 10),
    factor=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(12, 3), (10, 25)]),
)
def test_shift_scale_and_rotation_of_features_do_not_matter(
    shift: float, factor: float, seed: int, shape: tuple[int, int]
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=g, dtype=torch.float64)
    y = torch.randn(shape[0], 3, generator=g, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=g, dtype=torch.float64))[0]
    moved = (x @ rotation + shift) * factor
    a, b = (fit_ridge(z, y, alphas=[0.3]) for z in (x, moved))
    np.testing.assert_allclose(a.cv_mse, b.cv_mse, rtol=1e-6)
    np.testing.assert_allclose(a.predict(x), b.predict(moved), rtol=1e-6, atol=1e-6)


def test_bad_requests_are_one_line_each(planted: Plant) -> None:
    x, y = planted(10, 4, 2)
    nan_x, nan_y = x.clone(), y.clone()
    nan_x[3, 2] = torch.nan
    nan_y[1, 1] = torch.inf
    ok = {"alphas": [1.0]}
    cases = [
        (RequestError, "alphas", lambda: fit_ridge(x, y, alphas=[1.0, 0.0])),
        (RequestError, "alphas", lambda: fit_ridge(x, y, alphas=[])),
        (RequestError, "10 stimuli and y has 9", lambda: fit_ridge(x, y[:9], **ok)),
        (RequestError, "at least 3", lambda: fit_ridge(x[:2], y[:2], **ok)),
        (RequestError, "matrix", lambda: fit_ridge(x[:, :, None], y, **ok)),
        (RequestError, "float32 or float64", lambda: fit_ridge(x, y.half(), **ok)),
        (RequestError, "not known", lambda: fit_ridge(x, y, selection="lo", **ok)),
        (RequestError, "not known", lambda: fit_ridge(x, y, scale="sd", **ok)),
        (RequestError, "kfold", lambda: fit_ridge(x, y, selection="kfold", **ok)),
        (RequestError, "kfold", lambda: fit_ridge(x, y, folds=[0, 1] * 5, **ok)),
        (RequestError, "label", lambda: fit_ridge(x, y, selection="kfold", folds=[0, 1], **ok)),
        (RequestError, "at least 2 folds", lambda: fit_ridge(x, y, selection="kfold", folds=[0] * 10, **ok)),
        (RequestError, "neuroid_chunk", lambda: fit_ridge(x, y, neuroid_chunk=0, **ok)),
        (RequestError, "same layer", lambda: fit_ridge(x, y, **ok).predict(x[:, :3])),
        (DataError, "units 0 to 4", lambda: fit_ridge(nan_x, y, **ok)),
        (DataError, "neuroid 1", lambda: fit_ridge(x, nan_y, **ok)),
    ]
    for kind, words, call in cases:
        with pytest.raises(kind, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
def test_cuda_equals_cpu(planted: Plant, selection: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x, y = planted(120, 300, 50)
    arguments = {"alphas": np.logspace(-4, 4, 99), "selection": selection}
    arguments["folds"] = torch.arange(120) % 4 if selection == "kfold" else None
    cpu = fit_ridge(x.float(), y.float(), **arguments)
    gpu = fit_ridge(x.float(), y.float(), device="cuda", **arguments)
    np.testing.assert_array_equal(cpu.alphas, gpu.alphas.cpu())
    np.testing.assert_allclose(cpu.predict(x.float()), gpu.predict(x.float()).cpu(), rtol=1e-3, atol=1e-3)
