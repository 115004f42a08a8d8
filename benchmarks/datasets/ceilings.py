"""Noise ceilings in the form every data set gives them."""

import numpy as np
import xarray as xr

from alignment.ceiling import noise_ceiling_from_ncsnr, split_half_ceiling, split_half_p_value
from alignment.errors import DataError

MIN_STIMULI = 3


def from_trials(trials: xr.DataArray, *, seed: int, name: str) -> xr.Dataset | None:
    """Split-half ceiling of the mean over all single trials.

    Parameters
    ----------
    trials : ("stimulus", "neuroid", "repetition") float, the evaluated stimuli only, NaN where there is no trial
    seed : of the halvings
    name : what errors call the data set

    Returns
    -------
    Dataset with `ceiling`, `split_half`, `spearman_brown` ("neuroid",) and `p_value` (), NaN where fewer than three
    stimuli were repeated for every neuroid; None where no neuroid has three repeated stimuli

    Raises
    ------
    DataError
        Some neuroids have three repeated stimuli and others have not.
    """
    repeated = (~np.isnan(trials.values)).sum(axis=2) >= 2
    enough = repeated.sum(axis=0) >= MIN_STIMULI
    if not enough.any():
        return None
    if not enough.all():
        short = trials["neuroid"].values[~enough]
        raise DataError(
            f"{name}: neuroid {short[0]} has fewer than {MIN_STIMULI} repeated test stimuli ({len(short)} such), "
            "others have more; leave these neuroids out or give their repetitions"
        )
    halves = split_half_ceiling(trials.values, seed=seed)
    testable = repeated.all(axis=1).sum() >= MIN_STIMULI
    return xr.Dataset(
        {
            "ceiling": ("neuroid", halves.ceiling),
            "split_half": ("neuroid", halves.split_half),
            "spearman_brown": ("neuroid", halves.spearman_brown),
            "p_value": split_half_p_value([trials.values], seed=seed) if testable else float("nan"),
        },
        coords={"neuroid": trials["neuroid"]},
        attrs={"method": "split_half"},
    )


def from_ncsnr(responses: xr.DataArray, *, p_value: float) -> xr.Dataset:
    """Ceiling from the stated noise-ceiling signal-to-noise ratio and the repetitions averaged.

    Parameters
    ----------
    responses : ("stimulus", "neuroid", "time_bin"), the evaluated stimuli only, coordinates `ncsnr` and `repetitions`
    p_value : of the reliability being 0; NaN where it could not be tested

    Returns
    -------
    Dataset with `ceiling` ("neuroid",) and `p_value` ()
    """
    values = noise_ceiling_from_ncsnr(responses["ncsnr"].values, responses["repetitions"].values)
    return xr.Dataset(
        {"ceiling": ("neuroid", values), "p_value": p_value},
        coords={"neuroid": responses["neuroid"]},
        attrs={"method": "ncsnr"},
    )
