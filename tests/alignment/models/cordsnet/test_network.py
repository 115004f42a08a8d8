"""The network against its definition written out, its counts, delays, fixed points and limits."""

import pytest
import torch
from torch.nn import functional as F

from alignment.dynamics.recurrence import Recurrence
from alignment.dynamics.spectrum import leading_spectrum
from alignment.errors import RequestError
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet

COUNTS = {
    2: (401_408, 661_520, 596_180, 589_908),
    4: (602_112, 1_451_152, 1_322_452, 1_316_180),
    6: (702_464, 3_777_936, 3_522_516, 3_516_244),
    8: (752_640, 12_475_280, 11_966_420, 11_960_148),
}


@pytest.mark.parametrize("depth", COUNTS)
def test_published_counts(depth):
    units, *parameters = COUNTS[depth]
    for (n_channels, n_classes), count in zip([(3, 1000), (3, 10), (1, 10)], parameters, strict=True):
        layout = Layout(depth, image_size=(224, 224), n_classes=n_classes, n_channels=n_channels)
        with torch.device("meta"):
            network = CordsNet(layout)
        assert layout.units == sum(bias.numel() for bias in network.conv_bias) == units
        assert sum(weight.numel() for weight in network.parameters()) == count


def test_state_dict_has_the_published_names_and_shapes():
    with torch.device("meta"):
        network = CordsNet(Layout(8, image_size=(224, 224), n_classes=1000))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    norm = "parametrizations.weight.original"
    assert len(shapes) == 53
    assert shapes[f"inp_conv.{norm}0"] == (64, 1, 1, 1) and shapes[f"inp_conv.{norm}1"] == (64, 3, 7, 7)
    assert shapes[f"inp_skip.{norm}1"] == (64, 64, 3, 3)
    widths = (64, 64, 128, 128, 256, 256, 512, 512)
    edges = (56, 56, 28, 28, 14, 14, 7, 7)
    for area, (width, edge) in enumerate(zip(widths, edges, strict=True)):
        assert shapes[f"area_conv.{area}.{norm}1"] == (width, width, 3, 3)
        assert shapes[f"area_area.{area}.{norm}1"] == (width, widths[max(area - 1, 0)], 3, 3)
        assert shapes[f"conv_bias.{area}"] == (width, edge, edge)
    assert [shapes[f"skip_area.{k}.{norm}1"] for k in range(3)] == [(128, 64, 1, 1), (256, 128, 1, 1), (512, 256, 1, 1)]
    assert shapes["out_fc.bias"] == (1000,)
    assert shapes[f"out_fc.{norm}0"] == (1000, 1) and shapes[f"out_fc.{norm}1"] == (1000, 512)


@pytest.mark.parametrize("depth", COUNTS)
def test_same_logits_as_written_out(make, written_out, depth):
    network = make(depth, edge=36, clock=Clock(steps=6, blank_steps=3)).double()
    images = torch.randn(2, 3, 36, 36, dtype=torch.float64)
    with torch.no_grad():
        expected = written_out(network, images)
        found = network(images)[:, -1]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_in_place_descending_update_is_the_synchronous_one_bit_for_bit(make):
    network = make(8)
    weights = network.folded()
    drive = network.drive(torch.randn(2, 3, 32, 32), weights)
    rates = network.spontaneous(weights, 2)
    with torch.no_grad():
        for _ in range(6):
            together = network.step(rates, drive, weights)
            in_place = list(rates)
            for area in reversed(range(8)):
                # of the rates as they are now, later areas of which are already overwritten
                in_place[area] = network.step(in_place, drive, weights)[area]
            assert all(torch.equal(one, other) for one, other in zip(together, in_place, strict=True))
            rates = together


def test_without_bias_areas_begin_in_pairs_and_a_blank_is_silent(make):
    network = make(8, biased=False)
    weights = network.folded()
    with torch.no_grad():
        rates = network.spontaneous(weights, 1)
        assert all(torch.equal(rate, torch.zeros_like(rate)) for rate in rates)
        first = {}
        drive = network.drive(torch.randn(1, 3, 32, 32), weights)
        for step, now in enumerate(network.trajectory(rates, drive, weights, steps=6), 1):
            for area, rate in enumerate(now):
                if bool((rate != 0).any()):
                    first.setdefault(area, step)
    assert [first[area] for area in range(8)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_fixed_point_does_not_depend_on_the_step(make):
    network = make(2, edge=16).double()
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    reached = []
    with torch.no_grad():
        for alpha in (0.05, 0.2, 0.5, 1.0):
            network.clock = Clock(alpha=alpha, steps=1, blank_steps=0)
            weights = network.folded()
            drive = network.drive(images, weights)
            rates = network.rest(1, weights)
            for now in network.trajectory(rates, drive, weights, steps=round(100 / alpha)):
                rates = now
            # r = relu(W r + b + u)
            total = F.conv2d(rates[1], weights.recurrent[1], padding=1) + drive[1]
            total = total + F.conv2d(rates[0], weights.forward[1], padding=1)
            assert float((rates[1] - F.relu(total)).abs().max()) < 1e-14
            reached.append(rates)
    for rates in reached[1:]:
        for one, other in zip(rates, reached[0], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


def test_half_the_step_changes_the_trajectory_in_proportion(make):
    network = make(2, edge=16).double()
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64)

    def after(alpha):
        network.clock = Clock(alpha=alpha, steps=round(0.8 / alpha), blank_steps=0)
        weights = network.folded()
        *_, last = network.trajectory(
            network.rest(1, weights), network.drive(images, weights), weights, steps=network.clock.steps
        )
        return last[1]

    with torch.no_grad():
        exact = after(0.8 / 1024)
        errors = [float((after(alpha) - exact).norm()) for alpha in (0.1, 0.05, 0.025)]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.15) and errors[1] / errors[2] == pytest.approx(2, abs=0.15)


def test_without_recurrence_at_step_1_it_is_a_feed_forward_net(make):
    network = make(8, clock=Clock(alpha=1.0, steps=12, blank_steps=0))
    with torch.no_grad():
        for conv in network.area_conv:
            conv.parametrizations.weight.original0.zero_()
        weights = network.folded()
        drive = network.drive(torch.randn(1, 3, 32, 32), weights)
        states = list(network.trajectory(network.rest(1, weights), drive, weights, steps=12))
    for area in range(8):
        changed = [step for step in range(2, 13) if not torch.equal(states[step - 1][area], states[step - 2][area])]
        assert max(changed, default=1) <= area + 1
    assert all(torch.equal(one, other) for one, other in zip(states[7], states[11], strict=True))
    assert not torch.equal(states[6][7], states[7][7])


def test_slopes_of_the_activation(make):
    network = make(4)
    weights = network.folded()
    drive = network.drive(torch.randn(2, 3, 32, 32), weights)
    with torch.no_grad():
        rates = [torch.randn(2, *size) for size in network.layout.maps]
        sums = network.inputs(rates, drive, weights)
        rectified = network.step(rates, drive, weights)
        network.slope = 1.0
        linear = network.step(rates, drive, weights)
        network.slope = 0.5
        bent = network.step(rates, drive, weights)
    for rate, total, *found in zip(rates, sums, rectified, linear, bent, strict=True):
        assert torch.equal(found[0], torch.lerp(rate, total.clamp(min=0), 0.2))
        assert torch.equal(found[1], torch.lerp(rate, total, 0.2))
        torch.testing.assert_close(found[2], 0.8 * rate + 0.2 * torch.where(total > 0, total, 0.5 * total))


def test_a_truncated_gradient_leaves_the_values_and_takes_the_last_steps(make):
    network = make(4, clock=Clock(steps=6, blank_steps=3))
    images = torch.randn(2, 3, 32, 32)
    gradients = {}
    for steps in (None, 6, 3, 1):
        pixels = images.clone().requires_grad_()
        logits = network(pixels, gradient_steps=steps)
        assert torch.equal(logits, network(images))
        loss = logits.square().sum()
        gradients[steps] = torch.autograd.grad(loss, pixels, allow_unused=True)[0]
    assert torch.equal(gradients[None], gradients[6])
    assert not torch.allclose(gradients[3], gradients[6], atol=0)
    # in one step nothing gets from the image to the last two of four areas
    assert gradients[1] is None or not gradients[1].any()


def test_default_weights_are_stable(make):
    network = make(8, biased=False)
    for area, expected in {0: 0.68, 2: 0.64}.items():
        shape = (network.layout.widths[area], 10, 10)
        kernel = network.folded().recurrent[area]
        radius = abs(leading_spectrum(Recurrence(kernel, shape), 1, tolerance=3e-2).values[0])
        assert radius == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "depth is 3"),
        ({"depth": 10}, "depth is 10"),
        ({"image_size": (2, 2)}, "image_size"),
        ({"n_classes": 0}, "n_classes"),
        ({"n_channels": 2}, "n_channels"),
    ],
)
def test_impossible_layouts(change, message):
    with pytest.raises(RequestError, match=message):
        Layout(**{"depth": 2, "image_size": (32, 32), "n_classes": 10, **change})


@pytest.mark.parametrize("clock", [{"alpha": 0.0}, {"alpha": 1.01}, {"alpha": -0.2}, {"steps": 0}, {"blank_steps": -1}])
def test_impossible_clocks(clock):
    with pytest.raises(RequestError, match=next(iter(clock))):
        Clock(**clock)


def test_images_must_fit_the_bias_maps(make):
    with pytest.raises(RequestError, match=r"images are \(1, 3, 40, 40\).*3, 32, 32"):
        make(2)(torch.zeros(1, 3, 40, 40))
