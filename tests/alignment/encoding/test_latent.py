"""Partial least squares and principal component regression against scikit-learn on the features themselves."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from alignment.encoding import RowSubset, TensorFeatures, gram_equivalent
from alignment.encoding.latent import PLS_COMPONENTS, LatentFit, fit_pcr, fit_pls
from alignment.errors import DataError, RequestError

Plant = Callable[..., tuple[Tensor, Tensor]]
SHAPES = [(60, 30), (40, 90), (40, 40)]
FITS = {
    fit_pls: lambda k: PLSRegression(n_components=k, scale=False),
    fit_pcr: lambda k: make_pipeline(PCA(k, svd_solver="full"), LinearRegression()),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("components", [1, 7, 25])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_predictions_equal_scikit_learn(planted: Plant, fit, n: int, p: int, components: int) -> None:
    x, y = planted(n + 10, p, 6)
    model = fit(x[:n], y[:n], n_components=components)
    assert isinstance(model, LatentFit) and model.n_components == components and model.cv_score is None
    reference = FITS[fit](components).fit(x[:n].numpy(), y[:n].numpy())
    for rows in (slice(n), slice(n, None)):
        np.testing.assert_allclose(model.predict(x[rows]), reference.predict(x[rows].numpy()), atol=1e-7)


def test_pls_has_25_components_unless_told(planted: Plant) -> None:
    x, y = planted(60, 90, 6)
    reference = PLSRegression(n_components=25, scale=False).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(fit_pls(x, y).predict(x), reference.predict(x.numpy()), atol=1e-7)
    assert PLS_COMPONENTS == 25


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_cv_score_equals_refitting_without_each_fold(planted: Plant, fit, n: int, p: int) -> None:
    x, y = planted(n, p, 6)
    labels = np.random.default_rng(0).permutation(np.arange(n) % 5 + 3)
    errors = []
    for label in np.unique(labels):
        held = labels == label
        model = FITS[fit](8).fit(x[~held].numpy(), y[~held].numpy())
        errors.append(np.mean((model.predict(x[held].numpy()) - y[held].numpy()) ** 2, axis=0))
    expected = 1 - np.mean(errors, 0) / y.numpy().var(0)
    np.testing.assert_allclose(fit(x, y, n_components=8, folds=labels).cv_score, expected, atol=1e-7)


@pytest.mark.parametrize("fit", FITS)
def test_sources_and_equivalents_of_features_give_the_same(planted: Plant, fit) -> None:
    x, y = planted(50, 200, 4)
    rows, test = torch.arange(40), torch.arange(40, 50)
    folds = rows % 4
    expected = fit(x[:40], y[:40], n_components=9, folds=folds)
    z = gram_equivalent(x)
    small = fit(z[:40], y[:40], n_components=9, folds=folds)
    streamed = fit(RowSubset(TensorFeatures(x), rows), y[:40], n_components=9, folds=folds, feature_chunk=13)
    for model, new in ((small, z[40:]), (streamed, RowSubset(TensorFeatures(x), test))):
        np.testing.assert_allclose(model.predict(new), expected.predict(x[40:]), atol=1e-7)
        np.testing.assert_allclose(model.cv_score, expected.cv_score, atol=1e-7)


@pytest.mark.parametrize("fit", FITS)
def test_precision_is_that_of_the_responses(planted: Plant, fit) -> None:
    x, y = planted(50, 30, 4)
    single = fit(x.float(), y.float(), n_components=9, folds=torch.arange(50) % 5)
    double = fit(x, y, n_components=9, folds=torch.arange(50) % 5)
    assert single.predict(x).dtype == single.cv_score.dtype == torch.float32
    np.testing.assert_allclose(single.predict(x), double.predict(x), atol=1e-4)
    np.testing.assert_allclose(single.cv_score, double.cv_score, atol=1e-4)


@pytest.mark.parametrize("fit", FITS)
def test_a_neuroid_that_does_not_vary(planted: Plant, fit) -> None:
    x, y = planted(50, 30, 4)
    constant = torch.cat([y, torch.full((50, 1), 0.1, dtype=y.dtype)], dim=1)
    model = fit(x, constant, n_components=5, folds=torch.arange(50) % 5)
    np.testing.assert_allclose(model.predict(x)[:, 4], 0.1)
    assert model.cv_score[4].isnan() and model.cv_score[:4].isfinite().all()


def test_one_neuroid_alone(planted: Plant) -> None:
    x, y = planted(50, 30, 1)
    reference = PLSRegression(n_components=4, scale=False).fit(x.numpy(), y[:, 0].numpy())
    np.testing.assert_allclose(fit_pls(x, y, n_components=4).predict(x)[:, 0], reference.predict(x.numpy()), atol=1e-7)


@pytest.mark.parametrize("fit", FITS)
def test_faults_in_one_line(planted: Plant, fit) -> None:
    x, y = planted(24, 60, 3)
    with pytest.raises(RequestError, match="25 components of 60 units over 24 stimuli"):
        fit(x, y, n_components=25)
    with pytest.raises(RequestError, match="25 components of 20 units over 24 stimuli"):
        fit(x[:, :20], y, n_components=25)
    with pytest.raises(RequestError, match="0 components"):
        fit(x, y, n_components=0)
    with pytest.raises(RequestError, match="24 training stimuli that span 23 directions"):
        fit(x, y, n_components=24)
    with pytest.raises(RequestError, match="18 training stimuli that span 17 directions"):
        fit(x, y, n_components=20, folds=torch.arange(24) % 4)
    with pytest.raises(RequestError, match="one integer label"):
        fit(x, y, n_components=3, folds=[0, 1])
    with pytest.raises(RequestError, match="60: give the same layer"):
        fit(x, y, n_components=3).predict(x[:, :59])
    with pytest.raises(DataError, match="y holds a NaN"):
        fit(x, torch.full_like(y, torch.nan), n_components=3)
