r"""What one connection makes of its source: the feedback $F_{s \to d}$ that a destination is multiplied by.

$F = A\,\sigma(\mathrm{resize}(\tanh(\mathrm{norm}(v)))) + b$: the source's activation $v$ is normalised over all of its
units, squashed, brought to the size of the destination, scaled by $\sigma_-$ below 0 and $\sigma_+$ above, and mapped
from channels to channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, ...]
Gains = tuple[float, float]
UNCHANGED: Gains = (1.0, 1.0)
# numbers that stay near the processor
CACHED = 1 << 20


class Affine(nn.Module):
    """Normalisation over all units of an image, with a weight and a bias for each.

    Those of a map have the size that the destination had when the network was made, and are brought to the size of the
    source, corner on corner, in every pass: any image size will do.

    Parameters
    ----------
    shape : of the weights, (channel,) or (channel, row, column)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(shape)), nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights of 1, biases of 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, value: Tensor) -> Tensor:
        """(batch, channel) or (batch, channel, row, column), to the same shape."""
        if value.ndim == 2:
            return F.layer_norm(value, value.shape[1:], self.weight, self.bias)
        weight, bias = (_resized(each[:, None], value.shape[2:])[:, 0] for each in (self.weight, self.bias))
        return F.layer_norm(value, value.shape[1:], weight, bias)


class Rescale(nn.Module):
    """The place of the normalisation among the published weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = Affine(shape)

    def forward(self, value: Tensor) -> Tensor:
        """As `Affine`."""
        return self.norm(value)


class Modulation(nn.Module):
    """The feedback of one connection.

    Parameters
    ----------
    source, destination : shapes for one image, (channel,) or (channel, row, column)

    Examples
    --------
    >>> block = Modulation((1000,), (256, 13, 13))
    >>> sum(weight.numel() for weight in block.parameters())
    258258
    >>> block(torch.randn(2, 1000), size=(13, 13)).shape
    torch.Size([2, 256, 1, 1])
    """

    def __init__(self, source: Shape, destination: Shape) -> None:
        super().__init__()
        channels = source[0]
        # a destination without rows and columns has one of each
        self.rescale = Rescale((channels, *(destination[1:] or (1, 1))) if len(source) > 1 else source)
        self.neg_scale, self.pos_scale = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(1))
        self.modulation = nn.Conv2d(channels, destination[0], 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scales of 1."""
        nn.init.ones_(self.neg_scale)
        nn.init.ones_(self.pos_scale)

    def forward(self, value: Tensor, *, size: tuple[int, int] | None, gains: Gains = UNCHANGED) -> Tensor:
        """What the output of a destination is multiplied by, less 1.

        Parameters
        ----------
        value : (batch, channel) or (batch, channel, row, column), of the source
        size : (row, column) of the destination; None for a vector
        gains : factors on what is below 0 and above it, of this call alone

        Returns
        -------
        (batch, channel, row, column), with one row and column where the source is a vector; (batch, channel) for a
        vector
        """
        below, above = gains[0] * self.neg_scale, gains[1] * self.pos_scale
        squashed = torch.tanh(self.rescale(value))
        weight, bias = self.modulation.weight, self.modulation.bias
        if value.ndim == 4 and size is not None:
            if tuple(value.shape[2:]) != size:
                return self._of_resized(squashed, size, below=below, above=above)
            return F.conv2d(_scaled(squashed, below=below, above=above), weight, bias)
        vectors = squashed if value.ndim == 2 else squashed.mean((2, 3))
        flow = F.linear(_scaled(vectors, below=below, above=above), weight.flatten(1), bias)
        return flow if size is None else flow[..., None, None]

    def _of_resized(self, squashed: Tensor, size: tuple[int, int], *, below: Tensor, above: Tensor) -> Tensor:
        """The same, where most of the time goes: all that is linear comes before maps grow, and few grow at a time.

        In place only on maps that nothing else holds or needs.
        """
        weight = self.modulation.weight
        linear = F.conv2d(above * squashed, weight, self.modulation.bias)
        steeper = (above - below) * weight.flatten(1)
        at_once = len(squashed)
        if squashed.device.type == "cpu":
            at_once = max(1, CACHED // (squashed.shape[1] * size[0] * size[1]))
        flows = [
            _projected(_resized(negative, size).relu_(), steeper).add_(_resized(part, size))
            for part, negative in zip(linear.split(at_once), (-squashed).split(at_once), strict=True)
        ]
        return flows[0] if len(flows) == 1 else torch.cat(flows)


def _projected(maps: Tensor, weight: Tensor) -> Tensor:
    """A 1 x 1 convolution, as one product of matrices where channels come last."""
    return F.linear(maps.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)


def _scaled(squashed: Tensor, *, below: Tensor, above: Tensor) -> Tensor:
    return above * squashed + (above - below) * F.relu(-squashed)


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(batch, channel, row, column), bilinearly and corner on corner."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    if maps.shape[2] * maps.shape[3] < size[0] * size[1]:
        # much faster than channels first, where maps grow
        maps = maps.contiguous(memory_format=torch.channels_last)
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)
