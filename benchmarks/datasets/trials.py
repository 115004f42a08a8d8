"""Single trials of the stimuli that are judged on, from whichever data set has them."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import xarray as xr

from benchmarks.datasets.base import DataSet


@runtime_checkable
class HoldsTrials(Protocol):
    """A data set that gives its single trials by themselves, where its ceilings are made of something else."""

    def trials(self, subject: str) -> xr.DataArray | None:
        """As `trials_of`."""
        ...


def trials_of(dataset: DataSet, subject: str) -> xr.DataArray | None:
    """Single trials of one subject: the data set's own, or those that its ceiling was made of.

    Returns
    -------
    DataArray ("stimulus", "neuroid", "repetition") float, the evaluated stimuli only, NaN where there is no trial; None
    where the data set has none
    """
    if isinstance(dataset, HoldsTrials):
        return dataset.trials(subject)
    ceiling = dataset.ceiling(subject)
    return None if ceiling is None or "trials" not in ceiling else ceiling["trials"]


def shown_twice(trials: xr.DataArray) -> npt.NDArray[np.bool_]:
    """(stimulus,), whether there are two trials at least, in which some neuroid was recorded."""
    return np.isfinite(trials.values).any(axis=1).sum(axis=1) >= 2
