"""The contract of `Model`, held by every model of the catalogue that can be built without a download.

Of a network with time: asking for some times is slicing all of them, images of a batch do not meet, the same pixels
give the same tensors, and nothing is left over between calls.
"""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from alignment.models import load_model, model_names
from alignment.models.base import Model, decision_times
from alignment.models.cordsnet.layout import Clock
from alignment.models.cordsnet.model import cordsnet
from alignment.record import RecordSettings, record_block
from alignment.stimuli import StimulusSet

HAVE_NO_WEIGHTS = {"pixels", "gabor"}
TRAIN_THEMSELVES = {"toy"}
# 200 steps of images at 224 px take half a minute
SMALLER = {
    f"cordsnet_r{depth}": partial(cordsnet, depth, image_size=(32, 32), clock=Clock(steps=depth + 4, blank_steps=3))
    for depth in (2, 4, 6, 8)
}
OF_LIBRARIES = ("resnet18",)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=[*model_names(), *OF_LIBRARIES])
def model(request, cache):
    name = request.param
    if name in SMALLER:
        return SMALLER[name]()
    weights = "default" if name in HAVE_NO_WEIGHTS | TRAIN_THEMSELVES else "none"
    return load_model(name, weights=weights, cache=cache)


def images_for(model, n=3, seed=0):
    size = model.image_size or (48, 48)
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pixels(model):
    return images_for(model)


@pytest.fixture
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(5, 40, 40, 3), dtype=np.uint8)
    return StimulusSet("noise", tuple("abcde"), lambda name: images["abcde".index(name)])


@torch.no_grad()
def recorded_by(model, pixels, **asked):
    return model.record(pixels, model.layers, **asked)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(values, other[layer]) for layer, values in one.items())


def close(one, other):
    """To within 1e-5 of the largest value of a layer: kernels round differently for batches of another size."""
    return all(
        float((values - other[layer]).abs().max()) <= 1e-5 * max(1.0, float(values.abs().max()))
        for layer, values in one.items()
    )


def test_attributes(model):
    assert isinstance(model, Model)
    assert isinstance(model.name, str) and model.layers and len(set(model.layers)) == len(model.layers)
    assert set(model.time_bins) == set(model.layers)
    assert all(bins == tuple(sorted(bins)) for bins in model.time_bins.values())
    assert model.time_unit in ("step", "ms") and model.visual_degrees > 0
    assert isinstance(model.fingerprint, str) and model.fingerprint == copy.deepcopy(model).fingerprint


@pytest.mark.parametrize("name", SMALLER)
def test_what_is_built_smaller_here_is_what_its_name_builds(name, cache):
    named, smaller = load_model(name, weights="none", cache=cache), SMALLER[name]()
    assert type(named) is type(smaller) and named.layers == smaller.layers and named.image_size == (224, 224)
    assert [key for key, _ in named.module.named_parameters()] == [key for key, _ in smaller.module.named_parameters()]


def test_record_has_every_layer_and_time_bin(model, pixels):
    recorded = recorded_by(model, pixels)
    assert list(recorded) == list(model.layers)
    for layer, values in recorded.items():
        assert values.shape[:2] == (3, len(model.time_bins[layer])) and values.ndim > 2
        assert values.dtype == torch.float32 and torch.isfinite(values).all()


def test_some_times_are_a_slice_of_all(model, pixels):
    whole = recorded_by(model, pixels)
    for layer, bins in model.time_bins.items():
        for places in {(0,), (len(bins) - 1,), (0, len(bins) - 1), tuple(range(len(bins)))[::2]}:
            chosen = sorted(set(places))
            with torch.no_grad():
                found = model.record(pixels, [layer], time_bins=[bins[place] for place in chosen])[layer]
            assert torch.equal(found, whole[layer][:, chosen]), (layer, chosen)


def test_images_of_a_batch_do_not_meet(model, pixels):
    whole, backwards = recorded_by(model, pixels), recorded_by(model, pixels.flip(0))
    alone = [recorded_by(model, image[None]) for image in pixels]
    assert close({layer: torch.cat([each[layer] for each in alone]) for layer in whole}, whole)
    assert close({layer: values.flip(0) for layer, values in backwards.items()}, whole)


def test_the_same_pixels_give_the_same_tensors(model, pixels):
    assert same(recorded_by(model, pixels), recorded_by(model, pixels.clone()))
    if model.classes is not None:
        with torch.no_grad():
            assert torch.equal(model.logits(pixels), model.logits(pixels.clone()))


def test_nothing_is_left_over_between_calls(model, pixels):
    before, first = model.fingerprint, recorded_by(model, pixels)
    recorded_by(model, images_for(model, n=2, seed=1))
    last = model.layers[-1]
    with torch.no_grad():
        model.record(1 - pixels, [model.layers[0]], time_bins=model.time_bins[model.layers[0]][:1])
        if model.classes is not None:
            model.logits(images_for(model, n=1, seed=2))
    model.record(pixels[:1].clone().requires_grad_(), [last])[last].sum().backward()
    assert same(recorded_by(model, pixels), first)
    assert model.fingerprint == before


def test_differentiable_in_the_pixels(model, pixels):
    images = pixels.requires_grad_()
    values = model.record(images, [model.layers[0]])[model.layers[0]]
    (gradient,) = torch.autograd.grad(values.square().sum(), images)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_logits(model, pixels):
    if model.classes is None:
        pytest.skip("a model without logits")
    with torch.no_grad():
        scores = model.logits(pixels)
    assert scores.ndim == 3 and scores.shape[::2] == (3, len(model.classes)) and torch.isfinite(scores).all()
    times = decision_times(model, scores.shape[1])
    assert len(times) == scores.shape[1] >= 1 and list(times) == sorted(set(times))


def test_recording_is_independent_of_the_batch(model, stimuli):
    one, all_ = (
        record_block(model, stimuli, stimuli.ids, model.layers, settings=RecordSettings(batch_size=size, pool=4))
        for size in (1, 5)
    )
    for layer in model.layers:
        scale = max(1.0, float(np.abs(all_[layer]).max()))
        assert float(np.abs(one[layer] - all_[layer]).max()) < 1e-5 * scale


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_the_four_rules_of_time_at_full_size(name, cache):
    model = load_model(name, weights="none", cache=cache)
    pixels = images_for(model, n=2)
    whole = recorded_by(model, pixels)
    middle, last = (len(model.time_bins[model.layers[0]]) // 2, -1)
    bins = model.time_bins[model.layers[0]]
    some = recorded_by(model, pixels, time_bins=[bins[middle], bins[last]])
    assert same(some, {layer: values[:, [middle, last]] for layer, values in whole.items()})
    alone = [recorded_by(model, image[None], time_bins=[bins[last]]) for image in pixels.flip(0)]
    joined = {layer: torch.cat([each[layer] for each in reversed(alone)]) for layer in whole}
    assert close(joined, {layer: values[:, [last]] for layer, values in whole.items()})
    assert same(recorded_by(model, pixels), whole)
