"""Networks that sample in evaluation mode, declared or not."""

import sys

import numpy as np
import pytest
import torch

from alignment.errors import RequestError
from alignment.models import load_model
from alignment.record import RecordSettings, record_block
from alignment.stimuli import StimulusSet

FILE = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
class Net(nn.Module):
    def __init__(self, noise, **said):
        super().__init__()
        self.conv, self.last, self.noise = nn.Conv2d(3, 4, 3, bias=False), nn.Identity(), noise
        self.seen = torch.zeros(1)
        self.image_size = (16, 16)
        for name, value in said.items():
            setattr(self, name, value)
    def forward(self, x):
        return self.last(self.noise(self, self.conv(x)))
def dropout():
    return Net(lambda net, x: F.dropout(x, 0.5, training=True))
def after_the_last_layer():
    class Late(Net):
        def forward(self, x):
            return {"out": super().forward(x) + torch.rand(1)}
    return Late(lambda net, x: x)
def quiet():
    return Net(lambda net, x: x)
def declared():
    return Net(lambda net, x: x, stochastic=True, time_unit="ms")
def denied():
    return Net(lambda net, x: x + torch.randn_like(x), stochastic=False)
def numpy_noise():
    return Net(lambda net, x: x + float(np.random.default_rng().normal()))
def remembers():
    def noise(net, x):
        net.seen = net.seen + 1
        return x + net.seen
    return Net(noise)
def odd_unit():
    return Net(lambda net, x: x, time_unit="s")
def odd_flag():
    return Net(lambda net, x: x, stochastic="yes")
"""
# rates that draw noise: with an image on, in the blank before it, from numpy, or not at all
WITH_A_CLOCK = """
import numpy as np
import torch
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.model import CordsNetModel
from alignment.models.cordsnet.network import CordsNet
STEPS = []
class Noisy(CordsNet):
    def __init__(self, noise, blank=True):
        super().__init__(Layout(4, image_size=(16, 16), n_classes=2), Clock(steps=5000, blank_steps=5000))
        self.noise, self.blank = noise, blank
    def step(self, rates, drive, weights):
        return self._step(rates, drive, weights, called=True)
    def _step(self, rates, drive, weights, *, called):
        STEPS.append(called)
        found = super()._step(rates, drive, weights, called=called)
        return [rate + self.noise(rate) for rate in found] if called or self.blank else found
def model(noise, **said):
    return CordsNetModel(Noisy(noise, **said), name="noisy", classes=("a", "b"))
def quiet():
    return model(lambda rate: 0)
def always():
    return model(torch.rand_like)
def with_images():
    return model(torch.rand_like, blank=False)
def numpy_noise():
    return model(lambda rate: float(np.random.default_rng().normal()))
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "nets.py").write_text(FILE)
    return lambda function, **settings: load_model(f"{tmp_path}/nets.py:{function}", cache=tmp_path, **settings)


@pytest.mark.parametrize(
    ("function", "stochastic"),
    [("dropout", True), ("after_the_last_layer", True), ("denied", True), ("quiet", False), ("declared", True)],
)
def test_sampling_is_found(load, function, stochastic):
    state = torch.get_rng_state()
    assert load(function).stochastic is stochastic
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_may_say_its_time_unit(load):
    assert load("declared").time_unit == "ms" and load("quiet").time_unit == "step"
    with pytest.raises(RequestError, match="time_unit is 's'; give 'step' or 'ms'"):
        load("odd_unit")
    with pytest.raises(RequestError, match="stochastic is 'yes'; give True or False"):
        load("odd_flag")


@pytest.mark.parametrize("function", ["numpy_noise", "remembers"])
def test_what_no_seed_repeats_is_refused(load, function):
    with pytest.raises(RequestError, match=f"nets:{function}: two passes .* with the same torch seed differ"):
        load(function)


def test_an_undeclared_sampler_is_recorded_with_a_seed_per_image(load):
    images = np.random.default_rng(0).integers(0, 256, size=(4, 16, 16, 3), dtype=np.uint8)
    stimuli = StimulusSet("noise", tuple("abcd"), lambda name: images["abcd".index(name)])
    model = load("dropout", layers=["last"])
    one, all_ = (
        record_block(model, stimuli, ids, ["last"], settings=RecordSettings(batch_size=size))["last"].values
        for ids, size in ((("c", "a"), 1), (stimuli.ids, 4))
    )
    np.testing.assert_array_equal(one, all_[[2, 0]])
    assert (all_ == 0).mean() > 0.3


@pytest.mark.parametrize(("function", "stochastic"), [("quiet", False), ("always", True), ("with_images", True)])
def test_a_network_with_a_clock_ticks_a_few_times_to_be_found_out(tmp_path, function, stochastic):
    (tmp_path / "clocks.py").write_text(WITH_A_CLOCK)
    model = load_model(f"{tmp_path}/clocks.py:{function}", cache=tmp_path)
    assert model.stochastic is stochastic
    clock, steps = model.module.clock, sys.modules[type(model.module).__module__].STEPS
    assert (clock.steps, clock.blank_steps, model.decision_times[-1]) == (5000, 5000, 10000.0)
    assert True in steps and False in steps and len(steps) <= 3 * 5
    steps.clear()


def test_what_no_seed_repeats_is_refused_with_a_clock_as_well(tmp_path):
    (tmp_path / "clocks.py").write_text(WITH_A_CLOCK)
    with pytest.raises(RequestError, match=r"two passes .* with the same torch seed differ"):
        load_model(f"{tmp_path}/clocks.py:numpy_noise", cache=tmp_path)
