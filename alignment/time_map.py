r"""The time of a model held against that of a brain: $\mathrm{ms} = \mathrm{onset} + \mathrm{ms\ per\ step} \times t$.

A state of the model is in force from the moment it is mapped to until the next one's; before the first nothing is
predicted, after the last it stays. The map is declared (which onsets, which steps are possible) and chosen by what
each combination of model time and response time explains in training data, so that no test datum enters it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alignment.errors import RequestError

BEFORE = -1


class Matched(NamedTuple):
    """The best onset of each neuroid.

    Attributes
    ----------
    places : (neuroid,) int, positions in the onsets
    scores : (neuroid,) mean over response time bins
    """

    places: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]


def in_force(
    model_times: Sequence[float],
    response_times: Sequence[float],
    *,
    onsets: Sequence[float],
    ms_per_step: float,
) -> npt.NDArray[np.int64]:
    """Which state of a model is in force in each time bin of the responses, for each onset.

    Parameters
    ----------
    model_times : sequence of float
        Increasing, in steps, or in ms with `ms_per_step` 1.
    response_times : sequence of float
        ms after stimulus onset at which bins start.
    onsets : sequence of float
        ms at which model time 0 lies.
    ms_per_step : float
        Above 0.

    Returns
    -------
    array (onset, time_bin) int64
        Positions in `model_times`; -1 before the first.

    Raises
    ------
    RequestError
        When model times do not increase or a step takes no time.

    Examples
    --------
    >>> in_force([0, 1, 2], [0, 20, 40, 60, 80], onsets=[20, 60], ms_per_step=20)
    array([[-1,  0,  1,  2,  2],
           [-1, -1, -1,  0,  1]])
    """
    times = np.asarray(model_times, np.float64)
    if ms_per_step <= 0 or (np.diff(times) <= 0).any():
        raise RequestError(f"model times {times.tolist()} and {ms_per_step:g} ms per step: time must increase")
    begins = np.asarray(onsets, np.float64)[:, None] + ms_per_step * times
    # a state that begins with a bin, but for rounding, is in force in it
    slack = 1e-9 * max(1.0, float(np.abs(begins).max()))
    found = [np.searchsorted(of_onset - slack, response_times, side="right") - 1 for of_onset in begins]
    return np.stack(found).astype(np.int64)


def best_onsets(scores: npt.ArrayLike, places: npt.ArrayLike) -> Matched:
    """The onset of each neuroid under which model time explains most of its time course.

    Parameters
    ----------
    scores : array (model_time, time_bin, neuroid)
        What each state explains of each response time bin within training data, 0 for nothing; NaN (a neuroid that does
        not vary there) counts as 0.
    places : array (onset, time_bin)
        Of `in_force`; bins before the first state score 0.

    Returns
    -------
    Matched
        Of onsets that are equally good, the last.

    Examples
    --------
    >>> scores = np.array([[[-0.1], [0.5], [0.2]], [[-0.1], [0.1], [0.5]]])
    >>> best_onsets(scores, in_force([0, 1], [0, 20, 40], onsets=[0, 20, 40], ms_per_step=20)).places
    array([1])
    """
    explained, where = np.nan_to_num(np.asarray(scores, np.float64)), np.asarray(places)
    bins = np.arange(explained.shape[1])
    means = np.stack([of_places(explained, each, bins).mean(axis=0) for each in where])
    last = len(means) - 1 - np.argmax(means[::-1], axis=0)
    return Matched(last, means[last, np.arange(means.shape[1])])


def of_places(
    values: npt.NDArray[np.float64], places: npt.NDArray[np.int64], bins: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(time_bin, ...) of `values` (model_time, time_bin, ...) at the state in force in each bin; 0 before the first."""
    found = values[np.maximum(places, 0), bins]
    found[places == BEFORE] = 0
    return found
