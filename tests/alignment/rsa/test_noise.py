"""Noise precision against rsatoolbox and known noise; whitened patterns against a dense product."""

import numpy as np
import pytest
import torch
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_measurements, prec_from_unbalanced

from alignment.encoding import TensorFeatures
from alignment.encoding.features import ColumnReader
from alignment.errors import DataError, RequestError
from alignment.rsa import noise
from alignment.rsa.noise import Whitened, group_means, noise_precision, root_of_precision

STIMULI, FOLDS, NEUROIDS = 7, 4, 11
NAMES = [f"s{number}" for number in range(STIMULI)]
METHODS = {"diagonal": "shrinkage_diag", "identity": "shrinkage_eye"}


@pytest.fixture
def recorded() -> tuple[np.ndarray, np.ndarray]:
    """Responses with correlated noise, and the stimulus of each."""
    random = np.random.default_rng(0)
    signal = np.repeat(random.standard_normal((STIMULI, NEUROIDS)), FOLDS, axis=0)
    noise_of = random.standard_normal((len(signal), NEUROIDS)) @ random.standard_normal((NEUROIDS, NEUROIDS)) / 2
    return signal + noise_of, np.repeat(NAMES, FOLDS)


def test_every_shrinkage_has_a_reference() -> None:
    assert set(METHODS) == set(noise.SHRINKAGES)


@pytest.mark.parametrize("shrinkage", METHODS)
@pytest.mark.parametrize("n_repetitions", [2, 6])
def test_precision_is_that_of_rsatoolbox_with_the_freedom_of_residuals(n_repetitions: int, shrinkage: str) -> None:
    random = np.random.default_rng(3)
    values = random.standard_normal((STIMULI * n_repetitions, NEUROIDS)) @ random.standard_normal((NEUROIDS, NEUROIDS))
    stimuli = np.repeat(NAMES, n_repetitions)
    data = Dataset(values.copy(), obs_descriptors={"stimulus": stimuli})
    found = noise_precision(torch.from_numpy(values), stimuli=stimuli.tolist(), shrinkage=shrinkage)
    expected = prec_from_unbalanced(data, "stimulus", method=METHODS[shrinkage])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    # it takes the freedom of condition means for that of residuals unless told
    freedom = STIMULI * (n_repetitions - 1)
    theirs = prec_from_measurements(data, "stimulus", dof=freedom, method=METHODS[shrinkage])
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shrinkage", METHODS)
def test_precision_of_unequal_repetitions_within_sessions(recorded, shrinkage: str) -> None:
    values, stimuli = recorded
    sessions = np.where(np.arange(len(values)) % 5 < 2, "first", "second")
    # drifts between sessions are no noise
    drifting = values + np.where(sessions == "first", 100.0, -100.0)[:, None]
    cells = np.array([f"{s} {t}" for s, t in zip(stimuli, sessions, strict=True)])
    data = Dataset(values.copy(), obs_descriptors={"cell": cells})
    found = noise_precision(
        torch.from_numpy(drifting), stimuli=stimuli.tolist(), sessions=sessions.tolist(), shrinkage=shrinkage
    )
    expected = prec_from_unbalanced(data, "cell", method=METHODS[shrinkage])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shrinkage", METHODS)
def test_much_data_give_the_precision_of_the_noise_itself(shrinkage: str) -> None:
    random = np.random.default_rng(4)
    mixing = np.eye(5) + random.standard_normal((5, 5)) / 4
    stimuli = np.repeat(np.arange(1000), 20)
    values = 10 * random.standard_normal((1000, 5))[stimuli] + random.standard_normal((20_000, 5)) @ mixing
    found = noise_precision(torch.from_numpy(values), stimuli=[str(number) for number in stimuli], shrinkage=shrinkage)
    expected = np.linalg.inv(mixing.T @ mixing)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("shrinkage", METHODS)
def test_more_neuroids_than_presentations_are_shrunk_until_they_invert(shrinkage: str) -> None:
    values = torch.from_numpy(np.random.default_rng(5).standard_normal((12, 40)))
    found = noise_precision(values, stimuli=["a", "b", "c"] * 4, shrinkage=shrinkage)
    assert np.linalg.eigvalsh(found).min() > 0
    torch.testing.assert_close(found, found.T, rtol=0, atol=0)


def test_the_noise_of_one_neuroid_is_its_variance() -> None:
    values = torch.tensor([[1.0], [3.0], [5.0], [9.0]], dtype=torch.float64)
    for shrinkage in METHODS:
        found = noise_precision(values, stimuli=["a", "a", "b", "b"], shrinkage=shrinkage)
        assert found.item() == pytest.approx(1 / 5)


@pytest.mark.parametrize("width", [1, 4, 100])
def test_whitened_units_are_those_of_a_dense_product(recorded, width: int) -> None:
    values = torch.from_numpy(recorded[0])
    precision = noise_precision(values, stimuli=recorded[1].tolist())
    factor = root_of_precision(precision, n_units=NEUROIDS, device=values.device)
    np.testing.assert_allclose(factor @ factor.T, precision, atol=1e-12)
    source = Whitened(TensorFeatures(values), factor, ColumnReader(width, values.device))
    expected = (values - values.mean(0)) @ factor
    assert source.shape == values.shape
    for start, stop in ((0, 11), (2, 3), (5, 10)):
        np.testing.assert_allclose(source.columns(start, stop), expected[:, start:stop], rtol=0, atol=1e-12)


def test_means_of_groups_are_those_of_a_loop() -> None:
    values = torch.arange(12, dtype=torch.float64).view(6, 2).square()
    group = torch.tensor([3, 0, 3, 3, 0, 5])
    found = group_means(values, group, count=7)
    for number in range(7):
        own = values[group == number]
        expected = own.mean(0) if len(own) else torch.zeros(2, dtype=torch.float64)
        torch.testing.assert_close(found[number], expected)


def test_noise_that_cannot_be_estimated_is_named_in_one_line(recorded, monkeypatch) -> None:
    responses, stimuli = recorded
    values, names = torch.from_numpy(responses), stimuli.tolist()
    still, gap = values.clone(), values.clone()
    still[:, 4] = torch.linspace(0.1, 0.7, STIMULI, dtype=torch.float64).repeat_interleave(FOLDS)
    gap[3, 2] = float("nan")
    for refused, message in [
        (lambda: noise_precision(values[:2], stimuli=["a", "b"]), "noise shows where one is shown twice"),
        (lambda: noise_precision(still, stimuli=names), "1 neuroids, neuroid 4 first, do not vary"),
        (lambda: noise_precision(gap, stimuli=names), "1 neuroids, neuroid 2 first, hold a NaN"),
        (lambda: noise_precision(values[:2, :3], stimuli=["a", "a"]), "3 neuroids from 1 degrees of freedom has no"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            refused()
        assert "\n" not in str(caught.value)
    for options, message in [
        ({"stimuli": ["a"]}, "1 stimulus ids for 28"),
        ({"stimuli": names, "sessions": ["x"]}, "1 sessions for 28"),
        ({"stimuli": names, "shrinkage": "diag"}, "did you mean diagonal"),
    ]:
        with pytest.raises(RequestError, match=message):
            noise_precision(values, **options)
    with pytest.raises(RequestError, match="is not \\(presentation, neuroid\\)"):
        noise_precision(values[0], stimuli=names)
    monkeypatch.setattr(noise, "MOST_NEUROIDS", 10)
    with pytest.raises(DataError, match="select 10 neuroids at most"):
        noise_precision(values, stimuli=names)
