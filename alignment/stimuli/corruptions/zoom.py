"""The centre of an image, enlarged to its size."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alignment.stimuli.corruptions.published import Image


def zoom_in(image: Image, factor: float) -> Image:
    """The middle 1 / factor of each edge, enlarged bilinearly between its outermost pixels, and cut to the old size.

    Parameters
    ----------
    image : array (row, column, channel)
    factor : float, 1 or more

    Returns
    -------
    array (row, column, channel)
    """
    rows, columns = (_sampling(edge, factor) for edge in image.shape[:2])
    down, across = rows.weight[:, None, None], columns.weight[None, :, None]
    bands = image[rows.before] * (1 - down) + image[rows.after] * down
    return bands[:, columns.before] * (1 - across) + bands[:, columns.after] * across


class _Sampling(NamedTuple):
    """Positions before and after each sample, and the weight of the latter."""

    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]


def _sampling(edge: int, factor: float) -> _Sampling:
    crop = math.ceil(edge / factor)
    enlarged = round(crop * factor)
    trimmed = (enlarged - edge) // 2
    at = (trimmed + np.arange(edge)) * ((crop - 1) / max(enlarged - 1, 1))
    before = np.minimum(at.astype(np.int64), crop - 1)
    start = (edge - crop) // 2
    return _Sampling(start + before, start + np.minimum(before + 1, crop - 1), np.asarray(at - before, np.float64))
