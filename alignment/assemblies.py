"""Responses to and from Brain-Score's assemblies: netCDF files as its BrainIO format lays them out.

Such a file has one variable of measurements with the dims presentation and neuroid, in any order, with or without
time_bin, and flat coordinates along them, since netCDF holds no multi-index. Names differ from ours:

    stimulus_id (older files: image_id)     stimulus
    region (where there is no roi)          roi
    animal (where there is no subject)      subject
    time_bin_start                          time_bin, which keeps time_bin_start and time_bin_end beside it

All other coordinates keep their names. The attributes `identifier` and `stimulus_set_identifier` name the assembly and
its stimuli (https://github.com/brain-score/brainio, docs/SPECIFICATION.md).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from alignment.arrays import RESPONSE_DIMS, check_responses
from alignment.errors import DataError
from alignment.whole_files import whole_file

VARIABLE = "data"
COMPRESSION = {VARIABLE: {"zlib": True, "complevel": 1}}
START, END = "time_bin_start", "time_bin_end"


def read_assembly(path: Path) -> xr.DataArray:
    """Read an assembly of Brain-Score as Responses.

    Without time bins, or with a single one whose start is not a number, responses are unresolved: time_bin is 0.
    Repetitions are counted in order of appearance when the file has none, and the session is empty.

    Parameters
    ----------
    path : Path
        A netCDF-4 file. Groups in it (Brain-Score keeps extras there) are not looked at.

    Returns
    -------
    DataArray ("presentation", "neuroid", "time_bin") float32
        With the attributes of the file.

    Raises
    ------
    DataError
        No such file, or not netCDF-4; no variable, or more than one, with presentations and neuroids; a coordinate that
        is missing or has the name of another of ours; or as `alignment.arrays.check_responses`.

    Examples
    --------
    >>> import tempfile
    >>> from alignment.arrays import responses_array
    >>> responses = responses_array(np.ones((2, 3)), stimulus=["a", "b"], neuroid={"roi": ["IT"] * 3})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_assembly(Path(folder) / "assembly.nc", responses, identifier="me.Example2026")
    ...     read_assembly(path).identical(responses.assign_attrs(identifier="me.Example2026"))
    True
    """
    if not path.is_file():
        raise DataError(f"{path}: no such assembly")
    try:
        # units such as "ms" stay numbers
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as opened:
            dataset = opened.load().drop_encoding()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a netCDF-4 file ({_one_line(error)}); fetch it again") from None
    array = _measurements(dataset, path=path)
    array = _renamed(array, _their_names(array, path=path), path=path)
    array = _with_time_bins(array, path=path).transpose(*RESPONSE_DIMS).astype(np.float32)
    return _with_defaults(check_responses(array, name=str(path)), path=path)


def write_assembly(
    path: Path, responses: xr.DataArray, *, identifier: str, stimulus_set_identifier: str | None = None
) -> Path:
    """Write Responses as an assembly of Brain-Score, whole or not at all; an older file of that name is replaced.

    Parameters
    ----------
    path : Path
        By Brain-Score's custom `assy_<identifier>.nc`.
    responses : DataArray ("presentation", "neuroid", "time_bin")
        Time bins need the coordinate `time_bin_end` along time_bin (ms); `time_bin_start` is that of time_bin when it
        is not there. Unresolved responses (one bin at 0 without an end) are written without the dim.
    identifier : str
        Name of the assembly, as in `dicarlo.MajajHong2015`.
    stimulus_set_identifier : str, optional
        Name of the stimulus set in Brain-Score.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        Time bins without an end; two coordinates that would get one name; a coordinate or attribute that netCDF cannot
        hold; a place that cannot be written; or as `alignment.arrays.check_responses`.
    """
    array = check_responses(responses)
    array = array.reset_index([dim for dim in array.dims if isinstance(array.indexes.get(dim), pd.MultiIndex)])
    resolved = END in array.coords or array["time_bin"].values.tolist() != [0.0]
    array = _with_edges(array) if resolved else array.isel(time_bin=0, drop=True)
    array = _renamed(array, _our_names(array), path=path)
    named = {"identifier": identifier}
    if stimulus_set_identifier is not None:
        named["stimulus_set_identifier"] = stimulus_set_identifier
    array = array.assign_attrs(named)
    # the format wants the names on the file, xarray's open_dataarray looks for them on the variable
    dataset = array.to_dataset(name=VARIABLE).assign_attrs(named)
    with whole_file(path) as partial:
        try:
            dataset.to_netcdf(partial, engine="h5netcdf", encoding=COMPRESSION)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} cannot hold these responses ({_one_line(error)}); drop that part") from None
    return path


def _measurements(dataset: xr.Dataset, *, path: Path) -> xr.DataArray:
    """The one variable of data, every other variable along its dims a coordinate of it."""
    allowed = {*RESPONSE_DIMS[:2]}, {*RESPONSE_DIMS}
    found = [name for name, one in dataset.data_vars.items() if {*one.dims} in allowed and one.dtype.kind in "fiub"]
    if len(found) != 1:
        held = {str(name): variable.dims for name, variable in dataset.data_vars.items()}
        raise DataError(
            f"{path}: {len(found)} variables of real numbers along presentation and neuroid, not one; it has {held}"
        )
    others = [name for name in dataset.data_vars if name != found[0]]
    array = dataset.set_coords(others)[found[0]]
    return array.rename(None).assign_attrs(dataset.attrs | array.attrs)


def _their_names(array: xr.DataArray, *, path: Path) -> dict[str, str]:
    """Coordinates of an assembly that have another name here."""
    ids = [name for name in ("stimulus_id", "image_id") if name in array.coords]
    if not ids:
        raise DataError(f"{path}: no coordinate stimulus_id (or image_id) along presentation; it says what was shown")
    names = {ids[0]: "stimulus"}
    if "region" in array.coords and "roi" not in array.coords:
        names["region"] = "roi"
    if "animal" in array.coords and "subject" not in array.coords:
        names["animal"] = "subject"
    return names


def _our_names(responses: xr.DataArray) -> dict[str, str]:
    """Coordinates of responses that have another name in an assembly; `subject` is known there too."""
    names = {"stimulus": "stimulus_id"}
    if "roi" in responses.coords and "region" not in responses.coords:
        names["roi"] = "region"
    return names


def _renamed(array: xr.DataArray, names: Mapping[str, str], *, path: Path) -> xr.DataArray:
    taken = [new for new in names.values() if new in array.coords]
    if taken:
        old = next(old for old, new in names.items() if new == taken[0])
        raise DataError(f"{path}: both {old} and {taken[0]} are there, and the first gets that name; rename the other")
    return array.rename(names)


def _with_time_bins(array: xr.DataArray, *, path: Path) -> xr.DataArray:
    if "time_bin" not in array.dims:
        return array.drop_vars("time_bin", errors="ignore").expand_dims(time_bin=[0.0])
    if START not in array.coords:
        if "time_bin" in array.coords:
            return array
        raise DataError(f"{path}: no coordinate {START} along time_bin (ms after stimulus onset); add it")
    starts = pd.to_numeric(array[START].values, errors="coerce").astype(np.float64)
    if not np.isfinite(starts).all():
        if len(starts) > 1:
            raise DataError(f"{path}: {START} is not a number in some of {len(starts)} time bins; mend the file")
        starts = np.zeros(1)
    return array.assign_coords(time_bin=starts)


def _with_defaults(array: xr.DataArray, *, path: Path) -> xr.DataArray:
    """Stimulus ids and sessions as text, and what Responses always have."""
    missing = int(pd.isna(array["stimulus"].values).sum())
    if missing:
        raise DataError(f"{path}: {missing} presentations have no stimulus id; mend the file")
    ids = _text(array["stimulus"].values)
    added = {"stimulus": ids}
    added["session"] = _text(array["session"].values) if "session" in array.coords else np.full(len(ids), "")
    if "repetition" not in array.coords:
        added["repetition"] = pd.Series(ids).groupby(ids).cumcount().to_numpy()
    return array.assign_coords({name: ("presentation", values) for name, values in added.items()})


def _text(values: np.ndarray) -> np.ndarray:
    return np.array([name.decode() if isinstance(name, bytes) else str(name) for name in values])


def _with_edges(array: xr.DataArray) -> xr.DataArray:
    if END not in array.coords:
        raise DataError(
            f"responses: no coordinate {END} along time_bin (ms); Brain-Score's bins have a start and an end"
        )
    starts = array[START] if START in array.coords else array["time_bin"]
    return array.assign_coords({START: ("time_bin", starts.values)}).drop_vars("time_bin")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
