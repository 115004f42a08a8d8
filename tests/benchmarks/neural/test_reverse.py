import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as ReferenceRidge

from benchmarks.neural.fits import part_dataset
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.reverse import Reverse
from benchmarks.neural.scoring import Cell, evaluated, pick, resample_counts


def outcome_of(strategy, parts, target, *, cells, n_resamples=200):
    judged = evaluated(target.responses, target.splits)
    counts = resample_counts({target.subject: judged}, name="made", n_resamples=n_resamples, seed=0)
    return strategy.outcome(pick(parts, target.subject, cells), judged, counts[target.subject])


def test_units_that_are_linear_in_the_responses_score_1_and_others_0(target_of, shown):
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(120, 10))
    target = target_of(responses)
    strategy = Reverse(Ridge(), None)
    linear = torch.from_numpy(target.responses.values @ rng.normal(size=(10, 50)) + 3).float()
    noise = torch.from_numpy(rng.normal(size=(120, 50))).float()
    fits = strategy.measure([linear, noise], target, shown=shown)
    np.testing.assert_allclose(fits[0]["r"].values, 1, atol=1e-3)
    parts = {("monkey", "layer"): part_dataset(fits, target, time_bins=(0.0, 1.0))}
    of_linear = outcome_of(strategy, parts, target, cells=[Cell("layer", 0.0)] * 3)
    of_noise = outcome_of(strategy, parts, target, cells=[Cell("layer", 1.0)] * 3)
    assert of_linear.value == pytest.approx(1, abs=1e-3)
    assert abs(of_noise.value) < 0.1
    assert abs(of_noise.value) < 3 * of_noise.resampled.std()
    assert of_linear.details["n_units"] == [50] * 3


def test_a_unit_is_predicted_as_by_scikit_learn_at_the_alpha_kept(target_of, shown):
    rng = np.random.default_rng(1)
    target = target_of(rng.normal(size=(60, 8)))
    y = target.responses.values.astype(float)
    units = (y @ rng.normal(size=(8, 5)) + 2 * rng.normal(size=(60, 5))).astype(np.float32)
    (fits,) = Reverse(Ridge(), None).measure([torch.from_numpy(units)], target, shown=shown)
    for fold, split in enumerate(target.splits):
        train, test = (rows.numpy() for rows in target.rows(split))
        scale = np.square(y[train] - y[train].mean(0)).sum() / len(train)
        for unit, alpha in enumerate(fits["alpha"].values[fold]):
            predicted = ReferenceRidge(alpha=alpha * scale).fit(y[train], units[train, unit]).predict(y[test])
            r = np.corrcoef(predicted, units[test, unit])[0, 1]
            assert fits["r"].values[fold, unit] == pytest.approx(r, abs=1e-4)


def test_folds_that_choose_layers_of_different_width_are_averaged_after_their_medians(target_of, shown):
    rng = np.random.default_rng(2)
    target = target_of(rng.normal(size=(90, 6)))
    strategy = Reverse(Ridge(), 30)
    parts = {}
    for layer, width in (("narrow", 7), ("wide", 100)):
        noisy = target.responses.values @ rng.normal(size=(6, width)) + 2 * rng.normal(size=(90, width))
        bins = strategy.measure([torch.from_numpy(noisy).float()], target, shown=shown)
        parts["monkey", layer] = part_dataset(bins, target, time_bins=(0.0,))
    cells = [Cell("narrow", 0.0), Cell("wide", 0.0), Cell("narrow", 0.0)]
    outcome = outcome_of(strategy, parts, target, cells=cells)
    medians = [np.median(parts["monkey", cell.layer]["r"].values[fold, 0]) for fold, cell in enumerate(cells)]
    assert outcome.value == pytest.approx(np.mean(medians))
    assert outcome.by_fold == pytest.approx(medians)
    assert outcome.details["n_units"] == [7, 30, 7]
    judged = evaluated(target.responses, target.splits)
    ones = [np.ones((2, len(ids))) for ids in judged.ids]
    once = strategy.outcome(pick(parts, "monkey", cells), judged, ones)
    np.testing.assert_allclose(once.resampled, outcome.value, atol=1e-5)
    assert 0.01 < outcome.resampled.std() < 0.2


def test_a_layer_that_never_varies_scores_0_and_has_no_training_score(target_of, shown):
    target = target_of(np.random.default_rng(3).normal(size=(60, 4)))
    (fits,) = Reverse(Ridge(), 10).measure([torch.ones(60, 5)], target, shown=shown)
    np.testing.assert_array_equal(fits["r"].values, np.zeros((3, 1)))
    assert np.isnan(fits["cv_score"].values).all()
