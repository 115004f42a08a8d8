"""Single-trial responses of one session, from HDF5 or NIfTI, in one order of voxels.

HDF5 holds MATLAB's X x Y x Z x trial array, so h5py sees (trial, Z, Y, X): `hdf5[t].T == nifti[..., t]`. A NIfTI-order
mask applied to the transposed block selects the right voxels in a *different order*. Here every voxel is named by its
(x, y, z), both readers take that list and return columns in its order, and no mask ever meets a transposed array.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alignment.errors import DataError
from benchmarks.datasets.nsd.hdf5 import dataset_of

PER_PERCENT = 300
BLOCK_BYTES = 2**24
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Reader:
    """How one file format gives its shape (X, Y, Z, trial) and the trials of chosen voxels."""

    shape: Callable[[Path], Shape]
    read: Callable[[Path, np.ndarray], np.ndarray]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a library raises on a missing, truncated or foreign file into one line."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    foreign = (ImageFileError, HeaderDataError)
    if not path.exists():
        raise DataError(f"{path}: no such file; download it with the data set")
    try:
        yield
    # h5py raises RuntimeError and TypeError too where a header is damaged
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, TypeError, zlib.error, *foreign) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: truncated or not readable ({reason}); download it again") from None


def _int16(path: Path, dtype: Any) -> None:
    if np.dtype(dtype).newbyteorder("=") != np.int16:
        raise DataError(f"{path}: betas are {np.dtype(dtype)}, expected int16 (percent signal change x {PER_PERCENT})")


def _four(path: Path, shape: tuple[int, ...]) -> Shape:
    if len(shape) != 4:
        raise DataError(f"{path}: betas have shape {shape}, expected four axes; download it again")
    return int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3])


def shape_hdf5(path: Path) -> Shape:
    """(X, Y, Z, trial) of a betas HDF5 file, from its header."""
    import h5py

    with _readable(path), h5py.File(path, "r") as file:
        betas = dataset_of(file, "betas", path=path)
        shape, dtype = betas.shape, betas.dtype
    _int16(path, dtype)
    return _four(path, shape[::-1])


def read_hdf5(path: Path, voxels: np.ndarray) -> np.ndarray:
    """Trials of the voxels asked for; reads whole chunks (all trials of a voxel), never whole volumes.

    Parameters
    ----------
    path : betas_sessionNN.hdf5, dataset `betas` (trial, Z, Y, X) int16
    voxels : (voxel, 3) int, x, y, z of each voxel

    Returns
    -------
    (trial, voxel) int16, columns in the order of `voxels`
    """
    import h5py

    rows, row = np.unique(voxels[:, :0:-1], axis=0, return_inverse=True)
    with _readable(path), h5py.File(path, "r") as file:
        betas = dataset_of(file, "betas", path=path)
        _four(path, betas.shape)
        values = np.empty((betas.shape[0], len(voxels)), dtype=np.int16)
        order = np.argsort(row, kind="stable")
        for columns in np.split(order, np.flatnonzero(np.diff(row[order])) + 1) if len(voxels) else []:
            z, y = rows[row[columns[0]]]
            x = voxels[columns, 0]
            # one read per row of voxels: neighbours along x come along for less than another call costs
            values[:, columns] = betas[:, z, y, x.min() : x.max() + 1][:, x - x.min()]
    return values


def shape_nii(path: Path) -> Shape:
    """(X, Y, Z, trial) of a betas NIfTI file, from its header."""
    image = _open_nii(path)
    _int16(path, image.get_data_dtype())
    return _four(path, image.shape)


def read_nii(path: Path, voxels: np.ndarray) -> np.ndarray:
    """As `read_hdf5`, from betas_sessionNN.nii.gz (X, Y, Z, trial) int16; the whole file is decompressed."""
    image = _open_nii(path)
    _four(path, image.shape)
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) != (1.0, 0.0):
        raise DataError(f"{path}: intensities are rescaled ({slope}, {intercept}); expected the integers as published")
    with _readable(path):
        stored = image.dataobj.get_unscaled()
    x, y, z = voxels.T
    return np.ascontiguousarray(stored[x, y, z].T).astype(np.int16, copy=False)


def check_whole(path: Path) -> None:
    """Read a compressed NIfTI file to its end, where its checksum is; its header says nothing of what was cut off.

    Raises
    ------
    DataError
        The file is truncated or damaged.
    """
    with _readable(path), gzip.open(path) as file:
        while file.read(BLOCK_BYTES):
            pass


READERS = {"hdf5": Reader(shape_hdf5, read_hdf5), "nii": Reader(shape_nii, read_nii)}


def read_session(path: Path, voxels: np.ndarray, *, source: str, n_trials: int) -> np.ndarray:
    """All trials of one session at the voxels asked for, (trial, voxel) int16.

    Parameters
    ----------
    path, voxels : as for `read_hdf5`
    source : a key of READERS
    n_trials : trials of every session

    Raises
    ------
    DataError
        The file is missing, truncated, of another type, or has more or fewer trials.
    """
    block = READERS[source].read(path, voxels)
    if len(block) != n_trials:
        raise DataError(f"{path}: {len(block)} trials, expected {n_trials}; download it again")
    return block


def read_volume(path: Path) -> np.ndarray:
    """A three-dimensional NIfTI volume in (X, Y, Z) order, as stored."""
    image = _open_nii(path)
    if len(image.shape) != 3:
        raise DataError(f"{path}: volume has shape {image.shape}, expected three axes")
    with _readable(path):
        return np.asanyarray(image.dataobj)


def _open_nii(path: Path) -> Any:
    import nibabel

    with _readable(path):
        return nibabel.load(path)


def percent_signal_change(stored: np.ndarray) -> np.ndarray:
    """Stored integers as percent signal change, float64."""
    return stored.astype(np.float64) / PER_PERCENT


def z_score(stored: np.ndarray) -> np.ndarray:
    """Standardise each voxel over all trials of one session, (x - mean) / sd with n - 1 in the sd.

    Parameters
    ----------
    stored : (trial, voxel) int16, all trials of one session

    Returns
    -------
    (trial, voxel) float64; NaN where the voxel is constant in this session, as it is (all zero) outside the slab that
    was acquired
    """
    values = percent_signal_change(stored)
    spread = values.std(axis=0, ddof=1)
    constant = (stored == stored[:1]).all(axis=0)
    return (values - values.mean(axis=0)) / np.where(constant, np.nan, spread)
