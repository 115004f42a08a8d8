"""Model time held against ms, against loops written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.errors import RequestError
from alignment.time_map import best_onsets, in_force


def naive(model_times, response_times, onset, step):
    states = []
    for time in response_times:
        begun = [place for place, each in enumerate(model_times) if onset + step * each <= time]
        states.append(begun[-1] if begun else -1)
    return states


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(-100, 400), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(-50, 200), min_size=1, max_size=4),
    st.sampled_from([1, 7, 20]),
)
def test_the_state_in_force_is_the_last_that_has_begun(model_times, response_times, onsets, step) -> None:
    model_times, response_times = sorted(model_times), sorted(response_times)
    found = in_force(model_times, response_times, onsets=onsets, ms_per_step=step)
    assert found.tolist() == [naive(model_times, response_times, onset, step) for onset in onsets]


def test_rounding_moves_no_state() -> None:
    # 0.1 + 3 * 0.1 is above 0.4 in floating point
    assert in_force([0, 1, 2, 3], [0.4], onsets=[0.1], ms_per_step=0.1).tolist() == [[3]]


def test_the_best_onset_is_that_of_a_search_over_all() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 9, 30))
    times, onsets = 20.0 * np.arange(9), [0.0, 20.0, 40.0, 100.0]
    found = best_onsets(scores, in_force(range(4), times, onsets=onsets, ms_per_step=40))
    for neuroid in range(30):
        totals = []
        for onset in onsets:
            states = naive(range(4), times, onset, 40)
            totals.append(sum(scores[s, b, neuroid] for b, s in enumerate(states) if s >= 0) / 9)
        assert found.places[neuroid] == np.argmax(totals)
        assert found.scores[neuroid] == pytest.approx(max(totals))


def test_of_equal_onsets_the_last_and_what_does_not_vary_is_worth_nothing() -> None:
    places = in_force([0], [0, 20, 40], onsets=[0, 20, 40], ms_per_step=1)
    scores = np.array([[[0.0, np.nan], [0.0, np.nan], [0.5, 0.2]]])
    found = best_onsets(scores, places)
    assert found.places.tolist() == [2, 2]
    assert found.scores == pytest.approx([0.5 / 3, 0.2 / 3])


@pytest.mark.parametrize(("times", "step"), [([0, 0], 1), ([1, 0], 1), ([0, 1], 0)])
def test_time_must_increase(times, step) -> None:
    with pytest.raises(RequestError, match="time must increase"):
        in_force(times, [0], onsets=[0], ms_per_step=step)
