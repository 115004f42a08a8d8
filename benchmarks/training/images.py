"""Labelled images that a network is trained on: those of a data set beside the ones that judge, at a network's size."""

import numpy as np

from alignment.errors import DataError, RequestError
from alignment.registry import foreign_code
from alignment.stimuli import StimulusSet
from benchmarks.catalogue import build_dataset
from benchmarks.datasets.base import LabelledDataSet, holds_labels
from benchmarks.datasets.sources import HasTrainingImages, ImagesAndTargets
from benchmarks.datasets.subsets import OPTION
from benchmarks.provenance import available_memory
from benchmarks.settings import Settings

RESIZED_AT_ONCE = 256
# of the images in memory: as they are kept, and once more where they are moved to the device
COPIES = 2


def training_data(name: str, settings: Settings) -> LabelledDataSet:
    """A labelled data set that has training images.

    Raises
    ------
    RequestError, DataError
        It has no labels, or no training images; or there is no such data set.
    """
    if OPTION in settings.data.options():
        raise RequestError(
            f"data.{OPTION} is of the images that judge, and none of them is trained on; give training.images"
        )
    data = build_dataset(name, settings)
    if not holds_labels(data):
        raise RequestError(f"training.data={name}: it has no labels; name labelled images, such as digits or cifar10")
    if not isinstance(data, HasTrainingImages):
        raise RequestError(
            f"training.data={name}: it has no training images beside those that judge; name data that have (digits, "
            "cifar10), or give yours a `train` that returns images and targets"
        )
    return data


def training_images(data: LabelledDataSet, size: tuple[int, int] | None, *, n: int | None) -> ImagesAndTargets:
    """The first n training images.

    Parameters
    ----------
    data : of `training_data`
    size : (row, column) they are resized to; as they are when not given
    n : how many; all when not given

    Raises
    ------
    DataError
        There are not as many, or they do not fit into memory.
    """
    assert isinstance(data, HasTrainingImages)
    with foreign_code(f"training images of {data.name}"):
        images, targets = data.train()
    if n is not None and n > len(images):
        raise DataError(
            f"training.images={n}: {data.name} has {len(images)} training images at hand; put all of them there, or "
            f"give training.images={len(images)}"
        )
    images, targets = images[:n], targets[:n]
    rows, columns = size or images.shape[1:3]
    needed, there = COPIES * len(images) * rows * columns * 3, available_memory()
    if needed > there:
        raise DataError(
            f"{data.name}: {len(images)} images of {rows}x{columns} need about {needed / 1e9:.0f} GB of memory, "
            f"{there / 1e9:.0f} GB are free; give training.images, or a larger machine"
        )
    return ImagesAndTargets(_resized(images, (rows, columns), name=data.name), targets)


def _resized(images: np.ndarray, size: tuple[int, int], *, name: str) -> np.ndarray:
    """As the images that judge are resized, rounded to uint8."""
    if images.shape[1:3] == tuple(size):
        return images
    places = tuple(map(str, range(len(images))))
    stimuli = StimulusSet(name, places, lambda place: images[int(place)])
    blocks = (stimuli.pixels(block, size=size) for block in stimuli.blocks(RESIZED_AT_ONCE))
    return np.concatenate([(255 * block).round().byte().permute(0, 2, 3, 1).numpy() for block in blocks])
