"""Motion blur against its definition in ImageMagick's documentation and source, pixel by pixel."""

import math

import numpy as np
import pytest

from alignment.stimuli.corruptions.motion import motion_blurred


def naive(image: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    rows, columns, _ = image.shape
    width = 2 * radius + 1
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(width)]
    x, y = width * math.sin(math.radians(angle)), width * math.cos(math.radians(angle))
    steps = [
        (math.ceil(i * x / math.hypot(x, y) - 0.5), math.ceil(i * y / math.hypot(x, y) - 0.5)) for i in range(width)
    ]
    blurred = np.zeros_like(image)
    for row in range(rows):
        for column in range(columns):
            for weight, (down, across) in zip(weights, steps, strict=True):
                at = (min(max(row + down, 0), rows - 1), min(max(column + across, 0), columns - 1))
                blurred[row, column] += weight * image[at]
    return blurred / sum(weights)


@pytest.mark.parametrize(
    ("radius", "sigma", "angle"), [(6, 1, -45), (10, 3, 13.7), (15, 8, 44.9), (14, 12, -135), (12, 4, -90), (9, 2.5, 0)]
)
def test_it_is_the_weighted_mean_along_a_line(radius: int, sigma: float, angle: float) -> None:
    image = np.random.default_rng(0).random((17, 23, 2))
    found = motion_blurred(image, radius=radius, sigma=sigma, angle=angle)
    np.testing.assert_allclose(found, naive(image, radius, sigma, angle), atol=1e-12)


def test_a_radius_between_pixels_counts_as_the_next() -> None:
    image = np.random.default_rng(1).random((9, 9, 1))
    found, expected = (motion_blurred(image, radius=radius, sigma=2, angle=30) for radius in (2.3, 3))
    np.testing.assert_array_equal(found, expected)


def test_a_point_becomes_a_tail_on_one_side() -> None:
    image = np.zeros((5, 41, 1))
    image[2, 20] = 1
    tail = motion_blurred(image, radius=10, sigma=3, angle=0)[2, :, 0]
    assert not tail[21:].any()
    assert (np.diff(tail[:21]) >= 0).all()
    assert tail.sum() == pytest.approx(1)
