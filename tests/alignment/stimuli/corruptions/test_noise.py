"""Noise against the distributions of its published definition, with the published numbers written out here."""

import numpy as np
import pytest
import torch
from scipy import stats

from alignment.stimuli.corruptions import corrupt

GAUSSIAN = {224: (0.08, 0.12, 0.18, 0.26, 0.38), 32: (0.04, 0.06, 0.08, 0.09, 0.10)}
SHOT = {224: (60, 25, 12, 5, 3), 32: (500, 250, 100, 75, 50)}
IMPULSE = {224: (0.03, 0.06, 0.09, 0.17, 0.27), 32: (0.01, 0.02, 0.03, 0.05, 0.07)}


def levels(grey: int, *, edge: int, kind: str, severity: int) -> np.ndarray:
    """Grey levels of corrupted images of one grey, 150,000 of them at least."""
    count = 150_000 // (3 * edge**2) + 1
    pixels = torch.full((count, 3, edge, edge), grey / 255)
    return (corrupt(pixels, kind=kind, severity=severity, seeds=range(count)) * 255).round().numpy()


def within(share: float, expected: float, count: int) -> bool:
    """Four standard errors of a share."""
    return abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count) + 1e-9


@pytest.mark.parametrize("edge", [224, 32])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_gaussian_noise_has_the_published_sd(edge: int, severity: int) -> None:
    found = levels(128, edge=edge, kind="gaussian_noise", severity=severity)
    sd = GAUSSIAN[edge][severity - 1]
    for level in (60, 110, 128, 150, 200):
        assert within((found < level).mean(), stats.norm.cdf((level - 128) / 255 / sd), found.size)
    rows = found[:, :, 1:] - found[:, :, 1:].mean()
    assert abs((rows * (found[:, :, :-1] - found[:, :, :-1].mean())).mean() / found.var()) < 0.02


@pytest.mark.parametrize("edge", [224, 32])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_shot_noise_is_poisson_with_the_published_photons(edge: int, severity: int) -> None:
    found = levels(51, edge=edge, kind="shot_noise", severity=severity)
    photons = SHOT[edge][severity - 1]
    expected = stats.poisson(0.2 * photons)
    middle = int(0.2 * photons)
    for number in {0, 1, middle, middle + 2}:
        level = np.floor(number / photons * 255)
        most = np.ceil((level + 1) * photons / 255) - 1  # the highest number that is cut down to this level
        assert within((found <= level).mean(), expected.cdf(most), found.size)


@pytest.mark.parametrize("edge", [224, 32])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_impulse_noise_strikes_the_published_share(edge: int, severity: int) -> None:
    found = levels(128, edge=edge, kind="impulse_noise", severity=severity)
    share = IMPULSE[edge][severity - 1]
    assert set(np.unique(found)) == {0, 128, 255}
    assert within((found == 0).mean(), share / 2, found.size)
    assert within((found == 255).mean(), share / 2, found.size)
    red, green = (found[:, channel] != 128 for channel in (0, 1))
    assert (red & green).mean() < 2 * share**2 + 1e-3  # channels are struck one by one


def test_shot_noise_leaves_black_alone() -> None:
    assert not levels(0, edge=32, kind="shot_noise", severity=5).any()
