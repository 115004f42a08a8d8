"""Ceilings against the truth they were simulated from."""

import numpy as np
import pytest
import xarray as xr

from alignment.errors import DataError
from benchmarks.datasets.ceilings import from_ncsnr, from_trials, resampled

SNR = np.array([0.0, 0.3, 0.6, 1.0, 2.0])


def simulated(*, stimuli: int, repetitions: int) -> xr.DataArray:
    random = np.random.default_rng(0)
    signal = random.normal(size=(stimuli, len(SNR), 1)) * SNR[:, None]
    trials = signal + random.normal(size=(stimuli, len(SNR), repetitions))
    return xr.DataArray(trials, dims=("stimulus", "neuroid", "repetition"), coords={"neuroid": np.arange(len(SNR))})


def test_split_half_tracks_the_truth() -> None:
    result = from_trials(simulated(stimuli=4000, repetitions=6), seed=0, name="mine")
    assert result is not None
    np.testing.assert_allclose(result["ceiling"][1:], np.sqrt(SNR**2 / (SNR**2 + 1 / 6))[1:], atol=0.02)
    assert result["p_value"] < 0.01
    assert result["ceiling"].dims == ("neuroid",)


def test_noise_is_not_reliable() -> None:
    noise = simulated(stimuli=200, repetitions=4).isel(neuroid=[0])
    result = from_trials(noise, seed=0, name="mine")
    assert result is not None
    assert result["p_value"] > 0.05


def test_no_repetition_no_ceiling() -> None:
    assert from_trials(simulated(stimuli=20, repetitions=1), seed=0, name="mine") is None
    few = simulated(stimuli=20, repetitions=2)
    few[2:, :, 1] = np.nan
    assert from_trials(few, seed=0, name="mine") is None


def test_a_neuroid_without_repetitions_among_others() -> None:
    trials = simulated(stimuli=20, repetitions=2)
    trials[:, 3, 1] = np.nan
    with pytest.raises(DataError, match="mine: neuroid 3 has fewer than 3 repeated test stimuli"):
        from_trials(trials, seed=0, name="mine")


def test_ncsnr_is_the_closed_form() -> None:
    responses = xr.DataArray(
        np.zeros((4, 5, 1)),
        dims=("stimulus", "neuroid", "time_bin"),
        coords={"ncsnr": ("neuroid", SNR), "repetitions": ("stimulus", [1, 2, 2, 4]), "neuroid": np.arange(5)},
    )
    result = from_ncsnr(responses, p_value=float("nan"))
    noise = (1 + 1 / 2 + 1 / 2 + 1 / 4) / 4
    np.testing.assert_allclose(result["ceiling"], np.sqrt(SNR**2 / (SNR**2 + noise)))
    assert np.isnan(result["p_value"])


def test_resamples_of_all_stimuli_once_give_the_ceiling_itself() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(40, 6))
    trials = xr.DataArray(
        signal[..., None] + rng.normal(size=(40, 6, 4)),
        dims=("stimulus", "neuroid", "repetition"),
        coords={"stimulus": [f"s{i}" for i in range(40)], "neuroid": np.arange(6)},
    )
    ceiling = from_trials(trials, seed=3, name="mine")
    assert ceiling is not None
    ids = [f"s{i}" for i in range(40)][::-1]
    once = np.ones((2, 40), dtype=int)
    np.testing.assert_allclose(resampled(ceiling, ids, once), np.median(ceiling["ceiling"]), rtol=1e-6)
    without = once.copy()
    without[0, ids.index("s7")] = 0
    rest = from_trials(trials.isel(stimulus=[i for i in range(40) if i != 7]), seed=3, name="mine")
    assert rest is not None
    assert resampled(ceiling, ids, without)[0] == pytest.approx(float(np.median(rest["ceiling"])), abs=0.02)


def test_a_ceiling_from_ncsnr_moves_with_the_repetitions_of_the_resampled_stimuli() -> None:
    ceiling = xr.Dataset(
        {
            "ceiling": ("neuroid", [np.sqrt(1 / (1 + (1 + 1 / 3) / 2))]),
            "ncsnr": ("neuroid", [1.0]),
            "repetitions": ("stimulus", [1, 3]),
        },
        coords={"stimulus": ["a", "b"]},
    )
    got = resampled(ceiling, ["b", "a"], np.array([[2, 0], [0, 2], [1, 1]]))
    np.testing.assert_allclose(got, [np.sqrt(1 / (1 + 1 / 3)), np.sqrt(1 / 2), np.sqrt(1 / (1 + 2 / 3))])


def test_a_ceiling_of_trials_without_ids_is_not_taken_for_a_fixed_one() -> None:
    trials = np.random.default_rng(0).normal(size=(6, 2, 4))
    ceiling = xr.Dataset(
        {"ceiling": ("neuroid", [0.5, 0.6]), "trials": (("stimulus", "neuroid", "repetition"), trials)}
    )
    with pytest.raises(DataError, match="stimulus"):
        resampled(ceiling, [], np.ones((2, 6), int))
