"""CordsNet as a `Model`: times in ms, subsets, batches, no memory of earlier calls, gradients through time."""

import copy

import numpy as np
import pytest
import torch

from alignment.attacks.base import draw_seeds
from alignment.attacks.gradient import PGD
from alignment.attacks.threat import Threat
from alignment.attacks.time import truncated
from alignment.errors import RequestError
from alignment.models.base import decision_times
from alignment.models.baselines import untrained
from alignment.models.cordsnet.equivalent import FoldedCNN
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.model import CordsNetModel, cordsnet
from alignment.models.cordsnet.network import CordsNet
from alignment.record import RecordSettings, record_block
from alignment.stimuli import StimulusSet

CLASSES = tuple("abcdefghij")


@pytest.fixture
def model(make):
    return CordsNetModel(make(4, clock=Clock(steps=20, blank_steps=5)), name="small", classes=CLASSES)


@pytest.fixture
def pixels():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_times_are_in_ms_since_onset(model):
    assert model.time_unit == "ms"
    assert model.time_bins["rates.3"] == tuple(4.0 * n for n in range(1, 11))
    assert model.layers == ("rates.0", "rates.1", "rates.2", "rates.3")
    fine = cordsnet(2, image_size=(16, 16), classes=("a", "b"), clock=Clock(alpha=0.03, steps=4))
    assert fine.time_bins["rates.0"] == (0.3, 0.6, 0.9, 1.2)


def test_a_subset_of_times_is_a_slice_of_the_whole(model, pixels):
    every = [2.0 * n for n in range(1, 21)]
    with torch.no_grad():
        whole = model.record(pixels, model.layers, time_bins=every)
        some = model.record(pixels, ["rates.3", "rates.0"], time_bins=[6.0, 40.0])
        usual = model.record(pixels, ["rates.2"])["rates.2"]
    assert whole["rates.3"].shape == (3, 20, 128, 4, 4)
    for layer in some:
        assert torch.equal(some[layer], whole[layer][:, [2, 19]])
    assert torch.equal(usual, whole["rates.2"][:, 1::2])


def test_recorded_rates_are_those_of_the_definition(model, pixels):
    network = model.module
    with torch.no_grad():
        images = (pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
            [0.229, 0.224, 0.225]
        ).view(3, 1, 1)
        weights = network.folded()
        states = list(
            network.trajectory(network.spontaneous(weights, 3), network.drive(images, weights), weights, steps=20)
        )
        found = model.record(pixels, ["rates.1"], time_bins=[14.0])["rates.1"][:, 0]
    torch.testing.assert_close(found, states[6][1], rtol=0, atol=1e-6)


def test_batches_repetition_and_earlier_calls_change_nothing(model, pixels):
    with torch.no_grad():
        first = model.record(pixels, model.layers)
        model.record(1 - pixels, model.layers, time_bins=[2.0])
        model.logits(1 - pixels)
        again = model.record(pixels, model.layers)
        alone = [model.record(image[None], model.layers) for image in pixels.flip(0)]
    for layer in model.layers:
        assert torch.equal(first[layer], again[layer])
        single = torch.cat([each[layer] for each in alone[::-1]])
        assert float((single - first[layer]).abs().max()) < 1e-5


def test_pooled_recording_in_blocks(model):
    images = np.random.default_rng(0).integers(0, 256, size=(5, 32, 32, 3), dtype=np.uint8)
    stimuli = StimulusSet("noise", tuple("abcde"), lambda name: images["abcde".index(name)])
    one, five = (
        record_block(
            model, stimuli, stimuli.ids, ["rates.3"], settings=RecordSettings(batch_size=size, pool=2), time_bins=[40.0]
        )["rates.3"]
        for size in (1, 5)
    )
    assert one.shape == (5, 1, 512) and one.time_bin.values.tolist() == [40.0]
    assert float(np.abs(one - five).max()) < 1e-5


def test_logits_are_at_the_usual_times(model, pixels):
    logits = model.logits(pixels)
    assert logits.shape == (3, 10, 10)
    together, recorded = model.logits_and_activations(pixels, ["rates.3"], time_bins={"rates.3": [40.0]})
    assert torch.equal(together, logits) and recorded["rates.3"].shape[1] == 1
    assert decision_times(model, 10) == model.time_bins["rates.3"]
    model.select_times([40.0])
    assert model.time_bins["rates.0"] == (40.0,) == decision_times(model, 1)
    with pytest.raises(RequestError, match="small states 1 times of decisions and makes 10"):
        decision_times(model, 10)
    assert torch.equal(model.logits(pixels), logits[:, -1:])


def test_settings_enter_the_fingerprint(make):
    def of(**clock):
        return CordsNetModel(make(2, clock=Clock(**clock)), name="small", classes=CLASSES)

    model = of(steps=20, blank_steps=5)
    found = {
        model.fingerprint,
        of(steps=20, blank_steps=6).fingerprint,
        of(steps=21, blank_steps=5).fingerprint,
        of(steps=20, blank_steps=5, alpha=0.1).fingerprint,
        untrained(model, seed=0).fingerprint,
    }
    assert len(found) == 5
    twin = of(steps=20, blank_steps=5)
    twin.folded = FoldedCNN(twin.module.layout)
    assert twin.fingerprint not in found
    assert copy.deepcopy(model).fingerprint == of(steps=20, blank_steps=5).fingerprint == model.fingerprint


def test_full_and_truncated_gradients(model, pixels):
    def slope(logits):
        images = pixels.clone().requires_grad_()
        scores = logits(images)
        assert torch.equal(scores, model.logits(pixels))
        return torch.autograd.grad(scores[:, -1].square().sum(), images, allow_unused=True)[0]

    full, all_steps, some = (slope(each) for each in (model.logits, model.logits_through(20), model.logits_through(4)))
    assert torch.equal(full, all_steps) and bool(full.any())
    assert bool(some.any()) and not torch.allclose(some, full)
    # from the last two of four areas an image is two steps away: with the last call of each alone nothing is left of it
    fewest = slope(truncated(model))
    assert model.fewest_steps == 2 and torch.equal(fewest, slope(model.logits_through(2))) and bool(fewest.any())
    for cut in (model.logits_through(1), truncated(model, model.layers)):
        last = slope(cut)
        assert last is None or not last.any()
    with pytest.raises(RequestError, match="1 to 20"):
        model.logits_through(21)


def test_attack_through_time_lowers_the_margin(model, pixels):
    labels = model.logits(pixels)[:, -1].argmax(1)
    attack, threat = PGD(steps=4), Threat("linf", 8 / 255)
    seeds = draw_seeds((1, 2, 3), "attack", 0, 0)
    clean = _margin(model.logits(pixels)[:, -1], labels)
    for logits in (model.logits, model.logits_through(5)):
        moved = attack.perturb(logits, pixels, labels, threat, seeds=seeds)
        assert float((moved - pixels).abs().max()) <= 8 / 255 + 1e-6
        assert bool((_margin(model.logits(moved)[:, -1], labels) < clean).all())


def _margin(logits, labels):
    own = logits.gather(1, labels[:, None])[:, 0]
    return (own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)).detach()


def test_grey_networks_take_the_mean_of_the_colours():
    torch.manual_seed(0)
    network = CordsNet(Layout(2, image_size=(16, 16), n_classes=2, n_channels=1), Clock(steps=4, blank_steps=2))
    model = CordsNetModel(network, name="grey", classes="ab", normalise=((0.5,) * 3, (0.25,) * 3))
    pixels = torch.rand(2, 3, 16, 16)
    grey = pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(model.logits(pixels), model.logits(grey))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model, pixels: model.record(pixels, ["rates.4"]), "unknown layer of small 'rates.4'"),
        (lambda model, pixels: model.record(pixels, ["rates.0"], time_bins=[3.0]), "no time_bin 3 ms.*every 2 ms"),
        (lambda model, pixels: model.record(pixels, ["rates.0"], time_bins=[0.0]), "no time_bin 0 ms"),
        (lambda model, pixels: model.record(pixels[..., :30], ["rates.0"]), r"images are \(32, 30\)"),
        (lambda model, pixels: CordsNetModel(model.module, name="x", classes="ab"), "10 logits and 2 names"),
    ],
)
def test_bad_requests_are_named(model, pixels, ask, message):
    with pytest.raises(RequestError, match=message):
        ask(model, pixels)
