"""Residual networks for 32x32 images: He, Zhang, Ren & Sun 2016, Deep residual learning, section 4.2.

Shortcuts are of the paper's option A: every second row and column, new channels filled with zeros. The published
weights are those of akamaster/pytorch_resnet_cifar10 (BSD-2), trained on CIFAR-10.
"""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from alignment.fetch import check_file, fetch
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded
from alignment.models.torch_model import TorchModel

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NORMALISE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ADDRESS = (
    "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/"
    "d5489e8995e81e91ce6b1d69dcc98ad579b0b153/pretrained_models/"
)
FOLDER = "weights"


class Published(NamedTuple):
    """A published file of weights."""

    name: str
    sha256: str


RESNET20 = Published("resnet20-12fca82f.th", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8")
RESNET56 = Published("resnet56-4bfd9763.th", "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input, sliced and zero-padded where the shapes differ."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, row, column) to (batch, outputs, row / stride, column / stride)."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new_channels:
            before = self.new_channels // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """6n + 2 layers: three stages of n blocks with 16, 32 and 64 channels."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks=blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks=blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks=blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, 10)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 32, 32), normalised, to logits (batch, 10)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x).flatten(1))


def cifar_resnet20(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> TorchModel:
    """ResNet-20, published error on CIFAR-10 8.27 %; arguments as for `load_model`."""
    return _build("cifar_resnet20", RESNET20, blocks=3, weights=weights, folders=(data_root, cache), seed=seed)


def cifar_resnet56(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> TorchModel:
    """ResNet-56, published error on CIFAR-10 6.61 %; arguments as for `load_model`."""
    return _build("cifar_resnet56", RESNET56, blocks=9, weights=weights, folders=(data_root, cache), seed=seed)


def published_weights(published: Published, *, data_root: Path | None, cache: Path) -> Path:
    """The file in `data_root/weights`, or else in `cache/weights`, where it is downloaded to; sha256 checked.

    Raises
    ------
    DataError
        Its checksum is another, or it is not there and cannot be downloaded.
    """
    if data_root is not None and (data_root / FOLDER / published.name).is_file():
        return check_file(data_root / FOLDER / published.name, sha256=published.sha256)
    return fetch(ADDRESS + published.name, sha256=published.sha256, folder=cache / FOLDER)


def _build(
    name: str, published: Published, *, blocks: int, weights: str, folders: tuple[Path | None, Path], seed: int
) -> TorchModel:
    with seeded(seed, "weights", name):
        module = CifarResNet(blocks)
    if weights != "none":
        is_default = weights == "default"
        path = (
            published_weights(published, data_root=folders[0], cache=folders[1])
            if is_default
            else weights_file(weights)
        )
        load_state(module, read_state(path), where=str(path))
    return TorchModel(module.eval(), name=name, image_size=(32, 32), normalise=NORMALISE, classes=CLASSES)


def _stage(inputs: int, outputs: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride=stride)
    return nn.Sequential(first, *[BasicBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)])
