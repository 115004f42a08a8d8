"""What holds of any network with feedback, on the published AlexNets with random weights unless another is enough."""

import copy
import itertools

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.models.lrm import LRM, Signal, State, alexnet_lrm, lrm
from alignment.models.lrm.published import PUBLISHED

LOGITS = "classifier.6"


@pytest.fixture(scope="module")
def network() -> LRM:
    return alexnet_lrm(3).module


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def template() -> torch.Tensor:
    return torch.randn(1, 1000, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def unsteered(network, images) -> list[torch.Tensor]:
    with torch.no_grad():
        return network(images)


@pytest.fixture(autouse=True)
def _as_it_was(network):
    """Weights that a test changes are put back."""
    kept = {name: weight.detach().clone() for name, weight in network.named_parameters() if name.startswith("lrm")}
    yield
    with torch.no_grad():
        for name, value in kept.items():
            network.get_parameter(name).copy_(value)
    network.feedback_gain = 1.0
    network.zero_grad()


def tiny(**settings) -> LRM:
    """Three maps and two vectors, feedback to a map from both kinds, and to a vector."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )
    return LRM(net, [("9", "0"), ("4", "0"), ("9", "7")], image_size=(8, 8), **settings).eval()


@pytest.mark.parametrize(("variant", "weights"), [(1, 62_924_348), (2, 63_605_200), (3, 65_186_642)])
def test_number_of_weights(variant, weights) -> None:
    network = alexnet_lrm(variant).module
    shapes = torchvision.models.alexnet()
    assert sum(weight.numel() for weight in shapes.parameters()) == 61_100_840
    assert sum(weight.numel() for weight in network.parameters()) == weights
    of_connections = [
        sum(w.numel() for w in block.parameters()) for part in network.lrm.values() for block in part.values()
    ]
    known = {1: [258_258, 1_565_250], 2: [258_258, 422_594], 3: [1_581_442]}
    assert sorted(of_connections) == sorted(itertools.chain(*(known[each] for each in range(1, variant + 1))))


def test_the_first_pass_is_the_backbone(network, images, unsteered) -> None:
    with torch.no_grad():
        bare = torchvision.models.alexnet()
        bare.load_state_dict(network.feedforward.state_dict())
        assert torch.equal(bare.eval()(images), unsteered[0])
    assert not torch.equal(unsteered[0], unsteered[1])


def test_connections_of_zero_change_nothing(network, images, unsteered) -> None:
    with torch.no_grad():
        for part in network.lrm.values():
            for block in part.values():
                block.modulation.weight.zero_()
                block.modulation.bias.zero_()
        first, second = network(images)
    assert torch.equal(first, second) and torch.equal(first, unsteered[0])


def test_a_gain_of_0_changes_nothing_and_a_strength_of_0_does(network, images, unsteered, template) -> None:
    with torch.no_grad():
        with network.steering(Signal(LOGITS, template, strength=0)):
            assert not torch.equal(network(images)[1], unsteered[0])
        network.feedback_gain = 0.0
        first, second = network(images)
        assert torch.equal(first, second) and torch.equal(first, unsteered[0])


def test_the_gain_scales_what_is_fed_back() -> None:
    network, pixels = tiny(), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        half = [block.modulation for part in network.lrm.values() for block in part.values()]
        network.feedback_gain = 0.5
        found = network(pixels)[1]
        network.feedback_gain = 1.0
        for each in half:
            each.weight.mul_(0.5)
            each.bias.mul_(0.5)
        torch.testing.assert_close(found, network(pixels)[1])


def test_two_calls_of_one_pass_are_one_call_of_two(network, images, unsteered, template) -> None:
    with torch.no_grad():
        first = network.run(images, passes=1)
        second = network.run(images, passes=1, state=first.state)
        assert torch.equal(first.logits[0], unsteered[0]) and torch.equal(second.logits[0], unsteered[1])
        with network.steering(Signal(LOGITS, template, strength=3, mixing=0.7)):
            steered = network(images)
            again = network.run(images, passes=1, state=network.run(images, passes=1).state)
            assert torch.equal(again.logits[0], steered[1])
        assert len(network.run(images, passes=3).logits) == 3


def test_steering_leaves_the_first_pass_and_nothing_behind(network, images, unsteered, template) -> None:
    with torch.no_grad():
        with network.steering(Signal(LOGITS, template, strength=3)):
            first, second = network(images)
        assert torch.equal(first, unsteered[0]) and not torch.equal(second, unsteered[1])
        with network.steering(Signal(LOGITS, template, strength=3, first_pass=True)):
            assert not torch.equal(network(images)[0], unsteered[0])
        with pytest.raises(ZeroDivisionError), network.steering(Signal(LOGITS, template)):
            1 / 0
        for found, before in zip(network(images), unsteered, strict=True):
            assert torch.equal(found, before)


def test_no_share_of_the_template_is_no_steering(network, images, unsteered, template) -> None:
    with torch.no_grad(), network.steering(Signal(LOGITS, template, strength=1, mixing=0)):
        assert torch.equal(network(images)[1], unsteered[1])
    with torch.no_grad(), network.steering(Signal(LOGITS, template, strength=1, mixing=0, first_pass=True)):
        assert torch.equal(network(images)[0], unsteered[0])


def test_without_strength_the_template_does_not_matter(network, images, template) -> None:
    found = []
    for each in (template, -template, torch.zeros_like(template)):
        with torch.no_grad(), network.steering(Signal(LOGITS, each, strength=0)):
            found.append(network(images)[1])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_a_template_counts_up_to_a_positive_factor_and_a_constant(network, images, template) -> None:
    found = []
    for each in (template, 7 * template + 2, -template):
        with torch.no_grad(), network.steering(Signal(LOGITS, each)):
            found.append(network(images)[1])
    assert (found[0] - found[1]).abs().max() < 1e-6
    assert (found[0] - found[2]).abs().max() > 1e-3


def test_one_hot_of_a_thousand_is_normalised_to_the_published_values(network) -> None:
    one_hot = F.one_hot(torch.tensor([3]), 1000).float()
    block = network.lrm["features_8_modulation"]["from_classifier_6_to_features_8"]
    with torch.no_grad():
        normalised = block.rescale(one_hot)
    assert abs(float(normalised[0, 3]) - 31.45) < 5e-3 and abs(float(normalised[0, 4]) + 0.0315) < 5e-5


def test_where_nothing_drives_nothing_is_hallucinated(network, template) -> None:
    silent = copy.deepcopy(network)
    with torch.no_grad():
        for name, weight in silent.feedforward.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
        black = torch.zeros(1, 3, 224, 224)
        assert all(bool((each == 0).all()) for each in silent(black))
        with silent.steering(Signal(LOGITS, template, strength=5)):
            assert all(bool((each == 0).all()) for each in silent(black))


def test_gradients_reach_feedback_from_the_second_pass_only(network, images) -> None:
    labels = torch.tensor([1, 2])
    own = dict(network.lrm.named_parameters())
    losses = [F.cross_entropy(each, labels) for each in network(images)]
    of_first = torch.autograd.grad(losses[0], list(own.values()), retain_graph=True, allow_unused=True)
    assert all(each is None or not each.any() for each in of_first)
    of_second = torch.autograd.grad(losses[1], list(own.values()), retain_graph=True)
    assert all(bool(each.abs().sum() > 0) for each in of_second)
    weight = network.feedforward.features[0].weight
    first, second, mean = (
        torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (*losses, torch.stack(losses).mean())
    )
    assert (first - second).abs().max() > 0
    torch.testing.assert_close(mean, (first + second) / 2, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("size", [(160, 160), (224, 224), (256, 256), (256, 512), (64, 64)])
def test_any_size(network, size) -> None:
    with torch.no_grad():
        logits = network(torch.randn(1, 3, *size))
    assert [tuple(each.shape) for each in logits] == [(1, 1000)] * 2 and torch.isfinite(torch.stack(logits)).all()


@pytest.mark.parametrize("settings", [{}, {"rectify": True}, {"keep_sign": True}, {"feedback_gain": 20.0}])
def test_a_pass_written_out_by_hand(settings) -> None:
    network, pixels = tiny(**settings), torch.rand(2, 3, 8, 8)
    net, blocks = network.feedforward, network.lrm
    gain = settings.get("feedback_gain", 1.0)

    def modulated(x, *flows):
        total = gain * sum(flows)
        changed = x * (1 + (total.clamp(min=-1) if settings.get("keep_sign") else total))
        return F.relu(changed) if settings.get("rectify") else changed

    with torch.no_grad():
        maps = net[4](net[3](net[2](net[1](net[0](pixels)))))
        first = net[9](net[8](net[7](maps.mean((2, 3)))))
        into_0 = blocks["0_modulation"]
        flows = into_0["from_9_to_0"](first, size=(8, 8)), into_0["from_4_to_0"](maps, size=(8, 8))
        maps = net[4](net[3](net[2](F.relu(modulated(net[0](pixels), *flows)))))
        last = modulated(net[7](maps.mean((2, 3))), blocks["7_modulation"]["from_9_to_7"](first, size=None))
        second = net[9](F.relu(last))
        found = network(pixels)
    torch.testing.assert_close(found[0], first)
    torch.testing.assert_close(found[1], second)


def test_signs_turn_unless_they_are_kept() -> None:
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        nn.init.constant_(net[0].weight, -1 / 3)
        nn.init.zeros_(net[0].bias)
    for keep_sign, expected in ((False, 1.0), (True, 0.0)):
        network = LRM(net, [("2", "0")], image_size=(2, 2), keep_sign=keep_sign).eval()
        block = network.lrm["0_modulation"]["from_2_to_0"]
        with torch.no_grad():
            block.modulation.weight.zero_()
            block.modulation.bias.fill_(-2)
            after: list[torch.Tensor] = []
            network.after["0"].register_forward_hook(lambda _m, _i, output, after=after: after.append(output))
            network(torch.ones(1, 3, 2, 2))
        torch.testing.assert_close(after[0], torch.full((1, 1, 2, 2), expected))


def test_a_connection_forward_acts_in_the_first_pass_and_steering_does_not() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(16, 2))
    network, pixels = LRM(net, [("1", "2")], image_size=(2, 2)).eval(), torch.rand(3, 3, 2, 2)
    with torch.no_grad():
        first, second = network(pixels)
        assert not torch.allclose(first, net(pixels)) and torch.equal(first, second)
        with network.steering(Signal("1", torch.randn(1, 4, 2, 2))):
            steered = network(pixels)
        assert torch.equal(steered[0], first) and not torch.allclose(steered[1], second)


def test_what_a_later_module_overwrites_is_kept_as_it_was() -> None:
    torch.manual_seed(0)
    backbone = torchvision.models.resnet18().eval()
    # `out += identity` overwrites bn2, and what feedback made of it
    model = lrm(backbone, [("layer4.1.bn2", "layer1.0.bn2")], 2, image_size=(64, 64))
    pixels = torch.rand(2, 3, 64, 64)
    kept = {}
    handle = backbone.layer4[1].bn2.register_forward_hook(lambda _m, _i, output: kept.update(value=output.clone()))
    with torch.no_grad():
        state = model.module.run(pixels, passes=1).state
    handle.remove()
    assert torch.equal(state.outputs["layer4.1.bn2"], kept["value"])
    F.cross_entropy(model.module(pixels)[1], torch.tensor([0, 1])).backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in model.module.lrm.parameters())


def test_training_mode_and_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    backbone = torchvision.models.alexnet().train()
    torch.set_rng_state(before)
    network = lrm(backbone, [(LOGITS, "features.8")], seed=1).module
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training and backbone.training
    assert not any(getattr(part, "inplace", False) for part in network.modules())


def test_updates_from_a_kept_state() -> None:
    network, pixels = tiny(), torch.rand(2, 3, 8, 8)
    optimiser, state = torch.optim.SGD(network.parameters(), lr=0.1), None
    for _ in range(3):
        run = network.run(pixels, passes=1, state=state)
        optimiser.zero_grad()
        run.logits[0].square().sum().backward()
        optimiser.step()
        state = run.state.detached()
    with network.steering(Signal("9", torch.tensor([[1.0, 0, 0]]), strength=2)):
        network(pixels)[1].sum().backward()


@pytest.mark.parametrize(
    ("connections", "message"),
    [
        ([], r"^AlexNet: no connection; give"),
        ([("classifier.6", "features.88")], r"^unknown module of AlexNet 'features.88'; did you mean features.8"),
        ([("clasifier.6", "features.8")], r"^unknown module of AlexNet 'clasifier.6'; did you mean classifier.6"),
        ([("classifier.6", "features.8")] * 2, r"^AlexNet: the connection classifier.6 -> features.8 is there twice"),
    ],
)
def test_connections_that_cannot_be(connections, message, network) -> None:
    with pytest.raises(RequestError, match=message):
        LRM(network.feedforward, connections)


def test_modules_that_cannot_be_connected() -> None:
    net = torchvision.models.resnet18()
    with pytest.raises(RequestError, match=r"^ResNet: 'layer1.0.relu' is called 2 times in a pass; connect one called"):
        LRM(net, [("layer1.0.relu", "conv1")], image_size=(64, 64))
    tokens = nn.Sequential(nn.Conv2d(3, 4, 4), nn.Flatten(2), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(
        RequestError, match=r"^Sequential: '1' puts out \(4, 1\) for an image; connect modules with a v"
    ):
        LRM(tokens, [("3", "1")], image_size=(4, 4))


@pytest.mark.parametrize("passes", [0, -1, 1.5, True, "2"])
def test_wrong_passes(passes, network, images) -> None:
    message = rf"^passes={passes!r}; give a whole number of 1 or more$"
    with pytest.raises(RequestError, match=message):
        network.run(images, passes=passes)
    with pytest.raises(RequestError, match=message):
        LRM(network.feedforward, PUBLISHED[1].connections, passes)


def test_states_that_do_not_belong(network, images) -> None:
    with torch.no_grad():
        state = network.run(images, passes=1).state
        with pytest.raises(
            RequestError, match=r"^state: of 2 images, and these are 1; give the state that the same im"
        ):
            network.run(images[:1], state=state)
        part = {name: value for name, value in state.outputs.items() if name != LOGITS}
        with pytest.raises(RequestError, match=r"^state: of features.9, .* and this network feeds back classifier.6"):
            network.run(images, state=State(part))
        mixed = State({**part, LOGITS: state.outputs[LOGITS][:1]})
        with pytest.raises(RequestError, match=r"^state: of 1 and 2 images, and these are 2; give"):
            network.run(images, state=mixed)


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ([("classifier.7", torch.zeros(1, 1000))], r"^unknown source of feedback 'classifier.7'; did you mean classif"),
        ([(LOGITS, torch.zeros(1, 10))], r"template is torch.float32 \(1, 10\), expected float \(batch, 1000\)$"),
        ([("features.9", torch.zeros(1, 256))], r"expected float \(batch, 256, row, column\)$"),
        ([(LOGITS, torch.zeros(1, 1000, dtype=torch.int64))], r"template is torch.int64"),
        ([(LOGITS, torch.zeros(1, 1000))] * 2, r"^two signals to classifier.6; give one to each source$"),
    ],
)
def test_signals_that_cannot_be(signals, message, network) -> None:
    with pytest.raises(RequestError, match=message), network.steering(*(Signal(*each) for each in signals)):
        pass


def test_more_signals_that_cannot_be(network, images) -> None:
    with pytest.raises(RequestError, match=r"strength is nan; give a finite number"):
        Signal(LOGITS, torch.zeros(1, 1000), strength=float("nan"))
    with pytest.raises(RequestError, match=r"mixing is 1.5; give a share of 0 to 1"):
        Signal(LOGITS, torch.zeros(1, 1000), mixing=1.5)
    signal = Signal(LOGITS, torch.zeros(3, 1000))
    with (
        torch.no_grad(),
        pytest.raises(RequestError, match=r"3 templates for 2 images; give one, or one for each$"),
        network.steering(signal),
    ):
        network(images)


def test_templates_for_each_image_and_signals_to_several_sources(network, images, template) -> None:
    both = torch.cat([template, -template])
    maps = torch.randn(1, 256, 13, 13, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        with network.steering(Signal(LOGITS, both, strength=(2.0, 3.0))):
            together = network(images)[1]
            with network.steering(Signal("features.9", maps)):
                assert not torch.equal(network(images)[1], together)
            assert torch.equal(network(images)[1], together)
        for place in (0, 1):
            with network.steering(Signal(LOGITS, both[place : place + 1], strength=(2.0, 3.0))):
                alone = network(images[place : place + 1])[1]
            torch.testing.assert_close(alone[0], together[place], rtol=1e-4, atol=1e-6)
