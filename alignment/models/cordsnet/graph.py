"""The convolutions that a CordsNet shares with the CNN it is made from, and which area gets what."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from alignment.errors import RequestError
from alignment.models.cordsnet.layout import WIDTHS, Layout

COLOURS = 3


class ConvGraph(nn.Module):
    """The convolutions that a CordsNet shares with its equivalent CNN, all with weight normalisation and no bias.

    Parameters
    ----------
    layout : of the maps
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        widths, strides = layout.widths, layout.strides
        inputs = (widths[0], *widths[:-1])
        self.inp_conv = _conv(layout.n_channels, widths[0], 7, stride=2)
        self.inp_skip = _conv(widths[0], widths[0], 3)
        self.area_conv = nn.ModuleList(_conv(width, width, 3) for width in widths)
        self.area_area = nn.ModuleList(
            _conv(before, width, 3, stride=stride)
            for before, width, stride in zip(inputs, widths, strides, strict=True)
        )
        pairs = layout.depth // 2
        self.skip_area = nn.ModuleList(_conv(WIDTHS[k], WIDTHS[k + 1], 1, stride=2) for k in range(pairs - 1))
        self.out_fc: Any = weight_norm(nn.Linear(widths[-1], layout.n_classes))

    def fitting(self, images: Tensor) -> Tensor:
        """Images of the channels that the network takes: a network of grey images takes the mean of three colours.

        Raises
        ------
        RequestError
            They have not the size or the channels that the maps are of.
        """
        expected = (self.layout.n_channels, *self.layout.image_size)
        if images.ndim == 4 and self.layout.n_channels == 1 and images.shape[1] == COLOURS:
            images = images.mean(1, keepdim=True)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise RequestError(
                f"cordsnet: images are {tuple(images.shape)}, and its bias maps fit (batch, "
                f"{', '.join(map(str, expected))}); resize the images, or build it for their size"
            )
        return images


def kernel(layer: nn.Module) -> Tensor:
    """The weight of a convolution or linear map as it is applied, its gain multiplied in."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def incoming(area: int, signals: Sequence[Tensor], skips: Sequence[Tensor]) -> Tensor | None:
    """What of h_l comes from other areas; None for the first, into which only the image goes.

    Parameters
    ----------
    area : l
    signals : rectified rates of the areas before it, at least
    skips : kernels of S_k
    """
    if area == 0:
        return None
    if area == 1:
        return signals[0]
    if area % 2 == 0:
        return signals[area - 1] + signals[area - 2]
    return signals[area - 1] + F.conv2d(signals[area - 2], skips[(area - 3) // 2], stride=2)


def _conv(inputs: int, outputs: int, edge: int, *, stride: int = 1) -> nn.Module:
    return weight_norm(nn.Conv2d(inputs, outputs, edge, stride=stride, padding=edge // 2, bias=False))
