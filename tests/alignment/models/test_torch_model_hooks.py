"""What is recorded while hooks are on, and what they leave behind."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.models.torch_model import TorchModel

SIZE = (16, 16)


class Counted(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x):
        CALLS.append(self)
        return torch.tanh(self.conv(x))


CALLS: list[nn.Module] = []


class Recurrent(nn.Module):
    """A cell called `steps` times, then a head."""

    def __init__(self, steps=4):
        super().__init__()
        self.entry, self.cell = Counted(3, 5), Counted(5, 5)
        self.head = nn.Linear(5, 7)
        self.steps = steps

    def forward(self, x):
        start = self.entry(x)
        state = torch.zeros_like(start)
        for _ in range(self.steps):
            state = self.cell(start + state)
        return self.head(state.mean((2, 3)))


@pytest.fixture(autouse=True)
def _no_calls_yet():
    torch.manual_seed(0)
    CALLS.clear()


@pytest.fixture
def pixels():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def recurrent(**settings):
    return TorchModel(Recurrent(), name="recurrent", image_size=SIZE, **settings)


def test_stops_after_the_last_call_asked_for(pixels):
    net = nn.Sequential(*[Counted(3, 3) for _ in range(4)])
    model = TorchModel(net, name="chain", image_size=SIZE)
    for layers, calls in ((["0"], 1), (["2", "0"], 3), (["3"], 4)):
        CALLS.clear()
        model.record(pixels, layers)
        assert len(CALLS) == calls


def test_layers_that_finish_in_another_order(pixels):
    """An outer module finishes after its parts, and a module made first may run last."""

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.early = Counted(3, 3), nn.Sequential(Counted(3, 3), Counted(3, 3))

        def forward(self, x):
            return self.late(self.early(x))

    model = TorchModel(Crossed(), name="crossed", image_size=SIZE)
    recorded = model.record(pixels, ["late", "early", "early.1", "early.0"])
    early = model.module.early[1](model.module.early[0](pixels))
    torch.testing.assert_close(recorded["early"][:, 0], early)
    assert torch.equal(recorded["early"], recorded["early.1"])
    torch.testing.assert_close(recorded["late"][:, 0], model.module.late(early))


def test_own_handlers_do_not_swallow_the_stop(pixels):
    class Guarded(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Counted(3, 3), Counted(3, 3)

        def forward(self, x):
            try:
                x = self.a(x)
            except Exception:  # noqa: BLE001
                x = x * 0
            return self.b(x)

    model = TorchModel(Guarded(), name="guarded", image_size=SIZE)
    CALLS.clear()
    model.record(pixels, ["a"])
    assert [model.module.a] == CALLS


@pytest.mark.parametrize("layers", [["0"], ["0", "1"], ["1"]])
def test_in_place_relu_does_not_change_what_was_recorded(pixels, layers):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3), nn.Hardtanh(inplace=True))
    model = TorchModel(net, name="inplace", image_size=SIZE)
    linear = F.conv2d(pixels, net[0].weight, net[0].bias)
    expected = {"0": linear, "1": linear.clamp(min=0)}
    recorded = model.record(pixels, [*layers, "3"])
    for layer in layers:
        torch.testing.assert_close(recorded[layer][:, 0], expected[layer])
    assert expected["0"].min() < 0


def test_in_place_after_the_fact_keeps_the_gradient(pixels):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3))
    model = TorchModel(net, name="inplace", image_size=SIZE)
    images = pixels.requires_grad_()
    recorded = model.record(images, ["0", "2"])
    (gradient,) = torch.autograd.grad(recorded["0"].sum(), images)
    (expected,) = torch.autograd.grad(F.conv2d(images, net[0].weight).sum(), images)
    torch.testing.assert_close(gradient, expected)


def test_nothing_is_left_behind(pixels):
    net = Recurrent().train()
    net.entry.eval()
    model = TorchModel(net, name="recurrent", image_size=SIZE)
    first = model.record(pixels, ["cell"], time_bins=[0.0])["cell"]
    kept = first.clone()
    with pytest.raises(RequestError):
        model.record(pixels, ["nothing"])
    model.record(1 - pixels, ["cell", "entry"])
    assert torch.equal(first, kept)
    assert not any(part._forward_hooks for part in net.modules())
    assert net.training and net.cell.training and not net.entry.training


def test_hooks_and_mode_are_restored_when_the_network_fails(pixels):
    class Fragile(Recurrent):
        def forward(self, x):
            out = super().forward(x)
            if x.max() > 0.9:
                raise ValueError("too bright")
            return out

    net = Fragile().train()
    model = TorchModel(net, name="fragile", layers=["head", "cell"], image_size=SIZE, classes=["a"])
    with pytest.raises(ValueError, match="too bright"):
        model.logits(pixels)
    assert net.training and not any(part._forward_hooks for part in net.modules())


def test_channels_last_maps_are_turned(pixels):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.turn = nn.Conv2d(3, 5, 3), nn.Identity()

        def forward(self, x):
            return self.turn(self.conv(x).permute(0, 2, 3, 1))

    model = TorchModel(Turned(), name="turned", layers=["conv", "turn"], image_size=SIZE)
    recorded = model.record(pixels, ["conv", "turn"])
    assert torch.equal(recorded["conv"], recorded["turn"])


def test_shared_module_under_two_names(pixels):
    relu = nn.ReLU()
    net = nn.Sequential(nn.Conv2d(3, 3, 1), relu, nn.Conv2d(3, 3, 1), relu)
    recorded = TorchModel(net, name="shared", layers=["1", "3"], image_size=SIZE).record(pixels, ["1", "3"])
    first = net[0](pixels).relu()
    torch.testing.assert_close(recorded["1"], torch.stack([first, net[2](first).relu()], dim=1))
    assert torch.equal(recorded["1"], recorded["3"])
