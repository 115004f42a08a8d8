"""Blurs against their published definitions, written plainly, with SciPy and scikit-image for the filters."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.filters import gaussian

from alignment.stimuli.corruptions import corrupt
from alignment.stimuli.corruptions.blur import (
    copied_from_neighbours,
    defocus_blur,
    disk,
    glass_blur,
    motion_blur,
    zoom_blur,
)
from alignment.stimuli.corruptions.motion import motion_blurred

DEFOCUS = {
    224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
}
GLASS = {
    224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
}
MOTION = {224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), 32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))}
ZOOM = {
    224: ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    32: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
}
SIZES_AND_SEVERITIES = [(224, 1), (224, 3), (224, 5), *((32, severity) for severity in (1, 2, 3, 4, 5))]


def picture(edge: int) -> np.ndarray:
    """Smooth colours, 8 bits: (row, column, 3) in [0, 1]."""
    rough = np.random.default_rng(0).random((edge, edge, 3))
    smooth = ndimage.gaussian_filter(rough, (edge / 40, edge / 40, 0))
    return np.rint((smooth - smooth.min()) / np.ptp(smooth) * 255) / 255


def corrupted(image: np.ndarray, *, kind: str, severity: int) -> np.ndarray:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    return corrupt(pixels, kind=kind, severity=severity, seeds=[0])[0].permute(1, 2, 0).double().numpy()


def plain_disk(radius: float, smoothing: float) -> np.ndarray:
    half, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    inside = [[float(x * x + y * y <= radius**2) for x in range(-half, half + 1)] for y in range(-half, half + 1)]
    kernel = np.array(inside) / np.sum(inside)
    weights = np.array(
        [
            [math.exp(-(x * x + y * y) / (2 * smoothing**2)) for x in range(-reach, reach + 1)]
            for y in range(-reach, reach + 1)
        ]
    )
    return ndimage.correlate(kernel, weights / weights.sum(), mode="mirror")


@pytest.mark.parametrize(("edge", "severity"), SIZES_AND_SEVERITIES)
def test_defocus_is_the_published_disk(edge: int, severity: int) -> None:
    kernel = plain_disk(*DEFOCUS[edge][severity - 1])
    np.testing.assert_allclose(disk(*DEFOCUS[edge][severity - 1]), kernel, atol=1e-15)
    image = picture(edge)
    expected = np.stack([ndimage.correlate(image[:, :, c], kernel, mode="mirror") for c in range(3)], axis=2)
    levels = np.rint(corrupted(image, kind="defocus_blur", severity=severity) * 255)
    differs = levels != np.floor(expected * 255 + 1e-6)
    assert differs.mean() < 1e-3  # where rounding decides
    np.testing.assert_allclose(levels[differs], expected[differs] * 255, atol=1.001)


def test_defocus_grows_with_the_image() -> None:
    for edge, radius in ((224, 10), (448, 20)):
        point = np.zeros((edge, edge, 3))
        point[edge // 2, edge // 2] = 1
        spread = defocus_blur(point, 5, np.random.default_rng(0))[:, :, 0] > 1e-6
        assert spread.any(0).sum() == pytest.approx(2 * radius + 1, abs=4)  # the smoothing adds up to 2 px a side


def plain_copies(image: np.ndarray, shifts: np.ndarray, furthest: int) -> np.ndarray:
    """As published: both sides of the swap are views of one array."""
    x = image.copy()
    rows, columns = x.shape[:2]
    for i, h in enumerate(range(rows - furthest, furthest, -1)):
        for j, w in enumerate(range(columns - furthest, furthest, -1)):
            dx, dy = shifts[i, j]
            h_other, w_other = h + dy, w + dx
            x[h, w], x[h_other, w_other] = x[h_other, w_other], x[h, w]
    return x


@pytest.mark.parametrize(("shape", "furthest"), [((12, 15), 1), ((20, 20), 2), ((31, 17), 4), ((8, 8), 4)])
def test_copies_follow_each_other_as_in_the_published_loop(shape: tuple[int, int], furthest: int) -> None:
    random = np.random.default_rng(furthest)
    image = random.integers(0, 256, (*shape, 3)).astype(float)
    visits = tuple(max(0, edge - 2 * furthest) for edge in shape)
    shifts = random.integers(-furthest, furthest, (*visits, 2))
    np.testing.assert_array_equal(
        copied_from_neighbours(image, shifts, furthest), plain_copies(image, shifts, furthest)
    )


@pytest.mark.parametrize(("edge", "severity"), [(224, 4), (32, 1), (32, 5)])
def test_glass_blur_is_a_blur_around_the_copies(edge: int, severity: int) -> None:
    sigma, furthest, passes = GLASS[edge][severity - 1]
    image = picture(edge)
    random = np.random.default_rng(5)
    x = np.uint8(gaussian(image, sigma=sigma, channel_axis=-1) * 255)
    for _ in range(passes):
        visits = edge - 2 * furthest
        x = plain_copies(x, random.integers(-furthest, furthest, (visits, visits, 2)), furthest)
    expected = gaussian(x / 255, sigma=sigma, channel_axis=-1)
    found = glass_blur(image, severity, np.random.default_rng(5))
    assert (np.abs(found - expected) > 1e-9).mean() < 0.01  # where rounding decides a grey level
    np.testing.assert_allclose(found, expected, atol=1.01 / 255)


@pytest.mark.parametrize("edge", [224, 32])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_motion_blur_has_the_published_length_and_angles(edge: int, severity: int) -> None:
    radius, sigma = MOTION[edge][severity - 1]
    image = picture(edge)
    angle = np.random.default_rng(severity).uniform(-45, 45)
    found = motion_blur(image, severity, np.random.default_rng(severity))
    np.testing.assert_allclose(found, motion_blurred(image, radius=radius, sigma=sigma, angle=angle))


@pytest.mark.parametrize(("edge", "severity"), SIZES_AND_SEVERITIES)
def test_zoom_blur_is_the_mean_of_enlargements(edge: int, severity: int) -> None:
    stop, step = ZOOM[edge][severity - 1]
    image = picture(edge)
    factors = np.arange(1, stop, step)
    total = image.copy()
    for factor in factors:
        crop = math.ceil(edge / factor)
        start = (edge - crop) // 2
        part = image[start : start + crop, start : start + crop]
        large = ndimage.zoom(part, (factor, factor, 1), order=1, mode="nearest")
        cut = (len(large) - edge) // 2
        total += large[cut : cut + edge, cut : cut + edge]
    found = zoom_blur(image, severity, np.random.default_rng(0))
    np.testing.assert_allclose(found, total / (len(factors) + 1), atol=1e-9)
