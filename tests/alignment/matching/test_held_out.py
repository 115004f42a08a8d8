"""Held-out correlations of matched units against SciPy, on explicitly repeated stimuli where they are weighted."""

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.encoding import RowSubset, TensorFeatures
from alignment.errors import RequestError
from alignment.matching import (
    Matching,
    match_best_unit,
    match_one_to_one,
    match_soft,
    matched_correlations,
    resampled_matched_correlations,
)


def features(n: int, p: int, q: int, *, common: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    shared = common * random.standard_normal((n, 4))
    x, y = (shared @ random.standard_normal((4, w)) + random.standard_normal((n, w)) + 4 for w in (p, q))
    return torch.from_numpy(x), torch.from_numpy(y)


def by_hand(matching: Matching, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = np.zeros(y.shape[1])
    for unit, neuroid, weight in zip(matching.units, matching.neuroids, matching.weights, strict=True):
        total[neuroid] += weight * stats.pearsonr(x[:, unit], y[:, neuroid]).statistic
    return total


@pytest.mark.parametrize("match", [match_best_unit, match_one_to_one, match_soft])
@pytest.mark.parametrize(("p", "q"), [(30, 7), (5, 12)])
def test_each_neuroid_is_judged_by_its_units(match, p: int, q: int) -> None:
    x, y = features(60, p, q)
    matching = match(x[:40], y[:40])
    expected = by_hand(matching, x[40:].numpy(), y[40:].numpy())
    np.testing.assert_allclose(matched_correlations(matching, x[40:], y[40:]), expected, atol=1e-12)
    source = RowSubset(TensorFeatures(x), torch.arange(40, 60))
    np.testing.assert_allclose(matched_correlations(matching, source, y[40:], feature_chunk=4), expected, atol=1e-12)
    counts = np.random.default_rng(1).multinomial(20, np.full(20, 1 / 20), size=15)
    repeated = [by_hand(matching, *(np.repeat(z[40:].numpy(), c, axis=0) for z in (x, y))) for c in counts]
    resampled = resampled_matched_correlations(matching, x[40:], y[40:], counts=counts, feature_chunk=4)
    np.testing.assert_allclose(resampled, repeated, atol=5e-6)


def test_the_mean_over_neuroids_is_the_sum_over_the_plan() -> None:
    x, y = features(60, 9, 6)
    matching = match_soft(x[:40], y[:40])
    plan = np.zeros((9, 6))
    plan[matching.units, matching.neuroids] = matching.weights / 6
    r = np.corrcoef(x[40:].numpy().T, y[40:].numpy().T)[:9, 9:]
    assert matched_correlations(matching, x[40:], y[40:]).mean() == pytest.approx(np.sum(plan * r), abs=1e-12)


def test_neuroids_left_over_score_0() -> None:
    x, y = features(60, 5, 12)
    matching = match_one_to_one(x[:40], y[:40])
    left_over = np.setdiff1d(np.arange(12), matching.neuroids)
    r = matched_correlations(matching, x[40:], y[40:])
    assert len(left_over) == 7 and not r[left_over].any() and r[matching.neuroids].all()


@pytest.mark.parametrize("match", [match_best_unit, match_one_to_one, match_soft])
def test_noise_that_matches_in_training_does_not_on_other_stimuli(match) -> None:
    x, y = features(240, 300, 20, common=0)
    matching = match(x[:40], y[:40])
    training, held_out = (matched_correlations(matching, x[rows], y[rows]) for rows in (slice(40), slice(40, None)))
    assert training.mean() > 0.2
    assert abs(held_out.mean()) < 0.05 and held_out.min() < 0


def test_faults_in_one_line() -> None:
    x, y = features(20, 5, 4)
    matching = match_soft(x, y)
    with pytest.raises(RequestError, match="of 5 units to 4 neuroids"):
        matched_correlations(matching, x[:, :4], y)
    with pytest.raises(RequestError, match="of 5 units to 4 neuroids"):
        resampled_matched_correlations(matching, x, y[:, :3], counts=np.ones((2, 20)))
    with pytest.raises(RequestError, match="same stimuli"):
        matched_correlations(matching, x, y[:19])
    with pytest.raises(RequestError, match="counts"):
        resampled_matched_correlations(matching, x, y, counts=np.ones((2, 19)))
