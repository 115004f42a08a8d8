import pytest
import torch
import torchvision
from torch import nn

from alignment.models.default_layers import MOST_LAYERS
from alignment.models.load import load_model
from alignment.models.torch_model import TorchModel
from alignment.models.torchvision import structure

RESNET18 = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)] + ["avgpool"]
ALEXNET = [f"features.{n}" for n in (1, 2, 4, 5, 7, 9, 11, 12)] + ["avgpool", "classifier.2", "classifier.5"]
VIT = [f"encoder.layers.encoder_layer_{n}" for n in range(12)]


@pytest.mark.parametrize(("name", "layers"), [("resnet18", RESNET18), ("alexnet", ALEXNET), ("vit_b_32", VIT)])
def test_families(name, layers):
    assert list(structure(name).layers) == layers


def test_vgg_gives_every_relu_and_pool():
    network = torchvision.models.vgg11()
    kinds = {type(network.get_submodule(name)) for name in structure("vgg11").layers}
    assert kinds == {nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d}


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "densenet121", "efficientnet_b0", "swin_t", "resnet101", "regnet_y_400mf"]
)
def test_others_are_few_deep_and_without_logits(name):
    model = structure(name)
    assert 6 <= len(model.layers) <= MOST_LAYERS
    assert not any(1000 in model.sites[layer].shapes[0] for layer in model.layers)
    orders = [model.sites[layer].order for layer in model.layers]
    assert orders == sorted(orders)


def test_named_stages_without_the_classifier(shared):
    model = load_model(f"{shared}/models/mobilenet_v2.py:mobilenet_v2", cache=shared)
    assert model.name == "mobilenet_v2"
    assert list(model.layers) == ["stem", *[f"block{n}" for n in range(17)], "head", "pool"]


def test_flat_network_gives_its_layers_without_the_logits():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.relu, self.conv2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)
            self.pool, self.dropout, self.fc = nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Linear(5, 10)

        def forward(self, x):
            return self.fc(self.dropout(self.pool(self.conv2(self.relu(self.conv1(x)))).flatten(1)))

    assert TorchModel(Net(), name="net", image_size=(16, 16)).layers == ("conv1", "relu", "conv2", "pool")


def test_a_wrapped_network_is_opened():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torchvision.models.resnet18()

        def forward(self, x):
            return self.net(x * 2)

    with torch.device("meta"):
        module = Wrapped()
    assert list(TorchModel(module, name="w", image_size=(64, 64)).layers) == [f"net.{layer}" for layer in RESNET18]
