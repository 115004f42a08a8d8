"""Checkpoints: both spellings of weight normalisation, prefixes, names that are missing or too many."""

import copy
import hashlib
import subprocess

import pytest
import torch

from alignment.errors import DataError, RequestError
from alignment.models import load_model
from alignment.models.cordsnet import weights as module
from alignment.models.cordsnet.equivalent import FoldedCNN
from alignment.models.cordsnet.layout import Clock
from alignment.models.cordsnet.model import cordsnet
from alignment.models.cordsnet.weights import Described, described, git_blob, published_weights, read_weights

OLD = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def spelled_as_before(state):
    (gain, old_gain), (direction, old_direction) = OLD.items()
    return {name.replace(gain, old_gain).replace(direction, old_direction): value for name, value in state.items()}


@pytest.fixture
def network(make):
    return make(8, clock=Clock(steps=3, blank_steps=1))


def saved(path, state):
    torch.save(state, path)
    return path


def test_both_spellings_and_the_prefix_of_parallel_training(tmp_path, network):
    state = network.state_dict()
    old = spelled_as_before(state)
    assert "inp_conv.weight_g" in old and "out_fc.weight_v" in old
    for number, each in enumerate((state, old, {f"module.{name}": value for name, value in old.items()})):
        model = cordsnet(8, weights=saved(tmp_path / f"{number}.pth", each), clock=Clock(steps=3, blank_steps=1))
        assert model.image_size == (32, 32) and len(model.classes) == 10
        for name, value in model.module.state_dict().items():
            assert torch.equal(value, state[name])


def test_old_weight_normalisation_means_the_same(network):
    with pytest.warns(FutureWarning, match="weight_norm"):
        layer = torch.nn.utils.weight_norm(torch.nn.Conv2d(64, 64, 3, bias=False))
    renamed = {module.respelled(name): value for name, value in layer.state_dict().items()}
    new = copy.deepcopy(network.area_conv[0])
    new.load_state_dict(renamed)
    torch.testing.assert_close(new.weight, layer.weight)


def test_by_name_from_a_file(tmp_path, make):
    network = described(make(2, edge=16), Described((15, 14), clock=Clock(steps=5, blank_steps=1)))
    path = saved(tmp_path / "mine.pth", network.state_dict())
    model = load_model("cordsnet_r2", weights=str(path), cache=tmp_path)
    assert model.name == "cordsnet_r2[weights=mine]" and model.image_size == (15, 14)
    assert model.time_bins["rates.1"] == (2.0, 4.0, 6.0, 8.0, 10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("skip_area.2.weight_g"), r"1 missing \(skip_area.2.parametrizations.weight.original0"),
        (lambda state: state.update({"prelu.weight": torch.ones(1)}), r"1 unexpected \(prelu.weight\)"),
        (lambda state: state.update({"conv_bias.7": torch.zeros(512, 2, 1)}), r"conv_bias.7 is \(512, 2, 1\)"),
    ],
)
def test_names_that_do_not_fit(tmp_path, network, change, message):
    state = spelled_as_before(network.state_dict())
    change(state)
    with pytest.raises(DataError, match=message) as caught:
        cordsnet(8, weights=saved(tmp_path / "bad.pth", state))
    assert "\n" not in str(caught.value)


def test_a_size_that_does_not_fit_the_bias_maps(tmp_path, network):
    path = saved(tmp_path / "small.pth", network.state_dict())
    with pytest.raises(RequestError, match=r"224x224 need bias maps of 56x56, and weights .* have 8x8"):
        cordsnet(8, weights=path, image_size=(224, 224))


def test_a_file_says_what_its_network_is(tmp_path, network):
    said = Described((30, 31), ("cat", "dog"), ((0.1,) * 3, (0.2,) * 3), Clock(alpha=0.5, steps=7, blank_steps=2))
    described(network, said)
    state, found, folded = read_weights(saved(tmp_path / "a.pth", {"state_dict": network.state_dict()}))
    assert found == said and len(state) == 54 and not folded
    del state["description"]
    assert read_weights(saved(tmp_path / "b.pth", state)).said == Described()


def test_a_file_keeps_the_cnn_beside_its_network(tmp_path, make):
    network = make(2, edge=16, clock=Clock(steps=3, blank_steps=1))
    cnn = FoldedCNN(network.layout)
    path = saved(tmp_path / "a.pth", described(network, Described((16, 16)), folded=cnn).state_dict())
    model = cordsnet(2, weights=path, clock=Clock(steps=3, blank_steps=1))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.folded(images), cnn(images)) and torch.equal(
            model.module(images)[:, -1], network(images)[:, -1]
        )
    plain = cordsnet(2, weights=saved(tmp_path / "b.pth", model.module.state_dict()))
    assert plain.folded is None and plain.image_size == (16, 16)
    assert set(model.module.state_dict()) == {*plain.module.state_dict()} and "cnn" not in dict(
        model.module.named_children()
    )


def test_git_blob(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 9000)
    asked = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
    assert git_blob(path) == asked.stdout.strip()


def test_published_file_is_checked(tmp_path, monkeypatch):
    path = tmp_path / "weights" / "cordsnetr8.pth"
    path.parent.mkdir()
    path.write_bytes(b"other")
    with pytest.raises(DataError, match="git's id of it is"):
        published_weights(data_root=tmp_path, cache=tmp_path)
    monkeypatch.setattr(module, "GIT_BLOB", hashlib.sha1(b"blob 5\0other").hexdigest())
    assert published_weights(data_root=tmp_path, cache=tmp_path) == path
