"""Cross-validated distances and noise precision against rsatoolbox, a loop over folds, and known noise."""

from itertools import combinations

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_measurements, prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm

from alignment.errors import DataError, RequestError
from alignment.rsa.crossnobis import crossnobis, noise_precision

STIMULI, FOLDS, NEUROIDS = 7, 4, 11
NAMES = [f"s{number}" for number in range(STIMULI)]


@pytest.fixture
def recorded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Responses with correlated noise, stimulus ids and folds, each stimulus once in each fold."""
    random = np.random.default_rng(0)
    signal = np.repeat(random.standard_normal((STIMULI, NEUROIDS)), FOLDS, axis=0)
    noise = random.standard_normal((len(signal), NEUROIDS)) @ random.standard_normal((NEUROIDS, NEUROIDS)) / 2
    return signal + noise, np.repeat(NAMES, FOLDS), np.tile(np.arange(FOLDS), STIMULI)


def toolbox(values: np.ndarray, stimuli: np.ndarray, folds: np.ndarray, precision: np.ndarray | None) -> np.ndarray:
    data = Dataset(values.copy(), obs_descriptors={"stimulus": stimuli, "fold": folds})
    found = calc_rdm(data, method="crossnobis", descriptor="stimulus", cv_descriptor="fold", noise=precision)
    return found.dissimilarities[0]


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_balanced_data_give_what_rsatoolbox_gives(recorded, whiten: bool, times: int) -> None:
    values, stimuli, folds = recorded
    values = np.concatenate([values + number * np.sin(values) for number in range(times)])
    stimuli, folds = np.tile(stimuli, times), np.tile(folds, times)
    precision = noise_precision(values, stimuli=stimuli.tolist()) if whiten else None
    mixed = np.random.default_rng(1).permutation(len(values))
    found = crossnobis(
        values[mixed], stimuli=stimuli[mixed].tolist(), folds=folds[mixed].tolist(), precision=precision, subject="x"
    )
    assert (found.distance, found.subjects) == ("crossnobis/units", ("x",))
    expected = toolbox(values, stimuli, folds, precision)
    np.testing.assert_allclose(found.select(NAMES).dissimilarities[0], expected, rtol=0, atol=1e-12)


def test_missing_presentations_leave_the_pairs_of_folds_that_have_both(recorded) -> None:
    values, stimuli, folds = recorded
    kept = np.ones(len(values), bool)
    kept[[0, 5, 6, 20]] = False
    # s2 is left with one fold, and so has no distance; s1 shares only one with s0 and s5
    kept[[9, 10, 11]] = False
    precision = np.diag(np.linspace(1, 2, NEUROIDS))
    found = crossnobis(
        values[kept], stimuli=stimuli[kept].tolist(), folds=folds[kept].tolist(), precision=precision
    ).select(NAMES)
    cell = {(s, f): values[i] for i, (s, f) in enumerate(zip(stimuli, folds, strict=True)) if kept[i]}
    expected = []
    for a, b in combinations(NAMES, 2):
        shared = [f for f in range(FOLDS) if (a, f) in cell and (b, f) in cell]
        deltas = [cell[a, f] - cell[b, f] for f in shared]
        products = [d @ precision @ e / NEUROIDS for d, e in combinations(deltas, 2)]
        expected.append(np.mean(products) if products else np.nan)
    assert np.isnan(expected).sum() == STIMULI - 1 + 2
    np.testing.assert_allclose(found.dissimilarities[0], expected, rtol=0, atol=1e-12)


def test_noise_alone_has_distance_0_on_average_and_a_signal_its_own() -> None:
    random = np.random.default_rng(2)
    signal = np.array([[0.0] * 5, [0.0] * 5, [1.0] * 5])
    draws = []
    for _ in range(2000):
        values = np.concatenate([signal + random.standard_normal((3, 5)) for _ in range(3)])
        draws.append(crossnobis(values, stimuli=["a", "b", "c"] * 3, folds=np.repeat([0, 1, 2], 3)).dissimilarities[0])
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - [0, 1, 1]) < 4 * error).all()
    assert (error < 0.03).all()
    # without cross-validation the noise of two means of three would add 2/3
    assert np.mean(draws, axis=0)[0] < 0.1


@pytest.mark.parametrize("n_repetitions", [2, 6])
def test_precision_is_that_of_rsatoolbox_with_the_freedom_of_residuals(n_repetitions: int) -> None:
    random = np.random.default_rng(3)
    values = random.standard_normal((STIMULI * n_repetitions, NEUROIDS)) @ random.standard_normal((NEUROIDS, NEUROIDS))
    stimuli = np.repeat(NAMES, n_repetitions)
    data = Dataset(values.copy(), obs_descriptors={"stimulus": stimuli})
    found = noise_precision(values, stimuli=stimuli.tolist())
    np.testing.assert_allclose(found, prec_from_unbalanced(data, "stimulus", method="shrinkage_diag"), rtol=1e-9)
    # it takes the freedom of condition means for that of residuals unless told
    freedom = STIMULI * (n_repetitions - 1)
    theirs = prec_from_measurements(data, "stimulus", dof=freedom, method="shrinkage_diag")
    np.testing.assert_allclose(found, theirs, rtol=1e-9)


def test_precision_of_unequal_repetitions_within_sessions(recorded) -> None:
    values, stimuli, _ = recorded
    sessions = np.where(np.arange(len(values)) % 5 < 2, "first", "second")
    # drifts between sessions are no noise
    drifting = values + np.where(sessions == "first", 100.0, -100.0)[:, None]
    cells = np.array([f"{s} {t}" for s, t in zip(stimuli, sessions, strict=True)])
    data = Dataset(values.copy(), obs_descriptors={"cell": cells})
    found = noise_precision(drifting, stimuli=stimuli.tolist(), sessions=sessions.tolist())
    np.testing.assert_allclose(found, prec_from_unbalanced(data, "cell", method="shrinkage_diag"), rtol=1e-9)


def test_much_data_give_the_precision_of_the_noise_itself() -> None:
    random = np.random.default_rng(4)
    mixing = np.eye(5) + random.standard_normal((5, 5)) / 4
    stimuli = np.repeat(np.arange(1000), 20)
    values = 10 * random.standard_normal((1000, 5))[stimuli] + random.standard_normal((20_000, 5)) @ mixing
    found = noise_precision(values, stimuli=[str(number) for number in stimuli])
    expected = np.linalg.inv(mixing.T @ mixing)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 * np.abs(expected).max())


def test_more_neuroids_than_presentations_are_shrunk_until_they_invert() -> None:
    values = np.random.default_rng(5).standard_normal((12, 40))
    found = noise_precision(values, stimuli=["a", "b", "c"] * 4)
    assert np.linalg.eigvalsh(found).min() > 0


def test_bad_presentations_are_named_in_one_line(recorded) -> None:
    values, stimuli, folds = recorded
    given = {"stimuli": stimuli.tolist(), "folds": folds.tolist()}
    gap = values.copy()
    gap[3, 2] = np.nan
    for responses, change, message in [
        (values[0], {}, "is not \\(presentation, neuroid\\)"),
        (values, {"stimuli": ["a"]}, "1 stimulus ids for 28"),
        (values, {"folds": [0]}, "1 fold labels for 28"),
        (values, {"folds": [0] * 28}, "between 2 at least"),
        (values, {"precision": np.eye(3)}, r"precision is \(3, 3\)"),
        (values, {"precision": np.triu(np.ones((NEUROIDS, NEUROIDS)))}, "not symmetric"),
    ]:
        with pytest.raises(RequestError, match=message):
            crossnobis(responses, **given | change)
    with pytest.raises(DataError, match="1 neuroids, neuroid 2 first"):
        crossnobis(gap, **given)
    with pytest.raises(DataError, match="every entry"):
        crossnobis(values[:3], stimuli=["a", "b", "c"], folds=[0, 1, 2])


def test_noise_that_cannot_be_estimated_is_named_in_one_line(recorded) -> None:
    values, stimuli, _ = recorded
    with pytest.raises(DataError, match="noise shows where one is shown twice"):
        noise_precision(values[:2], stimuli=["a", "b"])
    with pytest.raises(RequestError, match="1 sessions for 28"):
        noise_precision(values, stimuli=stimuli.tolist(), sessions=["x"])
    still = values.copy()
    still[:, 4] = np.repeat(np.linspace(0.1, 0.7, STIMULI), FOLDS)
    with pytest.raises(DataError, match="1 neuroids, neuroid 4 first, do not vary"):
        noise_precision(still, stimuli=stimuli.tolist())
    with pytest.raises(DataError, match="3 neuroids from 1 degrees of freedom has no inverse"):
        noise_precision(values[:2, :3], stimuli=["a", "a"])
