"""A small recurrent network that anyone can train: scikit-learn's 8x8 digits over four steps, in seconds, once."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from alignment.models.initialise import seeded
from alignment.models.torch_model import TorchModel
from alignment.models.toy import CLASSES, Recipe, with_weights

NAME = "toy_recurrent"
LAYERS = ("first", "second", "average")


@dataclass(frozen=True)
class RecurrentRecipe(Recipe):
    """Everything that determines the trained weights on given hardware; its hash names their file."""

    epochs: int = 6
    learning_rate: float = 2e-3
    channels: tuple[int, ...] = (16, 32)
    steps: int = 4


class ToyRecurrent(nn.Module):
    r"""Two layers that see themselves and each other, as many times as there are steps.

    $h_1 \leftarrow \mathrm{relu}(u + W_1 h_1 + D h_2)$, then $h_2 \leftarrow \mathrm{relu}(U h_1 + W_2 h_2)$, from
    states of 0, $u$ the image after a convolution and pooling; a decision after each step, from the average of $h_2$.
    """

    incoming: ClassVar = {"first": ("lateral1", "down"), "second": ("lateral2",)}

    def __init__(self, channels: tuple[int, ...], *, steps: int) -> None:
        super().__init__()
        low, high = channels
        self.steps = steps
        self.stem = nn.Sequential(
            nn.Conv2d(3, low, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(low), nn.MaxPool2d(2)
        )
        self.lateral1, self.lateral2 = (nn.Conv2d(each, each, 3, padding=1) for each in channels)
        self.up = nn.Sequential(nn.Conv2d(low, high, 3, padding=1), nn.MaxPool2d(2))
        self.down = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(high, low, 3, padding=1))
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(high, len(CLASSES))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, 3, 32, 32) to logits (batch, 10) of each step."""
        drive = self.stem(x)
        first = self.first(drive)
        second = self.second(self.up(first))
        decisions = [self.classifier(self.average(second).flatten(1))]
        for _ in range(self.steps - 1):
            first = self.first(drive + self.lateral1(first) + self.down(second))
            second = self.second(self.up(first) + self.lateral2(second))
            decisions.append(self.classifier(self.average(second).flatten(1)))
        return decisions


def build(*, weights: str, cache: Path, seed: int) -> TorchModel:
    """The recurrent toy; "default" weights are trained where `cache` does not hold them yet."""
    recipe = RecurrentRecipe(seed=seed)
    return with_weights(NAME, weights, cache=cache, recipe=recipe, untrained=untrained, layers=LAYERS)


def untrained(recipe: RecurrentRecipe) -> ToyRecurrent:
    """The network as it is before training."""
    with seeded(recipe.seed, "weights", NAME):
        return ToyRecurrent(recipe.channels, steps=recipe.steps)
