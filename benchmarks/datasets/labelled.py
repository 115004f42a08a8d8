"""A data set of labelled images: images by id, the class of each, and what follows from them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alignment import fingerprint
from alignment.errors import DataError, near_misses
from alignment.stimuli import StimulusSet
from benchmarks.datasets.class_names import check_class_names, classes_of_labels


@dataclass(frozen=True)
class LabelledImages:
    """Images and the class of each.

    Parameters
    ----------
    name : of the data set
    stimuli : the images; `labels` names the class of each
    classes : names of all classes, in the order of the logits of a network that fits; some may have no image
    version : raised when an unchanged model's score would change
    marks : the user's choices that change a number, as `key=value`
    said : what `describe` adds
    files : the published files it was read from, checked and, where they were missing, downloaded

    Raises
    ------
    DataError
        There is no image or no label; there are fewer than two classes, or two of one name; a label is none of them.
    """

    name: str
    stimuli: StimulusSet
    classes: tuple[str, ...]
    version: int = 1
    marks: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.stimuli):
            raise DataError(f"{self.name}: no image; give at least one, with its label")
        if self.stimuli.labels is None:
            raise DataError(f"{self.name}: its stimuli have no labels; name the class of each image")
        check_class_names(self.classes, where=self.name)
        check_labels(self._labels, self.classes, where=self.name, ids=self.stimuli.ids)

    def fetch(self) -> tuple[Path, ...]:
        """Where its published files lie: they were checked and downloaded to make it."""
        return self.files

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, labels and classes, each in its order; pixels are the stimulus set's own."""
        return fingerprint.of_parts(
            str(self.version), fingerprint.of_settings([self.stimuli.ids, self._labels, self.classes])
        )

    def targets(self) -> np.ndarray:
        """Position in `classes` of the label of each image: (image,) int64, in the order of `stimuli`."""
        place = {name: position for position, name in enumerate(self.classes)}
        return np.array([place[label] for label in self._labels], dtype=np.int64)

    def describe(self) -> dict[str, Any]:
        """Counts of images and classes."""
        counts = Counter(self._labels)
        per_class = [counts[name] for name in self.classes]
        return {
            "name": self.name,
            "images": len(self.stimuli),
            "classes": len(self.classes),
            "images of a class": f"{min(per_class)} to {max(per_class)}",
            **self.said,
        }

    @property
    def _labels(self) -> tuple[str, ...]:
        return self.stimuli.labels or ()


def labelled(
    name: str,
    images: Mapping[str, np.ndarray],
    labels: Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    visual_degrees: float | None = None,
) -> LabelledImages:
    """A data set from plain arrays of pixels.

    Parameters
    ----------
    name : of the data set
    images : id -> (row, column, 3) uint8
    labels : class of each image, in the order of `images`
    classes : in the order of a network's logits; the labels that occur, sorted, when not given
    visual_degrees : width of an image when it was shown, where that is known

    Raises
    ------
    DataError
        There is not one label to each image; the order of names and of numbers differs, so that no order can be
        guessed; or as `LabelledImages`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = {name: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for name in "abc"}
    >>> mine = labelled("mine", images, ["dog", "cat", "dog"])
    >>> mine.classes, mine.targets().tolist()
    (('cat', 'dog'), [1, 0, 1])
    """
    if len(labels) != len(images):
        raise DataError(f"{name}: {len(labels)} labels for {len(images)} images; give one to each, in the same order")
    texts = tuple(map(str, labels))
    ordered = tuple(map(str, classes)) if classes is not None else classes_of_labels(texts, where=f"{name}: classes=")
    held = {key: np.asarray(image) for key, image in images.items()}
    stimuli = StimulusSet(name, tuple(held), held.__getitem__, visual_degrees=visual_degrees, labels=texts)
    return LabelledImages(name, stimuli, ordered)


def check_labels(labels: Sequence[str], classes: Sequence[str], *, where: str, ids: Sequence[str]) -> None:
    """Whether every label is a class.

    Raises
    ------
    DataError
        One is not (with near misses); the message begins with `where`.
    """
    known = set(classes)
    strange = [(stimulus, label) for stimulus, label in zip(ids, labels, strict=True) if label not in known]
    if strange:
        stimulus, label = strange[0]
        hint = near_misses(label, classes) or f"; name a class, or add {label!r} to the {len(classes)} classes"
        raise DataError(f"{where}: label {label!r} of {stimulus!r} is no class ({len(strange)} such){hint}")
