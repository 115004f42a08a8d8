"""Which models there are by name; importing this file imports none of them."""

from collections.abc import Callable

from alignment.registry import Builder, Registry

MODELS = Registry(
    "model",
    {
        "toy": "alignment.models.toy:build",
        "toy_recurrent": "alignment.models.toy_recurrent:build",
        "toy_cordsnet": "alignment.models.cordsnet.toy:build",
        "toy_lrm": "alignment.models.lrm.toy:build",
        "cifar_resnet20": "alignment.models.cifar_resnet:cifar_resnet20",
        "cifar_resnet56": "alignment.models.cifar_resnet:cifar_resnet56",
        "resnet18_cifar10": "alignment.models.cifar10_networks:resnet18_cifar10",
        "resnet34_cifar10": "alignment.models.cifar10_networks:resnet34_cifar10",
        "resnet50_cifar10": "alignment.models.cifar10_networks:resnet50_cifar10",
        "vgg11_bn_cifar10": "alignment.models.cifar10_networks:vgg11_bn_cifar10",
        "vgg13_bn_cifar10": "alignment.models.cifar10_networks:vgg13_bn_cifar10",
        "vgg16_bn_cifar10": "alignment.models.cifar10_networks:vgg16_bn_cifar10",
        "vgg19_bn_cifar10": "alignment.models.cifar10_networks:vgg19_bn_cifar10",
        "cordsnet_r2": "alignment.models.cordsnet.model:cordsnet_r2",
        "cordsnet_r4": "alignment.models.cordsnet.model:cordsnet_r4",
        "cordsnet_r6": "alignment.models.cordsnet.model:cordsnet_r6",
        "cordsnet_r8": "alignment.models.cordsnet.model:cordsnet_r8",
        "thorat_rnn": "alignment.models.thorat_rnn.model:thorat_rnn",
        "thorat_rnn_bias": "alignment.models.thorat_rnn.model:thorat_rnn_bias",
        "thorat_rnn_lean": "alignment.models.thorat_rnn.model:thorat_rnn_lean",
        "alexnet_lrm1": "alignment.models.lrm.model:alexnet_lrm1",
        "alexnet_lrm2": "alignment.models.lrm.model:alexnet_lrm2",
        "alexnet_lrm3": "alignment.models.lrm.model:alexnet_lrm3",
        "pixels": "alignment.models.baselines:pixels",
        "gabor": "alignment.models.baselines:gabor",
    },
    summaries={
        "toy": "small CNN that trains itself on scikit-learn's digits in seconds, once",
        "toy_recurrent": "small recurrent CNN, four steps, that trains itself likewise",
        "toy_cordsnet": "small CordsNet of two areas, rates in continuous time, that trains itself likewise",
        "toy_lrm": "small CNN with long-range feedback that trains itself likewise, to be steered by cues as well",
        "cifar_resnet20": "ResNet-20 for CIFAR-10 (He et al. 2015), published weights",
        "cifar_resnet56": "ResNet-56 for CIFAR-10 (He et al. 2015), published weights",
        "resnet18_cifar10": "ResNet-18 for CIFAR-10, weights by `bench train`",
        "resnet34_cifar10": "ResNet-34 for CIFAR-10, weights by `bench train`",
        "resnet50_cifar10": "ResNet-50 for CIFAR-10, weights by `bench train`",
        "vgg11_bn_cifar10": "VGG-11 for CIFAR-10, weights by `bench train`",
        "vgg13_bn_cifar10": "VGG-13 for CIFAR-10, weights by `bench train`",
        "vgg16_bn_cifar10": "VGG-16 for CIFAR-10, weights by `bench train`",
        "vgg19_bn_cifar10": "VGG-19 for CIFAR-10, weights by `bench train`",
        "cordsnet_r2": "CordsNet of two areas, rates in continuous time, weights by `bench train`",
        "cordsnet_r4": "CordsNet of four areas, rates in continuous time, weights by `bench train`",
        "cordsnet_r6": "CordsNet of six areas, rates in continuous time, weights by `bench train`",
        "cordsnet_r8": "CordsNet of eight areas, rates in continuous time, published weights for ImageNet",
        "thorat_rnn": "recurrent network for cluttered digits and garments (Thorat et al. 2021), gain flows, published",
        "thorat_rnn_bias": "the same with flows that are added, published weights",
        "thorat_rnn_lean": "the same with gain flows alone, weights by `bench train`",
        "alexnet_lrm1": "AlexNet with long-range feedback (Konkle & Alvarez 2023), two connections, published weights",
        "alexnet_lrm2": "the same with four connections, published weights",
        "alexnet_lrm3": "the same with five connections, published weights",
        "pixels": "null row: mean RGB of 8x8 blocks of the image",
        "gabor": "null row: Gabor energy on a coarse grid, and colour",
    },
)


def model(name: str) -> Callable[[Builder], Builder]:
    """Decorator that names a function returning a network, so that `model=<name>` finds it.

    The function takes no argument, or any of the keywords `weights`, `data_root`, `cache`, `seed`, and returns an
    `nn.Module` or a `Model`.

    Examples
    --------
    >>> from alignment.models import model
    >>> @model("linear-probe")
    ... def build():
    ...     '''A single linear map.'''
    ...     from torch import nn
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 10))
    """
    return MODELS.register(name)


def model_names() -> tuple[str, ...]:
    """Built-in, registered and plug-in models; any name of torchvision, and `timm/<name>`, works beside these."""
    return MODELS.names()


def model_summary(name: str) -> str:
    """One line about a model of `model_names`."""
    return MODELS.summary(name)
