"""Blur: out of focus, through frosted glass, and from motion across and along the line of sight."""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from alignment.stimuli.corruptions.levels import cut_to_levels
from alignment.stimuli.corruptions.motion import motion_blurred
from alignment.stimuli.corruptions.published import Image, Published
from alignment.stimuli.corruptions.zoom import zoom_in

# radius and smoothing of the disk, px
DEFOCUS = Published(
    imagenet=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    cifar=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
)
# Gaussian sd, px; furthest shift, px; passes
GLASS = Published(
    imagenet=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    cifar=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
)
# radius and sd along the line, px
MOTION = Published(
    imagenet=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    cifar=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
)
# stop and step of the factors, from 1 on, as NumPy's arange counts them (1.11 itself is in, for want of digits)
ZOOM = Published(
    imagenet=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    cifar=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
)
LARGEST_SMALL_DISK = 8
LARGEST_ANGLE = 45.0


def defocus_blur(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Convolution with a disk, mirrored about the outermost pixels; nothing in it is random."""
    (radius, smoothing), scale = DEFOCUS.at(severity, image)
    kernel = disk(radius * scale, smoothing * scale)
    half = len(kernel) // 2
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    return signal.fftconvolve(padded, kernel[:, :, None], mode="valid", axes=(0, 1))


def disk(radius: float, smoothing: float) -> npt.NDArray[np.float64]:
    """Pixels within `radius` of the centre, alike, of sum 1; then smoothed by a Gaussian against jagged edges.

    The Gaussian is cut off at 1 pixel for radii up to 8, at 2 beyond, as is the canvas at 8 pixels or the radius.

    Parameters
    ----------
    radius, smoothing : float
        Pixels.

    Returns
    -------
    array (row, column) float64
    """
    small = radius <= LARGEST_SMALL_DISK
    half = LARGEST_SMALL_DISK if small else math.ceil(radius)
    across = np.square(np.arange(-half, half + 1))
    inside = (across[:, None] + across <= radius**2).astype(np.float64)
    reach = 1 if small else 2
    window = np.exp(-np.square(np.arange(-reach, reach + 1)) / (2 * smoothing**2))
    smooth = inside / inside.sum()
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, window / window.sum(), axis=axis, mode="mirror")
    return smooth


def glass_blur(image: Image, severity: int, random: np.random.Generator) -> Image:
    """A Gaussian blur, pixels displaced at random, and the blur again.

    The published code means to swap each pixel with a neighbour, but its two assignments act on one array, so that the
    neighbour's colour is copied and nothing goes back. The published images are made so, and these are too.
    """
    (sigma, furthest, passes), scale = GLASS.at(severity, image)
    furthest = max(1, round(furthest * scale))
    levels = cut_to_levels(_smoothed(image, sigma * scale))
    shape = (max(0, image.shape[0] - 2 * furthest), max(0, image.shape[1] - 2 * furthest), 2)
    for _ in range(passes):
        levels = copied_from_neighbours(levels, random.integers(-furthest, furthest, size=shape), furthest)
    return _smoothed(levels / 255, sigma * scale)


def copied_from_neighbours(image: Image, shifts: npt.NDArray[np.int64], furthest: int) -> Image:
    """The image after each pixel, one after the other, took the present colour of one near it.

    Pixels are visited row by row from (rows - furthest, columns - furthest) up and to the left, to
    (furthest + 1, furthest + 1). A pixel visited before has its new colour, so the colour that a pixel ends with is
    found by following the chain of neighbours to its end; all chains are followed at once, each round doubling the way.

    Parameters
    ----------
    image : array (row, column, channel)
    shifts : array (visited row, visited column, 2) int
        Where each pixel looks: columns and rows away, within [-furthest, furthest).
    furthest : int

    Returns
    -------
    array (row, column, channel)
    """
    rows, columns = image.shape[:2]
    tall, wide = shifts.shape[:2]
    down, across = np.meshgrid(np.arange(tall), np.arange(wide), indexing="ij")
    visited = (rows - furthest - down, columns - furthest - across)
    source = (visited[0] + shifts[..., 1], visited[1] + shifts[..., 0])
    turn = down * wide + across
    source_down, source_across = rows - furthest - source[0], columns - furthest - source[1]
    source_turn = source_down * wide + source_across
    inside = (source_down >= 0) & (source_down < tall) & (source_across >= 0) & (source_across < wide)
    follows = np.where(inside & (source_turn < turn), source_turn, turn).ravel()
    while not np.array_equal(further := follows[follows], follows):
        follows = further
    origin = (source[0] * columns + source[1]).ravel()[follows]
    result = image.copy()
    result[visited] = image.reshape(-1, image.shape[2])[origin].reshape(tall, wide, image.shape[2])
    return result


def motion_blur(image: Image, severity: int, random: np.random.Generator) -> Image:
    """A blur along one line, at an angle up to 45 degrees from the horizontal."""
    (radius, sigma), scale = MOTION.at(severity, image)
    angle = random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
    return motion_blurred(image, radius=radius * scale, sigma=sigma * scale, angle=angle)


def zoom_blur(image: Image, severity: int, random: np.random.Generator) -> Image:
    """The mean of the image and of its enlargements; nothing in it is random."""
    stop, step = ZOOM.at(severity, image).values
    factors = np.arange(1, stop, step)
    total = image.copy()
    for factor in factors:
        total += zoom_in(image, factor)
    return total / (len(factors) + 1)


def _smoothed(image: Image, sigma: float) -> Image:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4.0)
