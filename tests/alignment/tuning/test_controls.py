"""Targets of controls against their moments, SciPy, scikit-learn's components, and ceilings measured over draws."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from alignment.errors import DataError, RequestError
from alignment.split_half import split_half_ceiling
from alignment.tuning.controls import CONTROLS, LOSS_TERMS, STANDARD, targets

CEILINGS = np.array([0.0, 0.3, 0.6, 0.8, 1.0])


def responses(images: int, neuroids: int = 5, *, seed: int = 0) -> np.ndarray:
    """Correlated neuroids with means and sds of their own."""
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((images, 3)) @ random.standard_normal((3, neuroids))
    return (mixed + 0.5 * random.standard_normal((images, neuroids))) * np.arange(1, neuroids + 1) + 7


def test_shuffle_permutes_images_once_for_all_neuroids() -> None:
    y = responses(50)
    shuffled = targets("shuffle", y, seed=0)
    order = [int(np.flatnonzero((y == row).all(1))[0]) for row in shuffled]
    assert sorted(order) == list(range(50))
    assert sum(image == place for place, image in enumerate(order)) < 10
    np.testing.assert_allclose(np.cov(shuffled.T), np.cov(y.T))
    assert not np.array_equal(targets("shuffle", y, seed=1), shuffled)
    np.testing.assert_array_equal(targets("shuffle", y, seed=0), shuffled)


def test_gaussian_keeps_mean_and_sd_alone() -> None:
    y = responses(20_000)
    drawn = targets("gaussian", y, seed=0)
    assert abs(np.corrcoef(y.T)[0, 1:]).max() > 0.3
    for v in range(5):
        p = stats.kstest(drawn[:, v], "norm", (y[:, v].mean(), y[:, v].std())).pvalue
        assert p > 0.001
    together = np.corrcoef(np.hstack([y, drawn]).T)[5:]
    assert abs(together - np.eye(5, 10, 5)).max() < 5 / np.sqrt(20_000)


def test_matched_has_the_covariance_of_the_responses() -> None:
    n = 20_000
    y = responses(n)
    drawn = targets("matched", y, seed=0)
    expected = np.cov(y.T)
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / n)
    assert (abs(np.cov(drawn.T) - expected) < 5 * error).all()
    assert (abs(drawn.mean(0) - y.mean(0)) < 5 * y.std(0) / np.sqrt(n)).all()
    assert abs(np.corrcoef(np.hstack([y, drawn]).T)[:5, 5:]).max() < 5 / np.sqrt(n)
    assert stats.kstest((drawn[:, 0] - y[:, 0].mean()) / y[:, 0].std(), "norm").pvalue > 0.001


def test_matched_holds_with_more_neuroids_than_images() -> None:
    y = responses(12, neuroids=40)
    centred = y - y.mean(0)
    draws = np.concatenate([targets("matched", y, seed=seed) - y.mean(0) for seed in range(800)])
    expected = centred.T @ centred / 12
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / len(draws))
    assert (abs(draws.T @ draws / len(draws) - expected) < 5.5 * error).all()
    outside = draws - draws @ np.linalg.pinv(centred) @ centred
    assert abs(outside).max() < 1e-9 * abs(draws).max()


def test_phase_shifts_neuroids_within_their_roi() -> None:
    y, roi = responses(30, neuroids=9), np.array(["V1", "V4"])[[0, 1, 0, 0, 1, 0, 1, 0, 1]]
    shifted = targets("phase", y, seed=0, roi=roi)
    came_from = [int(np.flatnonzero((column == y.T).all(1))[0]) for column in shifted.T]
    for label in ("V1", "V4"):
        places = np.flatnonzero(roi == label)
        sources = [came_from[place] for place in places]
        steps = {(int(np.flatnonzero(places == s)[0]) - k) % len(places) for k, s in enumerate(sources)}
        assert len(steps) == 1
        assert steps != {0}


def test_other_roi_takes_different_neuroids_of_it() -> None:
    y, others = responses(30), responses(30, neuroids=8, seed=1).astype(np.float32)
    taken = targets("other_roi", y, seed=0, features=others)
    came_from = [int(np.flatnonzero((column == others.T).all(1))[0]) for column in taken.T]
    assert len(set(came_from)) == 5
    with pytest.raises(RequestError, match="the other ROI has 4 neuroids, fewer than 5"):
        targets("other_roi", y, seed=0, features=others[:, :4])


@pytest.mark.parametrize("units", [8, 300])
@pytest.mark.parametrize("name", ["pixel", "other_net"])
def test_components_are_those_of_scikit_learn(name: str, units: int) -> None:
    random = np.random.default_rng(1)
    features = (random.standard_normal((60, units)) * np.linspace(4, 1, units)).astype(np.float32)
    y = responses(60)
    exact = targets(name, y, seed=0, features=features, noise_ceilings=np.ones(5))
    scores = PCA(5, svd_solver="full").fit_transform(features.astype(np.float64))
    standard = scores / scores.std(0)
    signs = np.sign([stats.pearsonr(*pair).statistic for pair in zip(exact.T, standard.T, strict=True)])
    np.testing.assert_allclose(exact, y.mean(0) + y.std(0) * standard * signs, atol=1e-6)
    assert ((exact - y.mean(0)).max(0) > -(exact - y.mean(0)).min(0)).all()


def test_noise_ceilings_are_those_measured_over_draws() -> None:
    images, draws = 2000, 8
    features, y = np.random.default_rng(2).standard_normal((images, 30)), responses(images)
    trials = np.stack(
        [targets("pixel", y, seed=seed, features=features, noise_ceilings=CEILINGS) for seed in range(draws)], axis=2
    )
    measured = split_half_ceiling(trials, seed=0, n_averaged=np.ones(images)).ceiling
    np.testing.assert_allclose(measured[1:], CEILINGS[1:], atol=0.03)
    assert measured[0] < 0.2
    np.testing.assert_allclose(trials.mean((0, 2)), y.mean(0), atol=5 * y.std(0).max() / np.sqrt(images * draws))
    np.testing.assert_allclose(trials.std(0).mean(1), y.std(0), rtol=0.03)
    signal = targets("pixel", y, seed=0, features=features, noise_ceilings=np.ones(5))
    r = [stats.pearsonr(trials[:, v, 0], signal[:, v]).statistic for v in range(5)]
    np.testing.assert_allclose(r, CEILINGS, atol=5 / np.sqrt(images))


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if control.changes != "targets"])
def test_other_controls_leave_the_responses(name: str) -> None:
    y = responses(10)
    assert targets(name, y, seed=0) is y


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if control.changes == "targets"])
def test_draws_have_the_type_of_the_responses_and_leave_them(name: str) -> None:
    y = responses(20).astype(np.float32)
    before, features = y.copy(), responses(20, 8, seed=1)
    features.flags.writeable = False
    given = {"features": features[:, ::-1], "noise_ceilings": CEILINGS, "roi": [0, 0, 1, 1, 1]}
    out = targets(name, y, seed=0, **given)
    assert out.dtype == np.float32
    assert out.shape == y.shape
    assert not np.array_equal(out, y)
    np.testing.assert_array_equal(y, before)
    needed = {key: given[key] for key in CONTROLS[name].needs}
    np.testing.assert_array_equal(targets(name, y, seed=0, **needed), out)
    for key in needed:
        with pytest.raises(RequestError, match=rf"control '{name}' needs .*{key}"):
            targets(name, y, seed=0, **{other: value for other, value in needed.items() if other != key})


def test_controls_of_one_seed_are_drawn_apart() -> None:
    y, features = responses(200), np.random.default_rng(3).standard_normal((200, 9))
    noise = [
        targets(name, y, seed=0, features=features, noise_ceilings=np.zeros(5))[:, 0]
        for name in ("pixel", "other_net", "gaussian")
    ]
    assert abs(np.corrcoef(noise) - np.eye(3)).max() < 5 / np.sqrt(200)


def test_the_standard_set_exists_and_terms_are_known() -> None:
    assert set(STANDARD) <= set(CONTROLS)
    assert {term for control in CONTROLS.values() for term in control.without} == set(LOSS_TERMS)


def test_listing_controls_loads_no_torch() -> None:
    code = "import sys, alignment.tuning.controls; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("shufle", {}, "unknown control 'shufle'; did you mean shuffle"),
        ("phase", {"roi": [0, 0]}, r"roi: shape \(2,\) is not \(5 neuroids,\)"),
        ("phase", {"roi": [0, 0, 1, 1, 2]}, "roi 2: 1 neuroid cannot be shifted"),
        ("pixel", {"features": np.ones((20, 9)), "noise_ceilings": np.ones(5)}, "features span 0 directions"),
        ("pixel", {"features": responses(20, 4), "noise_ceilings": np.ones(5)}, "features span 4 directions"),
        ("pixel", {"features": responses(20, 9), "noise_ceilings": np.ones(4)}, "noise_ceilings: needs 5 numbers"),
        ("pixel", {"features": responses(20, 9), "noise_ceilings": np.full(5, 1.2)}, "numbers from 0 to 1"),
        ("pixel", {"features": responses(20, 9), "noise_ceilings": np.full(5, np.nan)}, "numbers from 0 to 1"),
        ("other_net", {"features": responses(19, 9), "noise_ceilings": np.ones(5)}, "features of 19 images"),
        ("other_net", {"features": np.arange(20), "noise_ceilings": np.ones(5)}, r"features: int64 \(20,\)"),
    ],
)
def test_what_does_not_fit_is_named(name: str, given: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        targets(name, responses(20), seed=0, **given)
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_refused() -> None:
    y, features = responses(20), responses(20, 9)
    features[3, 2] = np.inf
    with pytest.raises(DataError, match="features: values that are not finite"):
        targets("pixel", y, seed=0, features=features, noise_ceilings=CEILINGS)
    y[0, 0] = np.nan
    with pytest.raises(DataError, match="responses: values that are not finite"):
        targets("shuffle", y, seed=0)
