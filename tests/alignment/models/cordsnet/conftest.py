"""CordsNets small enough for a test, and their definition written out step by step."""

import pytest
import torch
from torch.nn import functional as F

from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet


@pytest.fixture
def make():
    """A network with random bias maps, so that its spontaneous rates are not 0."""

    def build(depth, *, edge=32, clock=None, n_classes=10, biased=True):
        torch.manual_seed(depth)
        clock = clock or Clock(steps=12, blank_steps=8)
        network = CordsNet(Layout(depth, image_size=(edge, edge), n_classes=n_classes), clock)
        if biased:
            for bias in network.conv_bias:
                torch.nn.init.normal_(bias, std=0.3)
        return network.eval()

    return build


@pytest.fixture
def written_out():
    """Logits as the published description has them: area by area from the last, in place, nothing cached."""

    def weight(layer):
        gain, direction = (layer.get_parameter(f"parametrizations.weight.original{n}") for n in (0, 1))
        return gain * direction / direction.flatten(1).norm(dim=1).view(gain.shape)

    def drive(network, area, images, rates):
        relu = [F.relu(rate) for rate in rates]
        entry = F.avg_pool2d(F.conv2d(images, weight(network.inp_conv), stride=2, padding=3), 3, 2, 1)
        if area == 0:
            return entry
        if area == 1:
            return relu[0] + F.conv2d(entry, weight(network.inp_skip), padding=1)
        if area % 2 == 0:
            return relu[area - 1] + relu[area - 2]
        return relu[area - 1] + F.conv2d(relu[area - 2], weight(network.skip_area[(area - 3) // 2]), stride=2)

    def logits(network, images):
        rates = [torch.zeros(len(images), *size, dtype=images.dtype) for size in network.layout.maps]
        clock = network.clock
        for shown, steps in ((torch.zeros_like(images), clock.blank_steps), (images, clock.steps)):
            for _ in range(steps):
                for area in reversed(range(network.layout.depth)):
                    stride = 2 if area in (2, 4, 6) else 1
                    total = (
                        F.conv2d(rates[area], weight(network.area_conv[area]), padding=1)
                        + network.conv_bias[area]
                        + F.conv2d(
                            drive(network, area, shown, rates),
                            weight(network.area_area[area]),
                            stride=stride,
                            padding=1,
                        )
                    )
                    rates[area] = (1 - clock.alpha) * rates[area] + clock.alpha * F.relu(total)
        pooled = (F.relu(rates[-1]) + F.relu(rates[-2])).mean((2, 3))
        return F.linear(pooled, weight(network.out_fc).view(-1, pooled.shape[1]), network.out_fc.bias)

    return logits
