import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from benchmarks.neural.fits import part_dataset
from benchmarks.neural.scoring import Cell, evaluated, pick
from benchmarks.neural.soft import SoftMatching
from benchmarks.neural.target import inner_folds


def judged_by_hand(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Per neuroid, mean held-out r by the plan that a linear programme finds."""
    n_units, n_neuroids = train[0].shape[1], train[1].shape[1]
    r = [np.corrcoef(x.T, y.T)[:n_units, n_units:] for x, y in (train, test)]
    rows = np.kron(np.eye(n_units), np.ones(n_neuroids))
    columns = np.kron(np.ones(n_units), np.eye(n_neuroids))
    masses = np.r_[np.full(n_units, 1 / n_units), np.full(n_neuroids, 1 / n_neuroids)]
    found = linprog(-r[0].ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses, bounds=(0, None))
    plan = found.x.reshape(n_units, n_neuroids)
    return (plan * r[1]).sum(0) * n_neuroids


def planted(seed: int, *, n_units: int, n_neuroids: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(60, n_neuroids)).astype(np.float32)
    x = y @ rng.normal(size=(n_neuroids, n_units)) + 0.5 * rng.normal(size=(60, n_units))
    return x.astype(np.float32), y


@pytest.mark.parametrize("n_units", [3, 7])
def test_the_score_is_that_of_a_linear_programme(n_units, target_of, shown):
    x, y = planted(0, n_units=n_units)
    target = target_of(y)
    (fits,) = SoftMatching(None).measure([torch.from_numpy(x)], target, shown=shown)
    for fold, split in enumerate(target.splits):
        train, test = (rows.numpy() for rows in target.rows(split))
        by_hand = judged_by_hand((x[train], y[train]), (x[test], y[test]))
        np.testing.assert_allclose(fits["r"].values[fold], by_hand, atol=1e-6)
        inner = inner_folds(split).numpy()
        scores = [
            judged_by_hand(
                (x[train][inner != number], y[train][inner != number]),
                (x[train][inner == number], y[train][inner == number]),
            )
            for number in range(5)
        ]
        np.testing.assert_allclose(fits["cv_score"].values[fold], np.mean(scores, axis=0), atol=1e-6)


def test_a_permutation_of_the_neuroids_scores_1(target_of, shown):
    rng = np.random.default_rng(1)
    y = rng.normal(size=(60, 6)).astype(np.float32)
    x = torch.from_numpy(2 * y[:, rng.permutation(6)] - 1)
    (fits,) = SoftMatching(1000).measure([x], target_of(y), shown=shown)
    np.testing.assert_allclose(fits["r"].values, 1, atol=1e-6)


def test_what_is_kept_of_a_plan_gives_resamples_of_it(target_of, shown):
    x, y = planted(2, n_units=7)
    target = target_of(y)
    strategy = SoftMatching(None)
    bins = strategy.measure([torch.from_numpy(x), torch.from_numpy(x[:, ::-1].copy())], target, shown=shown)
    parts = {("monkey", "layer"): part_dataset(bins, target, time_bins=(0.0, 1.0))}
    judged = evaluated(target.responses, target.splits)
    cells = [Cell("layer", 1.0)] * 3
    rng = np.random.default_rng(3)
    counts = [rng.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=4) for ids in judged.ids]
    counts = [np.vstack([np.ones_like(each[:1]), each]) for each in counts]
    outcome = strategy.outcome(pick(parts, "monkey", cells), judged, counts)
    assert outcome.resampled[0] == pytest.approx(outcome.value, abs=1e-6)
    assert outcome.value == pytest.approx(np.median(bins[1]["r"].values.mean(0)))
    assert outcome.details["sum_over_plan"] == pytest.approx(bins[1]["r"].values.mean())
    x = x[:, ::-1]
    for row in range(1, 5):
        values = []
        for fold, split in enumerate(target.splits):
            train, test = (rows.numpy() for rows in target.rows(split))
            rows = np.repeat(np.sort(test), counts[fold][row])
            values.append(judged_by_hand((x[train], y[train]), (x[rows], y[rows])))
        assert outcome.resampled[row] == pytest.approx(np.median(np.mean(values, axis=0)), abs=1e-5)
