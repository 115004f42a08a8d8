"""Motion blur along a line, as ImageMagick does it, which made the published images."""

import math

import numpy as np

from alignment.stimuli.corruptions.published import Image


def motion_blurred(image: Image, *, radius: float, sigma: float, angle: float) -> Image:
    """Each pixel mixed with those ahead of it in one direction, with weights exp(-i^2 / (2 sigma^2)).

    The 2 ceil(radius) + 1 pixels i = 0, 1, ... lie at i (cos angle, sin angle), rounded, half downwards; beyond the
    edge of the image its last pixels are repeated.

    Parameters
    ----------
    image : array (row, column, channel)
    radius, sigma : float
        Pixels.
    angle : float
        Degrees, clockwise from the direction of growing columns.

    Returns
    -------
    array (row, column, channel)
    """
    width = 2 * math.ceil(radius) + 1
    weights = np.exp(-np.square(np.arange(width)) / (2 * sigma**2))
    weights /= weights.sum()
    down, across = (
        np.ceil(np.arange(width) * way - 0.5).astype(int)
        for way in (math.sin(math.radians(angle)), math.cos(math.radians(angle)))
    )
    margin = ((width, width), (width, width), (0, 0))
    padded = np.pad(image, margin, mode="edge")
    rows, columns = image.shape[:2]
    blurred = np.zeros_like(image)
    for weight, row, column in zip(weights, down + width, across + width, strict=True):
        blurred += weight * padded[row : row + rows, column : column + columns]
    return blurred
