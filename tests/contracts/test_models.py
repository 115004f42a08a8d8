"""The contract of `Model`, held by every built-in model."""

import copy

import numpy as np
import pytest
import torch

from alignment.models import load_model, model_names
from alignment.models.base import Model
from alignment.record import RecordSettings, record_block
from alignment.stimuli import StimulusSet

NEED_A_FILE = {"cifar_resnet20", "cifar_resnet56"}
BUILT_IN = [name for name in model_names() if name in {"toy", "pixels", "gabor"} | NEED_A_FILE]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=[*BUILT_IN, "resnet18"])
def model(request, cache):
    weights = "none" if request.param in {*NEED_A_FILE, "resnet18"} else "default"
    return load_model(request.param, weights=weights, cache=cache)


@pytest.fixture
def pixels(model):
    size = model.image_size or (48, 48)
    return torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(5, 40, 40, 3), dtype=np.uint8)
    return StimulusSet("noise", tuple("abcde"), lambda name: images["abcde".index(name)])


def test_attributes(model):
    assert isinstance(model, Model)
    assert isinstance(model.name, str) and model.layers and len(set(model.layers)) == len(model.layers)
    assert set(model.time_bins) == set(model.layers)
    assert all(bins == tuple(sorted(bins)) for bins in model.time_bins.values())
    assert model.time_unit in ("step", "ms") and model.visual_degrees > 0
    assert isinstance(model.fingerprint, str) and model.fingerprint == copy.deepcopy(model).fingerprint


def test_record_has_every_layer_and_time_bin(model, pixels):
    recorded = model.record(pixels, model.layers)
    assert list(recorded) == list(model.layers)
    for layer, values in recorded.items():
        assert values.shape[:2] == (3, len(model.time_bins[layer])) and values.ndim > 2
        assert values.dtype == torch.float32 and torch.isfinite(values).all()


def test_images_do_not_meet_and_nothing_is_remembered(model, pixels):
    layer = model.layers[-1]
    before = model.fingerprint
    with torch.no_grad():
        first = model.record(pixels, [layer])[layer]
        model.record(1 - pixels, model.layers)
        assert torch.equal(model.record(pixels, [layer])[layer], first)
        alone = torch.cat([model.record(image[None], [layer])[layer] for image in pixels])
    torch.testing.assert_close(alone, first, rtol=1e-4, atol=1e-5)
    assert model.fingerprint == before


def test_differentiable_in_the_pixels(model, pixels):
    images = pixels.requires_grad_()
    values = model.record(images, [model.layers[0]])[model.layers[0]]
    (gradient,) = torch.autograd.grad(values.square().sum(), images)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_logits(model, pixels):
    if model.classes is None:
        pytest.skip("a model without logits")
    assert model.logits(pixels).shape == (3, 1, len(model.classes))


def test_recording_is_independent_of_the_batch(model, stimuli):
    one, all_ = (
        record_block(model, stimuli, stimuli.ids, model.layers, settings=RecordSettings(batch_size=size, pool=4))
        for size in (1, 5)
    )
    for layer in model.layers:
        scale = max(1.0, float(np.abs(all_[layer]).max()))
        assert float(np.abs(one[layer] - all_[layer]).max()) < 1e-5 * scale
