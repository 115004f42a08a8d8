import math

import pytest
import torch
import torchvision
from torch import nn

from alignment.errors import DataError, RequestError
from alignment.models import load_model
from alignment.models.catalogue import MODELS
from alignment.models.checkpoints import load_state
from alignment.models.trained import trained_file

# parameters and entries of the state dict, counted in rep_align's own networks
COUNTS = {
    "resnet18_cifar10": (11_173_962, 122),
    "resnet34_cifar10": (21_282_122, 218),
    "resnet50_cifar10": (23_520_842, 320),
    "vgg11_bn_cifar10": (28_149_514, 62),
    "vgg13_bn_cifar10": (28_334_410, 76),
    "vgg16_bn_cifar10": (33_646_666, 97),
    "vgg19_bn_cifar10": (38_958_922, 118),
}
RESNETS = [name for name in COUNTS if name.startswith("resnet")]
VGGS = [name for name in COUNTS if name.startswith("vgg")]


def untrained(name, tmp_path, seed=0):
    return load_model(name, weights="none", cache=tmp_path, seed=seed)


def torchvision_twin(name):
    """The network that torchvision has under this name, changed as the paper of the networks says, without weights."""
    with torch.device("meta"):
        twin = torchvision.models.get_model(name.removesuffix("_cifar10"), num_classes=10)
        if name in RESNETS:
            twin.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        else:
            twin.avgpool = nn.AdaptiveAvgPool2d(1)
            twin.classifier[0] = nn.Linear(512, 4096)
    return twin.eval()


@pytest.mark.parametrize("name", COUNTS)
def test_weights_are_as_many_and_named_as_torchvisions_and_give_the_same_logits(name, tmp_path):
    model = untrained(name, tmp_path)
    state = model.module.state_dict()
    assert (sum(weight.numel() for weight in model.module.parameters()), len(state)) == COUNTS[name]
    twin = torchvision_twin(name)
    assert list(twin.state_dict()) == list(state)
    twin.load_state_dict(state, assign=True)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, sd = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    with torch.no_grad():
        expected = twin((images - mean.view(3, 1, 1)) / sd.view(3, 1, 1))
        torch.testing.assert_close(model.logits(images)[:, 0], expected)


@pytest.mark.parametrize("name", RESNETS)
def test_maps_of_the_resnets(name, tmp_path):
    model = untrained(name, tmp_path)
    wide = 4 if "50" in name else 1
    expected = {"conv1": (64, 32, 32)}
    expected |= {f"layer{i + 1}": (64 * 2**i * wide, 16 // 2**i, 16 // 2**i) for i in range(4)}
    assert {layer: model.sites[layer].shapes[-1] for layer in model.layers} == expected


@pytest.mark.parametrize("name", VGGS)
def test_maps_of_the_vggs(name, tmp_path):
    model = untrained(name, tmp_path)
    found = [model.sites[layer].shapes[-1] for layer in model.layers]
    assert found == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]
    assert all(layer.startswith("features.") for layer in model.layers)


def test_initial_weights_have_the_spread_they_should(tmp_path):
    resnet, vgg = (untrained(name, tmp_path).module for name in ("resnet18_cifar10", "vgg11_bn_cifar10"))
    for conv in (resnet.conv1, resnet.layer4[1].conv2, vgg.features[0], vgg.features[25]):
        fan_out = conv.out_channels * 9
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert torch.equal(resnet.layer1[1].bn2.weight, torch.ones(64))
    assert vgg.classifier[0].weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert all(not bias.any() for name, bias in vgg.named_parameters() if name.endswith("bias"))


def test_the_seed_decides_the_initial_weights(tmp_path):
    states = [untrained("resnet18_cifar10", tmp_path, seed=seed).module.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(states[0]["conv1.weight"], states[1]["conv1.weight"])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])


def test_attributes_are_those_of_the_data(tmp_path):
    model = untrained("vgg11_bn_cifar10", tmp_path)
    assert model.image_size == (32, 32)
    assert model.classes == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
    )  # fmt: skip
    assert set(COUNTS) <= set(MODELS.names()) and all(MODELS.summary(name) for name in COUNTS)


def test_without_trained_weights_one_line_says_how_to_make_them(tmp_path):
    with pytest.raises(DataError, match=r"resnet18_cifar10.pt is not there; make it with `bench train model=resnet18_"):
        load_model("resnet18_cifar10", cache=tmp_path)
    with pytest.raises(DataError, match=r"-seed3.pt .*`bench train model=resnet18_cifar10 seed=3`") as caught:
        load_model("resnet18_cifar10", cache=tmp_path, seed=3)
    assert "\n" not in str(caught.value)


def test_trained_weights_in_the_cache_are_the_default(tmp_path):
    other = untrained("resnet18_cifar10", tmp_path, seed=5).module.state_dict()
    path = trained_file("resnet18_cifar10", cache=tmp_path)
    path.parent.mkdir()
    torch.save({"state_dict": other}, path)
    model = load_model("resnet18_cifar10", cache=tmp_path)
    assert model.name == "resnet18_cifar10"
    assert all(torch.equal(value, other[key]) for key, value in model.module.state_dict().items())


def test_a_tuned_checkpoint_is_the_student_and_its_readout_is_named_as_ignored(tmp_path):
    student, teacher = (untrained("resnet18_cifar10", tmp_path, seed=seed).module.state_dict() for seed in (1, 2))
    readout = {"neural_predict.weight": torch.ones(7, 2048), "neural_predict.bias": torch.zeros(7)}
    rest = {"optimizer": {"state": {}}, "epoch": 3, "hist": {"train": [[1.0, 2.0, 3.0]]}, "wandb_run_name": None}
    path = tmp_path / "best_val_loss.pt"
    torch.save({"student_state_dict": student | readout, "teacher_state_dict": teacher, **rest}, path)
    with pytest.warns(UserWarning, match=r"neural_predict.weight, neural_predict.bias predict voxels; ignored"):
        model = load_model("resnet18_cifar10", weights=str(path), cache=tmp_path)
    assert all(torch.equal(value, student[key]) for key, value in model.module.state_dict().items())


def test_another_networks_weights_are_refused(tmp_path):
    state = untrained("resnet18_cifar10", tmp_path).module.state_dict()
    torch.save({"state_dict": {**state, "conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "imagenet.pt")
    with pytest.raises(DataError, match=r"1 misshaped \(conv1.weight is \(64, 3, 7, 7\) instead of \(64, 3, 3, 3\)\)"):
        load_model("resnet18_cifar10", weights=str(tmp_path / "imagenet.pt"), cache=tmp_path)
    torch.save({"state_dict": {key: value for key, value in state.items() if key != "fc.bias"}}, tmp_path / "less.pt")
    with pytest.raises(DataError, match=r"less.pt do not fit Cifar10ResNet: 1 missing \(fc.bias\)"):
        load_model("resnet18_cifar10", weights=str(tmp_path / "less.pt"), cache=tmp_path)
    with pytest.raises(RequestError, match="no such file"):
        load_model("resnet18_cifar10", weights=str(tmp_path / "absent.pt"), cache=tmp_path)


def test_a_torchvision_network_of_the_same_shape_is_loaded(tmp_path):
    donor = torchvision.models.resnet18(num_classes=10)
    donor.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    torch.save(donor.state_dict(), tmp_path / "own.pth")
    model = load_model("resnet18_cifar10", weights=str(tmp_path / "own.pth"), cache=tmp_path)
    load_state(donor, model.module.state_dict(), where="back")
    assert torch.equal(donor.fc.weight, model.module.fc.weight)
