"""Plasma: a random landscape that wraps around, by the diamond-square algorithm."""

import numpy as np
import numpy.typing as npt


def plasma(edge: int, *, decay: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """A square height map, scaled to [0, 1].

    From one corner on, each round puts a point into the middle of every square of known points, then one into the
    middle of every diamond: the mean of its four neighbours plus a uniform number within +-amplitude. From round to
    round the amplitude falls by decay^2 (in the published code it is the square of what falls by decay).

    Parameters
    ----------
    edge : int
        A power of 2, in pixels.
    decay : float
        Above 1; the larger, the smoother.
    random : numpy Generator

    Returns
    -------
    array (row, column) float64

    Examples
    --------
    >>> heights = plasma(16, decay=2.0, random=np.random.default_rng(0))
    >>> heights.shape, float(heights.min()), float(heights.max())
    ((16, 16), 0.0, 1.0)
    """
    heights = np.zeros((edge, edge))
    step, amplitude = edge, 1.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]

        def displaced(total: npt.NDArray[np.float64], amplitude: float = amplitude) -> npt.NDArray[np.float64]:
            return total / 4 + random.uniform(-amplitude, amplitude, total.shape)

        beside = corners + np.roll(corners, -1, axis=1)
        middles = displaced(beside + np.roll(beside, -1, axis=0))
        heights[half::step, half::step] = middles
        heights[::step, half::step] = displaced(beside + middles + np.roll(middles, 1, axis=0))
        below = corners + np.roll(corners, -1, axis=0)
        heights[half::step, ::step] = displaced(below + middles + np.roll(middles, 1, axis=1))
        step, amplitude = half, amplitude / decay**2
    heights -= heights.min()
    return heights / heights.max()
