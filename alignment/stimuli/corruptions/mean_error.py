"""Mean corruption error: errors relative to those of AlexNet, averaged over kinds of corruption."""

from collections.abc import Mapping, Sequence

import numpy as np

from alignment.errors import RequestError
from alignment.stimuli.corruptions.published import SEVERITIES

# top-1 error on ImageNet-C, mean over severities: the unnormalised errors of AlexNet behind Table 1 of Hendrycks &
# Dietterich 2019, as in the authors' spreadsheet and in github.com/google-research/augmix (imagenet.py)
ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


def published_alexnet_errors() -> dict[str, float]:
    """Kind -> top-1 error of AlexNet on ImageNet-C, mean over severities, as a share.

    They belong to 1000-way ImageNet at 224 px, stored as JPEG of quality 85, and to photographs of frost.
    """
    return dict(ALEXNET)


def mean_corruption_error(errors: Mapping[str, Sequence[float]], reference: Mapping[str, float]) -> float:
    """mCE (Hendrycks & Dietterich 2019, section 4): the mean over kinds of  sum_s E_s / sum_s E_s(reference).

    Parameters
    ----------
    errors : mapping of str to sequence of float
        Kind -> error rate at severities 1 to 5, as shares.
    reference : mapping of str to float
        The same kinds -> mean error rate over severities, above 0; `published_alexnet_errors` for ImageNet.

    Returns
    -------
    float
        1 for a network that errs as much as the reference.

    Raises
    ------
    RequestError
        Kinds that differ, a kind without its five errors, or numbers that are no shares.

    Examples
    --------
    >>> mean_corruption_error({"fog": [0.2] * 5, "snow": [0.1, 0.2, 0.3, 0.4, 0.5]}, {"fog": 0.4, "snow": 0.3})
    0.75
    """
    unmatched = sorted(set(errors) ^ set(reference))
    if unmatched or not reference:
        raise RequestError(
            f"errors and reference: {', '.join(unmatched) or 'no kind'} is not in both; give the same kinds"
        )
    relative = []
    for kind, values in errors.items():
        shares = np.asarray([*values, reference[kind]], np.float64)
        if len(shares) != len(SEVERITIES) + 1 or not ((shares >= 0) & (shares <= 1)).all() or shares[-1] == 0:
            raise RequestError(f"errors of {kind}: give 5 shares in [0, 1], and a reference above 0")
        relative.append(shares[:-1].mean() / shares[-1])
    return float(np.mean(relative))
