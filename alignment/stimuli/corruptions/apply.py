"""Fifteen kinds of corruption at five severities, made on the fly for images of any size."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.errors import RequestError, unknown
from alignment.seeds import generator
from alignment.stimuli.corruptions import blur, digital, noise, weather
from alignment.stimuli.corruptions.levels import cut_to_levels
from alignment.stimuli.corruptions.published import SEVERITIES, Image

Corruption = Callable[[Image, int, np.random.Generator], Image]

# (row, column, 3) float64 in [0, 1], severity, random -> the same, not yet clipped; in the order of the paper
CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
NOT_AS_PUBLISHED = {"frost": "frost-procedural"}
SMALLEST_EDGE = 8


def corruption_id(kind: str) -> str:
    """How tables call a kind: its name, or a name of its own where it is not made of what the published one is.

    Examples
    --------
    >>> corruption_id("fog"), corruption_id("frost")
    ('fog', 'frost-procedural')
    """
    if kind not in CORRUPTIONS:
        raise unknown("corruption", kind, CORRUPTIONS)
    return NOT_AS_PUBLISHED.get(kind, kind)


def corrupt(pixels: Tensor, *, kind: str, severity: int, seeds: Sequence[int]) -> Tensor:
    """Images under one of the common corruptions of Hendrycks & Dietterich 2019 (ICLR).

    Pixels are rounded to 8 bits first and cut down to 8 bits at the end, as the published images were. Unlike those of
    ImageNet-C, they are not stored as JPEG of quality 85 afterwards; nor are the random draws those of the authors.
    What the parameters are for a given size of image says `published.Published`.

    Parameters
    ----------
    pixels : Tensor (batch, 3, row, column) float in [0, 1]
        Edges of 8 pixels at least.
    kind : str
        Of `CORRUPTIONS`.
    severity : {1, 2, 3, 4, 5}
    seeds : sequence of int
        One per image; with kind and severity it fixes every draw for that image.

    Returns
    -------
    Tensor (batch, 3, row, column) float32 in [0, 1], where `pixels` are

    Raises
    ------
    RequestError
        An unknown kind or severity, images of another shape or range, or seeds for another number of images.

    Examples
    --------
    >>> grey = torch.full((1, 3, 32, 32), 0.5)
    >>> brighter = corrupt(grey, kind="brightness", severity=5, seeds=[0])
    >>> round(float(brighter.mean()) * 255)
    204
    """
    _check(pixels, kind, severity, seeds)
    levels = (pixels.detach().permute(0, 2, 3, 1).double() * 255).round().cpu().numpy()
    corrupted = np.empty(levels.shape, np.uint8)
    for index, seed in enumerate(seeds):
        random = generator(seed, "corruption", kind, severity)
        changed = CORRUPTIONS[kind](levels[index] / 255, severity, random)
        corrupted[index] = cut_to_levels(changed)
    return torch.from_numpy(corrupted).permute(0, 3, 1, 2).contiguous().to(pixels.device, torch.float32) / 255


def _check(pixels: Tensor, kind: str, severity: int, seeds: Sequence[int]) -> None:
    if kind not in CORRUPTIONS:
        raise unknown("corruption", kind, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise RequestError(f"severity is {severity}; give one of 1, 2, 3, 4, 5")
    shape = tuple(pixels.shape)
    if pixels.ndim != 4 or shape[1] != 3 or min(shape[2:]) < SMALLEST_EDGE or not pixels.is_floating_point():
        expected = f"(batch, 3, row, column) float with edges of {SMALLEST_EDGE} pixels at least"
        raise RequestError(f"pixels: {pixels.dtype} {shape} is not {expected}")
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise RequestError("pixels: values outside [0, 1]; divide 8-bit images by 255")
    if len(seeds) != len(pixels):
        raise RequestError(f"seeds: {len(seeds)} for {len(pixels)} images; give one per image")
