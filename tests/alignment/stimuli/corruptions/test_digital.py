"""Contrast, elastic deformation, pixels and JPEG against their published definitions, written plainly."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator
from skimage.filters import gaussian

from alignment.stimuli.corruptions import corrupt
from alignment.stimuli.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate

CONTRAST = {224: (0.4, 0.3, 0.2, 0.1, 0.05), 32: (0.75, 0.5, 0.4, 0.3, 0.15)}
ELASTIC = {
    224: (
        (488, 170.8, 24.4),
        (488, 19.52, 48.8),
        (12.2, 2.44, 4.88),
        (17.08, 2.44, 4.88),
        (29.28, 2.44, 4.88),
    ),
    32: ((0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)),
}
PIXELATE = {224: (0.6, 0.5, 0.4, 0.3, 0.25), 32: (0.95, 0.9, 0.85, 0.75, 0.65)}
JPEG = {224: (25, 18, 15, 10, 7), 32: (80, 65, 58, 50, 40)}
EVERY = [(edge, severity) for edge in (224, 32) for severity in (1, 2, 3, 4, 5)]


def picture(edge: int) -> np.ndarray:
    rough = np.random.default_rng(0).random((edge, edge, 3))
    smooth = ndimage.gaussian_filter(rough, (edge / 20, edge / 20, 0))
    return np.rint((smooth - smooth.min()) / np.ptp(smooth) * 255) / 255


def eight_bits(image: np.ndarray) -> Image.Image:
    return Image.fromarray((image * 255).round().astype(np.uint8))


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_contrast_draws_channels_to_their_means(edge: int, severity: int) -> None:
    image = picture(edge)
    found = contrast(image, severity, np.random.default_rng(0))
    np.testing.assert_allclose(found.mean((0, 1)), image.mean((0, 1)))
    np.testing.assert_allclose(found.std((0, 1)), CONTRAST[edge][severity - 1] * image.std((0, 1)))
    assert np.corrcoef(found[..., 1].ravel(), image[..., 1].ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_pixelate_averages_boxes(edge: int, severity: int) -> None:
    image, small = picture(edge), int(edge * PIXELATE[edge][severity - 1])
    expected = eight_bits(image).resize((small, small), Image.Resampling.BOX).resize((edge, edge), Image.Resampling.BOX)
    found = pixelate(image, severity, np.random.default_rng(0))
    np.testing.assert_array_equal(np.rint(found * 255), np.asarray(expected))


def test_pixels_of_a_quarter_are_means_of_four_by_four() -> None:
    image = picture(224)
    found = pixelate(image, 5, np.random.default_rng(0))
    means = image.reshape(56, 4, 56, 4, 3).mean((1, 3))
    np.testing.assert_allclose(found, means.repeat(4, 0).repeat(4, 1), atol=1.01 / 255)  # Pillow rounds twice


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_jpeg_has_the_published_quality(edge: int, severity: int) -> None:
    file = io.BytesIO()
    eight_bits(picture(edge)).save(file, "JPEG", quality=JPEG[edge][severity - 1])
    found = jpeg_compression(picture(edge), severity, np.random.default_rng(0))
    np.testing.assert_array_equal(np.rint(found * 255), np.asarray(Image.open(file)))


def bilinear(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, pad: str) -> np.ndarray:
    edge = len(image)
    padded = np.pad(image, ((edge - 1, edge - 1), (edge - 1, edge - 1), (0, 0)), mode=pad)
    axis = np.arange(len(padded)) - (edge - 1)
    return RegularGridInterpolator((axis, axis), padded)(np.stack([rows, columns], axis=-1))


@pytest.mark.parametrize(("edge", "severity"), [*((32, severity) for severity in (1, 2, 3, 4, 5)), (224, 2), (224, 5)])
def test_elastic_is_an_affine_map_and_a_field_of_shifts(edge: int, severity: int) -> None:
    amplitude, smoothing, jitter = ELASTIC[edge][severity - 1]
    image, random = picture(edge), np.random.default_rng(7)
    middle, reach = edge // 2, edge // 3
    corners = np.array([[middle + reach, middle + reach], [middle + reach, middle - reach], [middle - reach] * 2])
    moved = corners + random.uniform(-jitter, jitter, (3, 2))
    # (x, y, 1) of the result to (x, y) of the image
    back, *_ = np.linalg.lstsq(np.column_stack([moved, np.ones(3)]), corners, rcond=None)
    y, x = np.mgrid[:edge, :edge].astype(float)
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back
    affine = bilinear(image, source[..., 1], source[..., 0], pad="reflect")
    fields = [random.uniform(-1, 1, (edge, edge)) for _ in range(2)]
    dx, dy = (amplitude * gaussian(field, smoothing, mode="reflect", truncate=3) for field in fields)
    expected = bilinear(affine, y + dy, x + dx, pad="symmetric")
    found = elastic_transform(image, severity, np.random.default_rng(7))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.abs(found - image).mean() > 0.003


def test_shifts_grow_with_the_image() -> None:
    relative = []
    for edge in (112, 224, 448):
        ramp = np.repeat(np.linspace(0, 1, edge)[None, :, None], edge, axis=0).repeat(3, 2)
        shifted = [elastic_transform(ramp, 5, np.random.default_rng(seed)) - ramp for seed in range(3)]
        inside = slice(edge // 4, -edge // 4)
        relative.append(np.mean([each[inside, inside, 0].std() for each in shifted]))
    assert relative[0] == pytest.approx(relative[1], rel=0.25)
    assert relative[2] == pytest.approx(relative[1], rel=0.25)


def test_elastic_leaves_one_colour_alone() -> None:
    grey = torch.full((1, 3, 64, 48), 128 / 255)
    torch.testing.assert_close(
        corrupt(grey, kind="elastic_transform", severity=5, seeds=[0]), grey, atol=1.1 / 255, rtol=0
    )
