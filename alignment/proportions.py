"""Shares of images with their intervals."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from alignment.errors import RequestError
from alignment.samples import Estimate


def wilson(correct: npt.ArrayLike, *, overlap: float = 1.0) -> Estimate:
    r"""Mean of shares with its 95 % score interval (Wilson 1927, J Am Stat Assoc 22:209).

    $\frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4 n^2}}{1 + z^2 / n}$ for $n$ images. Where the
    correctness of an image is an expectation over draws of a stochastic model, it varies less between images than 0 and
    1 would, and the interval is wider than it need be.

    Parameters
    ----------
    correct : array (image,)
        1 or true where the image is classified correctly, 0 where not, or a share between.
    overlap : float
        Factor on the variance, of `alignment.resampling.shared_training`: n is divided by it.

    Raises
    ------
    RequestError
        No image, or a value outside [0, 1].

    Examples
    --------
    >>> found = wilson([1] * 9 + [0])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.9, 0.596, 0.982)
    """
    values = np.asarray(correct, np.float64)
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise RequestError(f"correctness of shape {values.shape}: give a share in [0, 1] for each of some images")
    n, share, z = len(values) / overlap, float(values.mean()), float(stats.norm.ppf(0.975))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # the interval lies in [0, 1] and ends there where all images are alike, which rounding must not undo
    return Estimate(share, min(share, max(0.0, float(middle - half))), max(share, min(1.0, float(middle + half))))
