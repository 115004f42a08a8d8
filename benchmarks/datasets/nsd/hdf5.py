"""Datasets of HDF5 files, every fault named with the file."""

from pathlib import Path
from typing import Any

from alignment.errors import DataError


def dataset_of(file: Any, name: str, *, path: Path) -> Any:
    """The dataset of that name, with at least one value in it.

    Parameters
    ----------
    file : open `h5py.File`
    path : of the file, for messages

    Raises
    ------
    DataError
        There is none, or a group or an empty dataset bears the name.
    """
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or not found.size:
        what = "is empty" if isinstance(found, h5py.Dataset) else "is no dataset" if found is not None else "is missing"
        raise DataError(f"{path}: {name} {what}; download it again")
    return found
