"""Noise ceilings: the highest r a perfect model could reach with the repetitions that were averaged.

Two routes lead there. Where a data set states each neuroid's noise-ceiling signal-to-noise ratio (ncsnr), it is turned
into a ceiling for the repetitions at hand; where single trials are at hand, their halves are compared
(`alignment.split_half`).
"""

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from alignment.errors import DataError, RequestError
from alignment.split_half import Floats, resampled_split_half_ceiling, split_half_ceiling, split_half_p_value

__all__ = [
    "ncsnr",
    "noise_ceiling",
    "noise_ceiling_from_ncsnr",
    "resampled_ceiling_from_ncsnr",
    "resampled_split_half_ceiling",
    "single_trials",
    "split_half_ceiling",
    "split_half_p_value",
]

NEUROIDS_AT_ONCE = 1024


def ncsnr(responses: Floats, stimuli: npt.ArrayLike, *, repetitions: int = 3) -> npt.NDArray[np.float64]:
    """Noise-ceiling signal-to-noise ratio of each neuroid (Allen et al. 2022, Nat Neurosci 25:116, Methods).

    Of the stimuli shown exactly `repetitions` times, the noise variance is the mean over stimuli of the unbiased
    variance of their trials, skipping stimuli with a NaN trial; the signal variance is what remains of a variance of 1:

        ncsnr = sqrt(max(0, 1 - noise)) / sqrt(noise)

    Parameters
    ----------
    responses : array (presentation, neuroid) float
        Single trials, z-scored per neuroid within each session (ddof 1).
    stimuli : array (presentation,)
        Id of the stimulus of each presentation.
    repetitions : int

    Returns
    -------
    array (neuroid,) float64
        NaN for a neuroid without one complete stimulus.

    Raises
    ------
    RequestError
        When the shapes do not fit.
    DataError
        When no stimulus was shown `repetitions` times.
    """
    codes, _ = pd.factorize(np.asarray(stimuli))
    if np.ndim(responses) != 2 or len(codes) != len(responses):
        raise RequestError(f"responses {np.shape(responses)} and {len(codes)} stimuli are not (presentation, neuroid)")
    if repetitions < 2:
        raise RequestError(f"repetitions: {repetitions} is not at least 2")
    complete = np.bincount(codes)[codes] == repetitions
    if not complete.any():
        raise DataError(f"responses: no stimulus was presented exactly {repetitions} times")
    rows = np.flatnonzero(complete)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    noise = np.empty(np.shape(responses)[1])
    for start in range(0, len(noise), NEUROIDS_AT_ONCE):
        part = np.asarray(responses[rows, start : start + NEUROIDS_AT_ONCE], np.float64)
        variance = part.reshape(-1, repetitions, part.shape[1]).var(axis=1, ddof=1)
        known = ~np.isnan(variance)
        n_known = known.sum(0)
        total = np.where(known, variance, 0).sum(0)
        noise[start : start + NEUROIDS_AT_ONCE] = np.where(n_known > 0, total / np.maximum(n_known, 1), np.nan)
    with np.errstate(divide="ignore"):
        return np.sqrt(np.maximum(0.0, 1.0 - noise)) / np.sqrt(noise)


def noise_ceiling_from_ncsnr(ncsnr: npt.ArrayLike, repetitions: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Highest expected r of a perfect model with means over these repetitions.

        r_max = sqrt(ncsnr^2 / (ncsnr^2 + <1/k>)),    < > the mean over the evaluated stimuli

    which for A stimuli with 3, B with 2 and C with 1 repetition makes <1/k> = (A/3 + B/2 + C) / (A + B + C)
    (Allen et al. 2022; NSD data manual, "noise ceiling").

    Parameters
    ----------
    ncsnr : array (neuroid,)
        NaN (a neuroid never validly measured) counts as 0.
    repetitions : array (stimulus,) int
        Repetitions averaged for each *evaluated* stimulus.

    Returns
    -------
    array (neuroid,) float64 in [0, 1]

    Examples
    --------
    >>> noise_ceiling_from_ncsnr([0.5, 1.0], [3, 3, 3]).round(3)
    array([0.655, 0.866])
    """
    return _from_snr(_known(ncsnr), np.mean(1 / _repetitions(repetitions)))


def resampled_ceiling_from_ncsnr(
    ncsnr: npt.ArrayLike, repetitions: npt.ArrayLike, counts: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Median over neuroids of `noise_ceiling_from_ncsnr` in each resample of stimuli; the ncsnr stay as they are.

    Parameters
    ----------
    ncsnr, repetitions
        As in `noise_ceiling_from_ncsnr`.
    counts : array (resample, stimulus) int
        The resamples on which the raw score was computed.

    Returns
    -------
    array (resample,) float64
    """
    inverse, weights = 1 / _repetitions(repetitions), np.asarray(counts, np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(inverse):
        raise RequestError(f"counts: shape {weights.shape} is not (resample, {len(inverse)} stimuli)")
    # r_max rises with ncsnr, so that its median lies at the middle ncsnr (or between the two middle ones).
    ordered = np.sort(_known(ncsnr))
    middle = ordered[[(len(ordered) - 1) // 2, len(ordered) // 2]]
    return _from_snr(middle, (weights @ inverse / weights.sum(1))[:, None]).mean(1)


def single_trials(responses: xr.DataArray) -> xr.DataArray:
    """Presentations sorted by stimulus, as `split_half_ceiling` wants them.

    Parameters
    ----------
    responses : DataArray ("presentation", "neuroid", "time_bin") float
        With the coordinate `stimulus` on presentation, and one time bin.

    Returns
    -------
    DataArray ("stimulus", "neuroid", "repetition") float
        Stimuli by first appearance, repetitions in the order of presentation, NaN where there is none.

    Raises
    ------
    RequestError
        When dims, the coordinate or the number of time bins are not as needed.
    """
    if responses.dims != ("presentation", "neuroid", "time_bin") or "stimulus" not in responses.coords:
        raise RequestError(
            f"responses: dims {responses.dims} are not presentation (with stimulus ids), neuroid, time_bin"
        )
    if responses.sizes["time_bin"] != 1:
        raise RequestError(f"responses: {responses.sizes['time_bin']} time bins; select one for a ceiling")
    codes, stimuli = pd.factorize(responses["stimulus"].values)
    repetition = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    values = responses.values[..., 0]
    trials = np.full((len(stimuli), repetition.max() + 1, values.shape[1]), np.nan, values.dtype)
    trials[codes, repetition] = values
    return xr.DataArray(
        trials.transpose(0, 2, 1),
        dims=("stimulus", "neuroid", "repetition"),
        coords={"stimulus": stimuli, **_neuroid_coords(responses)},
    )


def noise_ceiling(
    responses: xr.DataArray, *, n_averaged: npt.ArrayLike | None = None, seed: int = 0, n_splits: int = 20
) -> xr.DataArray:
    """Highest expected r of a perfect model for each neuroid, from its ncsnr where stated, else from split halves.

    Parameters
    ----------
    responses : DataArray ("presentation", "neuroid", "time_bin") float
        Single trials with the coordinate `stimulus`; the coordinate `ncsnr` (neuroid) selects the first route, and
        the attribute `method` of the result says which route was taken.
    n_averaged : array (stimulus,) int, optional
        Repetitions averaged for each evaluated stimulus; by default the presentations of each stimulus here.
    seed, n_splits : int
        Of the random halvings.

    Returns
    -------
    DataArray ("neuroid",) float64
        With the neuroid coordinates of `responses`, and the attribute `method`: "ncsnr" or "split_half".
    """
    if "stimulus" not in responses.coords:
        raise RequestError("responses: no coordinate `stimulus` on presentation")
    ceiling: Floats
    if "ncsnr" in responses.coords:
        if n_averaged is None:
            n_averaged = pd.Series(responses["stimulus"].values).value_counts().to_numpy()
        ceiling, method = noise_ceiling_from_ncsnr(responses["ncsnr"].values, n_averaged), "ncsnr"
    else:
        trials = single_trials(responses).values
        ceiling = split_half_ceiling(trials, seed=seed, n_splits=n_splits, n_averaged=n_averaged).ceiling
        method = "split_half"
    return xr.DataArray(ceiling, dims="neuroid", coords=_neuroid_coords(responses), attrs={"method": method})


def _from_snr(ncsnr: Floats, noise: npt.ArrayLike) -> npt.NDArray[np.float64]:
    # Written so that an infinite ncsnr gives 1 and a ncsnr of 0 gives 0.
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(1 + np.asarray(noise) / np.square(ncsnr))


def _known(ncsnr: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(ncsnr, np.float64)
    if values.ndim != 1 or values.size == 0 or (values < 0).any():
        raise RequestError(f"ncsnr: needs (neuroid,) numbers of at least 0, not shape {values.shape}")
    return np.where(np.isnan(values), 0.0, values)


def _repetitions(repetitions: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(repetitions, np.float64)
    if values.ndim != 1 or values.size == 0 or not (values >= 1).all():
        raise RequestError("repetitions: needs one number of at least 1 for each evaluated stimulus")
    return values


def _neuroid_coords(responses: xr.DataArray) -> dict[Hashable, xr.DataArray]:
    return {name: coord for name, coord in responses.coords.items() if coord.dims == ("neuroid",)}
