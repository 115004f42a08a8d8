"""Comparisons of RDMs on resamples of stimuli and subjects, without forming a resampled RDM.

A resample of stimuli is a vector of counts. A pair of two different stimuli then counts as often as the product of
their counts; pairs of a stimulus with itself count nothing, since they say nothing of the geometry. Equal to comparing
RDMs in which stimuli are repeated and such pairs are left out, as rsatoolbox does.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from alignment.errors import DataError, RequestError
from alignment.resampling import jackknife_deviations
from alignment.rsa.pooling import Bounds, Comparison, leave_one_out
from alignment.rsa.rdms import RDMs
from alignment.rsa.weighted import Engine, Moments, Pairs
from alignment.rsa.weighted_ranks import Ranks

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_ENGINES: dict[str, Callable[[Pairs, Comparison], Engine]] = {
    "pearson": Moments,
    "cosine": Moments,
    "spearman": Ranks,
    "rho-a": Ranks,
}


def resampled_similarities(models: RDMs, subjects: RDMs, counts: Counts, *, comparison: Comparison) -> Doubles:
    """Similarity of each model with each subject in each resample of stimuli.

    Parameters
    ----------
    models, subjects : RDMs
        Of the same stimuli in the same order, NaN in the same places.
    counts : array (resample, stimulus) int
        At least 3 different stimuli in each resample.
    comparison : Comparison

    Returns
    -------
    array (resample, model, subject) float64

    Raises
    ------
    DataError
        Other stimuli, or NaN in other places, in models than in subjects.
    RequestError
        Counts that do not fit, or a resample with fewer than 3 different stimuli.
    """
    _check_counts(counts, n_stimuli=len(subjects.stimuli))
    measured = _measured(models, subjects)
    engine = _engine(subjects, measured, comparison)
    if engine is None:
        found = [comparison.of(_repeated(models, row), _repeated(subjects, row)) for row in counts]
        return np.array(found)
    return comparison.finish(engine.similarities(_vectors(models, measured), _vectors(subjects, measured), counts))


def resampled_bounds(subjects: RDMs, counts: Counts, *, comparison: Comparison) -> Bounds:
    """Leave-one-subject-out bounds of each subject in each resample.

    Parameters
    ----------
    subjects : RDMs
        One per subject, at least two.
    counts : array (resample, stimulus) int
    comparison : Comparison

    Returns
    -------
    Bounds
        lower, upper: (resample, subject) float64.

    Raises
    ------
    RequestError
        As `resampled_similarities`; fewer than two subjects.
    """
    _check_counts(counts, n_stimuli=len(subjects.stimuli))
    if len(subjects) < 2:
        raise RequestError("one subject has no others to be compared with; a noise ceiling of RDMs needs two")
    measured = ~np.isnan(subjects.dissimilarities[0])
    engine = _engine(subjects, measured, comparison)
    if engine is None:
        each = [leave_one_out(_repeated(subjects, row), comparison) for row in counts]
        return Bounds(np.array([bounds.lower for bounds in each]), np.array([bounds.upper for bounds in each]))
    bounds = engine.bounds(_vectors(subjects, measured), counts)
    return Bounds(comparison.finish(bounds.lower), comparison.finish(bounds.upper))


def similarity_deviations(models: RDMs, subjects: RDMs, *, comparison: Comparison) -> Doubles:
    """Jackknife over stimuli of each model's similarity with each subject, (model, subject, stimulus).

    See `alignment.resampling.jackknife_deviations`.
    """
    left_out = resampled_similarities(models, subjects, _one_left_out(subjects), comparison=comparison)
    return jackknife_deviations(left_out.transpose(1, 2, 0))


def bound_deviations(subjects: RDMs, *, comparison: Comparison) -> Bounds:
    """Jackknife over stimuli of each subject's bounds, each (subject, stimulus)."""
    bounds = resampled_bounds(subjects, _one_left_out(subjects), comparison=comparison)
    return Bounds(jackknife_deviations(bounds.lower.T), jackknife_deviations(bounds.upper.T))


def _engine(subjects: RDMs, measured: npt.NDArray[np.bool_], comparison: Comparison) -> Engine | None:
    """None for a comparator without a weighted form."""
    make = _ENGINES.get(comparison.comparator)
    return None if make is None else make(Pairs.of(measured, n_stimuli=len(subjects.stimuli)), comparison)


def _vectors(rdms: RDMs, measured: npt.NDArray[np.bool_]) -> Doubles:
    return rdms.dissimilarities[:, measured].astype(np.float64)


def _measured(models: RDMs, subjects: RDMs) -> npt.NDArray[np.bool_]:
    if models.stimuli != subjects.stimuli:
        raise DataError("RDMs of other stimuli, or in another order, in models than in subjects; select the same")
    measured = ~np.isnan(subjects.dissimilarities[0])
    odd = int((measured == np.isnan(models.dissimilarities[0])).sum())
    if odd:
        raise DataError(f"RDMs: {odd} pairs are NaN in one of the two only; leave these stimuli out of both")
    return measured


def _check_counts(counts: Counts, *, n_stimuli: int) -> None:
    if counts.ndim != 2 or counts.shape[1] != n_stimuli or not len(counts) or (counts < 0).any():
        raise RequestError(f"counts: shape {counts.shape} is not (resample, {n_stimuli} stimuli), or some are below 0")
    if ((counts > 0).sum(axis=1) < 3).any():
        raise RequestError("counts: a resample has fewer than 3 different stimuli; draw it again")


def _one_left_out(subjects: RDMs) -> Counts:
    count = len(subjects.stimuli)
    if count < 4:
        raise RequestError(f"{count} stimuli: a jackknife of RDMs needs 4")
    return 1 - np.eye(count, dtype=np.int64)


def _repeated(rdms: RDMs, counts: Counts) -> RDMs:
    """RDMs in which stimuli stand as often as counted, NaN between copies: for comparators without a weighted form."""
    chosen = np.repeat(np.arange(len(counts)), counts)
    squares = rdms.squares()[:, chosen][:, :, chosen]
    squares[:, chosen[:, None] == chosen] = np.nan
    names = tuple(f"{index}" for index in range(len(chosen)))
    return RDMs.from_squares(squares, stimuli=names, subjects=rdms.subjects)
