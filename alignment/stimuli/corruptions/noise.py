"""Noise: Gaussian, shot and impulse. Parameters are amplitudes and shares, alike for all sizes of one table."""

import numpy as np

from alignment.stimuli.corruptions.published import Image, Published

GAUSSIAN_SD = Published(imagenet=(0.08, 0.12, 0.18, 0.26, 0.38), cifar=(0.04, 0.06, 0.08, 0.09, 0.10))
SHOT_PHOTONS = Published(imagenet=(60, 25, 12, 5, 3), cifar=(500, 250, 100, 75, 50))
IMPULSE_SHARE = Published(imagenet=(0.03, 0.06, 0.09, 0.17, 0.27), cifar=(0.01, 0.02, 0.03, 0.05, 0.07))


def gaussian_noise(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Independent normal noise on every pixel and channel, as in low light."""
    return image + random.normal(scale=GAUSSIAN_SD.at(severity, image).values, size=image.shape)


def shot_noise(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Poisson noise: the number of photons at each pixel and channel, for so many at 1."""
    photons = SHOT_PHOTONS.at(severity, image).values
    return random.poisson(image * photons) / photons


def impulse_noise(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Salt and pepper, in colour: a share of values becomes 0 or 1, with even chances."""
    struck = random.random(image.shape) < IMPULSE_SHARE.at(severity, image).values
    salt = random.random(image.shape) < 0.5
    return np.where(struck, salt.astype(np.float64), image)
