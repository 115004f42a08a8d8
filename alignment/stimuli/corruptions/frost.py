"""Frost on a window, drawn: the published corruption pastes photographs, which are not ours to ship.

What is kept of the photographs are statistics: mean colour, spread, and how power falls with spatial frequency.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw
from scipy import ndimage

from alignment.stimuli.corruptions.published import Image

# mean red, green and blue, and sd of grey, measured on the five photographs the published code chooses from (of which
# the second and the third are one)
PHOTOGRAPHS = (
    ((0.305, 0.585, 0.650), 0.070),
    ((0.787, 0.805, 0.841), 0.086),
    ((0.787, 0.805, 0.841), 0.086),
    ((0.540, 0.599, 0.648), 0.113),
    ((0.441, 0.484, 0.528), 0.169),
)
# log power over log frequency, of the same photographs: -1.2 to -1.9
SLOPE = -1.6
# lengths in pixels of a photograph
SPACING, SPINE, TWIG_SPACING = 28.0, (40.0, 140.0), 6.0
TWIG_ANGLE = math.pi / 3  # ice grows on a hexagonal lattice
TWIG_SHARE = 0.35
CRYSTALS_SHARE = 0.6
OVERSAMPLED = 2


def frost_texture(rows: int, columns: int, *, unit: float, random: np.random.Generator) -> Image:
    """One of five kinds of frost: feathers of ice on a rough ground.

    Parameters
    ----------
    rows, columns : int
    unit : float
        Pixels of the texture for each pixel of a photograph.
    random : numpy Generator
        Alone decides what is drawn.

    Returns
    -------
    array (row, column, 3) float64 in [0, 1]
    """
    colour, spread = PHOTOGRAPHS[random.integers(len(PHOTOGRAPHS))]
    ground = _rough(rows, columns, random)
    ice = _standard(_crystals(rows, columns, unit=unit, random=random))
    share = CRYSTALS_SHARE
    grey = _standard(share * ice + math.sqrt(1 - share**2) * ground) * spread
    # brighter ice is whiter in proportion, so that all channels keep their mean
    relative = grey[:, :, None] / np.mean(colour)
    return np.clip(np.array(colour) * (1 + relative), 0, 1)


def _rough(rows: int, columns: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise with power falling as frequency to SLOPE; mean 0, sd 1."""
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal((rows, columns))) * frequency ** (SLOPE / 2)
    return _standard(np.fft.irfft2(spectrum, s=(rows, columns)))


def _crystals(rows: int, columns: int, *, unit: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Feathers, brightest last, as their lines cover the window."""
    size = (columns * OVERSAMPLED, rows * OVERSAMPLED)
    canvas = Pillow.new("L", size)
    draw = ImageDraw.Draw(canvas)
    pixel = unit * OVERSAMPLED
    count = math.ceil(size[0] * size[1] / (SPACING * pixel) ** 2)
    brightness = np.sort(random.integers(60, 256, count))
    for fill in brightness.tolist():
        start = random.random(2) * size
        heading, length = random.uniform(0, 2 * math.pi), random.uniform(*SPINE)
        for line in _feather(start, heading, length * pixel, twig_spacing=TWIG_SPACING * pixel):
            draw.line([tuple(point) for point in line.tolist()], fill=fill, width=max(1, round(pixel / 2)))
    shrunk = np.asarray(canvas.resize((columns, rows), Pillow.Resampling.BOX), np.float64)
    return ndimage.gaussian_filter(shrunk, unit / 2)


def _feather(
    start: npt.NDArray[np.float64], heading: float, length: float, *, twig_spacing: float
) -> npt.NDArray[np.float64]:
    """A spine, and twigs on both sides at 60 degrees that shorten towards its tip: (line, end, xy)."""
    along = np.arange(twig_spacing, length, twig_spacing)
    feet = start + along[:, None] * [math.cos(heading), math.sin(heading)]
    lines = [np.stack([start, start + length * np.array([math.cos(heading), math.sin(heading)])])[None]]
    for side in (-TWIG_ANGLE, TWIG_ANGLE):
        way = np.array([math.cos(heading + side), math.sin(heading + side)])
        lines.append(np.stack([feet, feet + TWIG_SHARE * (length - along)[:, None] * way], axis=1))
    return np.concatenate(lines)


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (values - values.mean()) / values.std()
