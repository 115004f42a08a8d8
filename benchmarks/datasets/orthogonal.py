"""Objects among fragments of objects, and what can be told of them beside the category: where, how large, how turned.

The cluttered images of Thorat, Aldegheri & Kietzmann 2021 (`alignment.stimuli.clutter`), made from the test images of
MNIST and Fashion-MNIST, or from scikit-learn's digits, which need no download. One variable is selected; location is
two, row and column, of which the mean counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alignment.errors import unknown
from alignment.models.toy import Recipe, split
from alignment.stimuli import StimulusSet
from alignment.stimuli.clutter import CLASSES, Clutter, Objects
from alignment.stimuli.clutter.objects import DIGITS, EDGE
from benchmarks.datasets import digits
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.clutter import (
    CITATION,
    IMAGES,
    WHITE,
    ClutteredImages,
    Rendered,
    count,
    cut_marks,
    objects_of,
    sources_of,
)
from benchmarks.datasets.mnist_files import TEST
from benchmarks.datasets.subsets import subset_marks

NAME = "orthogonal"
VERSION = 1
IMAGES_OF_DIGITS = 400
SCIKIT_WHITE = 16
LOW = 5


@dataclass(frozen=True)
class Variable:
    """What is selected: its name in the generator, or two of which the mean counts, and the classes of an image."""

    read: tuple[str, ...]
    classes: tuple[str, ...]


VARIABLES = {
    "category": Variable(("category",), CLASSES),
    "location": Variable(("row", "column"), ("top left", "top right", "bottom left", "bottom right")),
    "scale": Variable(("scale",), ("small", "large")),
    "orientation": Variable(("orientation",), ("positive", "negative")),
    "domain": Variable(("domain",), ("digit", "garment")),
}


@dataclass(frozen=True, kw_only=True)
class Orthogonal(ClutteredImages):
    """Cluttered images and one variable of their targets.

    Parameters
    ----------
    clutter : the series
    read : name -> (image,) int64, what read-outs read; of several the mean counts
    """

    read: Mapping[str, np.ndarray]

    def variables(self) -> Mapping[str, np.ndarray]:
        """What read-outs read."""
        return self.read


def build(settings: DataSettings, selection: str | None) -> Orthogonal:
    """A thousand images of digits and garments in clutter, from the test images of MNIST and Fashion-MNIST.

    Parameters
    ----------
    settings : `folder` holds torchvision's MNIST/raw and FashionMNIST/raw; else they lie where those of the data sets
        mnist and fashion_mnist do, and are downloaded where they are nowhere. Option `subset`: only the first so many
        images
    selection : "category", "location", "scale", "orientation" or "domain"

    Raises
    ------
    RequestError
        No such variable (with near misses), an unknown option, or no number of images that there is.
    DataError
        A file is damaged or cannot be fetched.
    """
    return _built(settings, selection, name=NAME, clean=False)


def build_clean(settings: DataSettings, selection: str | None) -> Orthogonal:
    """The same targets where they are, without clutter; as `build`."""
    return _built(settings, selection, name=f"{NAME}-clean", clean=True)


def build_digits(settings: DataSettings, selection: str | None) -> Orthogonal:
    """The digits of scikit-learn that `toy` is not trained on, in clutter of each other; nothing is downloaded.

    The two domains are those below five and the others.

    Parameters
    ----------
    settings : option `subset`: only the first so many of 400 images
    selection : as of `build`

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     few = build_digits(DataSettings(cache=Path(folder), options={"subset": "8"}), "location")
    ...     few.stimuli.image(few.stimuli.ids[0]).shape, list(few.variables())
    ((100, 100, 3), ['row', 'column'])
    """
    name = f"{NAME}-digits"
    n = count(settings, of=IMAGES_OF_DIGITS, name=name)
    clutter = Clutter(low_and_high())
    domains = (f"below {LOW}", f"{LOW} and above")
    said = {"source": f"scikit-learn, load_digits ({digits.CITATION})", "licence": digits.LICENCE}
    own = {"category": Variable(("category",), DIGITS), "domain": Variable(("domain",), domains)}
    variables = {**VARIABLES, **own}
    rendered = Rendered(clutter, n, cache=settings.cache)
    return _labelled(name, rendered, selection, variables=variables, of=IMAGES_OF_DIGITS, said=said)


def _built(settings: DataSettings, selection: str | None, *, name: str, clean: bool) -> Orthogonal:
    n = count(settings, of=IMAGES, name=name)
    sources = sources_of(settings)
    objects = objects_of(sources, part=TEST)
    rendered = Rendered(Clutter(objects), n, cache=settings.cache, clean=clean)
    said = {"digits and garments to draw from": " and ".join(str(len(each)) for each in objects.images)}
    found = _labelled(name, rendered, selection, variables=VARIABLES, of=IMAGES, said=said)
    files = tuple(path for source in sources for path in source.files)
    return replace(found, marks=(*found.marks, *cut_marks(objects)), files=files)


def _labelled(
    name: str,
    rendered: Rendered,
    selection: str | None,
    *,
    variables: Mapping[str, Variable],
    of: int,
    said: Mapping[str, str],
) -> Orthogonal:
    if selection is None or selection not in variables:
        raise unknown(f"variable of {name}", str(selection), variables)
    variable, clutter = variables[selection], rendered.clutter
    scenes = [clutter.scene(index).variables(clutter.objects) for index in range(len(rendered.ids))]
    read = {each: np.array([_position(scene, each, variable) for scene in scenes]) for each in variable.read}
    # of two variables of two levels, the position counts the first in twos
    places = np.ravel_multi_index(tuple(read.values()), (2, 2)) if len(read) > 1 else next(iter(read.values()))
    labels = tuple(variable.classes[place] for place in places)
    return Orthogonal(
        f"{name}.{selection}",
        StimulusSet(name, rendered.ids, rendered.read, labels=labels),
        variable.classes,
        version=VERSION,
        marks=subset_marks(len(rendered.ids), of=of),
        said={"variables": ", ".join(variable.read), "citation": CITATION, **said},
        clutter=clutter,
        read=read,
    )


def _position(scene: Mapping[str, int], name: str, variable: Variable) -> int:
    """Position in the classes; digits of two domains are counted through."""
    value = scene[name]
    return value % len(DIGITS) if name == "category" and variable.classes == DIGITS else value


def low_and_high() -> Objects:
    """scikit-learn's held-out digits at 28x28, those below five as one domain, the others as the second."""
    from scipy import ndimage
    from sklearn.datasets import load_digits

    bunch = load_digits()
    _, held_out = split(Recipe(), len(bunch.target))
    places = np.sort(held_out.numpy())
    factor = EDGE / bunch.images.shape[1]
    large = ndimage.zoom(bunch.images[places] * (WHITE / SCIKIT_WHITE), (1, factor, factor), order=1)
    images, classes = np.rint(large).astype(np.uint8), bunch.target[places].astype(np.int64)
    low = classes < LOW
    return Objects(images[low], classes[low], images[~low], classes[~low])
