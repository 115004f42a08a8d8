import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from alignment.encoding import TensorFeatures
from benchmarks.neural import units
from benchmarks.neural.fits import fit_splits
from benchmarks.neural.matched import best_unit, one_to_one
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.scoring import evaluated
from benchmarks.neural.target import inner_folds


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(unit, neuroid)."""
    return np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]


def assigned(x: np.ndarray, y: np.ndarray) -> list[tuple[int, int]]:
    return [
        (int(unit), int(neuroid)) for unit, neuroid in zip(*linear_sum_assignment(-correlations(x, y)), strict=True)
    ]


def best(x: np.ndarray, y: np.ndarray) -> list[tuple[int, int]]:
    return [(int(unit), neuroid) for neuroid, unit in enumerate(correlations(x, y).argmax(0))]


def judged_by_hand(pairs: list[tuple[int, int]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r = np.zeros(y.shape[1])
    for unit, neuroid in pairs:
        r[neuroid] = np.corrcoef(x[:, unit], y[:, neuroid])[0, 1]
    return r


@pytest.mark.parametrize("make", [one_to_one, best_unit])
def test_a_planted_permutation_of_units_scores_1(make, target_of):
    x = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    y = 3 * x[:, [7, 2, 11, 0]] + 5
    fits = fit_splits(torch.from_numpy(x), target_of(y).observed("cpu"), target=target_of(y), regression=make())
    np.testing.assert_allclose(fits["r"].values, 1, atol=1e-6)
    np.testing.assert_allclose(fits["cv_score"].values, 1, atol=1e-6)


@pytest.mark.parametrize(("make", "pairs_of"), [(one_to_one, assigned), (best_unit, best)])
@pytest.mark.parametrize("n_units", [9, 4])
def test_units_and_scores_are_those_found_by_hand(make, pairs_of, n_units, target_of):
    """With 4 units for 6 neuroids, a one-to-one matching leaves two neuroids over, which score 0."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(60, 6)).astype(np.float32)
    x = (y @ rng.normal(size=(6, n_units)) + rng.normal(size=(60, n_units))).astype(np.float32)
    target = target_of(y)
    fits = fit_splits(torch.from_numpy(x), target.observed("cpu"), target=target, regression=make())
    for fold, split in enumerate(target.splits):
        train, test = (rows.numpy() for rows in target.rows(split))
        r = judged_by_hand(pairs_of(x[train], y[train]), x[test], y[test])
        np.testing.assert_allclose(fits["r"].values[fold], r, atol=1e-6)
        inner = inner_folds(split).numpy()
        scores = [
            judged_by_hand(
                pairs_of(x[train][inner != number], y[train][inner != number]),
                x[train][inner == number],
                y[train][inner == number],
            )
            for number in range(5)
        ]
        np.testing.assert_allclose(fits["cv_score"].values[fold], np.mean(scores, axis=0), atol=1e-6)
    assert (np.count_nonzero(fits["r"].values == 0, axis=1) == (2 if (make, n_units) == (one_to_one, 4) else 0)).all()


def test_a_layer_too_large_to_hold_gives_the_same(target_of, monkeypatch):
    rng = np.random.default_rng(2)
    x, y = torch.from_numpy(rng.normal(size=(40, 600))).float(), rng.normal(size=(40, 5))
    target = target_of(y)
    held = fit_splits(x, target.observed("cpu"), target=target, regression=one_to_one())
    monkeypatch.setattr(units, "RESIDENT_BYTES", 1000)
    streamed = fit_splits(TensorFeatures(x), target.observed("cpu"), target=target, regression=one_to_one())
    np.testing.assert_array_equal(streamed["predicted"].values, held["predicted"].values)
    np.testing.assert_allclose(streamed["cv_score"].values, held["cv_score"].values, atol=1e-12)


def test_units_are_drawn_where_that_is_asked_for(target_of, shown):
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(60, 200))).float()
    y = x[:, :4].numpy()
    target = target_of(y)
    every, few = (Predicting(best_unit(count)).measure([x], target, shown=shown)[0] for count in (None, 20))
    np.testing.assert_allclose(every["r"].values, 1, atol=1e-6)
    assert np.median(few["r"].values) < 0.6


def test_resamples_in_which_every_stimulus_stands_once_give_the_score(target_of):
    rng = np.random.default_rng(4)
    y = rng.normal(size=(60, 6))
    target = target_of(y)
    x = torch.from_numpy(y + rng.normal(size=y.shape)).float()
    strategy = Predicting(one_to_one())
    fits = fit_splits(x, target.observed("cpu"), target=target, regression=strategy.regression)
    judged = evaluated(target.responses, target.splits)
    folds = [
        fits.isel(fold=fold, stimulus=np.flatnonzero(target.held_out_in == fold)) for fold in range(len(target.splits))
    ]
    outcome = strategy.outcome(folds, judged, [np.ones((3, len(ids))) for ids in judged.ids])
    np.testing.assert_allclose(outcome.resampled, outcome.value, atol=1e-5)
    assert outcome.value == pytest.approx(np.median(fits["r"].values.mean(0)))
    np.testing.assert_allclose(outcome.by_fold, np.median(fits["r"].values, axis=1))
