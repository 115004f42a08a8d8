"""A small network that anyone can train: scikit-learn's 8x8 digits, in seconds, once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import fingerprint, seeds
from alignment.errors import DataError
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded
from alignment.models.torch_model import TorchModel
from alignment.whole_files import whole_file

CLASSES = tuple(str(digit) for digit in range(10))
HELD_OUT = 360
# which digits are held out is part of the data, so the root is fixed and never the seed of a run
SPLIT_ROOT = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the trained weights on given hardware; its hash names their file."""

    version: int = 2
    seed: int = 0
    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 5e-3
    image: int = 32
    held_out: int = HELD_OUT
    channels: tuple[int, ...] = (16, 32, 64)


class ToyNetwork(nn.Module):
    """Three convolution stages, pooling, a linear map."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stage1 = _stage(3, channels[0], stride=2)
        self.stage2 = _stage(channels[0], channels[1], stride=1)
        self.stage3 = _stage(channels[1], channels[2], stride=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels[2], len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 32, 32) to logits (batch, 10)."""
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(self.pool(x).flatten(1))


def build(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """The toy network; "default" weights are trained where `cache` does not hold them yet."""
    recipe = Recipe(seed=seed)
    return with_weights("toy", weights, cache=cache, recipe=recipe, untrained=untrained)


def untrained(recipe: Recipe) -> nn.Module:
    """The toy network as it is before training."""
    with seeded(recipe.seed, "weights", "toy"):
        return ToyNetwork(recipe.channels)


def with_weights(
    name: str,
    weights: str,
    *,
    cache: Path,
    recipe: Recipe,
    untrained: Callable[[Any], nn.Module],
    layers: Sequence[str] | None = None,
) -> TorchModel:
    """A network of digits with the weights asked for; "default" ones are trained where `cache` does not hold them yet.

    Parameters
    ----------
    name : of the model
    weights : "default", "none" or a file
    cache : folder of trained weights
    recipe : what determines them
    untrained : from the recipe to the network as it is before training
    layers : recording sites; the usual ones when not given
    """
    module = untrained(recipe)
    if weights != "none":
        is_default = weights == "default"
        own: dict[str, Any] = {"cache": cache, "name": name, "untrained": untrained}
        path = trained_weights(recipe, **own) if is_default else weights_file(weights)
        try:
            load_state(module, read_state(path), where=str(path))
        except DataError as error:
            if not is_default:
                raise
            raise DataError(f"{error}; delete it to train it again") from None
    edge, grey = recipe.image, (0.5,) * 3
    return TorchModel(
        module.eval(), name=name, layers=layers, image_size=(edge, edge), normalise=(grey, grey), classes=CLASSES
    )


def trained_weights(
    recipe: Recipe, *, cache: Path, name: str = "toy", untrained: Callable[[Any], nn.Module] = untrained
) -> Path:
    """The file of trained weights, made now if it is not there; raises as `made_once`."""
    return made_once(name, asdict(recipe), cache=cache, make=lambda: train(recipe, untrained))


def made_once(name: str, recipe: Mapping[str, Any], *, cache: Path, make: Callable[[], nn.Module]) -> Path:
    """The file of a network's state, made now if it is not there.

    Written under a temporary name and then renamed, so that a run which is killed leaves no half file, and two that
    train at once leave the file of one.

    Parameters
    ----------
    name : of the network
    recipe : settings that determine its weights; their hash stands beside the name
    cache : folder of trained weights
    make : trains it

    Raises
    ------
    DataError
        The folder cannot be written.
    """
    path = cache / f"{name}-{fingerprint.of_settings(recipe)}.pt"
    if not path.is_file():
        state = make().state_dict()
        with whole_file(path) as partial:
            torch.save(state, partial)
    return path


def digits(image: int) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits in its order: pixels (1797, 3, image, image) float32 in [0, 1], labels (1797,)."""
    bunch = load_digits()
    grey = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32) / 16)[:, None]
    large = F.interpolate(grey, size=(image, image), mode="bilinear", align_corners=False)
    return large.expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))


def split(recipe: Recipe, count: int) -> tuple[Tensor, Tensor]:
    """Positions of the training and of the held-out digits: the same whatever the seed of a network."""
    order = torch.from_numpy(seeds.generator(SPLIT_ROOT, "toy", "split").permutation(count))
    return order[recipe.held_out :], order[: recipe.held_out]


def train(recipe: Recipe, untrained: Callable[[Any], nn.Module] = untrained) -> nn.Module:
    """Adam with a cosine schedule on the training digits; the same weights each time on the same hardware.

    Of a network with several decisions the loss is the mean over them.
    """
    pixels, labels = digits(recipe.image)
    chosen, _ = split(recipe, len(labels))
    module = untrained(recipe)
    steps = recipe.epochs * -(-len(chosen) // recipe.batch_size)
    optimiser = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    module.train()
    with one_thread(), torch.inference_mode(False), torch.enable_grad():
        for epoch in range(recipe.epochs):
            order = seeds.generator(recipe.seed, "toy", "epoch", epoch).permutation(len(chosen))
            for batch in torch.from_numpy(order).split(recipe.batch_size):
                taken = chosen[batch]
                output = module((pixels[taken] - 0.5) / 0.5)
                decisions = output if isinstance(output, list) else [output]
                loss = torch.stack([F.cross_entropy(each, labels[taken]) for each in decisions]).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return module.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """So small a network gains nothing from more, and its weights then do not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))
