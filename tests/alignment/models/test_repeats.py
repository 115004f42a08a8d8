"""Networks that sample in evaluation mode, declared or not."""

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
