"""The named arrays that cross a border, and the checks made there.

Responses    ("presentation", "neuroid", "time_bin"), time_bin = [0.0] when unresolved;
             presentation coords: stimulus, repetition, session; neuroid coords: subject, roi, ncsnr (when known)
Activations  ("stimulus", "time_bin", "unit") float32, one layer
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from alignment.errors import DataError

RESPONSE_DIMS = ("presentation", "neuroid", "time_bin")
ACTIVATION_DIMS = ("stimulus", "time_bin", "unit")


def responses_array(
    values: np.ndarray,
    *,
    stimulus: Sequence[str],
    repetition: Sequence[int] | None = None,
    session: Sequence[str] | None = None,
    time_bins: Sequence[float] = (0.0,),
    neuroid: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Build Responses from plain arrays.

    Parameters
    ----------
    values : (presentation, neuroid) or (presentation, neuroid, time_bin) float
    stimulus : the stimulus id of each presentation
    repetition, session : per presentation; repetition is counted in order of appearance when not given
    time_bins : ms after stimulus onset; (0.0,) when unresolved
    neuroid : coordinates of each neuroid, such as subject, roi, ncsnr

    Returns
    -------
    DataArray ("presentation", "neuroid", "time_bin") float32
    """
    cube = np.asarray(values, dtype=np.float32)
    cube = cube[..., None] if cube.ndim == 2 else cube
    ids = np.asarray([str(name) for name in stimulus])
    shown = pd.Series(ids).groupby(ids).cumcount().to_numpy() if repetition is None else np.asarray(repetition)
    coords: dict[str, Any] = {
        "stimulus": ("presentation", ids),
        "repetition": ("presentation", shown),
        "session": ("presentation", np.asarray(session if session is not None else [""] * len(ids))),
        "time_bin": np.asarray(time_bins, dtype=float),
    }
    coords |= {name: ("neuroid", np.asarray(column)) for name, column in (neuroid or {}).items()}
    return check_responses(xr.DataArray(cube, dims=RESPONSE_DIMS, coords=coords))


def check_responses(responses: xr.DataArray, *, name: str = "responses") -> xr.DataArray:
    """Return `responses` unchanged if they meet the contract.

    Raises
    ------
    DataError
        The dims are not ("presentation", "neuroid", "time_bin"), the stimulus coordinate is missing, or it is empty.
    """
    if responses.dims != RESPONSE_DIMS:
        raise DataError(f"{name}: dims are {responses.dims}, expected {RESPONSE_DIMS}; transpose or rename them")
    if "stimulus" not in responses.coords or responses["stimulus"].dims != ("presentation",):
        raise DataError(f"{name}: no `stimulus` coordinate along presentation; add the stimulus id of each one")
    if 0 in responses.shape:
        raise DataError(f"{name}: empty ({dict(responses.sizes)}); check the selection of subjects, roi and sessions")
    return responses


def average_repetitions(responses: xr.DataArray) -> xr.DataArray:
    """Mean over the presentations of each stimulus, NaN trials skipped.

    Returns
    -------
    DataArray ("stimulus", "neuroid", "time_bin") float32, stimuli in order of first appearance, with the coordinate
    `repetitions` along stimulus: how many presentations were averaged.
    """
    check_responses(responses)
    shown = pd.factorize(responses["stimulus"].values)
    group, ids = shown[0], np.asarray(shown[1])
    by_stimulus = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_stimulus], prepend=-1))
    values = responses.values[by_stimulus].astype(np.float64)
    present = np.isfinite(values)
    total = np.add.reduceat(np.where(present, values, 0.0), starts, axis=0)
    count = np.add.reduceat(present, starts, axis=0, dtype=np.int64)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    neuroid = {key: coord for key, coord in responses.coords.items() if coord.dims in (("neuroid",), ("time_bin",))}
    return xr.DataArray(
        mean.astype(np.float32),
        dims=("stimulus", "neuroid", "time_bin"),
        coords={
            "stimulus": ids,
            "repetitions": ("stimulus", np.bincount(group, minlength=len(ids))),
            **neuroid,
        },
    )
