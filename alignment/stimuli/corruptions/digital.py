"""Digital: contrast, elastic deformation, pixels, JPEG."""

import io

import numpy as np
from PIL import Image as Pillow
from scipy import ndimage

from alignment.stimuli.corruptions.published import Image, Published

CONTRAST = Published(imagenet=(0.4, 0.3, 0.2, 0.1, 0.05), cifar=(0.75, 0.5, 0.4, 0.3, 0.15))
# amplitude and smoothing of the field of shifts, largest shift of the three points, px. The published code has 244 px
# for 224, and so has this
ELASTIC = Published(
    imagenet=(
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    ),
    cifar=(
        (0.0, 0.0, 32 * 0.08),
        (32 * 0.05, 32 * 0.2, 32 * 0.07),
        (32 * 0.08, 32 * 0.06, 32 * 0.06),
        (32 * 0.1, 32 * 0.04, 32 * 0.05),
        (32 * 0.1, 32 * 0.03, 32 * 0.03),
    ),
)
PIXELATE = Published(imagenet=(0.6, 0.5, 0.4, 0.3, 0.25), cifar=(0.95, 0.9, 0.85, 0.75, 0.65))
JPEG_QUALITY = Published(imagenet=(25, 18, 15, 10, 7), cifar=(80, 65, 58, 50, 40))


def contrast(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Each channel drawn towards its mean; nothing in it is random."""
    mean = image.mean((0, 1))
    return (image - mean) * CONTRAST.at(severity, image).values + mean


def elastic_transform(image: Image, severity: int, random: np.random.Generator) -> Image:
    """A random affine map, then each pixel shifted by a smooth random field.

    The shifts are a Gaussian average of uniform noise in [-1, 1], times an amplitude. Their sd is nearly amplitude /
    smoothing, so that for other sizes, where shifts and smoothing are to grow by the same factor, the amplitude grows
    by its square.
    """
    (amplitude, smoothing, jitter), scale = ELASTIC.at(severity, image)
    points = np.indices(image.shape[:2], dtype=np.float64)
    affine, offset = _affine(image.shape[:2], random, jitter=jitter * scale)
    flat = points.reshape(2, -1)
    moved = _read(image, (affine @ flat + offset[:, None]).reshape(points.shape), mode="mirror")
    across, down = (
        ndimage.gaussian_filter(random.uniform(-1, 1, image.shape[:2]), smoothing * scale, mode="reflect", truncate=3)
        for _ in range(2)
    )
    return _read(moved, points + amplitude * scale**2 * np.stack([down, across]), mode="reflect")


def _affine(shape: tuple[int, ...], random: np.random.Generator, *, jitter: float) -> tuple[Image, Image]:
    """The map (2, 2), offset (2,) from a pixel of the result to where it is read, both (row, column).

    It is that of the three points on a square a third of the edge from the centre that are moved by up to `jitter`.
    """
    row, column = (edge // 2 for edge in shape)
    reach = min(shape) // 3
    corners = np.array([(row + reach, column + reach), (row - reach, column + reach), (row - reach, column - reach)])
    # drawn as (x, y), as published
    moved = corners + random.uniform(-jitter, jitter, corners.shape)[:, ::-1]
    homogeneous = np.column_stack([moved, np.ones(3)])
    solution = np.linalg.solve(homogeneous, corners)
    return solution[:2].T, solution[2]


def _read(image: Image, points: Image, *, mode: str) -> Image:
    """Each channel at points (2, row, column), bilinearly."""
    channels = [ndimage.map_coordinates(image[:, :, channel], points, order=1, mode=mode) for channel in range(3)]
    return np.stack(channels, axis=2)


def pixelate(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Reduced to a share of its edges by averaging boxes, and enlarged again; nothing in it is random."""
    share = PIXELATE.at(severity, image).values
    rows, columns = image.shape[:2]
    small = _picture(image).resize((int(columns * share), int(rows * share)), Pillow.Resampling.BOX)
    return np.asarray(small.resize((columns, rows), Pillow.Resampling.BOX)) / 255


def jpeg_compression(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Stored as a JPEG of low quality, by Pillow with its own settings; nothing in it is random."""
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=JPEG_QUALITY.at(severity, image).values)
    return np.asarray(Pillow.open(file)) / 255


def _picture(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.rint(image * 255).astype(np.uint8))
