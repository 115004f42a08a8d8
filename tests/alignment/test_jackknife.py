"""Jackknife errors against closed forms and SciPy."""

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.jackknife import deletion_groups, jackknife_error


def test_the_error_of_a_mean_is_its_standard_error() -> None:
    sample = np.random.default_rng(0).standard_normal(40)
    error, freedom = jackknife_error([np.delete(sample, i).mean() for i in range(40)])
    assert error == pytest.approx(stats.sem(sample)) and freedom == 39


def test_groups_give_the_error_of_the_mean_of_group_means() -> None:
    sample = np.random.default_rng(1).standard_normal(60)
    labels = deletion_groups(60, "test", n_groups=12, seed=3)
    error, freedom = jackknife_error([sample[labels != group].mean() for group in range(12)])
    assert error == pytest.approx(stats.sem([sample[labels == group].mean() for group in range(12)]))
    assert freedom == 11


def test_groups_are_random_balanced_and_fixed_by_names_and_seed() -> None:
    labels = deletion_groups(103, "a", n_groups=10, seed=0)
    assert sorted(np.bincount(labels)) == [10] * 7 + [11] * 3
    assert (labels != np.sort(labels)).any() and (labels != np.arange(103) % 10).any()
    np.testing.assert_array_equal(labels, deletion_groups(103, "a", n_groups=10, seed=0))
    assert (labels != deletion_groups(103, "b", n_groups=10, seed=0)).any()
    assert (labels != deletion_groups(103, "a", n_groups=10, seed=1)).any()
    np.testing.assert_array_equal(deletion_groups(5, n_groups=5, seed=0), np.arange(5))


def test_faults_in_one_line() -> None:
    with pytest.raises(RequestError, match="2 or more finite"):
        jackknife_error([1.0])
    with pytest.raises(RequestError, match="2 or more finite"):
        jackknife_error([1.0, np.nan])
    with pytest.raises(RequestError, match="2 of each"):
        deletion_groups(10, n_groups=1, seed=0)
