"""The network whose layers drive the simulated brain, so that the right answer of a benchmark is known."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds

SIZE = 64
LAYERS = ("V1", "V2", "hV4", "ventral")
BATCH = 64


class GaborEnergy(nn.Module):
    """Energy of quadrature Gabor pairs on luminance, divided by the local energy of all of them.

    sqrt(even^2 + odd^2) of four orientations and two spatial frequencies, normalised as in Heeger 1992.
    """

    def __init__(self, *, frequencies: Sequence[float] = (0.11, 0.22), n_orientations: int = 4) -> None:
        super().__init__()
        kernels = [
            _gabor(frequency, angle, phase)
            for phase in (0.0, np.pi / 2)
            for frequency in frequencies
            for angle in np.arange(n_orientations) * np.pi / n_orientations
        ]
        self.kernels: Tensor
        self.register_buffer("kernels", torch.stack(kernels)[:, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, row, column) -> (batch, 8, row / 2, column / 2)."""
        even, odd = _filtered(pixels.mean(1, keepdim=True), self.kernels, stride=2).chunk(2, dim=1)
        energy = (even**2 + odd**2 + 1e-6).sqrt()
        return energy / (0.1 + F.avg_pool2d(energy.mean(1, keepdim=True), 7, stride=1, padding=3))


class TextureContrast(nn.Module):
    """Second-order contrast: rectified differences of Gabor energy across space and orientation."""

    def __init__(self, *, seed: int, channels: int = 6) -> None:
        super().__init__()
        weights = _weights((channels, 8, 5, 5), seeds.derive(seed, "texture"))
        self.kernels: Tensor
        self.register_buffer("kernels", weights - weights.mean(dim=(1, 2, 3), keepdim=True))

    def forward(self, energy: Tensor) -> Tensor:
        """(batch, 8, row, column) energies -> (batch, channels, row, column)."""
        return _filtered(energy, self.kernels).abs()


class Colour(nn.Module):
    """Rectified red-green and blue-yellow opponent signals, and their squares (saturation)."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, row, column) -> (batch, 6, row / 2, column / 2)."""
        red, green, blue = F.avg_pool2d(pixels, 2).unbind(1)
        opponent = torch.stack([red - green, blue - (red + green) / 2], dim=1)
        return torch.cat([opponent.relu(), (-opponent).relu(), 2 * opponent**2], dim=1)


class RandomNetwork(nn.Module):
    """Three fixed random convolutions with rectification, on the image normalised to its own mean and spread."""

    def __init__(self, *, seed: int, channels: Sequence[int] = (24, 32, 24)) -> None:
        super().__init__()
        widths = (3, *channels)
        self.kernels = nn.ParameterList(
            nn.Parameter(_weights((out, into, 5, 5), seeds.derive(seed, "network", at)), requires_grad=False)
            for at, (into, out) in enumerate(pairwise(widths))
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, row, column) -> (batch, 24, row / 16, column / 16)."""
        maps = F.instance_norm(F.avg_pool2d(pixels, 2))
        for kernels in self.kernels:
            maps = F.instance_norm(F.avg_pool2d(_filtered(maps, kernels).relu(), 2)) + 0.5
        return maps.relu()


class TruthModel(nn.Module):
    """One layer per region; each layer's output is the very feature map its region's voxels weigh and sum.

    Layers `V1`, `V2`, `hV4` (batch, channel, 4, 4) and `ventral` (batch, channel, 2, 2). Images of any size are resized
    to 64 x 64 (bilinear, antialiased) first; images must reach it whole, without cropping or padding.
    """

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        self.energy = GaborEnergy()
        self.V1 = nn.AdaptiveAvgPool2d(4)
        self.V2 = nn.Sequential(TextureContrast(seed=seed), nn.AdaptiveAvgPool2d(4))
        self.hV4 = nn.Sequential(Colour(), nn.AdaptiveAvgPool2d(4))
        self.ventral = nn.Sequential(RandomNetwork(seed=seed), nn.AdaptiveAvgPool2d(2))

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, row, column) float32 in [0, 1] -> (batch, feature), all layers side by side."""
        if pixels.shape[-2:] != (SIZE, SIZE):
            pixels = F.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        energy = self.energy(pixels)
        maps = (self.V1(energy), self.V2(energy), self.hV4(pixels), self.ventral(pixels))
        return torch.cat([each.flatten(1) for each in maps], dim=1)


def truth_model(*, seed: int = 0) -> TruthModel:
    """The generating network, in evaluation mode; `seed` is that of the simulation."""
    return TruthModel(seed=seed).eval()


def features(images: Callable[[int], np.ndarray], nsd_ids: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Feature maps of the generating network.

    Parameters
    ----------
    images : nsdId -> (row, column, 3) uint8
    nsd_ids : (image,)

    Returns
    -------
    dict layer -> (image, channel, row, column) float32
    """
    model = truth_model(seed=seed)
    parts: dict[str, list[Tensor]] = {name: [] for name in LAYERS}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: parts[name].append(output)
        )
        for name in LAYERS
    ]
    with torch.no_grad():
        for start in range(0, len(nsd_ids), BATCH):
            batch = np.stack([images(int(nsd_id)) for nsd_id in nsd_ids[start : start + BATCH]])
            model(torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32) / 255)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(maps).numpy() for name, maps in parts.items()}


def _gabor(frequency: float, angle: float, phase: float) -> Tensor:
    """A Gabor of unit norm and no response to uniform light; frequency in cycles per pixel."""
    half = int(np.ceil(1.2 / frequency))
    axis = np.arange(-10, 11, dtype=float)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    envelope = np.exp(-(x**2 + y**2) / (2 * (half / 2) ** 2))
    wave = np.cos(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase) * envelope
    wave -= envelope * wave.sum() / envelope.sum()
    return torch.from_numpy((wave / np.linalg.norm(wave)).astype(np.float32))


def _weights(shape: tuple[int, ...], seed: int) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return drawn / float(np.prod(shape[1:])) ** 0.5


def _filtered(maps: Tensor, kernels: Tensor, *, stride: int = 1) -> Tensor:
    edge = kernels.shape[-1] // 2
    return F.conv2d(F.pad(maps, (edge,) * 4, mode="reflect"), kernels, stride=stride)
