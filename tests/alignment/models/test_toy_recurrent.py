"""The small recurrent network: it learns, and its time bins are what they say."""

import copy

import pytest
import torch
from torch import nn

from alignment.dynamics.replay import replaying
from alignment.models import load_model
from alignment.models.toy import Recipe, digits, split
from alignment.models.toy_recurrent import LAYERS


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model("toy_recurrent", cache=tmp_path_factory.mktemp("toy"), seed=0)


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_decisions_on_held_out_digits_get_better_over_time(model) -> None:
    images, labels = digits(32)
    _, held_out = split(Recipe(), len(labels))
    with torch.no_grad():
        right = model.logits(images[held_out]).argmax(2) == labels[held_out][:, None]
    over_time = right.double().mean(0)
    assert over_time.shape == (4,)
    assert over_time[-1] > 0.85 and over_time[-1] > over_time[0] + 0.05


def test_a_part_of_the_time_bins_is_a_slice_and_nothing_is_remembered(model, pixels) -> None:
    assert model.time_bins == dict.fromkeys(LAYERS, (0.0, 1.0, 2.0, 3.0))
    with torch.no_grad():
        whole = model.record(pixels, LAYERS)
        model.record(1 - pixels, LAYERS)
        again = model.record(pixels, LAYERS)
        part = model.record(pixels, LAYERS, time_bins=[1.0, 3.0])
        alone = model.record(pixels[:1], LAYERS)
    for layer in LAYERS:
        assert torch.equal(whole[layer], again[layer])
        assert torch.equal(part[layer], whole[layer][:, [1, 3]])
        torch.testing.assert_close(alone[layer], whole[layer][:1], rtol=1e-4, atol=1e-5)
        assert not torch.equal(whole[layer][:, 1], whole[layer][:, 2])


def test_without_recurrence_nothing_changes_over_time(tmp_path, pixels) -> None:
    model = load_model("toy_recurrent", weights="none", cache=tmp_path, seed=0)
    for name, part in model.module.named_modules():
        if isinstance(part, nn.Conv2d) and name.startswith(("lateral", "down")):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
    with torch.no_grad():
        recorded = model.record(pixels, LAYERS)
    for values in recorded.values():
        assert torch.equal(values, values[:, :1].expand_as(values))


@torch.no_grad()
def test_what_is_incoming_carries_all_that_comes_from_before(model, pixels) -> None:
    flows = [site for group in model.incoming.values() for site in group]
    assert flows == ["lateral1", "down", "lateral2"]
    silent = copy.copy(model)
    silent.select_layers(flows)
    recorded = silent.record(pixels, flows)
    nothing = {
        site: {time: torch.zeros_like(recorded[site][:, 0]) for time in silent.time_bins[site]} for site in flows
    }
    decided = replaying(silent, nothing)(pixels)
    torch.testing.assert_close(decided, model.logits(pixels)[:, :1].expand_as(decided))
