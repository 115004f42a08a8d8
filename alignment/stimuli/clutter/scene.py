"""What is in a cluttered image and where: eight objects in four quadrants, two in each, one of them the target.

A scene is drawn before any pixel is made, from a generator of its own, so that image k is the same alone, in any order,
and under either convention for pixels.
"""

from dataclasses import dataclass

import numpy as np

from alignment import seeds
from alignment.errors import RequestError
from alignment.stimuli.clutter.objects import DOMAINS, Objects

SLOTS = 8
# the second layer, of which one object is the target
TARGETS = (4, 5, 6, 7)
NEAR, FAR = 25, 75
TILES = 9
CANVAS = 100


@dataclass(frozen=True)
class Variation:
    """How much objects vary around their two scales, two orientations and four places.

    Attributes
    ----------
    small, large : least and greatest factor of a small and of a large object
    angles : least and greatest angle in degrees, to either side
    jitter : of row and column in pixels, at most

    Raises
    ------
    RequestError
        An object would be cut off or overlap that of another quadrant.

    Examples
    --------
    >>> Variation(large=(1.4, 1.9))
    Traceback (most recent call last):
    alignment.errors.RequestError: objects of factor 1.9 with a jitter of 2.5 leave their quadrant; give at most 1.6
    """

    small: tuple[float, float] = (0.8, 1.0)
    large: tuple[float, float] = (1.4, 1.6)
    angles: tuple[float, float] = (25.0, 35.0)
    jitter: float = 2.5

    def __post_init__(self) -> None:
        greatest = max(*self.small, *self.large)
        if greatest > 1.6 or not 0 <= self.jitter <= 2.5:
            raise RequestError(
                f"objects of factor {greatest:g} with a jitter of {self.jitter:g} leave their quadrant; give at most "
                f"{1.6 if greatest > 1.6 else 2.5}"
            )


# of the paper's training and decoding, and of its perturbations
VARIED = Variation()
EXTREMES = Variation(small=(0.8, 0.8), large=(1.6, 1.6), angles=(35.0, 35.0), jitter=0.0)


@dataclass(frozen=True)
class Placed:
    """One object.

    Attributes
    ----------
    domain : 0 for a digit, 1 for a garment
    exemplar : position among the objects of its domain
    large : whether it is of the larger scale
    counter : whether it is turned to the side of negative angles
    factors : it is scaled by, one after the other
    angles : it is then turned by, one after the other, in degrees
    tiles : of a scrambled object, which tile comes to each of the nine places; None where it is intact
    row, column : of its centre on the canvas
    """

    domain: int
    exemplar: int
    large: bool
    counter: bool
    factors: tuple[float, ...]
    angles: tuple[float, ...]
    tiles: tuple[int, ...] | None
    row: int
    column: int


@dataclass(frozen=True)
class Scene:
    """Eight objects in the order in which they are drawn, and which of them is the target."""

    objects: tuple[Placed, ...]
    target: int

    @property
    def shown(self) -> Placed:
        """The target."""
        return self.objects[self.target]

    def variables(self, objects: Objects) -> dict[str, int]:
        """What the target is: category (0 to 19), column and row (1 far from the origin), scale (1 large), orientation
        (1 to the side of negative angles), domain (1 garment).
        """
        shown = self.shown
        return {
            "category": objects.category(shown.domain, shown.exemplar),
            "column": int(shown.column > CANVAS // 2),
            "row": int(shown.row > CANVAS // 2),
            "scale": int(shown.large),
            "orientation": int(shown.counter),
            "domain": shown.domain,
        }


def draw(objects: Objects, index: int, *, seed: int, variation: Variation = VARIED) -> Scene:
    """The scene of one image.

    Slots 0 to 3 are a first layer, one object in each quadrant, and 4 to 7 a second one over it. All but the target are
    scrambled: cut into nine tiles in another order.

    Parameters
    ----------
    objects : what is drawn from; others of the same number give the same scene
    index : of the image
    seed : of the whole series of images
    variation : around the levels of scale, orientation and place

    Examples
    --------
    >>> few = Objects(np.zeros((2, 28, 28), np.uint8), np.array([3, 4]), np.ones((1, 28, 28), np.uint8), np.array([1]))
    >>> draw(few, 5, seed=0) == draw(few, 5, seed=0), len(draw(few, 5, seed=0).objects)
    (True, 8)
    """
    random = seeds.generator(seed, "clutter", index)
    target = int(random.choice(TARGETS))
    placed = []
    for slot in range(SLOTS):
        domain = int(random.integers(len(DOMAINS)))
        exemplar = int(random.integers(len(objects.images[domain])))
        large, counter = (bool(level) for level in random.integers(2, size=2))
        factor = random.uniform(*(variation.large if large else variation.small))
        angle = random.uniform(*variation.angles)
        row, column = (round(centre) for centre in _centre(slot) + random.uniform(-1, 1, size=2) * variation.jitter)
        placed.append(
            Placed(
                domain,
                exemplar,
                large=large,
                counter=counter,
                factors=(factor,),
                angles=(-angle if counter else angle,),
                tiles=None if slot == target else _scrambled(random),
                row=row,
                column=column,
            )
        )
    return Scene(tuple(placed), target)


def _centre(slot: int) -> np.ndarray:
    """Row and column of a quadrant's centre."""
    return np.array([FAR if slot % 2 else NEAR, NEAR if slot % 4 < 2 else FAR])


def _scrambled(random: np.random.Generator) -> tuple[int, ...]:
    """Any order of the tiles but their own."""
    while True:
        order = tuple(int(tile) for tile in random.permutation(TILES))
        if order != tuple(range(TILES)):
            return order
