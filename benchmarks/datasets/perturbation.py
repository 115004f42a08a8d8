"""Objects among fragments of objects, and partners of each image that differ from it in one property of the target.

The images of Thorat, Aldegheri & Kietzmann 2021 for perturbing what carries a property: scales, angles and places at
their extremes. What is selected is a property, of which there can be two kinds of partners, such as those in the other
row and those in the other column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from alignment import fingerprint
from alignment.errors import unknown
from alignment.stimuli import StimulusSet
from alignment.stimuli.clutter import CLASSES, EXTREMES, Clutter
from alignment.stimuli.clutter.objects import DIGITS
from benchmarks.datasets import digits
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.clutter import (
    CITATION,
    IMAGES,
    ClutteredImages,
    Rendered,
    count,
    cut_marks,
    objects_of,
    sources_of,
)
from benchmarks.datasets.mnist_files import TEST
from benchmarks.datasets.orthogonal import IMAGES_OF_DIGITS, low_and_high
from benchmarks.datasets.subsets import subset_marks

NAME = "perturbation"
VERSION = 1
# property -> swaps of `alignment.stimuli.clutter`
PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "location": ("row", "column"),
    "orientation": ("orientation",),
    "scale": ("scale",),
    "category_within": ("category_within",),
    "category_between": ("category_between",),
}


class RenderedPartners(Rendered):
    """Partners of the images of a series, under the ids of the images.

    Parameters
    ----------
    clutter, n, cache : as of `Rendered`
    swap : of `alignment.stimuli.clutter.SWAPS`
    legacy : whether as the published code makes them
    """

    def __init__(self, clutter: Clutter, n: int, *, cache: Path, swap: str, legacy: bool) -> None:
        self.swap, self.legacy = swap, legacy
        super().__init__(clutter, n, cache=cache)

    @property
    def kind(self) -> str:
        """The swap."""
        return f"{'legacy-' if self.legacy else ''}{self.swap}"

    def made(self) -> np.ndarray:
        """(image, 100, 100) float32 in [0, 1]."""
        indices = range(len(self.ids))
        return self.clutter.swapped(indices, names=[self.swap], legacy_swaps=self.legacy)[self.swap].images


@dataclass(frozen=True, kw_only=True)
class Partnered(ClutteredImages):
    """Cluttered images, the category of the target in each, and their partners.

    Parameters
    ----------
    clutter : the series
    partners : kind of partner -> images under the ids of those they belong to
    """

    partners: Mapping[str, StimulusSet]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what `ClutteredImages` says and of the names of partners, whose pixels are their sets' own."""
        return fingerprint.of_parts(super().fingerprint, *self.partners)


def build(settings: DataSettings, selection: str | None) -> Partnered:
    """A thousand images made from the test images of MNIST and Fashion-MNIST.

    Parameters
    ----------
    settings : `folder` holds torchvision's MNIST/raw and FashionMNIST/raw; else they lie where those of the data sets
        mnist and fashion_mnist do, and are downloaded where they are nowhere. Option `subset`: only the first so many
        images
    selection : "location", "orientation", "scale", "category_within" or "category_between"

    Raises
    ------
    RequestError
        No such property (with near misses), an unknown option, or no number of images that there is.
    DataError
        A file is damaged or cannot be fetched.
    """
    return _of_mnist(settings, selection, name=NAME, legacy=False)


def build_legacy(settings: DataSettings, selection: str | None) -> Partnered:
    """Partners as the published code makes them, upright and of medium size, for its numbers; otherwise as `build`."""
    return _of_mnist(settings, selection, name=f"{NAME}-legacy", legacy=True)


def build_digits(settings: DataSettings, selection: str | None) -> Partnered:
    """The digits of scikit-learn that `toy` is not trained on, in clutter of each other; nothing is downloaded.

    The two domains are those below five and the others. Otherwise as `build`, and at most 400 images.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     few = build_digits(DataSettings(cache=Path(folder), options={"subset": "8"}), "location")
    ...     {name: len(each) for name, each in few.partners.items()}
    {'row': 8, 'column': 8}
    """
    name = f"{NAME}-digits"
    n = count(settings, of=IMAGES_OF_DIGITS, name=name)
    clutter = Clutter(low_and_high(), variation=EXTREMES)
    said = {"source": f"scikit-learn, load_digits ({digits.CITATION})", "licence": digits.LICENCE}
    found = _partnered(name, selection, clutter, classes=DIGITS, n=n, cache=settings.cache, legacy=False)
    return replace(found, marks=subset_marks(n, of=IMAGES_OF_DIGITS), said={**found.said, **said})


def _of_mnist(settings: DataSettings, selection: str | None, *, name: str, legacy: bool) -> Partnered:
    n = count(settings, of=IMAGES, name=name)
    sources = sources_of(settings)
    objects = objects_of(sources, part=TEST)
    clutter = Clutter(objects, variation=EXTREMES)
    found = _partnered(name, selection, clutter, classes=CLASSES, n=n, cache=settings.cache, legacy=legacy)
    said = {"digits and garments to draw from": " and ".join(str(len(each)) for each in objects.images)}
    return replace(
        found,
        marks=(*subset_marks(n, of=IMAGES), *cut_marks(objects)),
        said={**found.said, **said},
        files=tuple(path for source in sources for path in source.files),
    )


def _partnered(
    name: str,
    selection: str | None,
    clutter: Clutter,
    *,
    classes: tuple[str, ...],
    n: int,
    cache: Path,
    legacy: bool,
) -> Partnered:
    if selection is None or selection not in PROPERTIES:
        raise unknown(f"property of {name}", str(selection), PROPERTIES)
    # digits of two domains are counted through
    categories = [clutter.scene(index).variables(clutter.objects)["category"] % len(classes) for index in range(n)]
    labels, images = tuple(classes[category] for category in categories), Rendered(clutter, n, cache=cache)
    partners = {}
    for swap in PROPERTIES[selection]:
        rendered = RenderedPartners(clutter, n, cache=cache, swap=swap, legacy=legacy)
        partners[swap] = StimulusSet(f"{name}, {rendered.kind}", rendered.ids, rendered.read)
    return Partnered(
        f"{name}.{selection}",
        StimulusSet(name, images.ids, images.read, labels=labels),
        classes,
        version=VERSION,
        said={"partners": ", ".join(partners), "citation": CITATION},
        clutter=clutter,
        partners=partners,
    )
