"""One fit, two sets of features to predict from, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference

from alignment.encoding import TensorFeatures
from benchmarks.neural.fits import fit_splits
from benchmarks.neural.judged_twice import change, judge_twice
from benchmarks.neural.regressions import Ridge

STIMULI, NEUROIDS = 60, 4


def made(units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, altered features and responses; the altered ones leave the span of the others."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(STIMULI, 4))
    features = hidden @ random.normal(size=(4, units)) + 0.3 * random.normal(size=(STIMULI, units)) + 3
    altered = features + random.normal(size=features.shape)
    responses = hidden @ random.normal(size=(4, NEUROIDS)) + 0.5 * random.normal(size=(STIMULI, NEUROIDS))
    return features, altered, responses


@pytest.mark.parametrize("units", [5, 400])
@pytest.mark.parametrize("n_folds", [1, 3])
@pytest.mark.parametrize("scale", ["none", "floored_sd"])
def test_both_predictions_are_scikit_learn_s_at_the_same_alpha(units, n_folds, scale, target_of):
    features, altered, responses = made(units)
    target = target_of(responses, n_folds=3)
    if n_folds == 1:
        target = type(target)(target.subject, target.responses, target.splits[:1])
    sources = [TensorFeatures(torch.from_numpy(each).float()) for each in (features, altered[target.judged])]
    found = judge_twice(*sources, target=target, ridge=Ridge(scale=scale), device="cpu")
    y = target.responses.values.astype(float)
    held_out_in = target.held_out_in[target.judged]
    for number, split in enumerate(target.splits):
        train, test = (each.numpy() for each in target.rows(split))
        x, other = (each.astype(np.float32).astype(float) for each in (features, altered))
        if scale == "floored_sd":
            sd = x[train].std(0)
            sd = np.maximum(sd, 0.1 * np.sqrt(np.mean(sd**2)))
            x, other = x / sd, other / sd
        unit = np.square(x[train] - x[train].mean(0)).sum() / len(train)
        for neuroid in range(NEUROIDS):
            fit = Reference(alpha=found["alpha"].values[number, neuroid] * unit).fit(x[train], y[train, neuroid])
            for name, source in (("", x), ("_altered", other)):
                expected = fit.predict(source[test])
                kept = found[f"predicted{name}"].values[held_out_in == number, neuroid]
                order = np.argsort(test)
                np.testing.assert_allclose(kept, expected[order], rtol=1e-3, atol=1e-3)
                r = np.corrcoef(expected, y[test, neuroid])[0, 1]
                assert found[f"r{name}"].values[number, neuroid] == pytest.approx(r, abs=1e-4)


@pytest.mark.parametrize("selection", ["loo", "gcv", "kfold"])
def test_the_clean_half_is_that_of_the_ridge_to_the_last_bit(selection, target_of):
    features, altered, responses = made(400)
    target, ridge = target_of(responses), Ridge(selection=selection)
    sources = [TensorFeatures(torch.from_numpy(each).float()) for each in (features, altered)]
    found = judge_twice(*sources, target=target, ridge=ridge, device="cpu")
    for name, values in fit_splits(sources[0], target.observed("cpu"), target=target, regression=ridge).items():
        np.testing.assert_array_equal(found[name].values, values.values)


def test_a_layer_in_which_nothing_varies_predicts_the_mean_whatever_is_shown(target_of):
    _, altered, responses = made(6)
    target = target_of(responses)
    constant = torch.ones(STIMULI, 6)
    found = judge_twice(constant, torch.from_numpy(altered).float(), target=target, ridge=Ridge(), device="cpu")
    np.testing.assert_array_equal(found["predicted_altered"].values, found["predicted"].values)
    assert np.isfinite(found["predicted_altered"].values).all()


def test_a_change_is_what_numpy_says_of_whole_matrices():
    random = np.random.default_rng(1)
    # several pieces of columns
    before = random.normal(size=(3, 30_000_000 // 8))
    shared = random.normal(size=before.shape[1])
    difference = shared + random.normal(size=before.shape) * np.array([0.0, 0.5, 2.0])[:, None]
    sources = [TensorFeatures(torch.from_numpy(each)) for each in (before + difference, before)]
    found = change(*sources)
    lengths = np.linalg.norm(difference, axis=1)
    np.testing.assert_allclose(found.relative, lengths / np.linalg.norm(before, axis=1), rtol=1e-9)
    products = difference @ difference.T
    expected = products[~np.eye(3, dtype=bool)].mean() / np.diag(products).mean()
    assert found.in_common == pytest.approx(expected, rel=1e-9)
    silent, moved = (TensorFeatures(torch.full((2, 4), value)) for value in (0.0, 1.0))
    assert change(moved, silent).relative.tolist() == [2, 2]
    assert change(moved, moved) == (pytest.approx([0, 0]), 0.0)
