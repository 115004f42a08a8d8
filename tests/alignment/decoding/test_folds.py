"""Folds of labelled stimuli, and labels dealt to others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.decoding import permuted, stratified_folds
from alignment.errors import RequestError


@given(st.lists(st.integers(0, 4), min_size=10, max_size=80), st.integers(2, 6))
def test_folds_are_even_and_so_are_the_labels_in_them(labels, n) -> None:
    ids = [f"s{number}" for number in range(len(labels))]
    folds = stratified_folds(labels, ids, n=n)
    assert np.ptp(np.bincount(folds, minlength=n)) <= 1
    for label in set(labels):
        assert np.ptp(np.bincount(folds[np.array(labels) == label], minlength=n)) <= 1


def test_only_ids_labels_and_the_name_fix_them() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (60, 2))
    ids = [f"s{number}" for number in range(60)]
    folds, order = stratified_folds(labels, ids, n=5, name="a"), rng.permutation(60)
    again = stratified_folds(labels[order], [ids[place] for place in order], n=5, name="a")
    np.testing.assert_array_equal(again, folds[order])
    assert (stratified_folds(labels, ids, n=5, name="b") != folds).any()


def test_permuting_keeps_rows_together() -> None:
    labels = np.column_stack([np.arange(50), 100 + np.arange(50)])
    dealt = permuted(labels, "x")
    assert (dealt[:, 1] - dealt[:, 0] == 100).all()
    assert (dealt != labels).any() and sorted(dealt[:, 0]) == list(range(50))
    assert (permuted(labels, "y") != dealt).any() and (permuted(labels, "x", seed=1) != dealt).any()


def test_too_few_stimuli_are_refused() -> None:
    with pytest.raises(RequestError, match="3 folds of 2 stimuli"):
        stratified_folds([0, 1], ["a", "b"], n=3)
