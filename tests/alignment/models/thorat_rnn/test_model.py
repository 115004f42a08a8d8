"""The network as a model: sweeps as time bins, flows that can be recorded, and weights from files."""

import copy

import pytest
import torch
from torch import Tensor

from alignment.attacks.gradient import PGD
from alignment.attacks.judge import judge
from alignment.attacks.threat import Threat
from alignment.attacks.time import truncated
from alignment.errors import DataError, RequestError
from alignment.models import describe_model, load_model
from alignment.models.base import Model, decision_times
from alignment.models.thorat_rnn import published
from alignment.models.thorat_rnn.layout import Layout
from alignment.models.thorat_rnn.model import ThoratModel, thorat
from alignment.models.trained import trained_file

LAYERS = ("states.input", "states.conv1", "states.conv2", "states.fc")
EVERYTHING = ["states.*", "maps.*", "flows.*", "senders.*"]


@pytest.fixture(scope="module")
def model() -> ThoratModel:
    return thorat(Layout(lean=True), name="lean")


@pytest.fixture(scope="module")
def everything() -> ThoratModel:
    made = thorat(Layout(bias=True, lean=True), name="all")
    made.select_layers(EVERYTHING)
    return made


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.rand(4, 3, 100, 100, generator=torch.Generator().manual_seed(0))


def test_what_is_said_of_it(model: ThoratModel) -> None:
    assert isinstance(model, Model) and model.layers == LAYERS
    assert set(model.time_bins.values()) == {(0.0, 1.0, 2.0, 3.0)}
    assert (model.time_unit, model.image_size, model.stochastic) == ("step", (100, 100), False)
    assert model.classes is not None and model.classes[9:11] == ("9", "T-shirt/top") and len(model.classes) == 20
    assert model.incoming == {layer: (f"flows.{layer}.gain",) for layer in ("input", "conv1", "conv2", "fc")}
    assert thorat(Layout(lateral=False, sweeps=2, lean=True)).incoming.keys() == {"input", "conv1", "conv2"}


def test_25146088_parameters_without_loading_any(tmp_path) -> None:
    for name in ("thorat_rnn", "thorat_rnn_bias"):
        assert describe_model(name, weights="none", cache=tmp_path).parameters == 25_146_088
    assert describe_model("thorat_rnn_lean", weights="none", cache=tmp_path).parameters == 12_662_894


def test_all_flows_can_be_recorded(everything: ThoratModel, pixels: Tensor) -> None:
    assert len(everything.layers) == 4 + 2 + 8 + 18
    with torch.no_grad():
        recorded = everything.record(pixels[:1], everything.layers)
    for layer, values in recorded.items():
        is_flow = layer.startswith(("flows", "senders"))
        assert everything.time_bins[layer] == ((1.0, 2.0, 3.0) if is_flow else (0.0, 1.0, 2.0, 3.0))
        assert values.shape[:2] == (1, len(everything.time_bins[layer]))
    assert recorded["flows.conv1.gain"].shape[2:] == recorded["senders.conv1.bias.fc"].shape[2:] == (8, 96, 96)
    assert recorded["maps.conv2"].shape[2:] == (16, 28, 28) and recorded["states.conv2"].shape[2:] == (16, 9, 9)
    # a gain is applied after rectification, and the image is clipped
    assert recorded["states.input"].min() >= 0 and recorded["states.input"].max() <= 1
    torch.testing.assert_close(recorded["flows.fc.gain"], recorded["senders.fc.gain.fc"])


def test_some_time_bins_are_a_slice_of_all(everything: ThoratModel, pixels: Tensor) -> None:
    with torch.no_grad():
        for layers, bins in ((everything.layers[:6], (2.0, 0.0)), (everything.layers[6:], (3.0, 1.0))):
            whole = everything.record(pixels[:1], layers)
            some = everything.record(pixels[:1], layers, time_bins=bins)
            for layer in layers:
                places = [everything.time_bins[layer].index(each) for each in bins]
                assert torch.equal(some[layer], whole[layer][:, places])


def test_images_do_not_meet_and_nothing_is_remembered(everything: ThoratModel, pixels: Tensor) -> None:
    layers = ["states.fc", "flows.conv1.gain"]
    with torch.no_grad():
        first = everything.record(pixels, layers)
        everything.record(1 - pixels, layers)
        again = everything.record(pixels, layers)
        turned = everything.record(pixels.flip(0), layers)
        alone = [everything.record(image[None], layers) for image in pixels]
    for layer in layers:
        scale = max(1.0, float(first[layer].abs().max()))
        assert torch.equal(first[layer], again[layer])
        assert float((turned[layer].flip(0) - first[layer]).abs().max()) < 1e-5 * scale
        assert float((torch.cat([each[layer] for each in alone]) - first[layer]).abs().max()) < 1e-5 * scale


def test_one_decision(model: ThoratModel, pixels: Tensor) -> None:
    with torch.no_grad():
        logits = model.logits(pixels)
        assert logits.shape == (4, 1, 20)
        assert torch.equal(logits[:, 0], model.module(pixels))
    # read from all sweeps, so that it is made in the last
    assert decision_times(model, 1) == (3.0,)


@pytest.mark.parametrize(
    ("layers", "bins", "message"),
    [
        (["states.fc"], [4.0], r"^lean: layer 'states.fc' has no time_bin 4; it has 0 to 3$"),
        (["flows.fc.gain"], [0.0], r"^lean: layer 'flows.fc.gain' has no time_bin 0; it has 1 to 3$"),
        (["flows.conv1.bias"], None, r"^unknown layer of lean 'flows.conv1.bias'; did you mean .*flows.conv1.gain"),
    ],
)
def test_what_there_is_not(model: ThoratModel, pixels: Tensor, layers: list, bins: list, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model.record(pixels, layers, time_bins=bins)


def test_images_of_another_size(model: ThoratModel) -> None:
    with pytest.raises(RequestError, match=r"images are \(28, 28\), expected \(100, 100\)"):
        model.logits(torch.zeros(1, 3, 28, 28))


@pytest.mark.parametrize(("factor", "shift", "said"), [(255.0, 0.0, "0 to 255"), (1.0, -0.5, "-0.5 to 0.5")])
def test_images_of_another_range(model: ThoratModel, factor: float, shift: float, said: str) -> None:
    pixels = torch.linspace(0, 1, 30_000).view(1, 3, 100, 100)
    for use in (model.logits, lambda images: model.record(images, ["states.fc"])):
        use(pixels)
        with pytest.raises(
            RequestError, match=rf"^lean: pixels are {said}, expected 0 to 1; divide grey levels by 255$"
        ):
            use(pixels * factor + shift)


def test_truncated_gradient_is_that_of_the_last_sweep(model: ThoratModel, pixels: Tensor) -> None:
    few, net = pixels[:1], model.module
    full, cut = few.clone().requires_grad_(), few.clone().requires_grad_()
    logits = truncated(model)(cut)
    assert torch.equal(logits, model.logits(few))
    (slope,) = torch.autograd.grad(logits[0, 0, 3], cut)
    (whole,) = torch.autograd.grad(model.logits(full)[0, 0, 3], full)
    with torch.no_grad():
        grey, states = few.mean(1, keepdim=True), None
        for _ in range(3):
            states = net._sweep(grey, states)
    last = few.clone().requires_grad_()
    after = net._sweep(last.mean(1, keepdim=True), states)
    read = torch.cat([torch.zeros(1, 3 * 128), after.fc], dim=1)
    (expected,) = torch.autograd.grad(net.fc2(read)[0, 3], last)
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-7)
    assert (whole - slope).abs().max() > 0.1 * slope.abs().max()


def test_attack_through_time(pixels: Tensor) -> None:
    model = thorat(Layout(lean=True), name="attacked", seed=1)
    with torch.no_grad():
        labels = model.logits(pixels)[:, 0].argmax(1)
    attack, threat = [PGD(steps=5, random_start=False)], Threat("linf", 16 / 255)
    for logits in (model.logits, truncated(model)):
        verdict = judge(logits, attack, pixels, labels, threat, seeds=range(4))
        assert float(verdict.clean.mean()) == 1
        assert float(verdict.accuracies[-1]) < 1


def test_weights_of_a_file_are_loaded_strictly(tmp_path) -> None:
    source = thorat(Layout(), seed=7)
    path = tmp_path / "net.pth"
    torch.save(source.module.state_dict(), path)
    loaded = load_model("thorat_rnn", weights=str(path), cache=tmp_path)
    assert loaded.name == "thorat_rnn[weights=net]"
    assert all(torch.equal(a, b) for a, b in zip(loaded.module.parameters(), source.module.parameters(), strict=True))
    assert loaded.fingerprint == copy.deepcopy(source).fingerprint
    with pytest.raises(DataError, match=r"do not fit ThoratRNN: 18 unexpected \(c1xb.weight"):
        load_model("thorat_rnn_lean", weights=str(path), cache=tmp_path)
    torch.save({"conv1.weight": torch.zeros(8, 1, 5, 5)}, path)
    with pytest.raises(DataError, match="43 missing"):
        load_model("thorat_rnn", weights=str(path), cache=tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "layout"),
    [
        ("thorat_rnn", "rnn_bglt_0111_t_4_num_1.pth", Layout()),
        ("thorat_rnn_bias", "rnn_bglt_1011_t_4_num_1.pth", Layout(bias=True, gain=False)),
    ],
)
def test_published_weights_lie_in_the_data_folder(tmp_path, monkeypatch, name: str, file: str, layout: Layout) -> None:
    # a state dict of the published names and shapes, as the published files are
    path = tmp_path / "weights" / file
    path.parent.mkdir()
    made = thorat(layout, seed=5).module.state_dict()
    assert layout.code in file
    torch.save(made, path)
    with pytest.raises(DataError, match=r"bytes, and the published file has 100,598,907; delete it"):
        load_model(name, data_root=tmp_path, cache=tmp_path / "cache")
    monkeypatch.setattr(published, "BYTES", path.stat().st_size)
    loaded = load_model(name, data_root=tmp_path, cache=tmp_path / "cache")
    assert loaded.name == name
    assert all(torch.equal(value, made[key]) for key, value in loaded.module.state_dict().items())


def test_lean_weights_come_from_training(tmp_path) -> None:
    with pytest.raises(DataError, match="bench train model=thorat_rnn_lean"):
        load_model("thorat_rnn_lean", cache=tmp_path)
    path = trained_file("thorat_rnn_lean", cache=tmp_path)
    path.parent.mkdir()
    made = thorat(Layout(lean=True), seed=2).module.state_dict()
    torch.save(made, path)
    loaded = load_model("thorat_rnn_lean", cache=tmp_path)
    assert torch.equal(loaded.module.state_dict()["fc1.weight"], made["fc1.weight"])
