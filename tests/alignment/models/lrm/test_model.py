"""The network as a model: passes as time bins, what is recorded where, steering, and attacks through time."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from alignment.attacks.gradient import PGD
from alignment.attacks.judge import judge
from alignment.attacks.threat import Threat
from alignment.attacks.time import truncated
from alignment.errors import RequestError
from alignment.models import TorchModel, describe_model, load_model
from alignment.models.base import Model
from alignment.models.lrm import LRMModel, Signal, alexnet_lrm, lrm
from alignment.models.repeats import is_stochastic

CLASSES = ("a", "b", "c")
USER = """
import torchvision
from alignment.models.lrm import lrm
def build():
    net = torchvision.models.resnet18(num_classes=3)
    return lrm(net, [("fc", "layer2.0.conv1"), ("layer4", "layer1.0.conv1")], 3, image_size=(64, 64))
"""


def backbone(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


def small(**settings) -> LRMModel:
    made = lrm(backbone(), [("7", "0"), ("4", "0"), ("7", "3")], image_size=(12, 12), classes=CLASSES, **settings)
    with torch.no_grad():
        # strong enough to see
        for part in made.module.lrm.values():
            for block in part.values():
                block.modulation.weight.mul_(4)
    return made


@pytest.fixture(scope="module")
def model() -> LRMModel:
    return small(layers=["feedforward.*", "before.*", "after.*", "feedback.*", "lrm.*.from_*", "lrm.*.norm"])


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def recorded(model, pixels) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model.record(pixels, model.layers)


def test_what_is_said_of_it(model, pixels) -> None:
    assert isinstance(model, Model) and model.name == "lrm" and model.time_unit == "step" and not model.stochastic
    for layer, bins in model.time_bins.items():
        assert bins == ((0.0, 1.0) if layer.startswith(("feedforward", "before")) else (1.0,)), layer
    assert model.fingerprint == copy.deepcopy(model).fingerprint
    assert model.fingerprint != small(layers=model.layers, feedback_gain=0.5).fingerprint
    assert small(passes=3, keep_sign=True, feedback_gain=0.25).name == "lrm[passes=3,feedback_gain=0.25,keep_sign=1]"
    with torch.no_grad():
        assert model.logits(pixels).shape == (5, 2, 3)
    assert not is_stochastic(model)


def test_usual_layers_are_those_of_the_backbone() -> None:
    plain = TorchModel(backbone(), name="plain", image_size=(12, 12))
    assert small().layers == tuple(f"feedforward.{layer}" for layer in plain.layers)
    alexnet = alexnet_lrm(1)
    assert alexnet.layers == (
        *(f"feedforward.features.{place}" for place in (2, 5, 7, 9, 12)),
        "feedforward.classifier.2",
        "feedforward.classifier.5",
    )
    assert alexnet.classes is not None and alexnet.classes[0] == "tench" and len(alexnet.classes) == 1000
    assert alexnet.image_size == (224, 224)


def test_a_destination_before_and_after_feedback(model, recorded) -> None:
    for place in ("0", "3"):
        before, after, flow = (recorded[f"{kind}.{place}"] for kind in ("before", "after", "feedback"))
        assert torch.equal(before, recorded[f"feedforward.{place}"])
        torch.testing.assert_close(after[:, 0], before[:, 1] * (1 + flow[:, 0]))
    parts = [recorded[f"lrm.0_modulation.from_{source}_to_0"] for source in ("7", "4")]
    torch.testing.assert_close(recorded["feedback.0"], sum(parts))
    # what the ReLU that follows gives is of one meaning in both passes
    torch.testing.assert_close(recorded["feedforward.1"][:, 0], recorded["before.0"][:, 0].relu())
    torch.testing.assert_close(recorded["feedforward.1"][:, 1], recorded["after.0"][:, 0].relu())
    # the image is the same, so the first layer is driven as before
    assert torch.equal(recorded["before.0"][:, 0], recorded["before.0"][:, 1])
    assert not torch.allclose(recorded["before.3"][:, 0], recorded["before.3"][:, 1])


def test_published_networks_rectify_what_they_modulated() -> None:
    layers, images = ["before.features_0", "after.features_0"], torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        found = alexnet_lrm(1).record(images, layers)
    assert float(found[layers[0]].min()) < -0.1 and float(found[layers[1]].min()) == 0.0


def test_a_gain_of_0_records_passes_that_are_alike(pixels) -> None:
    still = small(feedback_gain=0, layers=["feedforward.*", "before.*", "after.*"])
    with torch.no_grad():
        found = still.record(pixels, still.layers)
    for layer in still.layers:
        if layer.startswith("feedforward"):
            assert torch.equal(found[layer][:, 0], found[layer][:, 1])
    assert torch.equal(found["after.0"][:, 0], found["before.0"][:, 1])


def test_some_time_bins_are_a_slice_of_all(model, pixels, recorded) -> None:
    for layer, bins in model.time_bins.items():
        for chosen in ({bins[:1], bins[-1:], bins[::-1]}) - {()}:
            with torch.no_grad():
                some = model.record(pixels, [layer], time_bins=chosen)[layer]
            assert torch.equal(some, recorded[layer][:, [bins.index(each) for each in chosen]])


def test_only_the_passes_asked_for_are_run(model, pixels) -> None:
    calls = []
    handle = model.module.feedforward[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model.record(pixels, ["feedforward.4"], time_bins=[0.0])
    handle.remove()
    assert len(calls) == 1
    assert not any(part._forward_hooks for part in model.module.modules())


def test_images_do_not_meet_and_nothing_is_remembered(model, pixels, recorded) -> None:
    with torch.no_grad():
        model.record(1 - pixels, model.layers)
        with model.steering(Signal("7", torch.eye(3)[:1], strength=3)):
            model.record(1 - pixels, model.layers)
        again = model.record(pixels, model.layers)
        turned = model.record(pixels.flip(0), model.layers)
        alone = [model.record(image[None], model.layers) for image in pixels]
    for layer, values in recorded.items():
        assert torch.equal(values, again[layer])
        scale = max(1.0, float(values.abs().max()))
        assert float((turned[layer].flip(0) - values).abs().max()) < 1e-5 * scale
        assert float((torch.cat([each[layer] for each in alone]) - values).abs().max()) < 1e-5 * scale


def test_steering_is_seen_in_what_is_recorded_and_decided(model, pixels, recorded) -> None:
    with torch.no_grad():
        before = model.logits(pixels)
        with model.steering(Signal("7", torch.eye(3)[:1], strength=3)):
            steered, logits = model.record(pixels, model.layers), model.logits(pixels)
            assert model.fingerprint != small(layers=model.layers).fingerprint
        assert torch.equal(model.logits(pixels), before)
    assert torch.equal(logits[:, 0], before[:, 0]) and not torch.allclose(logits[:, 1], before[:, 1])
    assert torch.equal(steered["feedforward.7"][:, 0], recorded["feedforward.7"][:, 0])
    # a template is the same for all images, so what it feeds back is
    from_template = steered["lrm.3_modulation.from_7_to_3"][:, 0]
    torch.testing.assert_close(from_template, from_template[:1].expand_as(from_template))


def test_gradients_through_all_passes_and_through_the_last_alone(model, pixels) -> None:
    last_only = truncated(model, ["feedforward.1", "feedforward.4", "feedforward.7"])
    slopes = []
    for logits in (model.logits, last_only):
        images = pixels.clone().requires_grad_()
        scores = logits(images)
        slopes.append(torch.autograd.grad(scores[:, 1].square().sum(), images)[0])
    with torch.no_grad():
        torch.testing.assert_close(last_only(pixels), model.logits(pixels))
    # written out: the first pass under no_grad, the second from its state
    images = pixels.clone().requires_grad_()
    with torch.no_grad():
        state = model.module.run(pixels, passes=1).state
    scores = model.module.run(images, passes=1, state=state).logits[0]
    expected = torch.autograd.grad(scores.square().sum(), images)[0]
    torch.testing.assert_close(slopes[1], expected)
    assert not torch.allclose(slopes[0], slopes[1])


def test_the_full_gradient_is_that_of_differences(pixels) -> None:
    double = small()
    double.module.double()
    image = pixels[:1].double().requires_grad_()
    direction = torch.randn(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def loss(at: torch.Tensor) -> torch.Tensor:
        return double.module(at)[1].square().sum()

    (slope,) = torch.autograd.grad(loss(image), image)
    step = 1e-6
    with torch.no_grad():
        rise = (loss(image + step * direction) - loss(image - step * direction)) / (2 * step)
    torch.testing.assert_close((slope * direction).sum(), rise, rtol=1e-5, atol=1e-9)


def test_attacked_through_time(model, pixels) -> None:
    labels = model.logits(pixels)[:, -1].argmax(-1).detach()
    threat, attack = Threat("linf", 0.2), PGD(steps=10, loss="margin")
    verdicts = {
        name: judge(logits, [attack], pixels, labels, threat, seeds=list(range(5)))
        for name, logits in (("all passes", model.logits), ("the last", truncated(model, ["feedforward.4"])))
    }
    for name, verdict in verdicts.items():
        assert verdict.robust.sum() < len(labels), name


def test_a_network_of_ones_own_in_five_lines(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(USER)
    made = load_model(f"{tmp_path / 'mine.py'}:build", cache=tmp_path)
    assert made.name == "lrm[passes=3]" and made.layers[0] == "feedforward.layer1.0"
    with torch.no_grad():
        found = made.record(torch.rand(2, 3, 64, 64), ["feedforward.layer4.1", "after.layer1_0_conv1"])
    assert found["feedforward.layer4.1"].shape[:2] == (2, 3)
    assert found["after.layer1_0_conv1"].shape == (2, 2, 64, 16, 16)
    fresh = load_model(f"{tmp_path / 'mine.py'}:build", cache=tmp_path, weights="none", seed=1)
    weight = "lrm.layer2_0_conv1_modulation.from_fc_to_layer2_0_conv1.modulation.weight"
    assert not torch.equal(made.module.get_parameter(weight), fresh.module.get_parameter(weight))
    assert torch.equal(fresh.module.get_parameter(weight.replace("modulation.weight", "neg_scale")), torch.ones(1))


@pytest.mark.parametrize("name", ["alexnet_lrm1", "alexnet_lrm2", "alexnet_lrm3"])
def test_described_without_loading_anything(name, tmp_path) -> None:
    found = describe_model(name, weights="none", cache=tmp_path)
    weights = {"alexnet_lrm1": 62_924_348, "alexnet_lrm2": 63_605_200, "alexnet_lrm3": 65_186_642}
    assert found.parameters == weights[name] and found.classes == 1000
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layers", "bins", "message"),
    [
        (["feedforward.4"], [2.0], r"^lrm: layer 'feedforward.4' has no time_bin 2; it has 0 to 1$"),
        (["after.0"], [0.0], r"^lrm: layer 'after.0' has no time_bin 0; it has 1 to 1$"),
        (["after.1"], None, r"^unknown layer of lrm 'after.1'; did you mean"),
    ],
)
def test_what_there_is_not(model, pixels, layers, bins, message) -> None:
    with pytest.raises(RequestError, match=message):
        model.record(pixels, layers, time_bins=bins)


def test_images_and_variants_that_there_are_not(model) -> None:
    with pytest.raises(RequestError, match=r"^lrm: images are \(8, 8\), expected \(12, 12\)$"):
        model.logits(torch.zeros(1, 3, 8, 8))
    with pytest.raises(RequestError, match=r"^alexnet_lrm: there is no variant 4; give 1, 2, 3$"):
        alexnet_lrm(4)
    with pytest.raises(RequestError, match=r"forward pass on images of 8x8 failed \(is image_size right\?\)"):
        lrm(torchvision.models.alexnet(), [("classifier.6", "features.8")], image_size=(8, 8))


def test_of_any_size() -> None:
    wide = alexnet_lrm(1, image_size=None)
    with torch.no_grad():
        assert wide.logits(torch.rand(1, 3, 96, 192)).shape == (1, 2, 1000)
