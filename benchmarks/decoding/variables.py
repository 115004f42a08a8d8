"""What is read out of labelled images: their class, or several variables at once, and the same dealt to others."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from alignment import fingerprint
from alignment.decoding import permuted
from alignment.stimuli import StimulusSet
from benchmarks.datasets.base import LabelledDataSet

CLASS = "class"


@runtime_checkable
class HoldsVariables(Protocol):
    """A data set of which several variables are read, each by itself, and the mean over them is the score."""

    def variables(self) -> Mapping[str, np.ndarray]:
        """Name -> (image,) int64, in the order of the stimuli."""
        ...


class Variables(NamedTuple):
    """What is read out.

    Attributes
    ----------
    names : of the variables
    labels : (stimulus, variable) int64
    """

    names: tuple[str, ...]
    labels: np.ndarray


def variables_of(dataset: LabelledDataSet) -> Variables:
    """The data set's own variables, or the class of each image."""
    held = dataset.variables() if isinstance(dataset, HoldsVariables) else {CLASS: dataset.targets()}
    return Variables(tuple(held), np.stack(list(held.values()), axis=1))


class PermutedLabels:
    """A data set whose labels are dealt to other images by a fixed seed: what is read above chance is an artefact."""

    def __init__(self, dataset: LabelledDataSet) -> None:
        self.dataset = dataset
        self.name = dataset.name
        self.version = dataset.version
        self.marks = dataset.marks
        self.classes = dataset.classes

    @property
    def stimuli(self) -> StimulusSet:
        """As in the data set."""
        return self.dataset.stimuli

    @property
    def fingerprint(self) -> str:
        """Differs from the data set's own."""
        return fingerprint.of_parts("permuted labels", self.dataset.fingerprint)

    def targets(self) -> np.ndarray:
        """Those of the data set, each given to another image."""
        return permuted(self.dataset.targets(), self.name)

    def variables(self) -> dict[str, np.ndarray]:
        """Those of the data set, all of an image given to another."""
        names, labels = variables_of(self.dataset)
        return dict(zip(names, permuted(labels, self.name).T, strict=True))

    def describe(self) -> dict[str, Any]:
        """As in the data set, said to be permuted."""
        return {**self.dataset.describe(), "labels": "permuted over images"}
