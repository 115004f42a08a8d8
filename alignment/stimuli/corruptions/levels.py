"""Eight bits, as the published images have them."""

import numpy as np

from alignment.stimuli.corruptions.published import Image

ROUNDING_ERROR = 1e-6


def cut_to_levels(image: Image) -> Image:
    """The grey level, 0 to 255, at or below each value; one that misses the next by a rounding error has the next.

    The published code cuts too, whatever rounding errors made of a value that is a level: without the allowance, a
    flat patch would be darker by a level on some machines and not on others.

    Parameters
    ----------
    image : array of float, 0 to 1; what lies beyond is clipped

    Returns
    -------
    array of float

    Examples
    --------
    >>> cut_to_levels(np.array([-0.1, 0.999 / 255, (1 - 1e-12) / 255, 2.0])).tolist()
    [0.0, 0.0, 1.0, 255.0]
    """
    return np.floor(np.clip(image, 0, 1) * 255 + ROUNDING_ERROR)
