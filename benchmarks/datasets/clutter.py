"""Cluttered images of digits and garments to test on, made here from the test images of MNIST and Fashion-MNIST.

Thorat, Aldegheri & Kietzmann 2021: one intact object among seven scrambled ones, to be told apart as one of 20 classes
wherever it is, whatever its scale and orientation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alignment import fingerprint
from alignment.errors import DataError
from alignment.stimuli import StimulusSet
from alignment.stimuli.clutter import CLASSES, Clutter, Objects
from alignment.whole_files import whole_file
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.mnist import FASHION_MNIST, MNIST, TEST_IMAGES, source_of
from benchmarks.datasets.mnist_files import TEST, RawFiles
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.subsets import OPTION, asked_subset, subset_marks

VERSION = 1
IMAGES = 1000
WHITE = 255
# of the cache, for all that is made of clutter
FOLDER = "clutter"
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


class Rendered:
    """Images of a series by id, made once and kept in a file of the cache, whose name has all that determines them.

    Parameters
    ----------
    clutter : the series
    n : the first so many of it
    cache : folder
    clean : whether targets are alone
    """

    def __init__(self, clutter: Clutter, n: int, *, cache: Path, clean: bool = False) -> None:
        self.clutter = clutter
        self.ids = tuple(f"clutter{index:05d}" for index in range(n))
        self.clean = clean
        self.path = cache / FOLDER / f"{self.kind}-{n}-{clutter.fingerprint[:32]}.npy"

    @property
    def kind(self) -> str:
        """What is made of each scene, as the name of the file says it."""
        return "clean" if self.clean else "cluttered"

    def made(self) -> np.ndarray:
        """(image, 100, 100) float32 in [0, 1]."""
        return self.clutter.batch(range(len(self.ids)), clean=self.clean).images

    def read(self, stimulus: str) -> np.ndarray:
        """(100, 100) uint8 of the image with this id."""
        return self.images[int(stimulus.removeprefix("clutter"))]

    @cached_property
    def images(self) -> np.ndarray:
        """(image, 100, 100) uint8.

        Raises
        ------
        DataError
            The file is damaged, or cannot be written.
        """
        if not self.path.is_file():
            grey = np.rint(self.made() * WHITE).astype(np.uint8)
            with whole_file(self.path) as partial, partial.open("wb") as file:
                np.save(file, grey)
        try:
            return np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self.path}: damaged ({error}); delete it, and it is made again") from None

    def __getstate__(self) -> dict[str, Any]:
        # another process reads them from the file
        return {name: value for name, value in self.__dict__.items() if name != "images"}


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
    n = count(settings, of=IMAGES, name=name)
    sources = sources_of(settings)
    clutter = Clutter(objects_of(sources, part=TEST))
    images = Rendered(clutter, n, cache=settings.cache, clean=clean)
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


def count(settings: DataSettings, *, of: int, name: str) -> int:
    """How many images are asked for; raises as `build`."""
    check_options(settings.options, accepted=(OPTION,), name=name)
    return asked_subset(settings.options, at_hand=of, where=name)


def cut_marks(objects: Objects) -> tuple[str, ...]:
    """What an id says of files that are cut: images made from fewer objects are others."""
    counts = [len(images) for images in objects.images]
    return () if min(counts) >= TEST_IMAGES else (f"objects={'+'.join(map(str, counts))}",)
