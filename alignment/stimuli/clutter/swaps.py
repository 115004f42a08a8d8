"""Partners of a scene that differ from it in one property of the target, for perturbing what carries the property."""

from dataclasses import replace

import numpy as np

from alignment import seeds
from alignment.errors import DataError
from alignment.stimuli.clutter.objects import DOMAINS, Objects
from alignment.stimuli.clutter.scene import EXTREMES, Placed, Scene, Variation

SWAPS = ("row", "column", "orientation", "scale", "category_within", "category_between")
GARMENT = DOMAINS.index("garment")
# the slot of the second layer in the other row, and in the other column
OTHER_ROW = {4: 5, 5: 4, 6: 7, 7: 6}
OTHER_COLUMN = {4: 6, 6: 4, 5: 7, 7: 5}


def partners(
    scene: Scene,
    objects: Objects,
    index: int,
    *,
    seed: int,
    variation: Variation = EXTREMES,
    legacy_swaps: bool = False,
) -> dict[str, Scene]:
    """One partner for each of `SWAPS`.

    `row` and `column`: the target and the object of the second layer in the mirrored quadrant trade places.
    `orientation`: the target is turned to the other side by as much. `scale`: it is of the other scale, as far within
    its range. `category_within` and `category_between`: another object in its place, of another class in the same
    domain, or of the other domain.

    Parameters
    ----------
    scene : of `draw`, with this index, seed and variation
    objects : those the scene was drawn from
    index, seed : of the image; the other objects are drawn from them
    variation : with which the scene was drawn
    legacy_swaps : as the published code does, for its numbers: the target, scaled and turned already, is turned back
        (it ends upright) or scaled again (it ends at a medium size); the class of a garment may stay

    Raises
    ------
    DataError
        The objects of the target's domain are all of one class.

    Examples
    --------
    >>> from alignment.stimuli.clutter.scene import draw
    >>> images, classes = np.zeros((3, 28, 28), np.uint8), np.arange(3)
    >>> objects = Objects(images, classes, images, classes)
    >>> scene = draw(objects, 0, seed=0, variation=EXTREMES)
    >>> found = partners(scene, objects, 0, seed=0)
    >>> scene.shown.angles, found["orientation"].shown.angles
    ((-35.0,), (35.0,))
    """
    random = seeds.generator(seed, "clutter partners", index)
    shown = scene.shown
    angles = tuple(-angle for angle in shown.angles)
    factors: tuple[float, ...] = (_other_factor(shown, variation),)
    if legacy_swaps:
        angles, factors = shown.angles + angles, shown.factors + factors
    within = _another(shown, objects, random, any_class=legacy_swaps and shown.domain == GARMENT)
    between = int(random.integers(len(objects.images[1 - shown.domain])))
    changed = {
        "orientation": replace(shown, counter=not shown.counter, angles=angles),
        "scale": replace(shown, large=not shown.large, factors=factors),
        "category_within": replace(shown, exemplar=within),
        "category_between": replace(shown, domain=1 - shown.domain, exemplar=between),
    }
    return {
        "row": _traded(scene, OTHER_ROW[scene.target]),
        "column": _traded(scene, OTHER_COLUMN[scene.target]),
        **{name: _replaced(scene, {scene.target: placed}) for name, placed in changed.items()},
    }


def _other_factor(shown: Placed, variation: Variation) -> float:
    """In the range of the other scale, as far along as the factor is in its own."""
    own, other = variation.small, variation.large
    if shown.large:
        own, other = other, own
    share = (shown.factors[0] - own[0]) / (own[1] - own[0]) if own[1] > own[0] else 0.0
    return other[0] + share * (other[1] - other[0])


def _another(shown: Placed, objects: Objects, random: np.random.Generator, *, any_class: bool) -> int:
    """An object of the same domain and, unless any will do, of another class."""
    classes = objects.classes[shown.domain]
    if any_class:
        return int(random.integers(len(classes)))
    others = np.flatnonzero(classes != classes[shown.exemplar])
    if not len(others):
        raise DataError(
            f"{DOMAINS[shown.domain]}s are all of one class, so that none can take the target's place; give others"
        )
    return int(random.choice(others))


def _traded(scene: Scene, other: int) -> Scene:
    """The target and another object in each other's places."""
    here, there = scene.shown, scene.objects[other]
    moved = {
        scene.target: replace(here, row=there.row, column=there.column),
        other: replace(there, row=here.row, column=here.column),
    }
    return _replaced(scene, moved)


def _replaced(scene: Scene, placed: dict[int, Placed]) -> Scene:
    return replace(scene, objects=tuple(placed.get(slot, each) for slot, each in enumerate(scene.objects)))
