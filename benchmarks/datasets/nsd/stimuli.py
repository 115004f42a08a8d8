"""The images: rows of `nsd_stimuli.hdf5`, read when they are asked for."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from alignment.errors import DataError
from alignment.stimuli import StimulusSet
from benchmarks.datasets.nsd.hdf5 import dataset_of
from benchmarks.datasets.nsd.layout import Layout, Tree

VISUAL_DEGREES = 8.4
DATASET = "imgBrick"
PREFIX = "nsd"


def stimulus_ids(nsd_ids: Sequence[int] | np.ndarray) -> list[str]:
    """Stimulus ids of 0-based nsdIds, as published file names write them.

    Examples
    --------
    >>> stimulus_ids([13, 72999])
    ['nsd00013', 'nsd72999']
    """
    return [f"{PREFIX}{int(nsd_id):05d}" for nsd_id in nsd_ids]


class ImageBrick:
    """Reads an image by its id; the file is opened at the first read, and anew in every process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, Any, Any] | None = None

    def __call__(self, stimulus: str) -> np.ndarray:
        """One image, (row, column, 3) uint8.

        Raises
        ------
        DataError
            The id is not an nsdId of this file, or the file cannot be read.
        """
        rows, text = self._rows(), stimulus.removeprefix(PREFIX)
        if not text.isdecimal() or int(text) >= rows.shape[0]:
            raise DataError(f"{self.path}: no image {stimulus!r}; ids are {PREFIX}00000..{PREFIX}{rows.shape[0] - 1}")
        try:
            return rows[int(text)]
        except OSError as error:
            raise DataError(f"{self.path}: image {stimulus!r} is not readable ({error}); download it again") from None

    def _rows(self) -> Any:
        # an HDF5 handle does not survive a fork
        if self._open is None or self._open[0] != os.getpid():
            file, rows = open_brick(self.path)
            self._open = (os.getpid(), file, rows)
        return self._open[2]

    def __getstate__(self) -> Mapping[str, Any]:
        return {"path": self.path, "_open": None}


def open_brick(path: Path) -> tuple[Any, Any]:
    """The open file and its dataset of images.

    Raises
    ------
    DataError
        The file is missing, truncated or holds no uint8 (image, row, column, 3) dataset.
    """
    import h5py

    if not path.exists():
        raise DataError(f"{path}: no such file; download it with the data set")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(h5py.File(path, "r"))
            rows = dataset_of(file, DATASET, path=path)
            shape, dtype = rows.shape, rows.dtype
        # h5py raises the last two where a header is damaged
        except (OSError, KeyError, RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: truncated or not readable ({reason}); download it again") from None
        if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise DataError(f"{path}: {DATASET} is {dtype} {shape}, expected uint8 (image, row, column, 3)")
        opened.pop_all()
    return file, rows


def check_brick(path: Path, layout: Layout) -> None:
    """Raise a DataError unless the file holds all images of the experiment."""
    file, rows = open_brick(path)
    shape = rows.shape
    file.close()
    expected = (layout.images, layout.image_size, layout.image_size, 3)
    if shape != expected:
        raise DataError(f"{path}: {DATASET} is {shape}, expected {expected}; download it again")


def stimulus_set(tree: Tree, *, name: str, shared: np.ndarray, own: Sequence[np.ndarray]) -> StimulusSet:
    """The shared images, then each subject's own; ids ascend within each of these groups.

    Parameters
    ----------
    shared : (image,) nsdIds of the shared images in use
    own : per subject, (image,) nsdIds of the images only this subject saw
    """
    groups = [np.unique(ids) for ids in (shared, *own)]
    return StimulusSet(
        name,
        tuple(stimulus_ids(np.concatenate(groups))),
        ImageBrick(tree.stimuli),
        visual_degrees=VISUAL_DEGREES,
        groups=tuple(len(ids) for ids in groups),
        sources=(tree.stimuli,),
    )
