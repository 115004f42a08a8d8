"""Single trials, from whichever data set has them, and dealt to other stimuli."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.datasets.presented import Presented, presented
from benchmarks.datasets.shuffled import Shuffled
from benchmarks.datasets.trials import HoldsTrials, shown_twice, trials_of

COUNT, NEUROIDS = 20, 3
IMAGES = {f"image{i:02}": np.full((4, 4, 3), i, np.uint8) for i in range(COUNT)}
NAMES = tuple(IMAGES)
# the first two are shown once
SHOWN = [*NAMES, *NAMES[2:], *NAMES[5:]]
VALUES = np.random.default_rng(0).normal(size=(len(SHOWN), NEUROIDS)).astype(np.float32)


def data(**more) -> Presented:
    return presented("mine", IMAGES, responses=VALUES, stimulus=SHOWN, **more)


class Measured:
    """A data set that says nothing of its trials but in its ceilings."""

    name, subjects = "measured", ("a",)

    def __init__(self, ceiling: xr.Dataset | None) -> None:
        self._ceiling = ceiling

    def ceiling(self, subject: str) -> xr.Dataset | None:
        return self._ceiling


@pytest.mark.parametrize("more", [{}, {"ncsnr": [0.5] * NEUROIDS}])
def test_every_showing_is_there_whatever_the_ceiling_is_made_of(more) -> None:
    trials = trials_of(data(**more), "subject1")
    assert trials.dims == ("stimulus", "neuroid", "repetition")
    assert trials.shape == (COUNT, NEUROIDS, 3)
    for name in NAMES:
        rows = VALUES[[place for place, shown in enumerate(SHOWN) if shown == name]]
        own = trials.sel(stimulus=name).values.T
        np.testing.assert_array_equal(own[: len(rows)], rows)
        assert np.isnan(own[len(rows) :]).all()
    np.testing.assert_array_equal(shown_twice(trials), [name not in NAMES[:2] for name in trials["stimulus"].values])


def test_trials_of_a_ceiling_are_those_of_the_data_set() -> None:
    trials = xr.DataArray(np.ones((2, 1, 2)), dims=("stimulus", "neuroid", "repetition"))
    assert not isinstance(Measured(None), HoldsTrials)
    assert trials_of(Measured(xr.Dataset({"trials": trials})), "a").identical(trials.rename("trials"))  # type: ignore[arg-type]
    assert trials_of(Measured(xr.Dataset({"ceiling": 0.5})), "a") is None  # type: ignore[arg-type]
    assert trials_of(Measured(None), "a") is None  # type: ignore[arg-type]


def test_responses_in_time_have_no_trials_here() -> None:
    resolved = np.stack([VALUES, VALUES], axis=2)
    made = presented("mine", IMAGES, responses=resolved, stimulus=SHOWN, time_bins=(0.0, 10.0))
    assert trials_of(made, "subject1") is None
    assert trials_of(Shuffled(made), "subject1") is None


def test_a_shuffle_deals_repeated_stimuli_among_themselves() -> None:
    own, dealt = (trials_of(each, "subject1") for each in (data(), Shuffled(data())))
    np.testing.assert_array_equal(dealt["stimulus"].values, own["stimulus"].values)
    twice = shown_twice(own)
    np.testing.assert_array_equal(shown_twice(dealt), twice)
    np.testing.assert_array_equal(dealt.values[~twice], own.values[~twice])
    given = [np.flatnonzero(own.values[:, 0, 0] == each[0, 0]).item() for each in dealt.values[twice]]
    assert sorted(given) == np.flatnonzero(twice).tolist()
    assert given != sorted(given)
    np.testing.assert_array_equal(dealt.values[twice], own.values[given])
    np.testing.assert_array_equal(trials_of(Shuffled(data()), "subject1").values, dealt.values)
