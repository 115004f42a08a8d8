"""Folds belong to the data set."""

import hashlib
import itertools
import random

import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.base import Split
from benchmarks.datasets.splits import by_label, check_splits, digest, judged_stimuli, k_folds, restrict

IDS = [f"image{number:04d}" for number in range(1, 104)]


def test_every_stimulus_is_judged_once_and_never_fitted_on() -> None:
    folds = k_folds(IDS, n=5, name="mine")
    assert sorted(stimulus for fold in folds for stimulus in fold.test) == IDS
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert set(fold.train) | set(fold.test) == set(IDS)
    assert sorted(len(fold.test) for fold in folds) == [20, 20, 21, 21, 21]


def test_order_does_not_matter_and_the_name_does() -> None:
    shuffled = random.Random(0).sample(IDS, len(IDS))
    assert k_folds(shuffled, n=5, name="mine") == k_folds(IDS, n=5, name="mine")
    assert k_folds(IDS, n=5, name="other") != k_folds(IDS, n=5, name="mine")


def test_folds_are_not_runs_of_neighbours() -> None:
    # Of 20-21 neighbours in random folds, about a fifth share the fold of the one before.
    fold_of = {stimulus: place for place, fold in enumerate(k_folds(IDS, n=5, name="mine")) for stimulus in fold.test}
    same = np.mean([fold_of[one] == fold_of[two] for one, two in itertools.pairwise(IDS)])
    assert 0.05 < same < 0.35


def test_folds_are_the_stated_rule() -> None:
    # Published scores depend on it: a change needs a new version of every data set with folds.
    def rank(stimulus: str) -> int:
        key = repr((0, "fold", "mine", stimulus)).encode()
        return int.from_bytes(hashlib.sha256(key).digest()[:8], "big")

    ranked = sorted(IDS, key=rank)
    assert [fold.test for fold in k_folds(IDS, n=5, name="mine")] == [tuple(sorted(ranked[at::5])) for at in range(5)]


def test_bad_requests() -> None:
    with pytest.raises(DataError, match="not unique"):
        k_folds(["a", "a", *IDS], n=5, name="mine")
    with pytest.raises(DataError, match="14 stimuli are too few for 5 folds; at least 15"):
        k_folds(IDS[:14], n=5, name="mine")


def test_by_label() -> None:
    first, second = by_label({"c": "two", "a": "one", "b": "two"})
    assert first == Split("one", train=("b", "c"), test=("a",))
    assert second == Split("two", train=("a",), test=("b", "c"))


def test_restrict_and_tested() -> None:
    splits = (Split("test", train=tuple("abcd"), test=tuple("efgh")),)
    assert restrict(splits, "dcaefgz", name="mine") == (Split("test", train=tuple("acd"), test=tuple("efg")),)
    assert judged_stimuli(splits) == tuple("efgh")
    with pytest.raises(DataError, match="mine: split 'test' has 3 train and 2 test stimuli"):
        restrict(splits, "abcef", name="mine")


def test_digest_covers_names_and_members() -> None:
    split = Split("test", train=("a", "b"), test=("c",))
    others = [
        Split("other", train=("a", "b"), test=("c",)),
        Split("test", train=("a",), test=("b", "c")),
        Split("test", train=("a", "c"), test=("b",)),
    ]
    assert len({digest([each]) for each in [split, *others]}) == 4


TRAIN, TEST = tuple("abcd"), tuple("efg")
GOOD = Split("one", train=TRAIN, test=TEST)


def test_sound_splits_pass_unchanged() -> None:
    two = (GOOD, Split("two", train=(*TRAIN, *TEST), test=tuple("hij")))
    assert check_splits(two, ids="abcdefghij", name="mine") == two
    folds = k_folds(IDS, n=5, name="mine")
    assert check_splits(folds, ids=IDS, name="mine") == folds


@pytest.mark.parametrize(
    ("splits", "fault"),
    [
        ([], "mine: no splits"),
        ([Split("one", train=TRAIN, test=TRAIN)], r"split 'one' has 'a' in train and test \(4 such\)"),
        ([Split("one", train=TRAIN, test=(*TEST, "d"))], r"'d' in train and test \(1 such\)"),
        (
            [GOOD, Split("two", train=TRAIN, test=tuple("ghi"))],
            "'g' is judged on in splits 'one' and 'two'",
        ),
        ([GOOD, Split("one", train=TRAIN, test=tuple("hij"))], "two splits are called 'one'"),
        ([Split("one", train=TRAIN, test=(*TEST, "z"))], r"'z' in test, to which there are no responses \(1 such\)"),
        ([Split("one", train=(*TRAIN, "y"), test=TEST)], "'y' in train, to which there are no responses"),
        ([Split("one", train=(*TRAIN, "a"), test=TEST)], "'a' more than once in train"),
        ([Split("one", train=TRAIN, test=(*TEST, "e"))], "'e' more than once in test"),
        ([Split("one", train=tuple("ab"), test=TEST)], "has 2 train and 3 test stimuli"),
        ([Split("one", train=TRAIN, test=tuple("ef"))], "has 4 train and 2 test stimuli"),
    ],
)
def test_splits_that_would_inflate_or_lose_a_score(splits: list[Split], fault: str) -> None:
    with pytest.raises(DataError, match=fault) as raised:
        check_splits(splits, ids="abcdefghij", name="mine")
    assert "\n" not in str(raised.value)
