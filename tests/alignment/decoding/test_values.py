"""Continuous variables read by a ridge, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from alignment.decoding import predict_values
from alignment.errors import RequestError


def test_it_is_a_ridge_whose_penalty_leave_one_out_chooses() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 30))
    values = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(90, 2)) * (0.3, 3.0)
    train, test = np.arange(70), np.arange(70, 90)
    unit = np.linalg.eigvalsh(np.cov(x[train].T, bias=True) * 70).sum() / 70
    reference = RidgeCV(alphas=unit * np.logspace(-3, 3, 7), alpha_per_target=True).fit(x[train], values[train])
    assert len(set(reference.alpha_)) == 2
    said = predict_values(torch.from_numpy(x), values, train=train, test=test, alphas=np.logspace(-3, 3, 7))
    np.testing.assert_allclose(said, reference.predict(x[test]), atol=1e-8)
    one = predict_values(torch.from_numpy(x), values[:, 0], train=train, test=test, alphas=np.logspace(-3, 3, 7))
    np.testing.assert_allclose(one, said[:, 0], atol=1e-12)


def test_one_number_or_more_to_each_stimulus() -> None:
    with pytest.raises(RequestError, match=r"values \(2,\): give one or more numbers to each of 3 stimuli"):
        predict_values(torch.zeros(3, 2), [1.0, 2.0], train=[0, 1], test=[2])
