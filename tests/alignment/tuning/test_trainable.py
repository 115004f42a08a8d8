"""Trained parameters of real architectures, written out by hand."""

import pytest
import torchvision
from torch import nn

from alignment.errors import RequestError
from alignment.models.initialise import without_weights
from alignment.models.toy import Recipe, ToyNetwork
from alignment.tuning.batchnorm import trainable


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    with without_weights():
        return torchvision.models.resnet18()


def test_all_and_none(resnet: nn.Module) -> None:
    assert trainable(resnet, "all") == [name for name, _ in resnet.named_parameters()]
    assert trainable(resnet, "readout") == []


def test_affine_parameters_of_a_resnet(resnet: nn.Module) -> None:
    chosen = trainable(resnet, "bn_affine")
    # 20 normalisations, of 2 vectors each; 9,600 values in all
    assert len(chosen) == 40
    assert sum(resnet.get_parameter(name).numel() for name in chosen) == 9600
    assert "layer2.0.downsample.1.weight" in chosen
    assert not any("conv" in name for name in chosen)


def test_last_blocks_of_a_resnet(resnet: nn.Module) -> None:
    assert trainable(resnet, "last:1") == ["fc.weight", "fc.bias"]
    of_block = [f"{part}.{key}" for part in ("conv1", "bn1", "conv2", "bn2") for key in ("weight", "bias")]
    expected = [f"layer4.1.{name}" for name in of_block if name not in ("conv1.bias", "conv2.bias")]
    assert trainable(resnet, "last:2") == [*expected, "fc.weight", "fc.bias"]
    assert trainable(resnet, "last:11") == trainable(resnet, "all")


def test_a_stage_with_one_convolution_is_a_block() -> None:
    toy = ToyNetwork(Recipe().channels)
    assert trainable(toy, "last:2") == [
        "stage3.0.weight",
        "stage3.1.weight",
        "stage3.1.bias",
        "classifier.weight",
        "classifier.bias",
    ]


def test_a_wrapped_network_is_opened(resnet: nn.Module) -> None:
    wrapped = nn.Sequential(nn.Identity(), resnet)
    assert trainable(wrapped, "last:1") == ["1.fc.weight", "1.fc.bias"]


def test_the_only_block_of_a_stage_stays_whole() -> None:
    with without_weights():
        small = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    of_block = [name for name, _ in small.named_parameters() if name.startswith(("layer4.0.", "fc."))]
    assert len(of_block) == 11
    assert trainable(small, "last:2") == of_block


def test_layers_of_a_vgg_are_blocks() -> None:
    with without_weights():
        vgg = torchvision.models.vgg11()
    assert trainable(vgg, "last:4") == [
        "features.18.weight",
        "features.18.bias",
        *(f"classifier.{index}.{key}" for index in (0, 3, 6) for key in ("weight", "bias")),
    ]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("last:0", "last:0: give a number from 1 to 2, the blocks of the network"),
        ("last:3", "last:3: give a number from 1 to 2"),
        ("last:two", "last:two: give a number"),
        ("bn_afine", "unknown trainable part 'bn_afine'; did you mean bn_affine"),
        ("bn_affine", "bn_affine: the network has no such parameters"),
    ],
)
def test_what_cannot_be_trained_is_named(mode: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        trainable(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), mode)
