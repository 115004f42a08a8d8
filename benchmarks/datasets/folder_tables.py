"""Tables of a user's folder, every cell as text, every fault named with its file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alignment.errors import DataError, near_misses
from benchmarks.datasets.image_files import ImageFolder

# what pandas calls the column of row numbers that it wrote
UNNAMED = re.compile(r"Unnamed: \d+")


def read_table(path: Path, *, columns: Sequence[str], required: str | None = None) -> pd.DataFrame:
    """A csv file, all cells as text, so that 0001 stays 0001.

    Raises
    ------
    DataError
        The file is missing or no table; a column is not among `columns`, or `required` is missing; a cell is blank.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig", skipinitialspace=True
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; add it, a row for each with the columns {', '.join(columns)}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot read the table ({str(error).splitlines()[0]}); write it again") from None
    for column in table.columns:
        if UNNAMED.fullmatch(column):
            raise DataError(f"{path}: a column without a name; write the table without row numbers (index=False)")
        if column not in columns:
            raise DataError(
                f"{path}: unknown column {column!r}{near_misses(column, columns)}; known: {', '.join(columns)}"
            )
    if required and required not in table:
        raise DataError(f"{path}: no column {required!r}; add it")
    for column in table.columns:
        blank = np.flatnonzero(table[column].str.strip() == "")
        if len(blank):
            raise DataError(f"{path}: column {column!r} is blank in row {blank[0] + 1} ({len(blank)} rows); fill it in")
    return table


def check_length(table: pd.DataFrame, expected: int, *, path: Path, what: str) -> None:
    """Whether a table has a row for each of what another file holds.

    Raises
    ------
    DataError
        It has not; `what` says how many the other file has.
    """
    if len(table) != expected:
        raise DataError(f"{path}: {len(table)} rows, but {what}; give one row to each, in the same order")


def resolve(stimuli: Sequence[Any], images: ImageFolder, *, path: Path) -> list[str]:
    """File name of the image that each text of a table means.

    Raises
    ------
    DataError
        No image has that name or stem, or several share the stem.
    """
    names = [as_text(stimulus) for stimulus in stimuli]
    try:
        known = {name: images.resolve(name) for name in dict.fromkeys(names)}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return [known[name] for name in names]


def refuse_beside(path: Path, names: Sequence[str], *, why: str) -> None:
    """Refuse files that mean nothing beside `path`, so that none is silently ignored.

    Raises
    ------
    DataError
        One is there; `why` completes the message.
    """
    for name in names:
        if path.with_name(name).exists():
            raise DataError(f"{path.with_name(name)}: {why}; remove it")


def as_text(value: Any) -> str:
    """Text of a cell; netCDF and HDF5 hand some over as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
