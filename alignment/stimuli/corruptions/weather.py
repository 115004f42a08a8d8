"""Weather: snow, frost, fog, and sunshine."""

import numpy as np

from alignment.stimuli.corruptions.fractal import plasma
from alignment.stimuli.corruptions.frost import frost_texture
from alignment.stimuli.corruptions.levels import cut_to_levels
from alignment.stimuli.corruptions.motion import motion_blurred
from alignment.stimuli.corruptions.published import Image, Published
from alignment.stimuli.corruptions.zoom import zoom_in

# mean and sd of the flakes; enlargement; threshold; radius and sd of the fall, px; share of the image that keeps its
# colour
SNOW = Published(
    imagenet=(
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    cifar=(
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
)
# weights of the image and of the frost; size of the photograph that is pasted, relative to the original
FROST = Published(
    imagenet=((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    cifar=((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
)
# weight of the fog, decay of its fractal
FOG = Published(
    imagenet=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    cifar=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
)
# added to the value of HSV
BRIGHTNESS = Published(imagenet=(0.1, 0.2, 0.3, 0.4, 0.5), cifar=(0.05, 0.1, 0.15, 0.2, 0.3))
LUMA = (0.299, 0.587, 0.114)
FALL_ANGLES = (-135.0, -45.0)


def snow(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Flakes, falling: thresholded noise, enlarged and blurred downwards, over a whitened image.

    The layer is laid on twice, once turned by 180 degrees.
    """
    (mean, sd, enlarged, threshold, radius, sigma, kept), scale = SNOW.at(severity, image)
    flakes = zoom_in(random.normal(mean, sd, (*image.shape[:2], 1)), max(1.0, enlarged * scale))
    flakes[flakes < threshold] = 0
    angle = random.uniform(*FALL_ANGLES)
    layer = motion_blurred(cut_to_levels(flakes) / 255, radius=radius * scale, sigma=sigma * scale, angle=angle)
    grey = (image @ np.array(LUMA))[:, :, None]
    whitened = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    return whitened + layer + np.rot90(layer, k=2)


def frost(image: Image, severity: int, random: np.random.Generator) -> Image:
    """A window with frost on it, added to a darker image; the frost is drawn (`frost_texture`), not photographed."""
    (kept, added, enlarged), scale = FROST.at(severity, image)
    texture = frost_texture(*image.shape[:2], unit=enlarged * scale, random=random)
    return kept * image + added * texture


def fog(image: Image, severity: int, random: np.random.Generator) -> Image:
    """A plasma fractal added to the image, scaled so that its highest value stays what it was."""
    density, decay = FOG.at(severity, image).values
    rows, columns = image.shape[:2]
    edge = 2 ** max(rows - 1, columns - 1).bit_length()
    layer = plasma(edge, decay=decay, random=random)[:rows, :columns, None]
    highest = image.max()
    return (image + density * layer) * highest / (highest + density)


def brightness(image: Image, severity: int, random: np.random.Generator) -> Image:
    """The value of HSV raised, hue and saturation kept; nothing in it is random."""
    value = image.max(2, keepdims=True)
    raised = np.minimum(value + BRIGHTNESS.at(severity, image).values, 1)
    return np.where(value > 0, image * raised / np.where(value > 0, value, 1), raised)
