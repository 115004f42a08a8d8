import numpy as np
import pytest

from alignment.errors import DataError
from benchmarks.datasets.base import Split
from benchmarks.datasets.presented import presented
from benchmarks.datasets.shuffled import Shuffled


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


def test_time_bins_are_those_given():
    shown = images(20)
    values = np.random.default_rng(1).normal(size=(20, 4, 2))
    data = presented("mine", shown, responses=values, stimulus=list(shown), time_bins=(50.0, 100.0))
    responses = data.responses("subject1")
    assert responses["time_bin"].values.tolist() == [50.0, 100.0]
    np.testing.assert_allclose(responses.values, values, rtol=1e-6)
    assert data.describe()["time bins"] == [50.0, 100.0]
    assert data.ceiling("subject1") is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"time_bins": (0.0, 1.0)}, r"2 time_bins given, but responses are \(20, 4\); give 1"),
        ({"responses": np.zeros((20, 4, 2))}, r"1 time_bins given, .* give 2"),
        ({"responses": np.zeros((20, 4, 2)), "time_bins": (1.0, 1.0)}, "time_bins repeat"),
        ({"responses": np.zeros(20)}, r"responses are \(20,\), expected \(presentation, neuroid\)"),
        ({"responses": np.zeros((19, 4))}, "20 stimulus given"),
        ({"subject": ["a"]}, "1 subject given"),
        ({"ncsnr": [1.0]}, "1 ncsnr given"),
        ({"ncsnr": [1.0, 1.0, -1.0, 1.0]}, "ncsnr is below 0"),
    ],
)
def test_arguments_that_do_not_fit(change, fault):
    shown = images(20)
    given = {"responses": np.random.default_rng(1).normal(size=(20, 4)), "stimulus": list(shown)} | change
    with pytest.raises(DataError, match=fault):
        presented("mine", shown, **given)


def test_leaking_and_overlapping_splits_are_refused_at_once():
    shown = images(20)
    names = list(shown)
    given = {"responses": np.random.default_rng(1).normal(size=(20, 4)), "stimulus": names}
    with pytest.raises(DataError, match="in train and test"):
        presented("mine", shown, splits=[Split("all", tuple(names), tuple(names))], **given)
    overlapping = [Split(str(at), tuple(names[10:]), tuple(names[at : at + 5])) for at in (0, 3)]
    with pytest.raises(DataError, match="judged on in splits '0' and '3'"):
        presented("mine", shown, splits=overlapping, **given)
    with pytest.raises(DataError, match="no responses"):
        presented("mine", shown, splits=[Split("test", tuple(names[:10]), (*names[10:], "other"))], **given)


def test_repetitions_of_some_neuroids_alone_are_refused_at_once():
    shown = images(20)
    values = np.random.default_rng(1).normal(size=(40, 4))
    values[20:, 1] = np.nan
    with pytest.raises(DataError, match=r"neuroid 1 has fewer than 3 repeated test stimuli \(1 such\)"):
        presented("mine", shown, responses=values, stimulus=[*shown, *shown])


def test_shuffled_responses_keep_marks_and_what_was_dropped():
    shown = images(20)
    values = np.random.default_rng(1).normal(size=(20, 4))
    values[:, 2] = 1
    data = presented("mine", shown, responses=values, stimulus=list(shown))
    assert Shuffled(data).responses("subject1").attrs["dropped"] == ["2 (constant)"]
    assert Shuffled(data).marks == data.marks == ()
