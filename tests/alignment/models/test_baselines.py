import math

import numpy as np
import torch
from scipy.signal import correlate2d

from alignment.models.baselines import GABOR_GRID, LUMINANCE, ORIENTATIONS, WAVELENGTHS, gabor, gabor_bank, pixels


def test_pixels_are_block_means():
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    by_hand = images.numpy().reshape(2, 3, 8, 5, 8, 5).mean((3, 5)).reshape(2, -1)
    np.testing.assert_allclose(pixels().record(images, ["blocks"])["blocks"][:, 0], by_hand, atol=1e-6)


def test_filters_are_quadrature_pairs():
    even, odd = (bank[:, 0].double() for bank in gabor_bank(WAVELENGTHS, ORIENTATIONS))
    for bank in (even, odd):
        assert bank.sum((1, 2)).abs().max() < 1e-5
        torch.testing.assert_close(bank.square().sum((1, 2)), torch.ones(len(bank), dtype=torch.double))
    assert (even * odd).sum((1, 2)).abs().max() < 1e-6


def test_energy_is_that_of_a_direct_correlation():
    image = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    features = gabor().record(image, ["energy"])["energy"][0, 0].numpy()
    even, odd = gabor_bank(WAVELENGTHS, ORIENTATIONS)
    channel, edge = 3, even.shape[-1] // 2
    grey = np.pad(np.tensordot(LUMINANCE, image[0].numpy(), 1), edge, mode="edge")
    pair = [correlate2d(grey, bank[channel, 0].numpy(), mode="valid") for bank in (even, odd)]
    cells = np.hypot(*pair).reshape(GABOR_GRID, 14, GABOR_GRID, 14).mean((1, 3))
    start = (3 + channel) * GABOR_GRID**2
    np.testing.assert_allclose(features[start : start + GABOR_GRID**2], cells.ravel(), rtol=1e-3, atol=1e-4)


def test_a_grating_excites_its_own_orientation_most():
    axis = torch.arange(112.0)
    for step in range(ORIENTATIONS):
        angle = math.pi * step / ORIENTATIONS
        phase = 2 * math.pi * (axis[None] * math.cos(angle) + axis[:, None] * math.sin(angle)) / WAVELENGTHS[0]
        image = (0.5 + 0.5 * torch.cos(phase)).expand(1, 3, -1, -1)
        energy = gabor().record(image, ["energy"])["energy"][0, 0, 3 * GABOR_GRID**2 :]
        energy = energy[: ORIENTATIONS * GABOR_GRID**2].reshape(ORIENTATIONS, -1).mean(1)
        assert energy.argmax() == step


def test_grey_images_have_a_finite_gradient():
    image = torch.full((1, 3, 112, 112), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(gabor().record(image, ["energy"])["energy"].sum(), image)
    assert torch.isfinite(gradient).all()
