"""Weather against its published definition, and drawn frost against the statistics of frost."""

import colorsys

import numpy as np
import pytest
from scipy import ndimage

from alignment.stimuli.corruptions.fractal import plasma
from alignment.stimuli.corruptions.frost import PHOTOGRAPHS, frost_texture
from alignment.stimuli.corruptions.motion import motion_blurred
from alignment.stimuli.corruptions.weather import brightness, fog, frost, snow

SNOW = {
    224: (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    32: (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
}
FROST = {
    224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
}
FOG = {
    224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
}
BRIGHTNESS = {224: (0.1, 0.2, 0.3, 0.4, 0.5), 32: (0.05, 0.1, 0.15, 0.2, 0.3)}
EVERY = [(edge, severity) for edge in (224, 32) for severity in (1, 2, 3, 4, 5)]


def picture(edge: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (edge, edge, 3)) / 255


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_snow_falls_as_published(edge: int, severity: int) -> None:
    mean, sd, enlarged, threshold, radius, sigma, kept = SNOW[edge][severity - 1]
    image, random = picture(edge), np.random.default_rng(1)
    flakes = random.normal(size=(edge, edge), loc=mean, scale=sd)
    crop = int(np.ceil(edge / enlarged))
    start = (edge - crop) // 2
    part = flakes[start : start + crop, start : start + crop]
    large = ndimage.zoom(part, enlarged, order=1, mode="nearest")
    cut = (len(large) - edge) // 2
    layer = large[cut : cut + edge, cut : cut + edge]
    layer[layer < threshold] = 0
    layer = (np.clip(layer, 0, 1) * 255).astype(np.uint8)[..., None] / 255
    layer = motion_blurred(layer, radius=radius, sigma=sigma, angle=random.uniform(-135, -45))
    grey = 0.299 * image[..., :1] + 0.587 * image[..., 1:2] + 0.114 * image[..., 2:]
    expected = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5) + layer + layer[::-1, ::-1]
    found = snow(image, severity, np.random.default_rng(1))
    assert (np.abs(found - expected) > 1e-9).mean() < 0.01  # where rounding decides a grey level of a flake
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_fog_is_a_fractal_scaled_to_the_highest_value(edge: int, severity: int) -> None:
    density, decay = FOG[edge][severity - 1]
    image = 0.8 * picture(edge)
    layer = plasma({224: 256, 32: 32}[edge], decay=decay, random=np.random.default_rng(2))[:edge, :edge, None]
    expected = (image + density * layer) * image.max() / (image.max() + density)
    np.testing.assert_allclose(fog(image, severity, np.random.default_rng(2)), expected)


def test_fog_covers_an_oblong() -> None:
    covered = fog(np.full((40, 100, 3), 0.5), 3, np.random.default_rng(0))
    assert covered.shape == (40, 100, 3)
    assert covered.max() <= 0.5 + 1e-12


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_brightness_raises_the_value_of_hsv(edge: int, severity: int) -> None:
    image = picture(edge)
    image[0, 0], image[0, 1] = 0, 1
    found = brightness(image, severity, np.random.default_rng(0))
    added = BRIGHTNESS[edge][severity - 1]
    for row, column in [(0, 0), (0, 1), *((edge // 2, column) for column in range(edge))]:
        hue, saturation, value = colorsys.rgb_to_hsv(*image[row, column])
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1))
        np.testing.assert_allclose(found[row, column], expected, atol=1e-12)


@pytest.mark.parametrize(("edge", "severity"), EVERY)
def test_frost_is_added_with_the_published_weights(edge: int, severity: int) -> None:
    kept, added = FROST[edge][severity - 1]
    image = picture(edge)
    without = frost(np.zeros_like(image), severity, np.random.default_rng(3))
    np.testing.assert_allclose(frost(image, severity, np.random.default_rng(3)), kept * image + without)
    texture = frost_texture(edge, edge, unit={224: 1.0, 32: 0.2}[edge], random=np.random.default_rng(3))
    np.testing.assert_allclose(without, added * texture)


@pytest.mark.parametrize("seed", range(8))
def test_drawn_frost_has_the_statistics_of_photographs(seed: int) -> None:
    texture = frost_texture(224, 224, unit=1.0, random=np.random.default_rng(seed))
    colour, grey = texture.mean((0, 1)), texture.mean(2)
    nearest = min(PHOTOGRAPHS, key=lambda photograph: np.abs(np.array(photograph[0]) - colour).max())
    np.testing.assert_allclose(colour, nearest[0], atol=0.01)
    assert grey.std() == pytest.approx(nearest[1], rel=0.1)
    assert colour[2] > colour[0]  # ice is blue
    windowed = (grey - grey.mean()) * np.outer(np.hanning(224), np.hanning(224))
    power = np.abs(np.fft.fft2(windowed)) ** 2
    cycles = 224 * np.hypot(np.fft.fftfreq(224)[:, None], np.fft.fftfreq(224))
    low = np.array([4, 8, 16, 32, 64])
    bands = [power[(cycles >= edge) & (cycles < 1.41 * edge)].mean() for edge in low]
    slope = np.polyfit(np.log(low), np.log(bands), 1)[0]
    assert -1.95 < slope < -1.15


def test_frost_is_drawn_from_its_stream_alone() -> None:
    first, again, other = (frost_texture(40, 60, unit=0.5, random=np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (40, 60, 3)
    assert np.abs(first - other).max() > 0.05
