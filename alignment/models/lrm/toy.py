"""A small network with feedback that anyone can train and steer: scikit-learn's digits and cues, in seconds, once."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from alignment.errors import DataError
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded
from alignment.models.lrm.connections import Connection
from alignment.models.lrm.model import LRMModel
from alignment.models.lrm.network import LRM
from alignment.models.toy import CLASSES, digits, made_once, one_thread, split
from alignment.models.toy import Recipe as Digits
from alignment.training.passes import Cues, PassesRecipe, train_over_passes

NAME = "toy_lrm"
DECISIONS = "classifier"
CONNECTIONS = (
    Connection(DECISIONS, "features.3"),
    Connection(DECISIONS, "features.6"),
    Connection("features.7", "features.0"),
)
GREY = ((0.5,) * 3, (0.5,) * 3)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the trained weights on given hardware; its hash names their file."""

    training: PassesRecipe
    version: int = 1
    channels: tuple[int, int, int] = (16, 32, 64)
    image: int = Digits.image
    held_out: int = Digits.held_out


class ToyBackbone(nn.Module):
    """Three convolutions, each with ReLU and pooling, and a linear map."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        low, middle, high = channels
        self.features = nn.Sequential(
            nn.Conv2d(3, low, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(low, middle, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(middle, high, 3, padding=1),
            nn.ReLU(),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Linear(4 * high, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, row, column) to logits (batch, 10)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def build(*, weights: str, cache: Path, seed: int) -> LRMModel:
    """The network; "default" weights are trained where `cache` does not hold them yet."""
    recipe = recipe_of(seed)
    network = untrained(recipe)
    if weights != "none":
        is_default = weights == "default"
        path = trained_weights(recipe, cache=cache) if is_default else weights_file(weights)
        try:
            load_state(network, read_state(path), where=str(path))
        except DataError as error:
            if not is_default:
                raise
            raise DataError(f"{error}; delete it to train it again") from None
    edge = recipe.image
    return LRMModel(network.eval(), name=NAME, image_size=(edge, edge), normalise=GREY, classes=CLASSES)


def recipe_of(seed: int) -> Recipe:
    """How it is trained: every pass, and with cues on blends of two digits, two in five for a digit in neither."""
    return Recipe(
        PassesRecipe(
            epochs=8,
            batch_size=32,
            learning_rate=0.05,
            warm_up_epochs=1,
            label_smoothing=0.0,
            padding=2,
            flip=False,
            cues=Cues(DECISIONS, absent=0.4),
            seed=seed,
        )
    )


def untrained(recipe: Recipe) -> LRM:
    """The network as it is before training."""
    with seeded(recipe.training.seed, "weights", NAME):
        return LRM(ToyBackbone(recipe.channels), CONNECTIONS, image_size=(recipe.image, recipe.image))


def train(recipe: Recipe) -> LRM:
    """The network trained on the digits that `toy` is trained on, never on the held-out ones."""
    pixels, labels = digits(recipe.image)
    chosen, _ = split(Digits(image=recipe.image, held_out=recipe.held_out), len(labels))
    images = (pixels[chosen] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    network = untrained(recipe)
    with one_thread():
        train_over_passes(network, images, labels[chosen].numpy(), recipe=recipe.training, normalise=GREY)
    return network


def trained_weights(recipe: Recipe, *, cache: Path) -> Path:
    """The file of trained weights, made now if it is not there; raises as `made_once`."""
    return made_once(NAME, asdict(recipe), cache=cache, make=lambda: train(recipe))
