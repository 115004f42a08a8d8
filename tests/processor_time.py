"""How long two things take beside each other, for the measurements in `tests/performance`."""

import time
from collections.abc import Callable

import numpy as np


def median_seconds(
    one: Callable[[], object],
    other: Callable[[], object],
    *,
    repeats: int,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float]:
    """Median seconds of each of runs made in turn, the first not counted.

    Parameters
    ----------
    clock : of the processor, which no other load enters, unless another is given
    """
    rounds = [(_seconds(one, clock), _seconds(other, clock)) for _ in range(repeats + 1)][1:]
    first, second = np.median(rounds, axis=0).tolist()
    return first, second


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
