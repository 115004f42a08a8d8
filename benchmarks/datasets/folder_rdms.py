"""Reading RDMs and their tables from a user's folder, every fault named with its file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

import numpy as np

from alignment.errors import DataError, RequestError
from alignment.rsa.rdms import RDMs
from benchmarks.datasets.folder_tables import check_length, read_table, refuse_beside, resolve
from benchmarks.datasets.given_rdms import check_sessions
from benchmarks.datasets.image_files import ImageFolder
from benchmarks.datasets.name_order import out_of_order
from benchmarks.datasets.npy_files import read_numbers

RDM_TABLE = ("subject", "session")
STIMULUS_TABLE = ("stimulus",)
# tables of responses, which mean nothing beside RDMs
FOREIGN = ("presentations.csv", "neuroids.csv", "splits.csv")
SHAPES = "(rdm, stimulus, stimulus) or (rdm, pair)"


@dataclass(frozen=True)
class FolderRDMs:
    """RDMs in a user's folder.

    Attributes
    ----------
    rdms : stimulus ids are file names
    images : the image files
    """

    rdms: RDMs
    images: ImageFolder


def read_rdms(path: Path) -> FolderRDMs:
    """Read the RDMs in `path`, the tables beside it, and find the images.

    Parameters
    ----------
    path : `rdms.npy` or `rdms.hdf5` in a folder that has `images/` as well

    Raises
    ------
    DataError
        A file is missing, damaged, or does not fit the others; a table is there that belongs to another layout.
    """
    refuse_beside(path, FOREIGN, why="belongs to responses, and the folder holds RDMs")
    images = ImageFolder(path.with_name("images"))
    return FolderRDMs(READERS[path.name](path, images), images)


def _from_npy(path: Path, images: ImageFolder) -> RDMs:
    values = read_numbers(path).astype(np.float64)
    if values.ndim not in (2, 3) or not values.size:
        raise DataError(f"{path}: shape is {values.shape}, expected {SHAPES}, none empty")
    if values.ndim == 2 and _looks_square(values):
        raise DataError(f"{path}: one RDM (stimulus, stimulus); save it as (1, stimulus, stimulus)")
    stimuli = _stimuli(path, values.shape, images)
    subjects, sessions = _rdm_columns(path, len(values))
    try:
        rdms = (
            RDMs(values, stimuli, subjects=subjects, sessions=sessions)
            if values.ndim == 2
            else RDMs.from_squares(_dissimilarities(values), stimuli=stimuli, subjects=subjects, sessions=sessions)
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return check_sessions(rdms, where=str(path.with_name("rdms.csv")))


def _from_hdf5(path: Path, images: ImageFolder) -> RDMs:
    from alignment.rsa.interchange import read_rdm_file

    refuse_beside(path, ("stimuli.csv", "rdms.csv"), why=f"says what {path.name} says itself")
    try:
        rdms = read_rdm_file(path)
        rdms = replace(rdms, stimuli=tuple(resolve(rdms.stimuli, images, path=path)))
    # a descriptor that is not in the file is no wish of the user's
    except (DataError, RequestError) as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    return check_sessions(rdms, where=str(path))


READERS: Mapping[str, Callable[[Path, ImageFolder], RDMs]] = {"rdms.npy": _from_npy, "rdms.hdf5": _from_hdf5}


def _stimuli(path: Path, shape: tuple[int, ...], images: ImageFolder) -> tuple[str, ...]:
    """File names of the images in the order of rows and columns."""
    count = shape[1] if len(shape) == 3 else _count_of_pairs(path, shape)
    table = path.with_name("stimuli.csv")
    if table.exists():
        rows = read_table(table, columns=STIMULUS_TABLE, required="stimulus")
        check_length(rows, count, path=table, what=f"{path.name} has {count} stimuli (shape {shape})")
        return tuple(resolve(rows["stimulus"].tolist(), images, path=table))
    names = tuple(images.files)
    if len(names) != count:
        raise DataError(
            f"{table}: no such file, and {path.name} has {count} stimuli (shape {shape}) but {images.folder} "
            f"{len(names)} images; add it, the image name of each row in the column `stimulus`"
        )
    pair = out_of_order(names)
    if pair:
        raise DataError(
            f"{table}: no such file, and {pair[0]} comes before {pair[1]} by name but not by number; add it, the image "
            "name of each row in the column `stimulus`"
        )
    return names


def _count_of_pairs(path: Path, shape: tuple[int, ...]) -> int:
    pairs = shape[1]
    count = (1 + isqrt(1 + 8 * pairs)) // 2
    if count * (count - 1) // 2 != pairs:
        raise DataError(f"{path}: shape is {shape}, and no number of stimuli has {pairs} pairs; give {SHAPES}")
    return count


def _rdm_columns(path: Path, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Subjects and sessions of the RDMs, empty where they are not given."""
    table = path.with_name("rdms.csv")
    if not table.exists():
        return (), ()
    rows = read_table(table, columns=RDM_TABLE, required="subject")
    check_length(rows, count, path=table, what=f"{path.name} has {count} RDMs")
    return tuple(rows["subject"]), tuple(rows.get("session", ()))


def _looks_square(values: np.ndarray) -> bool:
    """Whether rows and columns are the same stimuli: as many of both, symmetric, nothing on the diagonal."""
    if values.shape[0] != values.shape[1]:
        return False
    return np.array_equal(values, values.T, equal_nan=True) and not np.nan_to_num(np.diagonal(values)).any()


def _dissimilarities(squares: np.ndarray) -> np.ndarray:
    """The squares, unless in all of them a stimulus is farther from itself than from any other."""
    if squares.shape[1] == squares.shape[2]:
        own = np.diagonal(squares, axis1=1, axis2=2)
        # noise makes cross-validated distances negative, so all may lie below a diagonal of 0
        others = np.where(np.eye(squares.shape[1], dtype=bool), 0.0, squares).max(axis=2)
        if (own > others).all():
            raise DataError("the diagonal is above all other entries, so these are similarities; give dissimilarities")
    return squares
