"""Folding batch normalisation leaves the function of images, at the border too; a bias per channel does not."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alignment.models.cordsnet.equivalent import EquivalentCNN, FoldedCNN, fold, from_folded
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet


def random_cnn(depth, *, edge=40):
    torch.manual_seed(depth)
    network = EquivalentCNN(Layout(depth, image_size=(edge, edge - 4), n_classes=10))
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 0.5, 0.8)
            nn.init.normal_(part.bias, 0, 0.5)
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
    return network.eval()


def last_maps(network, images):
    """Activity of the last area, where the border shows."""
    kept = []
    handle = network.conv_norm[-1].register_forward_hook(lambda *call: kept.append(F.relu(call[2])))
    network(images)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("depth", [2, 4, 6, 8])
def test_folding_is_exact_with_border_pixels(depth):
    network = random_cnn(depth, edge=64)
    folded = fold(network)
    images = torch.randn(3, 3, 64, 60)
    with torch.no_grad():
        logits, expected = folded(images), network(images)
        maps, expected_maps = folded.activity(images).after[-1], last_maps(network, images)
    assert float((logits - expected).abs().max()) < 1e-5
    assert float((maps - expected_maps).abs().max()) < 1e-5 * float(expected_maps.abs().max().clamp(min=1))
    gains = torch.cat([conv.parametrizations.weight.original0.flatten() for conv in folded.area_conv])
    assert bool((gains < 0).any())


@pytest.mark.parametrize("depth", [2, 4, 6, 8])
def test_a_bias_per_channel_is_wrong_at_the_border(depth):
    network = random_cnn(depth, edge=64)
    folded = fold(network)
    flat = copy.deepcopy(folded)
    with torch.no_grad():
        for bias in flat.area_bias:
            middle = bias[:, bias.shape[1] // 2, bias.shape[2] // 2]
            bias.copy_(middle[:, None, None].expand_as(bias))
        images = torch.randn(3, 3, 64, 60)
        assert float((flat(images) - network(images)).abs().max()) > 1e-5
        wrong = (flat.activity(images).arriving[1] - folded.activity(images).arriving[1]).abs().amax((0, 1))
    assert float(wrong[0].max()) > 1e-3 or float(wrong[:, 0].max()) > 1e-3


def test_activity_is_that_of_the_equations():
    folded = fold(random_cnn(4))
    with torch.no_grad():
        found = folded.activity(torch.randn(2, 3, 40, 36))
        for area in range(4):
            inside = found.arriving[area] + folded.area_bias[area]
            before = F.conv2d(inside, folded.area_conv[area].weight, padding=1) + folded.conv_bias[area]
            torch.testing.assert_close(found.before[area], before)
            assert torch.equal(found.after[area], found.before[area].clamp(min=0))


def test_a_network_takes_all_but_recurrence_and_bias_from_the_folded_cnn():
    folded = fold(random_cnn(4))
    network = CordsNet(folded.layout, Clock(steps=2, blank_steps=1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    from_folded(folded, network)
    for name, value in network.state_dict().items():
        kept = name.startswith(("area_conv", "conv_bias"))
        assert torch.equal(value, before[name] if kept else folded.state_dict()[name])
    assert isinstance(folded, FoldedCNN) and set(network.state_dict()) < set(folded.state_dict())
