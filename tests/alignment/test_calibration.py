"""Calibration against a loop over bins and closed forms; likelihoods against scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from alignment.calibration import calibration_error, predictive_distribution
from alignment.errors import RequestError


def test_likelihood_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, labels = torch.from_numpy(rng.normal(size=(1, 40, 5))), rng.integers(5, size=40)
    found = predictive_distribution(logits)
    expected = log_loss(labels, logits[0].softmax(1).numpy(), labels=range(5))
    assert -float(found[range(40), labels].mean()) == pytest.approx(expected, rel=1e-12)


def test_draws_are_averaged_as_probabilities() -> None:
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(7, 3, 4)) * 5)
    expected = logits.softmax(-1).mean(0)
    torch.testing.assert_close(predictive_distribution(logits).exp(), expected)
    assert not torch.allclose(logits.mean(0).softmax(-1), expected, atol=1e-3)


def test_error_is_that_of_a_loop_over_bins() -> None:
    rng = np.random.default_rng(2)
    confidence, correct = rng.uniform(size=300), rng.integers(2, size=300)
    # edges belong to the bin below them
    confidence[:4] = [0.0, 0.2, 0.6, 1.0]
    error, edges = 0.0, [0, 0.2, 0.4, 0.6, 0.8, 1]
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high) | (low == 0) & (confidence == 0)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    found = calibration_error(torch.from_numpy(confidence), torch.from_numpy(correct), n_bins=5)
    assert found == pytest.approx(error, rel=1e-12)


def test_what_is_sure_and_wrong_has_error_1_and_what_is_sure_and_right_none() -> None:
    sure = torch.ones(10)
    assert calibration_error(sure, torch.zeros(10)) == 1.0
    assert calibration_error(sure, torch.ones(10)) == 0.0


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(RequestError, match=r"outside \[0, 1\]"):
        calibration_error(torch.tensor([1.5]), torch.tensor([1.0]))
    with pytest.raises(RequestError, match=r"one of each for some images"):
        calibration_error(torch.zeros(2), torch.zeros(3))
