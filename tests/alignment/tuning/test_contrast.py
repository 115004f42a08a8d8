"""Differences over stimuli and seeds: closed forms, and how often intervals hold what they should."""

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.samples import Samples
from alignment.tuning.contrast import contrast

N_STIMULI, N_RESAMPLES = 80, 200


def scores(effects: np.ndarray, counts: np.ndarray) -> Samples:
    """Of a measure that is a mean over stimuli: (stimulus,) effects, and the same under resampled counts."""
    return Samples(
        np.array([effects.mean()]), (counts @ effects / len(effects))[None], n_stimuli=len(effects), subjects="fixed"
    )


def resamples(rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI), size=N_RESAMPLES)


def test_without_noise_of_stimuli_it_is_the_t_interval_over_seeds():
    differences = np.array([0.02, 0.05, 0.03, 0.06, 0.01])
    constant = np.ones((1, N_RESAMPLES))
    a = [Samples(np.array([0.5 + each]), (0.5 + each) * constant, n_stimuli=100) for each in differences]
    b = [Samples(np.array([0.5]), 0.5 * constant, n_stimuli=100)] * 5
    found = contrast(a, b)
    low, high = stats.t.interval(0.95, 4, loc=differences.mean(), scale=stats.sem(differences))
    assert found.estimate.low == pytest.approx(low, abs=1e-12)
    assert found.estimate.high == pytest.approx(high, abs=1e-12)
    assert found.of_seeds == pytest.approx(1) and found.n_seeds == 5


def test_of_seeds_that_agree_the_interval_is_that_over_stimuli():
    rng = np.random.default_rng(0)
    counts = resamples(rng)
    a, b = scores(rng.normal(0.3, 1, N_STIMULI), counts), scores(rng.normal(0, 1, N_STIMULI), counts)
    alone = a.minus(b).estimate()
    for seeds in (1, 4):
        found = contrast([a] * seeds, [b] * seeds)
        assert found.estimate.value == pytest.approx(alone.value, abs=1e-12)
        assert found.of_seeds == 0
        # Satterthwaite leaves the degrees of freedom of the stimuli as they are where seeds add no variance
        assert found.estimate.high == pytest.approx(alone.high, abs=1e-9)


def test_intervals_hold_the_true_difference_over_fresh_stimuli_and_seeds():
    rng = np.random.default_rng(1)
    truth, inside, ignoring_seeds, runs = 0.1, 0, 0, 400
    for _ in range(runs):
        counts, common = resamples(rng), rng.normal(0, 1, N_STIMULI)
        a = [scores(truth + 0.3 * common + rng.normal(0, 0.05), counts) for _ in range(5)]
        b = [scores(rng.normal(0, 0.05) + np.zeros(N_STIMULI), counts) for _ in range(5)]
        found = contrast(a, b).estimate
        inside += found.low <= truth <= found.high
        first = a[0].minus(b[0]).estimate()
        ignoring_seeds += first.low <= truth <= first.high
    # 95 % with a binomial error of 1.1 %; one seed alone, whose interval knows stimuli only, is far off
    assert 0.925 <= inside / runs <= 0.98
    assert ignoring_seeds / runs < 0.75


def test_other_numbers_of_seeds_and_other_resamples_are_refused():
    rng = np.random.default_rng(2)
    counts = resamples(rng)
    one = scores(rng.normal(size=N_STIMULI), counts)
    with pytest.raises(RequestError, match="2 and 1 seeds"):
        contrast([one, one], [one])
    with pytest.raises(RequestError, match="0 and 0 seeds"):
        contrast([], [])
    fewer = scores(rng.normal(size=N_STIMULI), counts[:100])
    with pytest.raises(RequestError, match="not of the same subjects"):
        contrast([one], [fewer])
    with pytest.raises(RequestError, match="not of the same subjects"):
        contrast([one, fewer], [one, fewer])
