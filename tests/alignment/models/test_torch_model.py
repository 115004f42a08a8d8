import copy
from contextlib import contextmanager

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


def test_a_module_called_four_times_has_four_time_bins(pixels):
    model = recurrent()
    assert model.layers == ("entry", "cell") and model.time_unit == "step"
    assert model.time_bins == {"entry": (0.0,), "cell": (0.0, 1.0, 2.0, 3.0)}
    recorded = model.record(pixels, ["cell", "entry"])
    net, state, by_hand = model.module, 0, []
    start = torch.tanh(F.conv2d(pixels, net.entry.conv.weight, net.entry.conv.bias, padding=1))
    for _ in range(4):
        state = torch.tanh(F.conv2d(start + state, net.cell.conv.weight, net.cell.conv.bias, padding=1))
        by_hand.append(state)
    assert recorded["cell"].shape == (3, 4, 5, *SIZE)
    torch.testing.assert_close(recorded["cell"], torch.stack(by_hand, dim=1))
    torch.testing.assert_close(recorded["entry"][:, 0], start)


def test_time_subset_is_a_slice_and_stops_early(pixels):
    model = recurrent()
    whole = model.record(pixels, ["cell"])["cell"]
    CALLS.clear()
    some = model.record(pixels, ["cell"], time_bins=[2.0, 0.0])["cell"]
    assert torch.equal(some, whole[:, [2, 0]])
    assert CALLS.count(model.module.cell) == 3
    with pytest.raises(RequestError, match="'cell' has no time_bin 4; it has 0 to 3"):
        model.record(pixels, ["cell"], time_bins=[4.0])


def test_differentiable_unless_told_otherwise(pixels):
    model = recurrent(classes=[str(n) for n in range(7)])
    images = pixels.requires_grad_()
    assert torch.autograd.grad(model.record(images, ["cell"])["cell"].square().sum(), images)[0].abs().sum() > 0
    assert torch.autograd.grad(model.logits(images).sum(), images)[0].abs().sum() > 0
    with torch.no_grad():
        assert not model.record(images, ["cell"])["cell"].requires_grad


def test_no_dropout_and_repeatable(pixels):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4)).train()
    statistics = copy.deepcopy(net[2].running_mean)
    model = TorchModel(net, name="noisy", layers=["2"], image_size=SIZE)
    assert torch.equal(model.record(pixels, ["2"])["2"], model.record(pixels, ["2"])["2"])
    assert torch.equal(net[2].running_mean, statistics)


def test_stochastic_noise_depends_on_the_seed_of_the_image_alone(pixels):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.noise = nn.Conv2d(3, 2, 3), nn.Identity()

        def forward(self, x):
            x = self.conv(x)
            return self.noise(x + torch.randn_like(x))

    model = TorchModel(Noisy(), name="noisy", layers=["noise"], image_size=SIZE, stochastic=True)
    whole = model.record(pixels, ["noise"], seeds=[5, 6, 7])["noise"]
    state = torch.get_rng_state()
    assert torch.equal(model.record(pixels[1:2], ["noise"], seeds=[6])["noise"], whole[1:2])
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(model.record(pixels[1:2], ["noise"], seeds=[8])["noise"], whole[1:2])
    with pytest.raises(RequestError, match="one seed per image"):
        model.record(pixels, ["noise"])


def test_layers_by_glob_and_near_misses():
    model = TorchModel(nn.Sequential(Counted(3, 3), Counted(3, 3)), name="two", layers=["*.conv"], image_size=SIZE)
    assert model.layers == ("0.conv", "1.conv")
    with pytest.raises(RequestError, match=r"unknown layer of recurrent 'entri'; did you mean entry"):
        recurrent(layers=["entri"])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: (x, x), "returns tuple"),
        (lambda x: {"x": x}, "returns dict"),
        (lambda x: x.flatten(0, 1), "first dimension is not the batch"),
        (lambda x: x.argmax(1), "not the batch|one tensor"),
    ],
)
def test_outputs_that_are_no_activations(output, message):
    class Odd(nn.Module):
        def forward(self, x):
            return output(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine, self.odd, self.unused = nn.Conv2d(3, 4, 3), Odd(), nn.ReLU()

        def forward(self, x):
            x = self.fine(x)
            self.odd(x)
            return x

    assert TorchModel(Net(), name="net", image_size=SIZE).layers == ("fine",)
    with pytest.raises(RequestError, match=message):
        TorchModel(Net(), name="net", layers=["odd"], image_size=SIZE)
    with pytest.raises(RequestError, match="never called"):
        TorchModel(Net(), name="net", layers=["unused"], image_size=SIZE)


def test_pixels_are_checked_and_normalised(pixels):
    net = nn.Sequential(nn.Identity(), nn.Conv2d(3, 2, 3))
    model = TorchModel(net, name="n", layers=["0"], image_size=SIZE, normalise=((0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))
    shown = pixels.clone()
    expected = (pixels - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1)
    torch.testing.assert_close(model.record(shown, ["0"])["0"][:, 0], expected)
    assert torch.equal(shown, pixels)
    for wrong in (pixels[0], pixels[:, :1], pixels[..., :8], (pixels * 255).to(torch.uint8)):
        with pytest.raises(RequestError, match="expected"):
            model.record(wrong, ["0"])


def test_a_network_that_cannot_take_the_size_says_so():
    with pytest.raises(
        RequestError, match=r"flat: a forward pass on images of 16x16 failed \(is image_size right\?\): RuntimeError"
    ):
        TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), name="flat", image_size=SIZE)


def test_logits_have_a_time_dimension(pixels):
    class Unrolled(Recurrent):
        def forward(self, x):
            return [super(Unrolled, self).forward(x) * step for step in (1, 2)]

    classes = [str(n) for n in range(7)]
    assert recurrent(classes=classes).logits(pixels).shape == (3, 1, 7)
    both = TorchModel(Unrolled(), name="u", layers=["head"], image_size=SIZE, classes=classes).logits(pixels)
    torch.testing.assert_close(both[:, 1], 2 * both[:, 0])
    with pytest.raises(RequestError, match="no logits"):
        recurrent().logits(pixels)


class Pyramid(nn.Module):
    """One module called on maps of two sizes."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, stride=2), nn.ReLU()

    def forward(self, x):
        return self.conv(self.act(self.conv(self.act(x))))


def test_one_pass_gives_what_two_give(pixels):
    model = recurrent(classes=tuple("abcdefg"))
    logits, kept = model.logits_and_activations(pixels, ["cell", "entry"])
    assert torch.equal(logits, model.logits(pixels))
    assert torch.equal(kept["cell"], model.record(pixels, ["cell"])["cell"])
    (logits.sum() + kept["entry"].square().sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.module.parameters())


def test_a_pass_in_another_mode_is_left_in_the_one_before(pixels):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = TorchModel(module.eval(), name="bn", image_size=SIZE, layers=["1"], classes=tuple("abcd"))

    @contextmanager
    def training(net):
        net.train()
        try:
            yield
        finally:
            net.eval()

    before = module[1].running_mean.clone()
    model.logits_and_activations(pixels, ["1"])
    assert torch.equal(module[1].running_mean, before)
    _, kept = model.logits_and_activations(pixels, ["1"], mode=training)
    assert not torch.equal(module[1].running_mean, before)
    assert kept["1"].mean((0, 1, 3, 4)).abs().max() < 1e-5
    assert not module.training


def test_a_network_without_classes_or_with_noise_has_no_such_pass(pixels):
    with pytest.raises(RequestError, match="no logits"):
        recurrent().logits_and_activations(pixels, ["cell"])
    with pytest.raises(RequestError, match="stochastic"):
        recurrent(classes=tuple("abcdefg"), stochastic=True).logits_and_activations(pixels, ["cell"])


def test_a_layer_whose_calls_differ_in_shape_is_no_choice():
    net = nn.Sequential(Pyramid(), nn.Flatten())
    assert TorchModel(net, name="net", image_size=(32, 32), layers=["*"]).layers == ("0", "1")
    with pytest.raises(RequestError, match=r"layer '0\.conv' has another shape in each of its calls"):
        TorchModel(net, name="net", image_size=(32, 32), layers=["0.conv"])
