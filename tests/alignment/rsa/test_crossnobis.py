"""Cross-validated distances against rsatoolbox, a loop over folds, and known noise."""

from itertools import combinations

import numpy as np
import pytest
import torch
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm

from alignment.encoding import TensorFeatures
from alignment.errors import DataError, RequestError
from alignment.rsa.crossnobis import crossnobis, crossnobis_of_trials
from alignment.rsa.noise import noise_precision

# of rsatoolbox
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast")

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
def test_balanced_data_give_what_rsatoolbox_gives(recorded, whiten: bool, times: int) -> None:
    values, stimuli, folds = recorded
    values = np.concatenate([values + number * np.sin(values) for number in range(times)])
    stimuli, folds = np.tile(stimuli, times), np.tile(folds, times)
    precision = noise_precision(torch.from_numpy(values), stimuli=stimuli.tolist()) if whiten else None
    expected = toolbox(values, stimuli, folds, None if precision is None else precision.numpy())
    mixed = np.random.default_rng(1).permutation(len(values))
    given = {"stimuli": stimuli[mixed].tolist(), "folds": folds[mixed].tolist(), "precision": precision}
    for feature_chunk in (None, 1, 4):
        source = TensorFeatures(torch.from_numpy(values[mixed]))
        found = crossnobis(source, **given, subject="x", feature_chunk=feature_chunk)
        assert (found.distance, found.subjects) == ("crossnobis/units", ("x",))
        np.testing.assert_allclose(found.select(NAMES).dissimilarities[0], expected, rtol=0, atol=1e-12)


def test_a_mean_a_million_times_the_spread_costs_nothing(recorded) -> None:
    values, stimuli, folds = recorded
    given = {"stimuli": stimuli.tolist(), "folds": folds.tolist()}
    shifted = torch.from_numpy(values + 1e6 * np.arange(1, NEUROIDS + 1))
    for precision in (None, noise_precision(torch.from_numpy(values), stimuli=given["stimuli"])):
        found = crossnobis(shifted, **given, precision=precision).dissimilarities
        expected = crossnobis(shifted - shifted[0], **given, precision=precision).dissimilarities
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_float32_responses_are_summed_in_float64(recorded) -> None:
    values, stimuli, folds = recorded
    single = torch.from_numpy(values).float()
    found = crossnobis(single, stimuli=stimuli.tolist(), folds=folds.tolist())
    expected = toolbox(single.double().numpy(), stimuli, folds, None)
    np.testing.assert_allclose(found.dissimilarities[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shrinkage", "method"), [("diagonal", "shrinkage_diag"), ("identity", "shrinkage_eye")])
def test_trials_give_what_rsatoolbox_gives_with_their_noise(recorded, shrinkage: str, method: str) -> None:
    values, stimuli, folds = recorded
    trials = values.reshape(STIMULI, FOLDS, NEUROIDS).transpose(0, 2, 1)
    found = crossnobis_of_trials(trials, stimuli=NAMES, shrinkage=shrinkage, subject="x")
    data = Dataset(values.copy(), obs_descriptors={"stimulus": stimuli})
    expected = toolbox(values, stimuli, folds, prec_from_unbalanced(data, "stimulus", method=method))
    np.testing.assert_allclose(found.dissimilarities[0], expected, rtol=0, atol=1e-10)
    assert (found.stimuli, found.subjects) == (tuple(NAMES), ("x",))


def test_trials_that_are_missing_are_left_out(recorded) -> None:
    values, stimuli, folds = recorded
    trials = values.reshape(STIMULI, FOLDS, NEUROIDS).transpose(0, 2, 1).copy()
    trials[2, :, 1] = trials[4, :, 3] = np.nan
    kept = np.ones(len(values), bool)
    kept[[2 * FOLDS + 1, 4 * FOLDS + 3]] = False
    given = {"stimuli": stimuli[kept].tolist(), "folds": folds[kept].tolist()}
    shown = torch.from_numpy(values[kept])
    expected = crossnobis(shown, **given, precision=noise_precision(shown, stimuli=given["stimuli"]))
    np.testing.assert_allclose(
        crossnobis_of_trials(trials, stimuli=NAMES).dissimilarities, expected.dissimilarities, rtol=0, atol=1e-12
    )
    trials[3, 5, 0] = np.nan
    with pytest.raises(DataError, match="1 neuroids miss trial 0 of 's3'"):
        crossnobis_of_trials(trials, stimuli=NAMES)
    trials[3] = np.nan
    with pytest.raises(DataError, match="1 stimuli, 's3' first, have no trial"):
        crossnobis_of_trials(trials, stimuli=NAMES)
    with pytest.raises(RequestError, match="of 1 stimuli"):
        crossnobis_of_trials(trials, stimuli=["a"])


def test_missing_presentations_leave_the_pairs_of_folds_that_have_both(recorded) -> None:
    values, stimuli, folds = recorded
    kept = np.ones(len(values), bool)
    kept[[0, 5, 6, 20]] = False
    # s2 is left with one fold, and so has no distance; s1 shares only one with s0 and s5
    kept[[9, 10, 11]] = False
    precision = np.diag(np.linspace(1, 2, NEUROIDS))
    found = crossnobis(
        torch.from_numpy(values[kept]),
        stimuli=stimuli[kept].tolist(),
        folds=folds[kept].tolist(),
        precision=torch.from_numpy(precision),
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
        found = crossnobis(torch.from_numpy(values), stimuli=["a", "b", "c"] * 3, folds=[0, 0, 0, 1, 1, 1, 2, 2, 2])
        draws.append(found.dissimilarities[0])
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - [0, 1, 1]) < 4 * error).all()
    assert (error < 0.03).all()
    # without cross-validation the noise of two means of three would add 2/3
    assert np.mean(draws, axis=0)[0] < 0.1


def test_bad_presentations_are_named_in_one_line(recorded) -> None:
    responses, stimuli, folds = recorded
    values = torch.from_numpy(responses)
    given = {"stimuli": stimuli.tolist(), "folds": folds.tolist()}
    gap = values.clone()
    gap[3, 2] = np.nan
    for given_values, change, message in [
        (values[0], {}, "give a floating point matrix"),
        (values, {"stimuli": ["a"]}, "1 stimulus ids for 28"),
        (values, {"feature_chunk": 0}, "feature_chunk is 0"),
        (values, {"folds": [0]}, "1 fold labels for 28"),
        (values, {"folds": [0] * 28}, "between 2 at least"),
        (values, {"precision": torch.eye(3)}, r"precision is \(3, 3\)"),
        (
            values,
            {"precision": torch.eye(NEUROIDS).index_put((torch.tensor(0), torch.tensor(1)), torch.tensor(0.5))},
            "not symmetric",
        ),
    ]:
        with pytest.raises(RequestError, match=message):
            crossnobis(given_values, **given | change)
    with pytest.raises(DataError, match="units 0 to 11 hold a NaN"):
        crossnobis(gap, **given)
    with pytest.raises(DataError, match="every entry"):
        crossnobis(values[:3], stimuli=["a", "b", "c"], folds=[0, 1, 2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("whiten", [False, True])
def test_gpu_and_cpu_agree(recorded, whiten: bool) -> None:
    values, stimuli, folds = recorded
    x = torch.from_numpy(values)
    given = {"stimuli": stimuli.tolist(), "folds": folds.tolist()}
    found = []
    for device in ("cpu", "cuda"):
        precision = noise_precision(x, stimuli=given["stimuli"], device=device) if whiten else None
        found.append(crossnobis(x, **given, precision=precision, feature_chunk=4, device=device).dissimilarities)
    np.testing.assert_allclose(*found, rtol=0, atol=1e-11)
