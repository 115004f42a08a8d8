"""Comparisons of RDMs on resamples of stimuli and subjects, without forming a resampled RDM.

A resample of stimuli is a vector of counts. A pair of two different stimuli then counts as often as the product of
their counts; pairs of a stimulus with itself count nothing, since they say nothing of the geometry. Equal to comparing
RDMs in which stimuli are repeated and such pairs are left out, as rsatoolbox does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignment.errors import DataError, RequestError
from alignment.resampling import jackknife_deviations, stimulus_counts
from alignment.rsa.pooling import Bounds, Comparison, pool
from alignment.rsa.rdms import RDMs
from alignment.rsa.weighted import Weighed, WeighedMoments, WeighedRanks

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_ENGINES: dict[str, Callable[[Doubles, Doubles, Comparison], Weighed]] = {
    "pearson": WeighedMoments,
    "cosine": WeighedMoments,
    "spearman": WeighedRanks,
    "rho-a": WeighedRanks,
}
_WEIGHTS_AT_ONCE = 500_000


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
    return _resampled(models, subjects, counts, comparison=comparison, present=())[0]


def resampled_bounds(
    subjects: RDMs, counts: Counts, *, comparison: Comparison, subject_counts: Counts | None = None
) -> Bounds:
    """Leave-one-subject-out bounds of each subject in each resample.

    Parameters
    ----------
    subjects : RDMs
        One per subject, at least two.
    counts : array (resample, stimulus) int
    comparison : Comparison
    subject_counts : array (resample, subject) int, optional
        How often each subject stands in the pools of a resample; once each when not given. All copies of a left-out
        subject leave together.

    Returns
    -------
    Bounds
        lower, upper: (resample, subject) float64; NaN for a subject that is not in a resample, or is alone there.

    Raises
    ------
    RequestError
        As `resampled_similarities`; fewer than two subjects.
    """
    present = np.ones((len(counts), len(subjects)), np.int64) if subject_counts is None else subject_counts
    return _resampled(None, subjects, counts, comparison=comparison, present=(present,))[1][0]


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


@dataclass(frozen=True)
class DualBootstrap:
    """Models and bounds when stimuli, subjects, or both are drawn again.

    Attributes
    ----------
    evaluations : dict
        "stimuli", "subjects", "both" -> array (resample, model), means over the subjects of a resample.
    lower, upper : dict
        Likewise -> array (resample,); NaN where a resample has one subject only.
    """

    evaluations: dict[str, Doubles]
    lower: dict[str, Doubles]
    upper: dict[str, Doubles]


def dual_bootstrap(
    models: RDMs, subjects: RDMs, *, comparison: Comparison, n_resamples: int = 1000, seed: int = 0
) -> DualBootstrap:
    """Bootstrap over stimuli, over subjects and over both, on the same draws (Schütt et al. 2023, eLife 12:e82566).

    What is drawn is that of rsatoolbox's `eval_dual_bootstrap`; means over subjects count copies of a subject, where
    rsatoolbox takes each different one once for the bounds. Its variances count what is particular to a pair of stimuli
    three times: `alignment.resampling.standard_error` says what to do instead.

    Parameters
    ----------
    models, subjects : RDMs
        As in `resampled_similarities`.
    comparison : Comparison
    n_resamples, seed : int
    """
    stimuli = stimulus_counts(len(subjects.stimuli), "dual bootstrap", n_resamples=n_resamples, seed=seed)
    stimuli = _redrawn(stimuli, seed=seed)
    people = stimulus_counts(len(subjects), "dual bootstrap", "subjects", n_resamples=n_resamples, seed=seed)
    once, everyone = np.ones((1, len(subjects.stimuli)), np.int64), np.ones_like(people)
    values, (fixed, drawn) = _resampled(models, subjects, stimuli, comparison=comparison, present=(everyone, people))
    whole = np.broadcast_to(resampled_similarities(models, subjects, once, comparison=comparison), values.shape)
    kinds = {"stimuli": (values, everyone), "subjects": (whole, people), "both": (values, people)}
    evaluations = {
        kind: np.einsum("rms,rs->rm", each, counted) / counted.sum(axis=1)[:, None]
        for kind, (each, counted) in kinds.items()
    }
    different, back = np.unique(people, axis=0, return_inverse=True)
    alone = resampled_bounds(
        subjects, np.repeat(once, len(different), axis=0), comparison=comparison, subject_counts=different
    )
    bounds = {
        "stimuli": fixed,
        "subjects": Bounds(alone.lower[back], alone.upper[back]),
        "both": drawn,
    }
    means = {kind: [_mean_of(bound, kinds[kind][1]) for bound in bounds[kind]] for kind in kinds}
    lower, upper = ({kind: means[kind][side] for kind in kinds} for side in (0, 1))
    return DualBootstrap(evaluations, lower, upper)


def _resampled(
    models: RDMs | None, subjects: RDMs, counts: Counts, *, comparison: Comparison, present: Sequence[Counts]
) -> tuple[Doubles, list[Bounds]]:
    """Similarities (resample, model, subject), and the bounds for each way in which subjects are present."""
    _check_counts(counts, n_stimuli=len(subjects.stimuli))
    if present and len(subjects) < 2:
        raise RequestError("one subject has no others to be compared with; a noise ceiling of RDMs needs two")
    for each in present:
        if each.shape != (len(counts), len(subjects)):
            raise RequestError(f"subject_counts: shape {each.shape} is not ({len(counts)}, {len(subjects)})")
    measured = ~np.isnan(subjects.dissimilarities[0]) if models is None else _measured(models, subjects)
    vectors = np.empty((0, 0)) if models is None else models.dissimilarities[:, measured].astype(np.float64)
    values = np.empty((len(counts), len(vectors), len(subjects)))
    bounds = [Bounds(*np.empty((2, len(counts), len(subjects)))) for _ in present]
    if comparison.comparator not in _ENGINES:
        for index, row in enumerate(counts):
            repeated = _repeated(subjects, row)
            if models is not None:
                values[index] = comparison.of(_repeated(models, row), repeated)
            for found, each in zip(bounds, present, strict=True):
                found.lower[index], found.upper[index] = _bounds_of(repeated, each[index], comparison)
        return values, bounds
    for part, weighed in _weighed(subjects, counts, measured=measured, comparison=comparison):
        for model, vector in enumerate(vectors):
            values[part, model] = weighed.similarities(vector)
        for found, each in zip(bounds, present, strict=True):
            found.lower[part], found.upper[part] = weighed.bounds(each[part].astype(np.float64))
    finished = [Bounds(comparison.finish(found.lower), comparison.finish(found.upper)) for found in bounds]
    return comparison.finish(values), finished


def _mean_of(values: Doubles, counted: Counts) -> Doubles:
    """Over subjects, as often as each is there; NaN where one that is there has no value."""
    return np.where(counted > 0, values * counted, 0.0).sum(axis=1) / counted.sum(axis=1)


def _redrawn(counts: Counts, *, seed: int) -> Counts:
    """Resamples with fewer than 3 different stimuli drawn again: no two dissimilarities are left there to correlate."""
    attempt = 0
    while (few := (counts > 0).sum(axis=1) < 3).any():
        attempt += 1
        if attempt > 100:
            raise RequestError(f"{counts.shape[1]} stimuli are too few to resample")
        fresh = stimulus_counts(
            counts.shape[1], "dual bootstrap", "again", attempt, n_resamples=max(2, few.sum()), seed=seed
        )
        counts[few] = fresh[: few.sum()]
    return counts


def _weighed(
    subjects: RDMs, counts: Counts, *, measured: npt.NDArray[np.bool_], comparison: Comparison
) -> Iterator[tuple[slice, Weighed]]:
    """Some resamples at a time, in bounded memory."""
    rows, columns = (places[measured] for places in np.triu_indices(len(subjects.stimuli), k=1))
    vectors = subjects.dissimilarities[:, measured].astype(np.float64)
    engine = _ENGINES[comparison.comparator]
    at_once = max(1, _WEIGHTS_AT_ONCE // len(rows))
    for start in range(0, len(counts), at_once):
        part = slice(start, min(start + at_once, len(counts)))
        drawn = counts[part].astype(np.float64)
        yield part, engine(vectors, drawn[:, rows] * drawn[:, columns], comparison)


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


def _bounds_of(subjects: RDMs, there: Counts, comparison: Comparison) -> Bounds:
    """From explicit copies of subjects, each copy leaving with the others."""
    lower, upper = np.full(len(there), np.nan), np.full(len(there), np.nan)
    everyone = np.repeat(np.arange(len(there)), there)
    for subject in np.flatnonzero(there):
        own = subjects.take([int(subject)])
        upper[subject] = comparison.of(_pool(subjects, everyone, comparison), own)[0, 0]
        others = everyone[everyone != subject]
        if len(others):
            lower[subject] = comparison.of(_pool(subjects, others, comparison), own)[0, 0]
    return Bounds(lower, upper)


def _pool(subjects: RDMs, rows: Counts, comparison: Comparison) -> RDMs:
    return pool(subjects.take([int(row) for row in rows]), comparison)
