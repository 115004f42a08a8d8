"""Cluttered images of digits and garments to test on, made here from the test images of MNIST and Fashion-MNIST.

Thorat, Aldegheri & Kietzmann 2021: one intact object among seven scrambled ones, to be told apart as one of 20 classes
wherever it is, whatever its scale and orientation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from alignment import fingerprint
from alignment.stimuli import StimulusSet
from alignment.stimuli.clutter import CLASSES, Clutter, Objects
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.mnist import FASHION_MNIST, MNIST, TEST_IMAGES, source_of
from benchmarks.datasets.mnist_files import TEST, RawFiles
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.subsets import OPTION, asked_subset, subset_marks

VERSION = 1
IMAGES = 1000
WHITE = 255
CITATION = "Thorat, Aldegheri & Kietzmann 2021, SVRHM workshop at NeurIPS"


@dataclass(frozen=True, kw_only=True)
class ClutteredImages(LabelledImages):
    """Images of a series, by their place in it.

    Parameters
    ----------
    clutter : the series
    """

    clutter: Clutter

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, labels, classes and all that the images are made from."""
        settings = fingerprint.of_settings([self.stimuli.ids, self.stimuli.labels, self.classes])
        return fingerprint.of_parts(str(self.version), settings, self.clutter.fingerprint)


class GeneratedImages:
    """The first n images of a series by id: `clutter` and the place, four figures.

    They are made once, when first asked for; a copy sent to another process makes them again.

    Parameters
    ----------
    clutter : the series
    n : how many
    clean : whether the targets are alone
    """

    def __init__(self, clutter: Clutter, *, n: int, clean: bool) -> None:
        self.clutter, self.n, self.clean = clutter, n, clean

    @property
    def ids(self) -> tuple[str, ...]:
        """In the order of the series."""
        return tuple(f"clutter{place:04d}" for place in range(self.n))

    def read(self, stimulus: str) -> np.ndarray:
        """(100, 100) uint8, rounded, of the image with this id."""
        return self.images[int(stimulus.removeprefix("clutter"))]

    @cached_property
    def images(self) -> np.ndarray:
        """(image, 100, 100) uint8."""
        return np.rint(self.clutter.batch(range(self.n), clean=self.clean).images * WHITE).astype(np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        return {"clutter": self.clutter, "n": self.n, "clean": self.clean}


def build(settings: DataSettings, selection: str | None) -> ClutteredImages:
    """A thousand cluttered images and the category of the target in each.

    Parameters
    ----------
    settings : `folder` holds torchvision's MNIST/raw and FashionMNIST/raw; else they lie where those of the data sets
        mnist and fashion_mnist do. Option `subset`: only the first so many images
    selection : None, for nothing can be selected

    Raises
    ------
    RequestError
        Something is selected, or an option is unknown or no number of images that there is.
    DataError
        A folder was named and is not there; a file is damaged, has another checksum or cannot be fetched.
    """
    return _build("clutter", settings, selection, clean=False)


def build_clean(settings: DataSettings, selection: str | None) -> ClutteredImages:
    """The same targets in the same places, without the clutter; as `build`."""
    return _build("clutter-clean", settings, selection, clean=True)


def objects_of(sources: Sequence[RawFiles], *, part: str) -> Objects:
    """Digits and garments to draw from.

    Parameters
    ----------
    sources : files of digits, and of garments
    part : "train" or "t10k"

    Raises
    ------
    DataError
        A file is damaged or not there.
    """
    digits, garments = (source.grey(part) for source in sources)
    return Objects(digits.images, digits.targets, garments.images, garments.targets)


def sources_of(settings: DataSettings) -> tuple[RawFiles, RawFiles]:
    """Files of digits, and of garments; as of `build`."""
    return source_of(MNIST, settings), source_of(FASHION_MNIST, settings)


def _build(name: str, settings: DataSettings, selection: str | None, *, clean: bool) -> ClutteredImages:
    refuse_selection(selection, name=name)
    check_options(settings.options, accepted=(OPTION,), name=name)
    n = asked_subset(settings.options, at_hand=IMAGES, where=name)
    sources = sources_of(settings)
    clutter = Clutter(objects_of(sources, part=TEST))
    images = GeneratedImages(clutter, n=n, clean=clean)
    categories = [clutter.scene(place).variables(clutter.objects)["category"] for place in range(n)]
    return ClutteredImages(
        name,
        StimulusSet(name, images.ids, images.read, labels=tuple(CLASSES[category] for category in categories)),
        CLASSES,
        version=VERSION,
        marks=(*subset_marks(n, of=IMAGES), *cut_marks(clutter.objects)),
        said={
            "made of": ", ".join(str(source.folder) for source in sources),
            "digits and garments to draw from": " and ".join(str(len(each)) for each in clutter.objects.images),
            "citation": CITATION,
        },
        files=tuple(path for source in sources for path in source.files),
        clutter=clutter,
    )


def cut_marks(objects: Objects) -> tuple[str, ...]:
    """What an id says of files that are cut: images made from fewer objects are others."""
    counts = [len(images) for images in objects.images]
    return () if min(counts) >= TEST_IMAGES else (f"objects={'+'.join(map(str, counts))}",)
