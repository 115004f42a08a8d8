"""Null rows: what pixels, an energy model of simple image structure, or an untrained network explain on their own."""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.models.base import Model, with_settings
from alignment.models.initialise import permute_weights
from alignment.models.torch_model import TorchModel

PIXEL_GRID = 8
GABOR_IMAGE = (112, 112)
GABOR_GRID = 8
ORIENTATIONS = 8
# wavelengths in pixels of a 112-pixel image are these times 2 ** level
WAVELENGTHS = (4.0, 4.0 * math.sqrt(2))
LEVELS = 3
# standard deviation of the envelope in wavelengths: a bandwidth of about 1.4 octaves (Jones & Palmer 1987)
ENVELOPE = 0.4
# keeps the gradient of the root finite where there is no contrast
FLOOR = 1e-8
LUMINANCE = (0.299, 0.587, 0.114)

Network = TypeVar("Network", bound=Model)


def pixels() -> TorchModel:
    """Mean RGB of each of 8x8 blocks of the image, as one layer `blocks` of 192 units (colour, row, column)."""
    return TorchModel(PixelBlocks(PIXEL_GRID), name="pixels", image_size=None)


def gabor() -> TorchModel:
    """Gabor energy at 8 orientations and 6 scales on an 8x8 grid, with the mean colours there, as one layer `energy`.

    Adelson & Bergen 1985: the energy is the root of the summed squares of a quadrature pair of filters, here of the
    luminance; it is averaged over each cell of the grid.
    """
    return TorchModel(GaborNetwork(), name="gabor", image_size=GABOR_IMAGE)


def untrained(model: Network, *, seed: int) -> Network:
    """A copy of a model in which the values inside each trained weight tensor are permuted.

    Unlike drawing new weights, this keeps the size of every weight, so that activations keep theirs roughly, in
    networks without normalisation too.

    Parameters
    ----------
    model : any model with a module; left as it is
    seed : of the permutations, one per tensor name

    Returns
    -------
    Model of the same type, with `untrained`, and the seed unless it is 0, in the brackets of its name

    Raises
    ------
    RequestError
        It has no weights, which `has_weights` tells beforehand.

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    >>> untrained(TorchModel(net, name="tiny"), seed=0).name
    'tiny[untrained]'
    """
    twin = copy.deepcopy(model)
    if twin.module is None or not has_weights(model):
        raise RequestError(f"{model.name} has no trained weights, so there is no untrained copy of it")
    permute_weights(twin.module, seed=seed, name=model.name)
    twin.name = with_settings(model.name, "untrained", *([f"seed={seed}"] if seed else []))
    return twin


def has_weights(model: Model) -> bool:
    """Whether a model has parameters, without which there is no untrained copy of it.

    Examples
    --------
    >>> has_weights(pixels())
    False
    """
    return model.module is not None and next(model.module.parameters(), None) is not None


class PixelBlocks(nn.Module):
    """Images to block means."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.blocks = BlockMeans(grid)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, row, column) to (batch, 3 grid^2)."""
        return self.blocks(x)


class BlockMeans(nn.Module):
    """Mean of each cell of a square grid over the image, as a vector: no later pooling can make it coarser."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, row, column) to (batch, channel grid^2)."""
        return F.adaptive_avg_pool2d(x, self.grid).flatten(1)


class GaborNetwork(nn.Module):
    """Images to energies and colours on a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = GaborEnergy()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, row, column) to (batch, (orientations * wavelengths * levels + 3) grid^2)."""
        return self.energy(x)


class GaborEnergy(nn.Module):
    """A quadrature bank on an image pyramid: each level halves the image, so the same filters serve every octave."""

    bank: Tensor
    luminance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.cat(gabor_bank(WAVELENGTHS, ORIENTATIONS)))
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(1, 3, 1, 1))
        self.means = BlockMeans(GABOR_GRID)
        self.levels = LEVELS

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, row, column) to (batch, (orientations * wavelengths * levels + 3) grid^2)."""
        grey = (x * self.luminance).sum(dim=1, keepdim=True)
        features = [self.means(x)]
        edge = self.bank.shape[-1] // 2
        for level in range(self.levels):
            image = F.avg_pool2d(grey, 2**level) if level else grey
            padded = F.pad(image, (edge, edge, edge, edge), mode="replicate")
            even, odd = F.conv2d(padded, self.bank).chunk(2, dim=1)
            features.append(self.means((even.square() + odd.square() + FLOOR).sqrt()))
        return torch.cat(features, dim=1)


def gabor_bank(wavelengths: tuple[float, ...], orientations: int) -> tuple[Tensor, Tensor]:
    """Quadrature pairs of Gabor filters of zero mean and unit norm.

    Returns
    -------
    even, odd : each (wavelengths * orientations, 1, row, column) float32
    """
    reach = math.ceil(3 * ENVELOPE * max(wavelengths))
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    even, odd = [], []
    for wavelength in wavelengths:
        envelope = torch.exp(-(row**2 + column**2) / (2 * (ENVELOPE * wavelength) ** 2))
        for step in range(orientations):
            angle = math.pi * step / orientations
            phase = 2 * math.pi * (column * math.cos(angle) + row * math.sin(angle)) / wavelength
            wave = envelope * torch.cos(phase)
            even.append(_unit(wave - envelope * (wave.sum() / envelope.sum())))
            odd.append(_unit(envelope * torch.sin(phase)))
    return torch.stack(even)[:, None].float(), torch.stack(odd)[:, None].float()


def _unit(filter_: Tensor) -> Tensor:
    return filter_ / filter_.norm()
