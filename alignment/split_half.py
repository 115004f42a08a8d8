"""Reliability from single trials: random halves of each stimulus's repetitions, corrected to all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignment.correlation import pearson, weighted_pearson
from alignment.errors import DataError, RequestError
from alignment.seeds import generator

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class SplitHalf:
    """Reliability per neuroid.

    Attributes
    ----------
    split_half : array (neuroid,) float64
        Correlation of half means over stimuli, averaged over random halvings.
    spearman_brown : array (neuroid,) float64
        Reliability of the mean over all repetitions; not clipped, so noise can make it negative.
    ceiling : array (neuroid,) float64
        sqrt(max(0, spearman_brown)): the highest expected r of a perfect model with that mean.
    """

    split_half: Floats
    spearman_brown: Floats
    ceiling: Floats


def split_half_ceiling(
    trials: Floats, *, seed: int, n_splits: int = 20, n_averaged: npt.ArrayLike | None = None
) -> SplitHalf:
    """Split-half reliability, Spearman-Brown correction and ceiling on r, for any mix of repetition counts.

    For a trial = signal + noise with variances S and N, half means over a and b repetitions correlate by
    r = S / sqrt((S + N <1/a>) (S + N <1/b>)), with < > the mean over stimuli. Solved for S / N,

        S/N = r (r (A + B) + sqrt(r^2 (A + B)^2 + 4 (1 - r^2) A B)) / (2 (1 - r^2)),    A = <1/a>, B = <1/b>

    and the reliability of means over n repetitions is (S/N) / (S/N + <1/n>). With equal halves and n = 2 a this is
    2 r / (1 + r) (Spearman 1910, Brown 1910); for unequal ones it is Horst's (1951, Psychometrika 16:189) correction.
    Taking 2 r / (1 + r) there would put the ceiling too low.

    Parameters
    ----------
    trials : array (stimulus, neuroid, repetition) float
        Single trials, NaN where there is none. Stimuli with one repetition cannot be halved; they only count in <1/n>.
    seed : int
        Of the halvings.
    n_splits : int
        Random halvings to average over.
    n_averaged : array (stimulus,) int, optional
        Repetitions averaged for each evaluated stimulus, where these are not the stimuli of `trials` with all of their
        repetitions.

    Returns
    -------
    SplitHalf

    Raises
    ------
    DataError
        When a neuroid has fewer than three stimuli with two repetitions.
    """
    return _corrected(_checked(trials), None, n_splits=n_splits, seed=seed, n_averaged=n_averaged)


def resampled_split_half_ceiling(
    trials: Floats, counts: npt.ArrayLike, *, seed: int, n_splits: int = 20
) -> npt.NDArray[np.float64]:
    """Median over neuroids of the ceiling on r in each resample of stimuli; the halvings stay the same.

    Parameters
    ----------
    trials, seed, n_splits
        As in `split_half_ceiling`.
    counts : array (resample, stimulus) int
        The resamples on which the raw score was computed.

    Returns
    -------
    array (resample,) float64
    """
    weights = np.asarray(counts, np.float64)
    trials = _checked(trials)
    if weights.ndim != 2 or weights.shape[1] != len(trials):
        raise RequestError(f"counts: shape {weights.shape} is not (resample, {len(trials)} stimuli)")
    return np.median(_corrected(trials, weights, n_splits=n_splits, seed=seed, n_averaged=None).ceiling, axis=-1)


def split_half_p_value(trials: Sequence[Floats], *, seed: int, n_permutations: int = 500) -> float:
    """Probability, if no neuroid responded to the stimuli, of halves at least as alike as these.

    The statistic is the median over neuroids of the split-half r, averaged over subjects. Under the null hypothesis
    the stimuli of one half are exchangeable: they are permuted, alike for all neuroids of a subject so that noise
    shared by neuroids stays shared. p = (1 + permutations at least as high) / (1 + permutations).

    Parameters
    ----------
    trials : sequence of array (stimulus, neuroid, repetition) float
        One per subject; only the stimuli all neuroids of a subject can halve are used.
    seed, n_permutations : int

    Returns
    -------
    float in (0, 1], one-sided
    """
    observed, permuted = 0.0, np.zeros(n_permutations)
    for subject, of_subject in enumerate(trials):
        checked = _checked(of_subject)
        usable = ((~np.isnan(checked)).sum(2) >= 2).all(1)
        if usable.sum() < 3:
            raise DataError(f"trials of subject {subject}: fewer than 3 stimuli with 2 repetitions for every neuroid")
        a, b = (_unit(half) for half in _one_halving(checked[usable], seed=seed))
        observed += float(np.median(np.einsum("sn,sn->n", a, b)))
        order = generator(seed, "permutations", subject)
        for index in range(n_permutations):
            permuted[index] += np.median(np.einsum("sn,sn->n", a, b[order.permutation(len(b))]))
    return float((1 + np.sum(permuted >= observed)) / (1 + n_permutations))


def _corrected(
    trials: Floats, weights: Floats | None, *, n_splits: int, seed: int, n_averaged: npt.ArrayLike | None
) -> SplitHalf:
    """Fields (neuroid,), or (resample, neuroid) with weights."""
    if n_splits < 1:
        raise RequestError(f"n_splits: {n_splits} is not at least 1")
    shape = trials.shape[1:2] if weights is None else (len(weights), trials.shape[1])
    split_half, reliability = np.empty(shape), np.empty(shape)
    for neuroids in _alike(trials):
        part = trials[:, neuroids]
        n_trials = (~np.isnan(part[:, 0])).sum(1)
        usable, seen = n_trials >= 2, n_trials >= 1
        if usable.sum() < 3:
            raise DataError(f"trials: {len(neuroids)} neuroids have fewer than 3 stimuli with 2 repetitions; drop them")
        of_usable = None if weights is None else weights[:, usable]
        r = np.zeros((*shape[:-1], len(neuroids)))
        share_a = share_b = np.zeros(shape[:-1])
        for a, b, n_a, n_b in _halvings(part[usable], n_splits=n_splits, seed=seed):
            r += (pearson(a, b) if of_usable is None else weighted_pearson(a, b, of_usable)) / n_splits
            share_a = share_a + _mean(1 / n_a, of_usable) / n_splits
            share_b = share_b + _mean(1 / n_b, of_usable) / n_splits
        if n_averaged is None:
            full = _mean(1 / n_trials[seen], None if weights is None else weights[:, seen])
        else:
            full = _mean(1 / np.asarray(n_averaged), None)
        split_half[..., neuroids] = r
        reliability[..., neuroids] = _step_up(r, share_a[..., None], share_b[..., None], full[..., None])
    return SplitHalf(split_half, reliability, np.sqrt(np.maximum(0.0, reliability)))


def _step_up(r: Floats, a: Floats, b: Floats, full: Floats) -> Floats:
    """Reliability of means with noise share `full`, from r between halves with noise shares a and b."""
    signal = r * (r * (a + b) + np.sqrt(np.square(r * (a + b)) + 4 * (1 - r**2) * a * b))
    return signal / (signal + 2 * (1 - r**2) * full)


def _mean(values: Floats, weights: Floats | None) -> Floats:
    return np.asarray(values.mean()) if weights is None else weights @ values / weights.sum(1)


def _halvings(trials: Floats, *, n_splits: int, seed: int) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Half means (stimulus, neuroid) and their numbers of repetitions (stimulus,), for trials missing alike."""
    present = ~np.isnan(trials[:, 0])
    n_trials = present.sum(1)
    filled = np.where(present[:, None], trials, 0)
    random = generator(seed, "halvings")
    for _ in range(n_splits):
        keys = np.where(present, random.random(present.shape), np.inf)
        first = keys.argsort(1).argsort(1) < (n_trials // 2)[:, None]
        halves = np.stack([first, present & ~first], axis=2).astype(filled.dtype)
        sizes = halves.sum(1)
        means = np.matmul(filled, halves / sizes[:, None])
        yield means[..., 0], means[..., 1], sizes[:, 0], sizes[:, 1]


def _one_halving(trials: Floats, *, seed: int) -> tuple[Floats, Floats]:
    """Half means (stimulus, neuroid), where trials may be missing in other places for each neuroid."""
    first, second = np.empty(trials.shape[:2]), np.empty(trials.shape[:2])
    for neuroids in _alike(trials):
        first[:, neuroids], second[:, neuroids], _, _ = next(_halvings(trials[:, neuroids], n_splits=1, seed=seed))
    return first, second


def _alike(trials: Floats) -> list[npt.NDArray[np.intp]]:
    """Groups of neuroids whose trials are missing in the same places."""
    missing = np.packbits(np.isnan(trials).transpose(1, 0, 2).reshape(trials.shape[1], -1), axis=1)
    _, group = np.unique(missing, axis=0, return_inverse=True)
    return [np.flatnonzero(group == index) for index in range(group.max() + 1)]


def _unit(columns: Floats) -> Floats:
    centred = columns - columns.mean(0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(length > 0, length, np.inf)


def _checked(trials: Floats) -> Floats:
    trials = np.asarray(trials)
    if trials.ndim != 3 or 0 in trials.shape or not np.issubdtype(trials.dtype, np.floating):
        raise RequestError(f"trials: {trials.dtype} {trials.shape} is not (stimulus, neuroid, repetition) float")
    if np.isinf(trials).any():
        raise RequestError("trials: infinite values; a missing trial is NaN")
    return trials
