"""Do tests and intervals hold where the same stimuli train the model of one fold and judge that of another?"""

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.correlation import pearson
from alignment.encoding import fit_ridge
from alignment.resampling import resampled_medians, shared_training, stimulus_counts
from alignment.samples import Samples

STIMULI, FOLDS, FEATURES, NEUROIDS = 150, 5, 30, 20
N_DRAWS = 400
ALPHAS = list(np.logspace(-4, 4, 17))
FOLD_OF = np.arange(STIMULI) % FOLDS
COUNTS = [stimulus_counts(STIMULI // FOLDS, "shared training", f, n_resamples=200, seed=0) for f in range(FOLDS)]

pytestmark = pytest.mark.slow


def drawn(random: np.random.Generator, *, common: float, strength: float) -> Samples:
    """A ridge on features of which `strength` of the responses is made; `common` is the variance neuroids share."""
    features = random.standard_normal((STIMULI, FEATURES))

    def signal(width: int) -> np.ndarray:
        weights = random.standard_normal((FEATURES, width)) / np.sqrt(FEATURES)
        return strength * features @ weights + np.sqrt(1 - strength**2) * random.standard_normal((STIMULI, width))

    responses = torch.from_numpy(np.sqrt(common) * signal(1) + np.sqrt(1 - common) * signal(NEUROIDS))
    x = torch.from_numpy(features)
    predicted, observed = [], []
    for fold in range(FOLDS):
        test = fold == FOLD_OF
        fit = fit_ridge(x[~test], responses[~test], alphas=ALPHAS, selection="loo")
        predicted.append(fit.predict(x[test]).numpy())
        observed.append(responses[test].numpy())
    r = np.mean([pearson(*pair) for pair in zip(predicted, observed, strict=True)], axis=0)
    medians = resampled_medians(predicted, observed, COUNTS)
    return Samples(np.array([np.median(r)]), medians[None], n_stimuli=STIMULI, overlap=shared_training(FOLDS))


@pytest.mark.parametrize("common", [1.0, 0.8])
def test_unrelated_features_are_called_related_as_often_as_promised(common) -> None:
    random = np.random.default_rng(int(10 * common))
    samples = [drawn(random, common=common, strength=0.0) for _ in range(N_DRAWS)]
    rate = np.mean([each.p_value() < 0.05 for each in samples])
    print("common", common, "rejected", rate)
    assert 0.02 <= rate <= 0.08


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.6])
def test_intervals_cover_what_is_expected_of_the_model(strength) -> None:
    random = np.random.default_rng(100 + int(10 * strength))
    samples = [drawn(random, common=0.8, strength=strength) for _ in range(N_DRAWS)]
    truth = np.mean([each.value for each in samples])
    reached = [abs(each.value - truth) <= stats.t.ppf(0.975, each.error()[1]) * each.error()[0] for each in samples]
    print("strength", strength, "coverage", np.mean(reached))
    assert 0.92 <= np.mean(reached) <= 0.98


def test_resamples_with_fits_as_they_are_would_be_too_sure() -> None:
    """The reason for the factor."""
    random = np.random.default_rng(7)
    samples = [drawn(random, common=1.0, strength=0.0) for _ in range(200)]
    spread = np.var([each.value for each in samples])
    resampled = np.mean([each.resampled.var() for each in samples])
    assert 1.6 < spread / resampled < 3.2
