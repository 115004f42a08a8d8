"""Plain arrays of numbers in npy files, read without pickle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alignment.errors import DataError


def read_array(path: Path, *, dims: Sequence[str]) -> np.ndarray:
    """A real-valued array with as many axes as `dims` names.

    Raises
    ------
    DataError
        As `read_numbers`; or its number of axes differs, or an axis is empty.
    """
    array = read_numbers(path)
    if array.ndim != len(dims) or not array.size:
        raise DataError(f"{path}: shape is {array.shape}, expected ({', '.join(dims)}), none empty")
    return array


def read_numbers(path: Path) -> np.ndarray:
    """A real-valued array of any shape.

    Raises
    ------
    DataError
        The file is missing, truncated, pickled or no npy file; its values are not real numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "truncated, pickled or not npy"
        raise DataError(f"{path}: cannot read the array ({reason}); replace the file") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = array.dtype if isinstance(array, np.ndarray) else "an npz archive"
        raise DataError(f"{path}: holds {kind}, expected one npy array of real numbers")
    return array
