"""A part of a data set is that part and no other, and its ceiling is that of the part."""

import numpy as np
import pytest
import xarray as xr

from alignment.arrays import responses_array
from alignment.errors import RequestError
from alignment.stimuli import StimulusSet
from benchmarks.datasets.ceilings import from_trials
from benchmarks.datasets.presented import Presented
from benchmarks.datasets.restricted import Restricted
from benchmarks.datasets.shuffled import Shuffled

N, NEUROIDS, TIMES = 30, 6, 4


@pytest.fixture(scope="module")
def whole() -> Presented:
    """Two subjects, four repetitions of every stimulus."""
    rng = np.random.default_rng(0)
    names = [f"s{place:02d}" for place in range(N)]
    signal = rng.normal(size=(N, 2 * NEUROIDS))
    shown = [name for name in names for _ in range(TIMES)]
    values = np.repeat(signal, TIMES, axis=0) + rng.normal(0, 0.8, size=(N * TIMES, 2 * NEUROIDS))
    presentations = responses_array(
        values[:, :, None].astype(np.float32),
        stimulus=shown,
        neuroid={"subject": ["a"] * NEUROIDS + ["b"] * NEUROIDS},
    ).assign_coords(repetitions=("presentation", np.ones(N * TIMES, int)))
    images = {name: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for name in names}
    return Presented("mine", StimulusSet("mine", tuple(names), images.__getitem__), presentations)


def test_one_split_and_its_ceiling(whole: Presented):
    part = Restricted(whole, split="fold1", marks=["split=fold1"])
    (split,) = part.splits("a")
    assert split == whole.splits("a")[1] and part.marks == ("split=fold1",)
    ceiling, all_of_it = part.ceiling("a"), whole.ceiling("a")
    assert ceiling is not None and all_of_it is not None
    judged = sorted(ceiling["stimulus"].values.astype(str).tolist())
    assert judged == sorted(split.test)
    trials = all_of_it["trials"].sel(stimulus=ceiling["stimulus"].values)
    expected = from_trials(trials, seed=int(all_of_it.attrs["seed"]), name="mine")
    assert expected is not None
    np.testing.assert_allclose(ceiling["ceiling"], expected["ceiling"])
    assert not np.allclose(ceiling["ceiling"], all_of_it["ceiling"])
    given = part.trials("a")
    assert given is not None and sorted(given["stimulus"].values.astype(str).tolist()) == judged


def test_some_neuroids_and_subjects(whole: Presented):
    mask = np.array([True, False, True, False, False, True])
    part = Restricted(whole, subjects=["b"], neuroids={"b": mask})
    assert part.subjects == ("b",)
    xr.testing.assert_equal(part.responses("b"), whole.responses("b").isel(neuroid=[0, 2, 5]))
    ceiling, all_of_it = part.ceiling("b"), whole.ceiling("b")
    assert ceiling is not None and all_of_it is not None
    np.testing.assert_array_equal(ceiling["ceiling"], all_of_it["ceiling"].values[mask])
    assert len(part.splits("b")) == len(whole.splits("b"))


def test_fingerprints_tell_parts_apart(whole: Presented):
    masks = {name: np.arange(NEUROIDS) < 3 for name in "ab"}
    parts = [
        Restricted(whole),
        Restricted(whole, split="fold0"),
        Restricted(whole, split="fold1"),
        Restricted(whole, subjects=["a"]),
        Restricted(whole, neuroids=masks),
        Restricted(whole, neuroids={name: ~mask for name, mask in masks.items()}),
    ]
    assert len({part.fingerprint for part in parts} | {whole.fingerprint}) == len(parts) + 1


def test_it_can_be_shuffled(whole: Presented):
    part = Shuffled(Restricted(whole, split="fold0"))
    assert sorted(part.responses("a").values[:, 0, 0].tolist()) == sorted(whole.responses("a").values[:, 0, 0].tolist())


def test_what_is_not_there_is_refused(whole: Presented):
    with pytest.raises(RequestError, match="unknown split of mine 'fold9'"):
        Restricted(whole, split="fold9")
    with pytest.raises(RequestError, match="unknown subject of mine 'c'"):
        Restricted(whole, subjects=["c"])
    with pytest.raises(RequestError, match="no neuroid of subject a is left"):
        Restricted(whole, neuroids={name: np.zeros(NEUROIDS, bool) for name in "ab"})
