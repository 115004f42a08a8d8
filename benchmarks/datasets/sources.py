"""Images and classes of labelled data sets, from wherever they lie: those that judge, and those to be trained on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from benchmarks.datasets.labelled import LabelledImages


class ImagesAndTargets(NamedTuple):
    """Images (image, row, column, 3) uint8, RGB, and their classes (image,) int64, positions in those of the data set.

    Files of grey images also give them as (image, row, column).
    """

    images: np.ndarray
    targets: np.ndarray


@runtime_checkable
class HasTrainingImages(Protocol):
    """A labelled data set that has more images than those it is judged on."""

    def train(self) -> ImagesAndTargets:
        """Images to train and to tune on; no score is made on them."""
        ...


class Source(Protocol):
    """Files that hold images, whole or in part, in the official order."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there."""
        ...

    def test(self) -> ImagesAndTargets:
        """The test images."""
        ...

    def train(self) -> ImagesAndTargets:
        """The training images."""
        ...


class SourceImages:
    """The test images of a source by id: `test` and the position in the official order, four figures.

    They are read once, when first asked for; a copy sent to another process reads them again.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def ids(self, n: int) -> tuple[str, ...]:
        """Those of the first n images."""
        return tuple(f"test{position:04d}" for position in range(n))

    def read(self, stimulus: str) -> np.ndarray:
        """(row, column, 3) uint8 of the image with this id."""
        return self.test.images[int(stimulus.removeprefix("test"))]

    @cached_property
    def test(self) -> ImagesAndTargets:
        """Every test image of the source, in the official order."""
        return self.source.test()

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source}


@dataclass(frozen=True, kw_only=True)
class SourcedImages(LabelledImages):
    """The test images of a source, and its training images beside them.

    Parameters
    ----------
    source : the files that hold both
    """

    source: Source

    def train(self) -> ImagesAndTargets:
        """The training images at hand, in the official order, for training and tuning; no score is made on them.

        Raises
        ------
        DataError
            A file of training images is not there, or damaged.
        """
        return self.source.train()
