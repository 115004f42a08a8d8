"""Ceilings against simulated truth, closed forms, brute force and an independent analysis of real data."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from alignment.ceiling import (
    ncsnr,
    noise_ceiling,
    noise_ceiling_from_ncsnr,
    resampled_ceiling_from_ncsnr,
    resampled_split_half_ceiling,
    single_trials,
    split_half_ceiling,
    split_half_p_value,
)
from alignment.errors import DataError, RequestError


def sessions(truth: float, n_neuroids: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ten sessions of 750 presentations, 2500 stimuli thrice, z-scored within sessions; also the true signal."""
    stimuli = random.permutation(np.repeat(np.arange(2500), 3))
    signal = random.standard_normal((2500, n_neuroids))
    trials = truth * signal[stimuli] + random.standard_normal((7500, n_neuroids))
    by_session = trials.reshape(10, 750, n_neuroids)
    by_session = (by_session - by_session.mean(1, keepdims=True)) / by_session.std(1, ddof=1, keepdims=True)
    return by_session.reshape(7500, n_neuroids), stimuli, signal


@pytest.mark.parametrize("truth", [0.3, 0.5, 1.0, 2.0])
def test_ncsnr_recovers_the_truth(truth: float) -> None:
    trials, stimuli, _ = sessions(truth, 200, np.random.default_rng(0))
    assert ncsnr(trials, stimuli).mean() == pytest.approx(truth, abs=0.012 * max(1, truth))


def test_squared_correlation_of_the_true_signal_reaches_the_ceiling() -> None:
    trials, stimuli, signal = sessions(0.5, 200, np.random.default_rng(1))
    means = np.array([trials[stimuli == stimulus].mean(0) for stimulus in range(2500)])
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(signal.T, means.T, strict=True)])
    assert np.mean(noise_ceiling_from_ncsnr([0.5], [3]) ** 2) == pytest.approx(0.429, abs=5e-4)
    assert np.mean(r**2) == pytest.approx(0.429, abs=0.01)
    assert np.median(noise_ceiling_from_ncsnr(ncsnr(trials, stimuli), [3])) == pytest.approx(np.median(r), abs=0.01)


def test_ncsnr_uses_complete_stimuli_only_and_skips_nan() -> None:
    random = np.random.default_rng(2)
    stimuli = np.array(["c", "a", "b", "a", "c", "a", "c", "b", "d", "d", "d", "d"])
    trials = 0.5 * random.standard_normal((12, 3))
    trials[1, 1] = np.nan
    trials[[0, 1], 2] = np.nan
    of_a, of_c = (trials[stimuli == name].var(0, ddof=1) for name in "ac")
    noise = np.array([(of_a[0] + of_c[0]) / 2, of_c[1], np.nan])
    np.testing.assert_allclose(ncsnr(trials, stimuli), np.sqrt(np.maximum(0, 1 - noise) / noise))
    with pytest.raises(DataError, match="exactly 5"):
        ncsnr(trials, stimuli, repetitions=5)
    with pytest.raises(RequestError, match="presentation"):
        ncsnr(trials, stimuli[:-1])


def test_mixed_repetitions_replace_the_noise_share() -> None:
    a, b, c = 30, 20, 10
    repetitions = np.repeat([3, 2, 1], [a, b, c])
    share = (a / 3 + b / 2 + c) / (a + b + c)
    expected = [np.sqrt(0.25 / (0.25 + share)), 0, 0, 1]
    np.testing.assert_allclose(noise_ceiling_from_ncsnr([0.5, 0, np.nan, np.inf], repetitions), expected)
    with pytest.raises(RequestError, match="repetitions"):
        noise_ceiling_from_ncsnr([0.5], [3, 0])
    with pytest.raises(RequestError, match="ncsnr"):
        noise_ceiling_from_ncsnr([-0.5], [3])


@pytest.mark.parametrize("n_neuroids", [4, 5])
def test_resampled_ncsnr_ceiling_is_that_of_repeated_stimuli(n_neuroids: int) -> None:
    random = np.random.default_rng(3)
    snr, repetitions = random.random(n_neuroids), random.integers(1, 4, 20)
    counts = random.multinomial(20, np.full(20, 0.05), size=6)
    expected = [np.median(noise_ceiling_from_ncsnr(snr, np.repeat(repetitions, row))) for row in counts]
    np.testing.assert_allclose(resampled_ceiling_from_ncsnr(snr, repetitions, counts), expected)


def simulated_trials(counts: np.ndarray, snr: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    signal = random.standard_normal((len(counts), len(snr)))
    trials = signal[..., None] + random.standard_normal((*signal.shape, counts.max())) / snr[:, None]
    trials[np.broadcast_to((np.arange(counts.max()) >= counts[:, None])[:, None], trials.shape)] = np.nan
    return trials, signal


def test_equal_halves_give_the_classic_correction() -> None:
    trials, _ = simulated_trials(np.full(50, 2), np.ones(4), np.random.default_rng(4))
    one = split_half_ceiling(trials, seed=0, n_splits=1)
    np.testing.assert_allclose(one.spearman_brown, 2 * one.split_half / (1 + one.split_half))
    np.testing.assert_allclose(one.ceiling, np.sqrt(np.maximum(0, one.spearman_brown)))


def test_unequal_halves_invert_the_model_numerically() -> None:
    trials, _ = simulated_trials(np.array([3, 3, 5, 7, 2] * 20), np.array([0.4, 1, 2]), np.random.default_rng(5))
    found = split_half_ceiling(trials, seed=0, n_splits=1)
    counts = (~np.isnan(trials[:, 0])).sum(1)
    share_a, share_b, full = (np.mean(1 / n) for n in (counts // 2, counts - counts // 2, counts))
    snr = np.linspace(1e-4, 50, 2_000_001)
    between = snr / np.sqrt((snr + share_a) * (snr + share_b))
    solved = np.interp(found.split_half, between, snr)
    np.testing.assert_allclose(found.spearman_brown, solved / (solved + full), atol=1e-6)


@pytest.mark.parametrize("pattern", [[3], [1, 2, 3], [2, 5, 9], [7]])
def test_ceiling_is_the_correlation_of_the_true_signal_with_the_means(pattern: list[int]) -> None:
    counts = np.resize(pattern, 3000)
    trials, signal = simulated_trials(counts, np.linspace(0.4, 1.5, 30), np.random.default_rng(6))
    means = np.nanmean(trials, axis=2)
    truth = [np.corrcoef(a, b)[0, 1] for a, b in zip(signal.T, means.T, strict=True)]
    assert np.median(split_half_ceiling(trials, seed=0).ceiling - truth) == pytest.approx(0, abs=0.006)


def test_padding_may_differ_between_neuroids_and_lie_anywhere() -> None:
    random = np.random.default_rng(7)
    trials, _ = simulated_trials(np.full(60, 4), np.ones(6), random)
    trials[:20, 1::2, 0] = np.nan
    alone = [split_half_ceiling(trials[:, [index]], seed=3) for index in range(6)]
    together = split_half_ceiling(trials, seed=3)
    np.testing.assert_allclose(together.ceiling, [one.ceiling[0] for one in alone])
    averaged = split_half_ceiling(trials[:, ::2], seed=3, n_averaged=np.full(10, 8))
    assert np.all(averaged.ceiling > together.ceiling[::2])


def test_resampled_split_half_is_that_of_repeated_stimuli() -> None:
    trials, _ = simulated_trials(np.array([3, 4, 2] * 20), np.array([0.5, 1, 2]), np.random.default_rng(8))
    weights = np.ones((2, 60), int)
    weights[1, :30] = 3
    whole = split_half_ceiling(trials, seed=0)
    found = resampled_split_half_ceiling(trials, weights, seed=0)
    assert found[0] == pytest.approx(np.median(whole.ceiling), abs=1e-5)
    assert found[1] != pytest.approx(found[0], abs=1e-3)
    truths = [np.median(split_half_ceiling(t, seed=0).ceiling) for t in (trials[:30], trials[30:])]
    assert min(truths) - 0.1 < found[1] < max(truths) + 0.1


def test_p_value_tells_signal_from_noise_shared_by_neuroids() -> None:
    random = np.random.default_rng(9)
    p_values = []
    for seed in range(100):
        noise = random.standard_normal((30, 1, 3)) + 0.5 * random.standard_normal((30, 12, 3))
        p_values.append(split_half_p_value([noise], seed=seed, n_permutations=60))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.10
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)
    trials, _ = simulated_trials(np.full(60, 3), np.full(12, 0.7), random)
    assert split_half_p_value([trials, trials[::-1]], seed=0, n_permutations=200) == pytest.approx(1 / 201)


def test_a_missing_trial_of_one_neuroid_makes_noise_no_more_reliable() -> None:
    noise = np.random.default_rng(3).standard_normal((60, 10, 4))
    whole = split_half_p_value([noise], seed=0, n_permutations=200)
    noise[3, 7, 1] = np.nan
    noise[9, 2, 3] = np.nan
    assert split_half_p_value([noise], seed=0, n_permutations=200) == pytest.approx(whole, abs=0.1)
    assert whole > 0.2


def responses_of(trials: np.ndarray) -> xr.DataArray:
    stimulus, repetition = np.nonzero(~np.isnan(trials[:, 0]))
    order = np.argsort(repetition, kind="stable")
    values = trials[stimulus[order], :, repetition[order]]
    return xr.DataArray(
        values[..., None],
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus": ("presentation", [f"image{s}" for s in stimulus[order]]),
            "roi": ("neuroid", ["V4"] * trials.shape[1]),
            "time_bin": [0.0],
        },
    )


def test_noise_ceiling_takes_ncsnr_where_stated_and_single_trials_elsewhere() -> None:
    trials, _ = simulated_trials(np.array([3, 1, 2] * 10), np.array([0.5, 1.0]), np.random.default_rng(10))
    responses = responses_of(trials)
    np.testing.assert_array_equal(single_trials(responses).values, trials)
    halves = noise_ceiling(responses, seed=5)
    np.testing.assert_allclose(halves, split_half_ceiling(trials, seed=5).ceiling)
    stated = noise_ceiling(responses.assign_coords(ncsnr=("neuroid", [0.5, np.nan])))
    np.testing.assert_allclose(stated, noise_ceiling_from_ncsnr([0.5, 0], [3, 1, 2] * 10))
    assert (halves.attrs["method"], stated.attrs["method"]) == ("split_half", "ncsnr")
    assert halves.dims == ("neuroid",)
    assert list(halves["roi"].values) == ["V4", "V4"]
    fewer = noise_ceiling(responses.assign_coords(ncsnr=("neuroid", [0.5, 0.5])), n_averaged=[1, 1])
    np.testing.assert_allclose(fewer, np.sqrt(0.25 / 1.25))


def test_bad_trials_are_named() -> None:
    with pytest.raises(DataError, match="fewer than 3 stimuli"):
        split_half_ceiling(np.random.default_rng(0).standard_normal((20, 2, 1)), seed=0)
    with pytest.raises(RequestError, match="stimulus, neuroid, repetition"):
        split_half_ceiling(np.zeros((3, 2)), seed=0)
    with pytest.raises(RequestError, match="time bins"):
        single_trials(
            xr.DataArray(np.zeros((2, 1, 2)), dims=("presentation", "neuroid", "time_bin")).assign_coords(
                stimulus=("presentation", ["a", "b"])
            )
        )


def test_macaque_v4_has_the_published_ceiling(shared_data: Path) -> None:
    raw = np.load(shared_data / "cowley2023/data_V4_responses/responses_raw/responses_210325.npy")
    trials = raw.transpose(1, 0, 2)
    found = split_half_ceiling(trials, seed=0)
    assert trials.shape == (640, 50, 10)
    assert np.median(found.split_half) == pytest.approx(0.60, abs=0.02)
    assert np.median(found.spearman_brown) == pytest.approx(0.75, abs=0.02)
    assert np.median(found.ceiling) == pytest.approx(0.866, abs=0.02)
    assert split_half_p_value([trials], seed=0, n_permutations=99) == pytest.approx(0.01)
