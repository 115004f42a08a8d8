"""Reading responses and their tables from a user's folder, every fault named with its file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from alignment.arrays import responses_array
from alignment.errors import DataError, near_misses
from benchmarks.datasets.base import Split
from benchmarks.datasets.folder_tables import as_text, check_length, read_table, resolve
from benchmarks.datasets.image_files import ImageFolder
from benchmarks.datasets.npy_files import read_array
from benchmarks.datasets.splits import by_label

PRESENTATION = ("stimulus", "repetition", "session", "split", "repetitions")
NEUROID = ("subject", "roi", "ncsnr")
SPLIT_TABLE = ("stimulus", "split", "fold")
DIMS = ("presentation", "neuroid", "time_bin")
ONE_SUBJECT = "subject1"
HALVES = ("train", "test")


@dataclass(frozen=True)
class FolderResponses:
    """Responses in a user's folder.

    Attributes
    ----------
    responses : Responses; stimulus ids are file names; presentation coordinate `repetitions`, how many showings a row
        is the mean of; neuroid coordinates subject, roi, ncsnr (when given)
    splits : those of `splits.csv` or of the column `split`; None where neither is given
    images : the image files
    """

    responses: xr.DataArray
    splits: tuple[Split, ...] | None
    images: ImageFolder


@dataclass(frozen=True)
class _Table:
    """Responses and what was written about each presentation and neuroid, still as text or plain arrays.

    `files` says where what is known about each "presentation" and "neuroid" was read.
    """

    values: np.ndarray
    presentation: Mapping[str, Sequence[Any]]
    neuroid: Mapping[str, Sequence[Any]]
    files: Mapping[str, Path]
    time_bins: Sequence[float] = (0.0,)


def read_responses(path: Path) -> FolderResponses:
    """Read the responses in `path`, the tables beside it, and find the images.

    Parameters
    ----------
    path : `responses.npy`, `responses.nc` or `assembly.nc` in a folder that has `images/` as well

    Raises
    ------
    DataError
        A file is missing, damaged, or does not fit the others.
    """
    images = ImageFolder(path.with_name("images"))
    table = READERS[path.name](path)
    ids = resolve(table.presentation["stimulus"], images, path=table.files["presentation"])
    return FolderResponses(_responses(table, ids), _splits(path.parent, table, ids, images), images)


def _from_npy(path: Path) -> _Table:
    values = read_array(path, dims=("presentation", "neuroid"))
    presentations = path.with_name("presentations.csv")
    presentation = read_table(presentations, columns=PRESENTATION, required="stimulus")
    check_length(presentation, len(values), path=presentations, what=f"{path.name} has {len(values)} presentations")
    neuroids = path.with_name("neuroids.csv")
    neuroid = read_table(neuroids, columns=NEUROID) if neuroids.exists() else pd.DataFrame()
    if neuroids.exists():
        check_length(neuroid, values.shape[1], path=neuroids, what=f"{path.name} has {values.shape[1]} neuroids")
    return _Table(
        values, _columns(presentation), _columns(neuroid), {"presentation": presentations, "neuroid": neuroids}
    )


def _from_netcdf(path: Path) -> _Table:
    try:
        # times would be decoded from a unit such as "ms" into something that is no number
        dataset = xr.load_dataset(path, decode_times=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(f"{path}: cannot read netCDF ({str(error).splitlines()[0][:120]}); write it again") from None
    if "responses" not in dataset:
        found = ", ".join(map(str, dataset.data_vars)) or "none"
        raise DataError(f"{path}: no variable `responses` (found: {found}); name the array `responses`")
    array = dataset["responses"]
    if array.ndim not in (2, 3) or not {"presentation", "neuroid"} <= set(array.dims) <= set(DIMS):
        raise DataError(f"{path}: dims of `responses` are {array.dims}, expected {DIMS[:2]} or {DIMS}; rename them")
    if array.dtype.kind not in "fiu" or not array.size:
        raise DataError(f"{path}: `responses` is {array.dtype} {array.shape}, expected real numbers, no axis empty")
    array = array.transpose(*[dim for dim in DIMS if dim in array.dims])
    presentation = _along(array, "presentation", PRESENTATION, path=path)
    if "stimulus" not in presentation:
        raise DataError(f"{path}: no coordinate `stimulus` along presentation; add the image name of each presentation")
    time_bins = array["time_bin"].values.tolist() if "time_bin" in array.dims else (0.0,)
    neuroid = _along(array, "neuroid", NEUROID, path=path)
    return _Table(array.values, presentation, neuroid, {"presentation": path, "neuroid": path}, time_bins)


def _from_assembly(path: Path) -> _Table:
    from alignment.assemblies import read_assembly

    array = read_assembly(path)
    presentation, neuroid = (
        {name: array[name].values.tolist() for name in names if name in array.coords}
        for names in (PRESENTATION, NEUROID)
    )
    files = {"presentation": path, "neuroid": path}
    return _Table(array.values, presentation, neuroid, files, array["time_bin"].values.tolist())


READERS: Mapping[str, Callable[[Path], _Table]] = {
    "responses.nc": _from_netcdf,
    "responses.npy": _from_npy,
    "assembly.nc": _from_assembly,
}


def _along(array: xr.DataArray, dim: str, known: Sequence[str], *, path: Path) -> dict[str, list[Any]]:
    """Known coordinates along `dim`; other ones are the user's own, unless they look like a slip of the pen."""
    columns = {}
    for key, coordinate in array.coords.items():
        if coordinate.dims != (dim,) or key == dim:
            continue
        name = str(key)
        if name in known:
            columns[name] = coordinate.values.tolist()
        elif hint := near_misses(name.lower(), known):
            raise DataError(f"{path}: unknown coordinate {name!r} along {dim}{hint}")
    return columns


def _columns(table: pd.DataFrame) -> dict[str, list[str]]:
    return {str(column): table[column].tolist() for column in table.columns}


def _responses(table: _Table, ids: Sequence[str]) -> xr.DataArray:
    count = table.values.shape[1]
    neuroid: dict[str, Any] = {
        "neuroid": np.arange(count),
        "subject": [as_text(name) for name in table.neuroid.get("subject", [ONE_SUBJECT] * count)],
        "roi": [as_text(name) for name in table.neuroid.get("roi", [""] * count)],
    }
    if "ncsnr" in table.neuroid:
        neuroid["ncsnr"] = _numbers(table, "neuroid", "ncsnr", least=0)
    repetition = _numbers(table, "presentation", "repetition", least=0, whole=True)
    averaged = _numbers(table, "presentation", "repetitions", least=1, whole=True)
    responses = responses_array(
        table.values,
        stimulus=ids,
        repetition=None if repetition is None else repetition.astype(int).tolist(),
        session=[as_text(name) for name in table.presentation.get("session", [""] * len(ids))],
        time_bins=table.time_bins,
        neuroid=neuroid,
    )
    shown = np.ones(len(ids), int) if averaged is None else averaged.astype(int)
    if averaged is not None and len(set(ids)) < len(ids):
        raise DataError(
            f"{table.files['presentation']}: `repetitions` says that rows are means, so give one row to each stimulus"
        )
    return responses.assign_coords(repetitions=("presentation", shown))


def _numbers(table: _Table, dim: str, name: str, *, least: float, whole: bool = False) -> np.ndarray | None:
    column = (table.presentation if dim == "presentation" else table.neuroid).get(name)
    if column is None:
        return None
    try:
        values = np.array([float(as_text(cell)) for cell in column])
    except ValueError as error:
        raise DataError(f"{table.files[dim]}: {name} of a {dim}: {error}; write a number") from None
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= least)) | (whole & (values % 1 != 0)))
    if len(bad):
        kind = "whole number" if whole else "number"
        raise DataError(
            f"{table.files[dim]}: {name} of {dim} {bad[0]} is {values[bad[0]]:g}, expected a {kind} >= {least:g}"
        )
    return values


def _splits(folder: Path, table: _Table, ids: Sequence[str], images: ImageFolder) -> tuple[Split, ...] | None:
    path = folder / "splits.csv"
    if path.exists() and "split" in table.presentation:
        raise DataError(f"{path}: there is a column `split` with the presentations as well; keep one of the two")
    if "split" in table.presentation:
        labels = [as_text(label) for label in table.presentation["split"]]
        return _halves(_one_label(ids, labels, path=table.files["presentation"]), path=table.files["presentation"])
    if not path.exists():
        return None
    rows = read_table(path, columns=SPLIT_TABLE, required="stimulus")
    if ("split" in rows) == ("fold" in rows):
        raise DataError(f"{path}: give one of the columns `split` (train or test) and `fold`")
    label = "split" if "split" in rows else "fold"
    label_of = _one_label(resolve(rows["stimulus"].tolist(), images, path=path), rows[label].tolist(), path=path)
    for fault, where in ((set(ids) - set(label_of), "is not in it"), (set(label_of) - set(ids), "has no responses")):
        if fault:
            raise DataError(
                f"{path}: stimulus {min(fault)!r} {where} ({len(fault)} such); list the stimuli shown, once each"
            )
    return _halves(label_of, path=path) if label == "split" else by_label(label_of)


def _one_label(ids: Sequence[str], labels: Sequence[str], *, path: Path) -> dict[str, str]:
    label_of: dict[str, str] = {}
    for stimulus, label in zip(ids, labels, strict=True):
        if label_of.setdefault(stimulus, label) != label:
            raise DataError(f"{path}: stimulus {stimulus!r} is in {label_of[stimulus]!r} and {label!r}; put it in one")
    return label_of


def _halves(label_of: Mapping[str, str], *, path: Path) -> tuple[Split, ...]:
    other = sorted(set(label_of.values()) - set(HALVES))
    if other:
        raise DataError(f"{path}: split {other[0]!r} is neither train nor test; for folds, use splits.csv with `fold`")
    train, test = (tuple(sorted(name for name, label in label_of.items() if label == half)) for half in HALVES)
    return (Split("test", train=train, test=test),)
