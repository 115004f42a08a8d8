import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.base import Split
from benchmarks.neural.target import check_inner_folds, inner_folds


def test_inner_folds_are_even_and_hang_on_nothing_but_the_ids():
    names = tuple(f"image{number}" for number in range(33))
    folds = inner_folds(Split("a", names, ()))
    assert sorted(folds.bincount().tolist()) == [6, 6, 7, 7, 7]
    order = np.random.default_rng(0).permutation(33)
    again = inner_folds(Split("b", tuple(names[place] for place in order), ("other",)))
    np.testing.assert_array_equal(again.numpy(), folds.numpy()[order])


def test_each_stimulus_knows_the_split_that_judges_on_it(target_of):
    target = target_of(np.arange(24.0).reshape(12, 2), n_folds=3)
    for number, split in enumerate(target.splits):
        train, test = target.rows(split)
        assert [target.ids[row] for row in test] == list(split.test)
        assert [target.ids[row] for row in train] == list(split.train)
        assert {name for name, fold in zip(target.ids, target.held_out_in, strict=True) if fold == number} == set(
            split.test
        )
    assert target.judged.all()


def test_inner_folds_of_one_stimulus_are_refused():
    check_inner_folds(Split("enough", tuple("abcdefghij"), ()), where="mine")
    with pytest.raises(DataError, match=r"mine: split 'few' has 9 training stimuli.*at least 10"):
        check_inner_folds(Split("few", tuple("abcdefghi"), ()), where="mine")
