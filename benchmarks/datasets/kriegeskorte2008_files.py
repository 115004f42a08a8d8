"""Reading the MATLAB files of the 92 objects: struct arrays of RDMs, and the images with their categories."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet

STIMULI = "stimuli_92objs"


def read_rdms(path: Path, *, variable: str, stimuli: Sequence[str]) -> dict[str, RDMs]:
    """The RDMs of a struct array with the fields `RDM` and `name`, each by its name.

    Parameters
    ----------
    path : MATLAB file whose checksum holds
    variable : name of the struct array; a `RDM` is a square or a row of pairs in the order of `RDMs`
    stimuli : ids, in the order of rows and columns

    Returns
    -------
    RDMs of one row each, float64, distance not stated

    Raises
    ------
    DataError
        A matrix is not symmetric or not of that many stimuli.
    """
    return {_text(record["name"]): _one_rdm(record["RDM"], stimuli) for record in _records(path, variable)}


def stack(named: Mapping[str, RDMs], *, distance: str, subjects: Sequence[str], sessions: Sequence[str] = ()) -> RDMs:
    """RDMs of the same stimuli below each other, as `RDMs` of these subjects and sessions."""
    rows = list(named.values())
    return RDMs(
        np.concatenate([rdms.dissimilarities for rdms in rows]),
        rows[0].stimuli,
        distance=distance,
        subjects=tuple(subjects),
        sessions=tuple(sessions),
    )


class MatlabImages:
    """The images of the supplementary file, each known by its number and category.

    Parameters
    ----------
    path : MATLAB file whose checksum holds; a struct array with the fields `image`, (row, column, 3) uint8, and
        `category`
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels = tuple(_text(record["category"]) for record in self._stored())
        self.ids = tuple(
            f"{number:02d}-{category.replace(' ', '-')}" for number, category in enumerate(self.labels, start=1)
        )

    def stimulus_set(self, name: str) -> StimulusSet:
        """The images in the order of the RDMs, labelled with their categories."""
        return StimulusSet(name, self.ids, self.read, labels=self.labels, sources=(self.path,))

    def read(self, stimulus: str) -> np.ndarray:
        """(row, column, 3) uint8 of the image with this id."""
        return self._images[stimulus]

    @cached_property
    def _images(self) -> dict[str, np.ndarray]:
        return {stimulus: record["image"] for stimulus, record in zip(self.ids, self._stored(), strict=True)}

    def _stored(self) -> np.ndarray:
        return _records(self.path, STIMULI)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_images"}


def _records(path: Path, variable: str) -> np.ndarray:
    from scipy.io import loadmat

    return loadmat(path, variable_names=[variable])[variable].ravel()


def _one_rdm(values: np.ndarray, stimuli: Sequence[str]) -> RDMs:
    matrix = values.astype(np.float64)
    if matrix.shape[0] == 1:
        return RDMs(matrix, tuple(stimuli))
    return RDMs.from_squares(matrix, stimuli=stimuli)


def _text(cell: np.ndarray) -> str:
    return str(cell.item()).strip()
