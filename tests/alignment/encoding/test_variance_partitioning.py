"""Variance partitioning against scikit-learn, himalaya's banded ridge, and planted shares."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from torch import Tensor

from alignment.encoding import RowSubset, TensorFeatures, fit_ridge, gram_equivalent
from alignment.encoding.variance_partitioning import SHARES, explained_variance, partition
from alignment.errors import DataError, RequestError

ALPHAS = np.logspace(-4, 3, 15)
TRAIN, TEST = torch.arange(70), torch.arange(70, 100)


def spaces(n: int, p: int, q: int, *, seed: int = 0, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Features a and b with ten dimensions in common, and responses to a, to b, to both and to neither."""
    g = torch.Generator().manual_seed(seed)
    common, only_a, only_b, noise = (torch.randn(n, 10, generator=g, dtype=torch.float64) for _ in range(4))
    a = torch.cat([common, only_a], 1) @ torch.randn(20, p, generator=g, dtype=torch.float64)
    b = torch.cat([common, only_b], 1) @ torch.randn(20, q, generator=g, dtype=torch.float64)
    y = torch.stack([only_a[:, 0], only_b[:, 0], common[:, 0], only_a[:, 1] + only_b[:, 1], noise[:, 0]], 1)
    return a + 2, size * b - 1, y + 0.3 * noise[:, :5] + 4


def test_components_add_up_and_are_what_was_planted() -> None:
    a, b, y = spaces(2000, 25, 60)
    parts = partition(a, b, y, train=range(1000), test=range(1000, 2000), alphas=ALPHAS)
    np.testing.assert_allclose(parts.unique_a + parts.unique_b + parts.shared, parts.joint, atol=1e-12)
    signal = 1 / (1 + 0.3**2)
    both = 2 / (2 + 0.3**2)
    np.testing.assert_allclose(parts.unique_a, [signal, 0, 0, both / 2, 0], atol=0.06)
    np.testing.assert_allclose(parts.unique_b, [0, signal, 0, both / 2, 0], atol=0.06)
    np.testing.assert_allclose(parts.shared, [0, 0, signal, 0, 0], atol=0.06)
    assert parts.share[0] > 0.5 > parts.share[1]


def test_single_sets_are_their_ridge_and_r2_is_that_of_scikit_learn() -> None:
    a, b, y = spaces(100, 25, 160)
    parts = partition(a, b, y, train=TRAIN, test=TEST, alphas=ALPHAS)
    for x, explained, predicted, score in (
        (a, parts.a, parts.predicted_a, parts.cv_score_a),
        (b, parts.b, parts.predicted_b, parts.cv_score_b),
    ):
        fit = fit_ridge(x[TRAIN], y[TRAIN], alphas=ALPHAS)
        np.testing.assert_allclose(predicted, fit.predict(x[TEST]), atol=1e-8)
        np.testing.assert_allclose(score, fit.cv_score, atol=1e-8)
        np.testing.assert_allclose(explained, r2_score(y[TEST], predicted, multioutput="raw_values"), atol=1e-10)
    np.testing.assert_allclose(
        parts.joint, r2_score(y[TEST], parts.predicted_joint, multioutput="raw_values"), atol=1e-10
    )
    assert (parts.cv_score_joint >= np.maximum(parts.cv_score_a, parts.cv_score_b)).all()


def test_joint_model_is_the_best_of_all_shares_refitted_by_scikit_learn() -> None:
    """Leave-one-out by refitting, on sets divided by their mean training eigenvalue."""
    a, b, y = spaces(30, 6, 40, size=1000)
    train, test, alphas, shares = np.arange(22), np.arange(22, 30), [1e-3, 0.1, 10.0], [0.0, 0.2, 0.6, 1.0]
    scaled = []
    for x in (a.numpy(), b.numpy()):
        eigenvalues = np.linalg.eigvalsh(np.cov(x[train].T, bias=True) * len(train))
        scaled.append(x / np.sqrt(eigenvalues.sum() / len(train)))
    errors, predictions = {}, {}
    for share in shares:
        x = np.hstack([share**0.5 * scaled[0], (1 - share) ** 0.5 * scaled[1]])
        for alpha in alphas:
            left_out = [Ridge(alpha).fit(x[r], y.numpy()[r]).predict(x[i : i + 1])[0] for i, r in leave_one_out(train)]
            errors[share, alpha] = np.mean((np.array(left_out) - y.numpy()[train]) ** 2, 0)
            predictions[share, alpha] = Ridge(alpha).fit(x[train], y.numpy()[train]).predict(x[test])
    parts = partition(a, b, y, train=train, test=test, alphas=alphas, shares=shares[1:-1])
    for neuroid in range(y.shape[1]):
        best = min(errors, key=lambda key, j=neuroid: errors[key][j])
        assert parts.share[neuroid] == best[0]
        np.testing.assert_allclose(parts.predicted_joint[:, neuroid], predictions[best][:, neuroid], atol=1e-6)


def leave_one_out(rows: np.ndarray):
    return [(i, np.delete(rows, i)) for i in rows]


def test_joint_model_equals_himalayas_banded_ridge() -> None:
    ridge = pytest.importorskip("himalaya.ridge")
    pytest.importorskip("himalaya.backend").set_backend("numpy")
    a, b, y = spaces(100, 12, 30)
    labels = np.random.default_rng(0).permutation(70) % 5
    splits = [(np.flatnonzero(labels != fold), np.flatnonzero(labels == fold)) for fold in range(5)]
    scaled = []
    for x in (a, b):
        spread = x[TRAIN] - x[TRAIN].mean(0)
        scaled.append((x / (spread.square().sum() / len(TRAIN)).sqrt()).numpy())
    gammas = np.array([[share, 1 - share] for share in SHARES])
    reference = ridge.GroupRidgeCV(
        groups="input",
        cv=splits,
        fit_intercept=True,
        solver_params={"n_iter": gammas, "alphas": ALPHAS, "progress_bar": False, "warn": False},
    )
    reference.fit([x[TRAIN] for x in scaled], y[TRAIN].numpy())
    parts = partition(a, b, y, train=TRAIN, test=TEST, alphas=ALPHAS, selection="kfold", folds=torch.from_numpy(labels))
    inside = (parts.share > 0) & (parts.share < 1)
    assert inside.sum() >= 3
    deltas = np.exp(reference.deltas_)
    np.testing.assert_allclose(parts.share[inside], (deltas[0] / deltas.sum(0))[inside], atol=1e-9)
    expected = reference.predict([x[TEST] for x in scaled])
    np.testing.assert_allclose(parts.predicted_joint.numpy()[:, inside], expected[:, inside], atol=1e-7)


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_the_size_of_a_set_does_not_matter(size: float) -> None:
    a, b, y = spaces(100, 8, 160)
    once = partition(a, b, y, train=TRAIN, test=TEST, alphas=ALPHAS)
    again = partition(a, size * b, y, train=TRAIN, test=TEST, alphas=ALPHAS)
    np.testing.assert_allclose(again.predicted_joint, once.predicted_joint, atol=1e-7)


def test_a_wide_set_does_not_drown_a_narrow_one() -> None:
    g = torch.Generator().manual_seed(5)
    narrow, wide, noise = (torch.randn(300, width, generator=g, dtype=torch.float64) for width in (8, 2000, 4))
    y = narrow[:, :4] + noise
    parts = partition(narrow, wide, y, train=range(200), test=range(200, 300), alphas=ALPHAS)
    np.testing.assert_allclose(parts.joint, parts.a, atol=0.05)
    assert (parts.a > 0.25).all() and (parts.share > 0.5).all()
    side_by_side = torch.cat([narrow, wide], 1)
    plain = fit_ridge(side_by_side[:200], y[:200], alphas=ALPHAS).predict(side_by_side[200:])
    assert (explained_variance(plain, y[200:]) < 0.1).all()


def test_sources_equivalents_and_precision() -> None:
    a, b, y = spaces(100, 25, 160)
    expected = partition(a, b, y, train=TRAIN, test=TEST, alphas=ALPHAS)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    source = RowSubset(TensorFeatures(b[order]), order.argsort())
    others = [
        partition(TensorFeatures(a), source, y, train=TRAIN, test=TEST, alphas=ALPHAS, feature_chunk=9),
        partition(gram_equivalent(a), gram_equivalent(b), y, train=TRAIN, test=TEST, alphas=ALPHAS),
    ]
    for other in others:
        np.testing.assert_allclose(other.predicted_joint, expected.predicted_joint, atol=1e-7)
        np.testing.assert_array_equal(other.share, expected.share)
    single = partition(a.float(), b.float(), y.float(), train=TRAIN, test=TEST, alphas=ALPHAS)
    assert single.predicted_joint.dtype == torch.float32
    np.testing.assert_allclose(single.joint, expected.joint, atol=0.02)


def test_test_responses_do_not_enter_the_fits() -> None:
    a, b, y = spaces(100, 25, 60)
    other = y.clone()
    other[TEST] = 0
    fits = [partition(a, b, z, train=TRAIN, test=TEST, alphas=ALPHAS) for z in (y, other)]
    assert torch.equal(fits[0].predicted_joint, fits[1].predicted_joint)
    assert not fits[1].joint.any()


def test_explained_variance_of_repeated_stimuli() -> None:
    random = np.random.default_rng(0)
    observed = random.standard_normal((30, 6)) + 1000
    predicted = 0.5 * (observed - 1000) + 1000.2 + 0.3 * random.standard_normal((30, 6))
    counts = random.multinomial(30, np.full(30, 1 / 30), size=12)
    expected = [
        r2_score(*(np.repeat(z, c, axis=0) for z in (observed, predicted)), multioutput="raw_values") for c in counts
    ]
    np.testing.assert_allclose(explained_variance(predicted, observed, counts), expected, atol=1e-9)
    alone = r2_score(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(explained_variance(torch.from_numpy(predicted), observed), alone, atol=1e-9)
    assert explained_variance(observed + 5, observed).max() < -10


def test_there_is_nothing_to_explain_where_nothing_varies() -> None:
    observed = np.full((10, 2), 0.1)
    observed[7, 1] = 3
    without = np.ones((1, 10))
    without[0, 7] = 0
    assert explained_variance(np.zeros((10, 2)), observed)[0] == 0
    assert explained_variance(np.zeros((10, 2)), observed)[1] < 0
    np.testing.assert_array_equal(explained_variance(np.zeros((10, 2)), observed, without), [[0, 0]])


def test_faults_in_one_line() -> None:
    a, b, y = spaces(20, 5, 6)
    options = {"train": range(12), "test": range(12, 20), "alphas": [1.0]}
    with pytest.raises(RequestError, match="x_b has 19 stimuli"):
        partition(a, b[:19], y, **options)
    with pytest.raises(RequestError, match="1 stimuli are in train and test, 12 first"):
        partition(a, b, y, **{**options, "train": range(13)})
    with pytest.raises(RequestError, match="positions from 12 to 20 of 20"):
        partition(a, b, y, **{**options, "test": range(12, 21)})
    with pytest.raises(RequestError, match="as integers"):
        partition(a, b, y, **{**options, "test": torch.ones(20, dtype=torch.bool)})
    with pytest.raises(RequestError, match="above 0 and below 1"):
        partition(a, b, y, **options, shares=[0.5, 1.0])
    with pytest.raises(DataError, match="y holds"):
        partition(a, b, torch.full_like(y, torch.nan), **options)
    with pytest.raises(RequestError, match="2 stimuli at least"):
        explained_variance(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(RequestError, match="not finite"):
        explained_variance(np.full((3, 2), np.nan), np.ones((3, 2)))
    with pytest.raises(RequestError, match="not \\(resample, 3 stimuli\\)"):
        explained_variance(np.ones((3, 2)), np.ones((3, 2)), np.ones(3))
    with pytest.raises(RequestError, match="positive sum"):
        explained_variance(np.ones((3, 2)), np.ones((3, 2)), np.zeros((1, 3)))
