"""Cluttered images by the hundred, and what each shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alignment import fingerprint
from alignment.stimuli.clutter.objects import FLOAT, Objects, check_convention
from alignment.stimuli.clutter.render import render
from alignment.stimuli.clutter.scene import CANVAS, VARIED, Scene, Variation, draw
from alignment.stimuli.clutter.swaps import SWAPS, partners

# raised when the same settings give other images
VERSION = 1
VARIABLES = ("category", "column", "row", "scale", "orientation", "domain")


class Batch(NamedTuple):
    """Images and what their targets are.

    Attributes
    ----------
    images : (image, 100, 100) float32 in [0, 1]
    variables : name -> (image,) int64; see `Scene.variables`
    """

    images: npt.NDArray[np.float32]
    variables: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Clutter:
    """An endless series of images, each made from its index alone.

    Parameters
    ----------
    objects : what is drawn from
    seed : of the series
    convention : "float" or "uint8", how pixels of objects are handled; see `render`
    variation : around the levels of scale, orientation and place

    Raises
    ------
    RequestError
        There is no such convention.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images, classes = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.arange(3)
    >>> clutter = Clutter(Objects(images, classes, images, classes))
    >>> batch = clutter.batch(range(4))
    >>> batch.images.shape, sorted(batch.variables)
    ((4, 100, 100), ['category', 'column', 'domain', 'orientation', 'row', 'scale'])
    >>> bool((clutter.batch([3]).images[0] == batch.images[3]).all())
    True
    """

    objects: Objects
    seed: int = 0
    convention: str = FLOAT
    variation: Variation = VARIED

    def __post_init__(self) -> None:
        check_convention(self.convention)

    def scene(self, index: int) -> Scene:
        """What is where in an image."""
        return draw(self.objects, index, seed=self.seed, variation=self.variation)

    def batch(self, indices: Sequence[int], *, clean: bool = False) -> Batch:
        """Images by their indices; `clean` has their targets alone, where they are in the clutter."""
        return self._made([self.scene(index) for index in indices], clean=clean)

    def swapped(
        self, indices: Sequence[int], *, names: Sequence[str] = SWAPS, legacy_swaps: bool = False
    ) -> dict[str, Batch]:
        """Partners of images that differ from them in one property of the target, by property; see `partners`."""
        found = [
            partners(
                self.scene(index),
                self.objects,
                index,
                seed=self.seed,
                variation=self.variation,
                legacy_swaps=legacy_swaps,
            )
            for index in indices
        ]
        return {name: self._made([each[name] for each in found], clean=False) for name in names}

    @property
    def fingerprint(self) -> str:
        """Hash of all that determines the images."""
        variation = self.variation
        ranges = [variation.small, variation.large, variation.angles, variation.jitter]
        settings = fingerprint.of_settings([VERSION, self.seed, self.convention, ranges])
        return fingerprint.of_parts(settings, self.objects.fingerprint)

    def _made(self, scenes: Sequence[Scene], *, clean: bool) -> Batch:
        images = np.empty((len(scenes), CANVAS, CANVAS), np.float32)
        for place, scene in enumerate(scenes):
            images[place] = render(scene, self.objects, convention=self.convention, clean=clean)
        said = [scene.variables(self.objects) for scene in scenes]
        return Batch(images, {name: np.array([each[name] for each in said], np.int64) for name in VARIABLES})
