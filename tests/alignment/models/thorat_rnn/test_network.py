"""The network against a plain evaluation of the paper's equations, and what its flags must and must not do."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.models.thorat_rnn.layout import Layout
from alignment.models.thorat_rnn.network import ThoratRNN

# names and shapes of weights of the published files; each has a bias beside it
PUBLISHED = {
    "conv1": (8, 1, 5, 5), "conv2": (16, 8, 5, 5), "fc1": (128, 1296), "fc2": (20, 512),
    **{
        f"{name}{suffix}": shape
        for suffix in "bg"
        for name, shape in {
            "c1x": (8, 1, 7, 7), "c2x": (16, 1, 20, 20), "fc1x": (10_000, 128), "c1c1": (8, 8, 5, 5),
            "c2c1": (16, 8, 16, 16), "fc1c1": (73_728, 128), "c2c2": (16, 16, 5, 5), "fc1c2": (12_544, 128),
            "fc1fc1": (128, 128),
        }.items()
    },
}  # fmt: skip


def network(**flags: object) -> ThoratRNN:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = ThoratRNN(Layout(**flags))  # type: ignore[arg-type]
        # biases away from 0, so that one left out shows
        for name, weight in net.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(weight, std=0.05)
    return net.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 1, 100, 100, generator=torch.Generator().manual_seed(0))


def by_the_equations(w: Mapping[str, Tensor], x: Tensor, b: int, g: int, l: int, t: int, sweeps: int) -> dict:  # noqa: E741
    """Section by section: flows of both kinds from the states before, then input, conv1, conv2 and fc."""

    def flow(kind: str, c1: Tensor, p1: Tensor, c2: Tensor, p2: Tensor, f: Tensor) -> tuple[Tensor, ...]:
        def up(name: str, value: Tensor, stride: int) -> Tensor:
            return F.conv_transpose2d(value, w[f"{name}{kind}.weight"], w[f"{name}{kind}.bias"], stride)

        def full(name: str, shape: tuple[int, ...]) -> Tensor:
            return (f @ w[f"{name}{kind}.weight"].T + w[f"{name}{kind}.bias"]).reshape(len(f), *shape)

        def lateral(name: str, value: Tensor) -> Tensor:
            return F.conv2d(value, w[f"{name}{kind}.weight"], w[f"{name}{kind}.bias"], padding=2)

        to_input = t * (up("c1x", p1, 3) + up("c2x", p2, 10) + full("fc1x", (1, 100, 100)))
        to_conv1 = l * lateral("c1c1", c1) + t * (up("c2c1", p2, 10) + full("fc1c1", (8, 96, 96)))
        to_conv2 = l * lateral("c2c2", c2) + t * full("fc1c2", (16, 28, 28))
        return to_input, to_conv1, to_conv2, l * full("fc1fc1", (128,))

    def weights(name: str) -> tuple[Tensor, Tensor]:
        return w[f"{name}.weight"], w[f"{name}.bias"]

    found: dict = {"input": [], "conv1": [], "conv2": [], "fc": [], "B": [], "G": []}
    states: tuple[Tensor, ...] | None = None
    for _ in range(sweeps):
        zero = [torch.zeros(())] * 4
        bias = zero if states is None else [b * each for each in flow("b", *states)]
        gain = zero if states is None else [g * each for each in flow("g", *states)]
        u = (x + bias[0]) * (1 + gain[0])
        a = F.relu(u) - F.relu(u - 1)
        c1 = F.relu(F.conv2d(a, *weights("conv1")) + bias[1]) * (1 + gain[1])
        p1 = F.max_pool2d(c1, 3, 3)
        c2 = F.relu(F.conv2d(p1, *weights("conv2")) + bias[2]) * (1 + gain[2])
        p2 = F.max_pool2d(c2, 3, 3)
        f = F.relu(F.linear(p2.reshape(len(x), -1), *weights("fc1")) + bias[3]) * (1 + gain[3])
        states = (c1, p1, c2, p2, f)
        for name, value in zip(("input", "conv1", "conv2", "fc", "B", "G"), (a, p1, p2, f, bias, gain), strict=True):
            found[name].append(value)
    found["log_probabilities"] = torch.log(
        torch.clamp(F.softmax(F.linear(torch.cat(found["fc"], 1), *weights("fc2")), dim=1), 1e-10, 1.0)
    )
    return found


def states_of(net: ThoratRNN, x: Tensor) -> dict[str, list[Tensor]]:
    seen: dict[str, list[Tensor]] = {}
    handles = [
        site.register_forward_hook(lambda _m, _i, out, name=name: seen.setdefault(name, []).append(out.detach()))
        for name, site in net.named_modules()
        if isinstance(site, torch.nn.Identity)
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return seen


def test_weights_have_the_names_and_shapes_of_the_published_files() -> None:
    state = ThoratRNN(Layout()).state_dict()
    found = {name.removesuffix(".weight"): tuple(value.shape) for name, value in state.items() if "weight" in name}
    assert found == PUBLISHED and len(state) == 44
    assert sum(value.numel() for value in state.values()) == 25_146_088
    lean = ThoratRNN(Layout(lean=True)).state_dict()
    assert sum(value.numel() for value in lean.values()) == 179_700 + 12_483_194
    assert all(not name.split(".")[0].endswith("b") for name in lean)


@pytest.mark.parametrize("flags", ["0111", "1011", "1111", "1101", "1110", "0011"])
def test_states_and_decisions_are_those_of_the_equations(images: Tensor, flags: str) -> None:
    b, g, l, t = map(int, flags)  # noqa: E741
    net = network(bias=bool(b), gain=bool(g), lateral=bool(l), top_down=bool(t))
    with torch.no_grad():
        expected = by_the_equations(net.state_dict(), images, b, g, l, t, 4)
        seen, logits = states_of(net, images), net(images)
    assert net.layout.code == flags
    for layer in ("input", "conv1", "conv2", "fc"):
        for sweep in range(4):
            want = expected[layer][sweep]
            error = float((seen[f"states.{layer}"][sweep] - want).abs().max())
            assert error < 1e-5 * max(1.0, float(want.abs().max())), (layer, sweep)
    for position, layer in enumerate(("input", "conv1", "conv2", "fc")):
        for kind, path, on in (("B", "bias", b), ("G", "gain", g)):
            is_there = bool(on and (t if layer == "input" else l if layer == "fc" else l or t))
            assert (f"flows.{layer}.{path}" in seen) == is_there
            for arrival in range(3 if is_there else 0):
                want = expected[kind][arrival + 1][position]
                torch.testing.assert_close(seen[f"flows.{layer}.{path}"][arrival], want, rtol=1e-4, atol=1e-4)
    scale = max(1.0, float(logits.abs().max()))
    np.testing.assert_allclose(logits.log_softmax(1), expected["log_probabilities"], atol=2e-5 * scale)
    np.testing.assert_allclose(logits.softmax(1).sum(1), 1, atol=1e-6)


def test_flows_are_the_sums_of_what_senders_send(images: Tensor) -> None:
    net = network(bias=True)
    with torch.no_grad():
        seen = states_of(net, images[:1])
    for receiver, path in net.layout.flows:
        senders = [name for name in seen if name.startswith(f"senders.{receiver}.{path}.")]
        assert len(senders) == {"input": 3, "conv1": 3, "conv2": 2, "fc": 1}[receiver]
        for arrival in range(3):
            total = sum(seen[name][arrival] for name in senders)
            torch.testing.assert_close(seen[f"flows.{receiver}.{path}"][arrival], total)


@pytest.mark.parametrize("flags", [{"gain": False}, {"lateral": False, "top_down": False}])
def test_without_flows_all_sweeps_are_bit_equal(images: Tensor, flags: dict) -> None:
    net = network(**flags)
    with torch.no_grad():
        seen = states_of(net, images)
    assert not any(name.startswith(("flows", "senders")) for name in seen)
    for name in ("states.input", "states.conv1", "states.conv2", "states.fc", "maps.conv1", "maps.conv2"):
        assert len(seen[name]) == 4
        assert all(torch.equal(seen[name][0], later) for later in seen[name][1:])
    moving = states_of(network(), images)
    assert not torch.equal(moving["states.fc"][0], moving["states.fc"][1])


def test_one_sweep_is_the_feed_forward_path(images: Tensor) -> None:
    net = network(sweeps=1)
    with torch.no_grad():
        w = net.state_dict()
        h = F.max_pool2d(F.relu(F.conv2d(images, w["conv1.weight"], w["conv1.bias"])), 3)
        h = F.max_pool2d(F.relu(F.conv2d(h, w["conv2.weight"], w["conv2.bias"])), 3)
        h = F.relu(F.linear(h.flatten(1), w["fc1.weight"], w["fc1.bias"]))
        torch.testing.assert_close(net(images), F.linear(h, w["fc2.weight"], w["fc2.bias"]))
    assert tuple(w["fc2.weight"].shape) == (20, 128) and net.layout.flows == ()


@pytest.mark.parametrize(("off", "suffix"), [("bias", "b"), ("gain", "g")])
def test_maps_of_a_flag_that_is_off_have_no_gradient(images: Tensor, off: str, suffix: str) -> None:
    net = network(**{"bias": True, off: False})
    F.cross_entropy(net(images), torch.arange(3)).backward()
    unused = {name: weight.grad for name, weight in net.named_parameters() if name.split(".")[0].endswith(suffix)}
    used = {name: weight.grad for name, weight in net.named_parameters() if name not in unused}
    assert len(unused) == 18 and len(used) == 26
    assert all(grad is None or not grad.any() for grad in unused.values())
    assert all(grad is not None and grad.any() for grad in used.values())


def test_gradient_in_the_pixels_is_that_of_differences() -> None:
    net = network(bias=True).double()
    x = torch.rand(1, 1, 100, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.8 + 0.1
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(leaf)[0, 4], leaf)
    with torch.no_grad():
        # small enough to leave clipping, rectification and pooling as they are
        ahead, behind = (net(x + sign * 1e-8 * step)[0, 4] for sign in (1, -1))
    expected = float((ahead - behind) / 2e-8)
    assert math.isclose(float((slope * step).sum()), expected, rel_tol=1e-4, abs_tol=1e-4)


def test_black_pixels_are_seen_by_the_gradient() -> None:
    net, x = network(), torch.zeros(1, 1, 100, 100, requires_grad=True)
    # rectified units at 0 have no slope, whatever comes in
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.endswith("bias"):
                weight.fill_(0.05)
    (slope,) = torch.autograd.grad(net(x).square().sum(), x)
    assert slope.abs().sum() > 0


def test_colours_are_averaged(images: Tensor) -> None:
    net, colours = network(), torch.rand(2, 3, 100, 100, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.equal(net(colours), net(colours.mean(1, keepdim=True)))
        torch.testing.assert_close(net(images.expand(-1, 3, -1, -1)), net(images))


def test_weights_are_drawn_as_published() -> None:
    net = ThoratRNN(Layout())
    for name, weight in net.named_parameters():
        if name.startswith(("c1x", "c2x", "c2c1")):
            assert weight.abs().max() > 0, name
            continue
        if name.endswith("bias"):
            assert not weight.any()
            continue
        receptive = math.prod(weight.shape[2:])
        bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * receptive))
        assert 0.9 * bound < float(weight.detach().abs().max()) <= bound * (1 + 1e-6), name
        assert abs(float(weight.detach().std()) / (bound / math.sqrt(3)) - 1) < 0.2, name


def test_codes_of_all_flags() -> None:
    codes = {
        Layout(bias=b, gain=g, lateral=l, top_down=t).code
        for b, g, l, t in itertools.product((False, True), repeat=4)  # noqa: E741
    }
    assert codes == {format(number, "04b") for number in range(16)}


def test_no_sweep_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^thorat_rnn: 0 sweeps; give 1 or more$"):
        Layout(sweeps=0)
