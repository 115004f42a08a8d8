"""The CNN that a CordsNet is made from, and the same function with its batch normalisation folded into bias maps.

Equivalent CNN: x_l = relu(BN_2(W_l * BN_1(U_l * h_l))), the graph of the CordsNet passed through once, with batch
normalisation after the image's own convolution and each 1x1 skip as well. Folded: x_l = relu(W_l * (U_l * h_l + a_l) +
c_l). A constant that a normalisation adds before a zero-padded convolution is not constant after it, since the border
sees zeros: a_l and c_l are maps (channel, row, column), and a bias per channel would be wrong at the border.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.models.cordsnet.graph import ConvGraph, incoming, kernel
from alignment.models.cordsnet.layout import Layout
from alignment.models.cordsnet.network import CordsNet

GAIN, DIRECTION = "parametrizations.weight.original0", "parametrizations.weight.original1"


class Activity(NamedTuple):
    """One pass of a CNN.

    Attributes
    ----------
    arriving : per area U_l * h_l, before any bias
    before : per area, the sum before the rectification
    after : per area, rectified
    """

    arriving: list[Tensor]
    before: list[Tensor]
    after: list[Tensor]


class EquivalentCNN(ConvGraph):
    """The CNN, with batch normalisation.

    Examples
    --------
    >>> EquivalentCNN(Layout(2, image_size=(16, 16), n_classes=5))(torch.zeros(3, 3, 16, 16)).shape
    torch.Size([3, 5])
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        widths = layout.widths
        self.inp_norm = nn.BatchNorm2d(widths[0])
        self.area_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.conv_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.skip_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[2::2])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class) of normalised images (batch, channel, row, column)."""
        entry = _pooled(self.inp_norm(self.inp_conv(self.fitting(images))))
        after: list[Tensor] = []
        for area in range(self.layout.depth):
            arriving = self.area_norm[area](self.area_area[area](self._input(area, entry, after)))
            after.append(F.relu(self.conv_norm[area](self.area_conv[area](arriving))))
        return self.out_fc((after[-1] + after[-2]).mean((2, 3)))

    def _input(self, area: int, entry: Tensor, after: Sequence[Tensor]) -> Tensor:
        if area == 0:
            return entry
        if area == 1:
            return after[0] + self.inp_skip(entry)
        if area % 2 == 0:
            return after[area - 1] + after[area - 2]
        pair = (area - 3) // 2
        return after[area - 1] + self.skip_norm[pair](self.skip_area[pair](after[area - 2]))


class FoldedCNN(ConvGraph):
    """The CNN without normalisation: bias maps a_l before W_l, `area_bias`, and c_l after it, `conv_bias`."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.area_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in layout.maps)
        self.conv_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in layout.maps)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class) of normalised images (batch, channel, row, column)."""
        after = self.activity(images).after
        return self.out_fc((after[-1] + after[-2]).mean((2, 3)))

    def activity(self, images: Tensor) -> Activity:
        """What arrives at each area, and what leaves it, (batch, channel, row, column) each."""
        skips = [kernel(skip) for skip in self.skip_area]
        entry = _pooled(self.inp_conv(self.fitting(images)))
        found = Activity([], [], [])
        for area in range(self.layout.depth):
            inputs = incoming(area, found.after, skips)
            if inputs is None:
                inputs = entry
            elif area == 1:
                inputs = inputs + self.inp_skip(entry)
            arriving = self.area_area[area](inputs)
            before = self.area_conv[area](arriving + self.area_bias[area]) + self.conv_bias[area]
            for kept, value in zip(found, (arriving, before, F.relu(before)), strict=True):
                kept.append(value)
        return found


@torch.no_grad()
def fold(network: EquivalentCNN) -> FoldedCNN:
    """The same function of images in evaluation mode, without batch normalisation.

    With s = gamma / sqrt(variance + epsilon) and m = beta - mean s of each normalisation, gains are multiplied by s
    (they may become negative), directions get unit length, and every m becomes part of the bias map of the next area.

    Parameters
    ----------
    network : left as it is; its running statistics are used
    """
    folded = FoldedCNN(network.layout).to(next(network.parameters()))
    folded.load_state_dict(_shared(network, folded), strict=False)
    m_in = _into(folded.inp_conv, network.inp_norm)
    m_skip = [_into(skip, norm) for skip, norm in zip(folded.skip_area, network.skip_norm, strict=True)]
    for area in range(network.layout.depth):
        m_area = _into(folded.area_area[area], network.area_norm[area])
        m_conv = _into(folded.area_conv[area], network.conv_norm[area])
        folded.area_bias[area].copy_(m_area.expand_as(folded.area_bias[area]))
        folded.conv_bias[area].copy_(m_conv.expand_as(folded.conv_bias[area]))
    rows, columns = (-(-edge // 2) for edge in network.layout.image_size)
    constant = _pooled(m_in.expand(-1, rows, columns)[None])
    folded.area_bias[0] += folded.area_area[0](constant)[0]
    folded.area_bias[1] += folded.area_area[1](folded.inp_skip(constant))[0]
    for pair, m in enumerate(m_skip):
        area = 3 + 2 * pair
        arriving = m.expand(network.layout.maps[area])
        folded.area_bias[area] += folded.area_area[area](arriving[None])[0]
    return folded.eval()


@torch.no_grad()
def from_folded(folded: FoldedCNN, network: CordsNet) -> CordsNet:
    """Put everything that a CordsNet shares with a folded CNN into it: all but recurrence and bias maps.

    Parameters
    ----------
    folded : of the same layout
    network : changed in place, and returned; its W_l and b_l stay
    """
    kept = ("area_conv", "conv_bias")
    state = {name: value for name, value in _shared(folded, network).items() if not name.startswith(kept)}
    network.load_state_dict(state, strict=False)
    return network


def _shared(source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    own = target.state_dict()
    return {name: value for name, value in source.state_dict().items() if name in own}


def _into(layer: nn.Module, norm: nn.Module) -> Tensor:
    """Multiply the gain of a layer by a normalisation's scale, in place; its shift (channel, 1, 1)."""
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    gain, direction = layer.get_parameter(GAIN), layer.get_parameter(DIRECTION)
    gain.mul_(scale.view(-1, 1, 1, 1))
    direction.div_(direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
    return (norm.bias - norm.running_mean * scale).view(-1, 1, 1)


def _pooled(maps: Tensor) -> Tensor:
    """Zeros beyond the border count."""
    return F.avg_pool2d(maps, 3, stride=2, padding=1)
