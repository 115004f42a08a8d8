"""ResNets and VGGs for CIFAR-10 in the shapes that rep_align trains and tunes.

ResNet-18, 34 and 50 are those of He, Zhang, Ren & Sun 2016 (Deep residual learning, table 1) with a 3x3 first
convolution of stride 1, after which the 3x3 pooling of stride 2 is kept: 32x32 pixels enter layer1 as 16x16. VGG-11 to
19 are configurations A, B, D and E of Simonyan & Zisserman 2015 with batch normalisation after each convolution and a
classifier of 512-4096-4096-10. Their weights have torchvision's names. Nobody publishes any: `bench train` makes them.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from alignment.models.checkpoints import load_state, weights_file
from alignment.models.cifar_resnet import CLASSES
from alignment.models.initialise import seeded
from alignment.models.rep_align import read_checkpoint
from alignment.models.torch_model import TorchModel
from alignment.models.trained import trained_weights

NORMALISE = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
EDGE = 32
WIDTHS = (64, 128, 256, 512, 512)
HIDDEN = 4096
RESNET_LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4")


class Cifar10ResNet(ResNet):
    """torchvision's ResNet with a 3x3 first convolution of stride 1, and ten classes.

    Parameters
    ----------
    block : `BasicBlock` or `Bottleneck`
    blocks : how many in each of the four stages
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], blocks: Sequence[int]) -> None:
        super().__init__(block, list(blocks), num_classes=len(CLASSES))
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")


class Cifar10VGG(nn.Module):
    """Five stages of 3x3 convolutions, each with batch normalisation and ReLU and ended by pooling, and a classifier.

    Parameters
    ----------
    convolutions : how many in each stage
    """

    def __init__(self, convolutions: Sequence[int]) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stages(convolutions))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(WIDTHS[-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, len(CLASSES)),
        )
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=0.01)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 32, 32), normalised, to logits (batch, 10)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def resnet18_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """ResNet-18, 11,173,962 weights; arguments as for `load_model`."""
    network = partial(Cifar10ResNet, BasicBlock, (2, 2, 2, 2))
    return _build("resnet18_cifar10", network, weights=weights, cache=cache, seed=seed)


def resnet34_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """ResNet-34, 21,282,122 weights; arguments as for `load_model`."""
    network = partial(Cifar10ResNet, BasicBlock, (3, 4, 6, 3))
    return _build("resnet34_cifar10", network, weights=weights, cache=cache, seed=seed)


def resnet50_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """ResNet-50, 23,520,842 weights; arguments as for `load_model`."""
    network = partial(Cifar10ResNet, Bottleneck, (3, 4, 6, 3))
    return _build("resnet50_cifar10", network, weights=weights, cache=cache, seed=seed)


def vgg11_bn_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """VGG-11, 28,149,514 weights; arguments as for `load_model`."""
    network = partial(Cifar10VGG, (1, 1, 2, 2, 2))
    return _build("vgg11_bn_cifar10", network, weights=weights, cache=cache, seed=seed)


def vgg13_bn_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """VGG-13, 28,334,410 weights; arguments as for `load_model`."""
    network = partial(Cifar10VGG, (2, 2, 2, 2, 2))
    return _build("vgg13_bn_cifar10", network, weights=weights, cache=cache, seed=seed)


def vgg16_bn_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """VGG-16, 33,646,666 weights; arguments as for `load_model`."""
    network = partial(Cifar10VGG, (2, 2, 3, 3, 3))
    return _build("vgg16_bn_cifar10", network, weights=weights, cache=cache, seed=seed)


def vgg19_bn_cifar10(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """VGG-19, 38,958,922 weights; arguments as for `load_model`."""
    network = partial(Cifar10VGG, (2, 2, 4, 4, 4))
    return _build("vgg19_bn_cifar10", network, weights=weights, cache=cache, seed=seed)


def _build(name: str, network: Callable[[], nn.Module], *, weights: str, cache: Path, seed: int) -> TorchModel:
    with seeded(seed, "weights", name):
        module = network()
    if weights != "none":
        is_default = weights == "default"
        _load(module, trained_weights(name, cache=cache, seed=seed) if is_default else weights_file(weights))
    layers = RESNET_LAYERS if isinstance(module, ResNet) else _pools(module)
    return TorchModel(
        module.eval(), name=name, layers=layers, image_size=(EDGE, EDGE), normalise=NORMALISE, classes=CLASSES
    )


def _load(module: nn.Module, path: Path) -> None:
    checkpoint = read_checkpoint(path)
    load_state(module, checkpoint.state, where=str(path))
    if checkpoint.readout:
        warnings.warn(f"weights {path}: {', '.join(checkpoint.readout)} predict voxels; ignored here", stacklevel=2)


def _stages(convolutions: Sequence[int]) -> Iterator[nn.Module]:
    inputs = 3
    for count, outputs in zip(convolutions, WIDTHS, strict=True):
        for _ in range(count):
            yield nn.Conv2d(inputs, outputs, 3, padding=1)
            yield nn.BatchNorm2d(outputs)
            yield nn.ReLU()
            inputs = outputs
        yield nn.MaxPool2d(2)


def _pools(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if isinstance(part, nn.MaxPool2d))
