"""scikit-learn's handwritten digits, 8x8, as a test set: those that the network `toy` is not trained on.

They come with scikit-learn, so nothing is downloaded. Which are held out is fixed, whatever the seed of a `toy`.
"""

from dataclasses import dataclass

import numpy as np

from alignment.models.toy import CLASSES, Recipe, split
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.sources import ImagesAndTargets
from benchmarks.datasets.subsets import OPTION, asked_subset, subset_marks

NAME = "digits"
VERSION = 1
WHITE = 16
CITATION = "Alpaydin & Kaynak 1998, Optical recognition of handwritten digits, UCI, doi:10.24432/C50P49"
LICENCE = "CC BY 4.0"


@dataclass(frozen=True)
class Digits(LabelledImages):
    """The held-out digits, and those that `toy` is trained on."""

    def train(self) -> ImagesAndTargets:
        """The others, in scikit-learn's order, for training and tuning; no score is made on them.

        Returns
        -------
        images (image, 8, 8, 3) uint8 and targets (image,) int64, positions in `classes`
        """
        from sklearn.datasets import load_digits

        bunch = load_digits()
        chosen, _ = split(Recipe(), len(bunch.target))
        places = np.sort(chosen.numpy())
        return ImagesAndTargets(_coloured(bunch.images[places]), bunch.target[places].astype(np.int64))


def build(settings: DataSettings, selection: str | None) -> Digits:
    """The 360 held-out digits, in scikit-learn's order.

    Parameters
    ----------
    settings : option `subset`: only the first so many
    selection : None, for nothing can be selected

    Returns
    -------
    Images (8, 8, 3) uint8, grey; id `digit` and the position in scikit-learn's set, four figures

    Raises
    ------
    RequestError
        Something is selected, or an option is unknown or no number of images that there is.

    Examples
    --------
    >>> held_out = build(DataSettings(), None)
    >>> len(held_out.stimuli), held_out.classes[:3], held_out.stimuli.image(held_out.stimuli.ids[0]).shape
    (360, ('0', '1', '2'), (8, 8, 3))
    """
    from sklearn.datasets import load_digits

    refuse_selection(selection, name=NAME)
    check_options(settings.options, accepted=(OPTION,), name=NAME)
    bunch = load_digits()
    _, held_out = split(Recipe(), len(bunch.target))
    places = sorted(held_out.tolist())
    taken = places[: asked_subset(settings.options, at_hand=len(places), where=NAME)]
    images = {f"digit{place:04d}": image for place, image in zip(taken, _coloured(bunch.images[taken]), strict=True)}
    labels = tuple(CLASSES[bunch.target[place]] for place in taken)
    return Digits(
        NAME,
        StimulusSet(NAME, tuple(images), images.__getitem__, labels=labels),
        CLASSES,
        version=VERSION,
        marks=subset_marks(len(taken), of=len(places)),
        said={"source": "scikit-learn, load_digits", "citation": CITATION, "licence": LICENCE},
    )


def _coloured(darkness: np.ndarray) -> np.ndarray:
    """(image, 8, 8), counted in whole numbers from 0 to 16, as grey images of three channels, uint8."""
    grey = np.rint(darkness * (255 / WHITE)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)
