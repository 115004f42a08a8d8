import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.presented import presented


def images(n):
    rng = np.random.default_rng(0)
    return {f"image{i:02}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(n)}


def test_repetitions_are_averaged_and_counted():
    shown = images(20)
    stimulus = [name for name in shown for _ in range(3)]
    values = np.random.default_rng(1).normal(size=(60, 4))
    data = presented("mine", shown, responses=values, stimulus=stimulus)
    mean = data.responses("subject1")
    np.testing.assert_allclose(mean.values[..., 0], values.reshape(20, 3, 4).mean(1), rtol=1e-5)
    assert (mean["repetitions"].values == 3).all()
    tested = [name for split in data.splits("subject1") for name in split.test]
    assert sorted(tested) == sorted(shown)


def test_without_repetitions_there_is_no_ceiling():
    shown = images(20)
    data = presented("mine", shown, responses=np.random.default_rng(1).normal(size=(20, 4)), stimulus=list(shown))
    assert data.ceiling("subject1") is None


def test_the_fingerprint_follows_the_responses():
    shown = images(20)
    values = np.random.default_rng(1).normal(size=(20, 4))
    first = presented("mine", shown, responses=values, stimulus=list(shown))
    again = presented("mine", shown, responses=values, stimulus=list(shown))
    values[3, 2] += 1e-3
    changed = presented("mine", shown, responses=values, stimulus=list(shown))
    assert first.fingerprint == again.fingerprint != changed.fingerprint


def test_an_image_without_responses_is_named():
    shown = images(20)
    with pytest.raises(DataError, match="image19"):
        presented("mine", shown, responses=np.zeros((19, 2)), stimulus=list(shown)[:19])


def test_subjects_are_kept_apart():
    shown = images(20)
    values = np.random.default_rng(1).normal(size=(20, 4))
    data = presented("mine", shown, responses=values, stimulus=list(shown), subject=["b", "a", "b", "a"])
    assert data.subjects == ("a", "b")
    np.testing.assert_allclose(data.responses("a").values[..., 0], values[:, [1, 3]], rtol=1e-6)
