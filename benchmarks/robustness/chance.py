"""The row that says what accuracy is worth: the most frequent class, whatever the image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import torch
from torch import Tensor, nn

from alignment import fingerprint
from alignment.attacks.threat import Logits, Threat
from alignment.errors import RequestError
from alignment.models.base import DEFAULT_VISUAL_DEGREES, STEP
from benchmarks.datasets.base import LabelledDataSet


@dataclass(eq=False)
class Chance:
    """A `Model` whose logits do not depend on pixels.

    Parameters
    ----------
    classes : of the data set
    answer : position of the class that it always gives
    """

    classes: tuple[str, ...] | None
    answer: int
    name: str = "chance"
    layers: tuple[str, ...] = ()
    time_bins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    time_unit: str = STEP
    image_size: tuple[int, int] | None = (8, 8)
    visual_degrees: float = DEFAULT_VISUAL_DEGREES
    stochastic: bool = False
    module: nn.Module | None = None

    @property
    def fingerprint(self) -> str:
        """Of classes and answer."""
        return fingerprint.of_parts("chance", str(self.answer), *(self.classes or ()))

    def record(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> NoReturn:
        """Impossible."""
        raise RequestError("chance has no layers")

    def logits(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """(batch, 1, class), the same for every image; a function of pixels whose gradient is 0."""
        chosen = torch.zeros(len(self.classes or ()), device=pixels.device)
        chosen[self.answer] = 1.0
        return (0 * pixels.flatten(1).sum(1))[:, None, None] + chosen


@dataclass(frozen=True)
class Resting:
    """An attack in name only, for a model that no image can move."""

    name: str

    def settings(self) -> dict[str, object]:
        """None."""
        return {}

    def perturb(
        self, logits: Logits, pixels: Tensor, labels: Tensor, threat: Threat, *, seeds: Sequence[int]
    ) -> Tensor:
        """The images as they are."""
        return pixels


def chance(dataset: LabelledDataSet) -> Chance:
    """The model that gives the data set's most frequent class, the first of equals."""
    counts = Counter(dataset.targets().tolist())
    return Chance(dataset.classes, max(sorted(counts), key=lambda target: counts[target]))
