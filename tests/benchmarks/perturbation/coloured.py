"""Images of one colour each, partners of another colour, and a network that hears of colours by a flow alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from alignment.models import TorchModel
from alignment.stimuli import StimulusSet
from benchmarks.datasets.labelled import LabelledImages

N_IMAGES = 300
CLASSES = ("red", "green", "blue")
BRIGHT, PARTNER, DARK = 200, 180, 40


class Hears(nn.Module):
    """What it says is what `used` carries at its second step; `unused` carries the same, and nobody listens."""

    incoming: ClassVar = {"deep": ("used",), "idle": ("unused",)}

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        seen = x.mean((2, 3))
        said = seen
        for _ in range(2):
            self.unused(seen)
            said = self.used(seen)
        return said


@dataclass(frozen=True, kw_only=True)
class Coloured(LabelledImages):
    """With partners."""

    partners: Mapping[str, StimulusSet]


class Shown(NamedTuple):
    """A data set and a network."""

    dataset: Coloured
    model: TorchModel


def image(place: int, brightness: int) -> np.ndarray:
    pixels = np.full((4, 4, 3), DARK, np.uint8)
    pixels[..., place % 3] = brightness
    return pixels


def coloured(n: int = N_IMAGES, *, wrong: int = 0) -> Coloured:
    """Of so many of them, the label is of another colour."""
    ids = tuple(f"i{place:03}" for place in range(n))
    own = {name: image(place, BRIGHT) for place, name in enumerate(ids)}
    labels = tuple(CLASSES[(place + (place < wrong)) % 3] for place in range(n))
    partners = {}
    for step, kind in ((1, "next"), (2, "last")):
        others = {name: image(place + step, PARTNER) for place, name in enumerate(ids)}
        partners[kind] = StimulusSet(kind, ids, others.__getitem__)
    stimuli = StimulusSet("colours", ids, own.__getitem__, labels=labels)
    return Coloured("colours", stimuli, CLASSES, partners=partners)
