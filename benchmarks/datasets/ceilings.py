"""Noise ceilings in the form every data set gives them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from alignment.ceiling import (
    noise_ceiling_from_ncsnr,
    resampled_ceiling_from_ncsnr,
    resampled_split_half_ceiling,
    split_half_ceiling,
    split_half_p_value,
)
from alignment.errors import DataError

MIN_STIMULI = 3


def check_repetitions(trials: xr.DataArray, *, name: str) -> bool:
    """Whether every neuroid has three repeated stimuli, as split halves need.

    Parameters
    ----------
    trials : ("stimulus", "neuroid", "repetition") float, the evaluated stimuli only, NaN where there is no trial
    name : what errors call the data set

    Returns
    -------
    False where no neuroid has

    Raises
    ------
    DataError
        Some neuroids have and others have not.
    """
    enough = _repeated(trials).sum(axis=0) >= MIN_STIMULI
    if enough.any() and not enough.all():
        short = trials["neuroid"].values[~enough]
        raise DataError(
            f"{name}: neuroid {short[0]} has fewer than {MIN_STIMULI} repeated test stimuli ({len(short)} such), "
            "others have more; leave these neuroids out or give their repetitions"
        )
    return bool(enough.all())


def from_trials(trials: xr.DataArray, *, seed: int, name: str) -> xr.Dataset | None:
    """Split-half ceiling of the mean over all single trials.

    Parameters
    ----------
    trials : ("stimulus", "neuroid", "repetition") float, the evaluated stimuli only, NaN where there is no trial
    seed : of the halvings
    name : what errors call the data set

    Returns
    -------
    Dataset with `ceiling`, `split_half`, `spearman_brown` ("neuroid",), the `trials`, and `p_value` (), NaN where fewer
    than three stimuli were repeated for every neuroid; None where no neuroid has three repeated stimuli

    Raises
    ------
    DataError
        Some neuroids have three repeated stimuli and others have not.
    """
    if not check_repetitions(trials, name=name):
        return None
    halves = split_half_ceiling(trials.values, seed=seed)
    testable = _repeated(trials).all(axis=1).sum() >= MIN_STIMULI
    return xr.Dataset(
        {
            "ceiling": ("neuroid", halves.ceiling),
            "split_half": ("neuroid", halves.split_half),
            "spearman_brown": ("neuroid", halves.spearman_brown),
            "p_value": split_half_p_value([trials.values], seed=seed) if testable else float("nan"),
            "trials": trials.drop_vars([name for name in trials.coords if name != "stimulus"]),
        },
        coords={"neuroid": trials["neuroid"]},
        attrs={"method": "split_half", "seed": seed},
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
        {
            "ceiling": ("neuroid", values),
            "p_value": p_value,
            "ncsnr": ("neuroid", responses["ncsnr"].values),
            "repetitions": ("stimulus", responses["repetitions"].values),
        },
        coords={"neuroid": responses["neuroid"], "stimulus": responses["stimulus"]},
        attrs={"method": "ncsnr"},
    )


def resampled(ceiling: xr.Dataset, ids: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Median ceiling over neuroids in each resample of the evaluated stimuli.

    Parameters
    ----------
    ceiling : of a data set, with the `trials` or the `ncsnr` and `repetitions` it was made of; a ceiling that says
        nothing of its making stays as it is in every resample
    ids : the stimuli that were resampled
    counts : (resample, stimulus) int, in the order of `ids`

    Returns
    -------
    array (resample,) float64
    """
    if not {"trials", "ncsnr"} & set(ceiling.data_vars):
        return np.full(len(counts), np.median(ceiling["ceiling"].values))
    if "stimulus" not in ceiling.coords:
        raise DataError("ceiling: trials or ncsnr without a `stimulus` coordinate; name the stimuli they belong to")
    position = {str(name): column for column, name in enumerate(ids)}
    own = counts[:, [position[str(name)] for name in ceiling["stimulus"].values]]
    if "trials" in ceiling:
        return resampled_split_half_ceiling(ceiling["trials"].values, own, seed=int(ceiling.attrs["seed"]))
    ncsnr, repetitions = ceiling["ncsnr"].values, ceiling["repetitions"].values
    plain = np.median(noise_ceiling_from_ncsnr(ncsnr, repetitions))
    # neuroids that missed a session have fewer repetitions: resamples say how far the median moves, not where it is
    scale = np.median(ceiling["ceiling"]) / plain if plain > 0 else 1.0
    return resampled_ceiling_from_ncsnr(ncsnr, repetitions, own) * scale


def repeated_stimuli(ceiling: xr.Dataset | None) -> tuple[str, ...]:
    """The stimuli that a split-half ceiling is made of, those repeated for every neuroid; none for another ceiling."""
    if ceiling is None or "trials" not in ceiling:
        return ()
    usable = _repeated(ceiling["trials"]).all(axis=1)
    return tuple(str(name) for name in ceiling["stimulus"].values[usable])


def _repeated(trials: xr.DataArray) -> np.ndarray:
    """(stimulus, neuroid) bool."""
    return (~np.isnan(trials.values)).sum(axis=2) >= 2
