"""Which models there are by name; importing this file imports none of them."""

from collections.abc import Callable

from alignment.registry import Builder, Registry

MODELS = Registry(
    "model",
    {
        "toy": "alignment.models.toy:build",
        "cifar_resnet20": "alignment.models.cifar_resnet:cifar_resnet20",
        "cifar_resnet56": "alignment.models.cifar_resnet:cifar_resnet56",
        "pixels": "alignment.models.baselines:pixels",
        "gabor": "alignment.models.baselines:gabor",
    },
    summaries={
        "toy": "small CNN that trains itself on scikit-learn's digits in seconds, once",
        "cifar_resnet20": "ResNet-20 for CIFAR-10 (He et al. 2015), published weights",
        "cifar_resnet56": "ResNet-56 for CIFAR-10 (He et al. 2015), published weights",
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
