"""The network as a `Model`: layers over passes, decisions after each, and steering.

A destination of feedback is recorded under two names, `before.<name>` as its module puts it out and `after.<name>` as
feedback left it, so that its passes can be compared: of a published AlexNet the first is signed, the second rectified.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from alignment.errors import RequestError
from alignment.models.base import DEFAULT_VISUAL_DEGREES, with_settings
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded
from alignment.models.lrm.network import LRM
from alignment.models.lrm.published import PUBLISHED, published_weights, renamed
from alignment.models.lrm.signals import Signal
from alignment.models.torch_model import Normalisation, TorchModel

BACKBONE = "feedforward."
PASSES = 2
ONLY_WITH_FEEDBACK = ("after.", "feedback.", "lrm.")
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ALEXNET_SIZE = (224, 224)
# pooled and rectified outputs, of the same meaning in every pass
ALEXNET_LAYERS = tuple(
    f"{BACKBONE}{name}"
    for name in (*(f"features.{place}" for place in (2, 5, 7, 9, 12)), "classifier.2", "classifier.5")
)


class LRMModel(TorchModel):
    """A network whose time bins are its passes, 0 for the first, and which can be steered.

    Parameters
    ----------
    network : LRM
    name : how tables call it
    layers : as of `TorchModel`; the usual ones of the backbone when not given
    image_size, normalise, visual_degrees, classes : as of `TorchModel`

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> model = lrm(net, [("4", "0")], image_size=(8, 8), layers=["[!l]*.0"], classes=["cat", "dog"])
    >>> model.layers, model.time_bins["before.0"], model.time_bins["after.0"]
    (('feedforward.0', 'before.0', 'feedback.0', 'after.0'), (0.0, 1.0), (1.0,))
    >>> with model.steering(Signal("4", torch.tensor([[1.0, 0.0]]), strength=3)):
    ...     model.logits(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5, 2, 2])
    """

    module: LRM

    def __init__(
        self,
        network: LRM,
        *,
        name: str,
        layers: Sequence[str] | None = None,
        image_size: tuple[int, int] | None = (224, 224),
        normalise: Normalisation | None = None,
        visual_degrees: float = DEFAULT_VISUAL_DEGREES,
        classes: Sequence[str] | None = None,
    ) -> None:
        if layers is None:
            plain = TorchModel(network.feedforward, name=name, image_size=image_size, normalise=normalise)
            layers = [f"{BACKBONE}{layer}" for layer in plain.layers] or None
        super().__init__(
            network,
            name=name,
            layers=layers,
            image_size=image_size,
            normalise=normalise,
            visual_degrees=visual_degrees,
            classes=classes,
        )

    def steering(self, *signals: Signal) -> AbstractContextManager[LRM]:
        """Steer whatever is recorded or decided inside the block, as `LRM.steering`."""
        return self.module.steering(*signals)

    def bins_of(self, layer: str) -> tuple[float, ...]:
        """As of `TorchModel`; passes."""
        calls = self._site(layer).calls
        first = self.module.passes - calls if layer.startswith(ONLY_WITH_FEEDBACK) else 0
        return tuple(float(first + call) for call in range(calls))


def lrm(
    backbone: nn.Module,
    connections: Sequence[tuple[str, str]],
    passes: int = PASSES,
    *,
    name: str = "lrm",
    layers: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = ALEXNET_SIZE,
    normalise: Normalisation | None = None,
    visual_degrees: float = DEFAULT_VISUAL_DEGREES,
    classes: Sequence[str] | None = None,
    feedback_gain: float = 1.0,
    rectify: bool = False,
    keep_sign: bool = False,
    seed: int = 0,
) -> LRMModel:
    """Any convolutional network with feedback between any of its layers.

    Parameters
    ----------
    backbone, connections, passes, feedback_gain, rectify, keep_sign : as of `LRM`
    name : how tables call it, with those of these settings that are not the default
    layers, image_size, normalise, visual_degrees, classes : as of `LRMModel`; with None for any size, the weights of
        map-to-map connections are made for 224 x 224
    seed : of the weights of the connections

    Raises
    ------
    RequestError
        As of `LRM` and `TorchModel`.

    Examples
    --------
    >>> net = torchvision.models.resnet18()
    >>> model = lrm(net, [("layer4", "layer1.0.conv1"), ("fc", "layer2.0.conv1")], 3, image_size=(64, 64))
    >>> model.name, model.layers[0], model.time_bins["feedforward.layer1.0"]
    ('lrm[passes=3]', 'feedforward.layer1.0', (0.0, 1.0, 2.0))
    """
    settings: dict[str, Any] = {"feedback_gain": float(feedback_gain), "rectify": rectify, "keep_sign": keep_sign}
    with seeded(seed, "weights", name):
        network = LRM(backbone, connections, passes, image_size=image_size or ALEXNET_SIZE, **settings)
    usual = {"passes": PASSES, "feedback_gain": 1.0, "rectify": False, "keep_sign": False}
    marks = [f"{key}={value:g}" for key, value in {"passes": passes, **settings}.items() if value != usual[key]]
    return LRMModel(
        network,
        name=with_settings(name, *marks),
        layers=layers,
        image_size=image_size,
        normalise=normalise,
        visual_degrees=visual_degrees,
        classes=classes,
    )


def alexnet_lrm(
    variant: int, *, weights: Path | None = None, seed: int = 0, image_size: tuple[int, int] | None = ALEXNET_SIZE
) -> LRMModel:
    """An AlexNet with the published connections.

    Parameters
    ----------
    variant : 1, 2 or 3, each with the connections of those before it
    weights : checkpoint with the published names or those here, loaded strictly; random weights drawn from `seed` when
        not given
    image_size : (row, column); None takes any size of 63 pixels or more, as composites side by side need it

    Raises
    ------
    RequestError
        No such variant.
    DataError
        The checkpoint cannot be read, or does not fit; what is missing or too much is named.

    Examples
    --------
    >>> model = alexnet_lrm(1)
    >>> sum(weight.numel() for weight in model.module.parameters())
    62924348
    """
    if variant not in PUBLISHED:
        raise RequestError(f"alexnet_lrm: there is no variant {variant!r}; give {', '.join(map(str, PUBLISHED))}")
    name = f"alexnet_lrm{variant}"
    with seeded(seed, "weights", name):
        network = LRM(torchvision.models.alexnet(), PUBLISHED[variant].connections, rectify=True)
    if weights is not None:
        load_state(network, renamed(read_state(weights)), where=str(weights))
    classes = torchvision.models.AlexNet_Weights.DEFAULT.meta["categories"]
    return LRMModel(
        network.eval(), name=name, layers=ALEXNET_LAYERS, image_size=image_size, normalise=IMAGENET, classes=classes
    )


def alexnet_lrm1(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> LRMModel:
    """Two connections, published weights; arguments as for `load_model`."""
    return _ready_made(1, weights=weights, folders=(data_root, cache), seed=seed)


def alexnet_lrm2(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> LRMModel:
    """Four connections, published weights; arguments as for `load_model`."""
    return _ready_made(2, weights=weights, folders=(data_root, cache), seed=seed)


def alexnet_lrm3(*, weights: str, data_root: Path | None, cache: Path, seed: int) -> LRMModel:
    """Five connections, published weights; arguments as for `load_model`."""
    return _ready_made(3, weights=weights, folders=(data_root, cache), seed=seed)


def _ready_made(variant: int, *, weights: str, folders: tuple[Path | None, Path], seed: int) -> LRMModel:
    if weights == "default":
        path = published_weights(PUBLISHED[variant], data_root=folders[0], cache=folders[1])
        return alexnet_lrm(variant, weights=path)
    return alexnet_lrm(variant, weights=None if weights == "none" else weights_file(weights), seed=seed)
