"""Resamples of stimuli, and the standard error of a score from them."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from alignment.correlation import Array, weighted_pearson
from alignment.errors import RequestError
from alignment.seeds import generator

Floats = npt.NDArray[np.floating]
Subjects = Literal["auto", "fixed", "resampled"]

MINIMUM_SUBJECTS = 8
LARGEST_BIAS = 0.75
VALUES_AT_ONCE = 32_000_000


def stimulus_counts(n_stimuli: int, *names: str | int, n_resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each stimulus stands in each bootstrap resample (Efron 1979): n draws with replacement.

    The names should be those of the benchmark and the fold, never of the model, so that all models are compared on
    the same resamples. Where subjects saw different parts of one stimulus set, draw counts for the whole set and take
    the columns of each subject: the subjects then stay paired.

    Parameters
    ----------
    n_stimuli : int
    *names : str or int
        What the resamples are for; with `seed` they fix the counts.
    n_resamples, seed : int

    Returns
    -------
    array (resample, stimulus) int64
        Each row sums to `n_stimuli`.

    Examples
    --------
    >>> stimulus_counts(5, "nsd", "fold0", n_resamples=2, seed=0).sum(1)
    array([5, 5])
    """
    if n_stimuli < 2 or n_resamples < 2:
        raise RequestError(f"{n_stimuli} stimuli and {n_resamples} resamples: a bootstrap needs 2 of each at least")
    draws = generator(seed, "stimulus_counts", *names).integers(n_stimuli, size=(n_resamples, n_stimuli))
    flat = draws + n_stimuli * np.arange(n_resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=n_resamples * n_stimuli).reshape(n_resamples, n_stimuli)


def resampled_correlations(
    predicted: Sequence[Array], observed: Sequence[Array], counts: Sequence[npt.NDArray[np.integer]]
) -> npt.NDArray[np.float32]:
    """Held-out r of each neuroid in each resample, averaged over folds; the fits stay as they are.

    Parameters
    ----------
    predicted, observed : sequence of array or tensor (stimulus, neuroid)
        One per fold: the held-out stimuli of that fold, the same neuroids in each.
    counts : sequence of array (resample, stimulus) int
        One per fold, the same number of resamples in each.

    Returns
    -------
    array (resample, neuroid) float32
    """
    total: npt.NDArray[np.float32] | None = None
    for fold in zip(predicted, observed, counts, strict=True):
        r = weighted_pearson(*fold)
        total = r if total is None else total + r
    if total is None:
        raise RequestError("no fold to resample")
    return total / np.float32(len(predicted))


def resampled_medians(
    predicted: Sequence[Array], observed: Sequence[Array], counts: Sequence[npt.NDArray[np.integer]]
) -> npt.NDArray[np.float64]:
    """Median over neuroids of the fold-averaged r, for each resample, in bounded memory.

    Parameters
    ----------
    predicted, observed, counts
        As in `resampled_correlations`; only the kept neuroids.

    Returns
    -------
    array (resample,) float64
    """
    block = max(1, VALUES_AT_ONCE // max(1, predicted[0].shape[1])) if predicted else 1
    medians = []
    for start in range(0, max((len(c) for c in counts), default=1), block):
        part = [c[start : start + block] for c in counts]
        medians.append(np.median(resampled_correlations(predicted, observed, part), axis=1).astype(np.float64))
    return np.concatenate(medians)


def standard_error(
    values: Floats,
    resampled: Floats | None,
    *,
    n_stimuli: int,
    deviations: Floats | None = None,
    pseudo_values: Floats | None = None,
    subjects: Subjects = "auto",
    overlap: float = 1.0,
) -> tuple[float, int]:
    """Standard error of the mean over subjects, and its degrees of freedom.

    Fewer than 8 subjects are fixed: the variance is that of the resampled mean, times n / (n - 1), since a bootstrap
    variance falls short by one degree of freedom. From 8 subjects on they are a sample too. A joint resample of both
    counts the variance particular to a subject and a stimulus three times (Schütt et al. 2023, eLife 12:e82566,
    "two-factor bootstrap"); the corrected variance is

        2 (V_subjects + V_stimuli) - V_both,    within [max(V_subjects, V_stimuli), V_both]

    where V_subjects = var(values) / S (or of the pseudo-values, where those are given), and V_both = V_stimuli + mean
    over resamples of var(resampled) / S, which is the joint bootstrap in closed form, by the law of total variance: no
    subject need be drawn.

    A median over neuroids is not smooth, and a resample adds noise to each r once more, so resampled medians may lie
    off the value. That shift is no error of the value (which is unbiased for its expectation over stimulus sets of this
    size), but it shows how ill-defined the spread is: its square is added to the variance, up to 0.75 standard errors.
    That lifts the coverage of 95 % intervals for heavy-tailed responses from 0.92 to 0.94, for a tenth more width.

    Scores made of *pairs* of stimuli (RDMs, kernels) need `deviations` as well. In a resample of stimuli the weight of
    a pair is a product of two counts, so that variance particular to a pair enters three times, and in a jackknife
    twice (Efron & Stein 1981, Ann Stat 9:586); what is particular to one stimulus enters once in both. So

        V_stimuli = 2 V_jackknife - V_bootstrap,    within [V_jackknife / 2, V_jackknife]

    counts both once. Without it, models unrelated to 16 subjects were called different from 0 in 0 of 1000 simulations
    at the 5 % level, with it in 2 to 6 %. The same holds for each subject, and the variance particular to a subject and
    a stimulus (or pair) is what single subjects have beyond their mean: with S subjects resampled, it enters the
    variance of the mean once, through V_subjects, and is taken from V_stimuli.

    Parameters
    ----------
    values : array (subject,)
        Each subject's score (or difference of two scores).
    resampled : array (subject, resample), optional
        The same on each resample of stimuli, column by column the same resample. None for a measure whose value
        depends on the number of stimuli: then the jackknife alone counts.
    n_stimuli : int
        Stimuli evaluated, over all folds.
    deviations : array (subject, stimulus), optional
        Of `jackknife_deviations`: their squares sum to the jackknife's variance. Given for scores made of pairs.
    subjects : {"auto", "fixed", "resampled"}
        Whether the error is about fresh subjects too; "auto": from 8 on.

    pseudo_values : array (subject,), optional
        Of `pseudo_values`, where a subject's value depends on the other subjects too, as a leave-one-subject-out bound
        does: values are then no independent sample of subjects. Default: the values.
    overlap : float
        Factor on the variance over stimuli, of `shared_training`.

    Returns
    -------
    error : float
    degrees_of_freedom : int
        n_stimuli - 1, or with subjects resampled the smaller of that and n_subjects - 1.
    """
    values = np.asarray(values, np.float64)
    bootstrap = None if resampled is None else _checked("resampled", resampled, len(values))
    jackknife = None if deviations is None else _checked("deviations", deviations, len(values))
    if bootstrap is None and jackknife is None:
        raise RequestError("resampled and deviations: neither is given; an error needs one of them")
    stretch = np.sqrt(overlap)
    if bootstrap is not None:
        middle = bootstrap.mean(axis=1, keepdims=True)
        bootstrap = middle + stretch * (bootstrap - middle)
    both = resamples_subjects(len(values), subjects=subjects)
    freedom = (min(n_stimuli, len(values)) if both else n_stimuli) - 1
    sample = values if pseudo_values is None else np.asarray(pseudo_values, np.float64)
    if sample.shape != values.shape:
        raise RequestError(f"pseudo_values: shape {sample.shape} is not {values.shape}, one per subject")
    of_subjects = float(sample.var(ddof=1) / len(sample)) if both else None
    if jackknife is None and bootstrap is not None:
        return _of_stimuli(values, bootstrap, n_stimuli=n_stimuli, of_subjects=of_subjects), freedom
    assert jackknife is not None
    return _of_pairs(bootstrap, stretch * jackknife, n_stimuli=n_stimuli, of_subjects=of_subjects), freedom


def shared_training(n_folds: int) -> float:
    """By how much resamples of held-out stimuli understate the variance of a fitted model's mean over folds.

    Each fold's model was trained on the held-out stimuli of the others, so fold scores depend on each other, and no
    resample with fits fixed shows that. With n_test / n_train = 1 / (F - 1), Nadeau & Bengio (2003, Machine Learning
    52:239, eq. 9) give the factor 1 + F n_test / n_train. Where nothing can be predicted, the products of every pair of
    stimuli enter twice, once from either side: a factor of 2. Ridge on 5 folds of 150 stimuli, 20 neuroids with one
    common signal: the sampling variance is 2.3 times the resampled one without an effect, 2.0 at r = .4, 1.4 at r = .8;
    where the noise of neuroids is independent, intervals are up to half wider than they need be.

    Parameters
    ----------
    n_folds : int
        1 for a train and a test set: nothing is shared.

    Examples
    --------
    >>> shared_training(1), shared_training(5)
    (1.0, 2.25)
    """
    return 1.0 if n_folds == 1 else 1 + n_folds / (n_folds - 1)


def pseudo_values(whole: float, left_out: Floats) -> npt.NDArray[np.float64]:
    """What each subject contributes to a statistic of them all (Tukey 1958): S t - (S - 1) t_without.

    Their variance over S is the jackknife's; of a mean they are the values themselves.

    Parameters
    ----------
    whole : float
        The statistic of all subjects.
    left_out : array (subject,)
        The statistic without each subject in turn.

    Examples
    --------
    >>> pseudo_values(3.0, np.array([3.5, 3.0, 2.5]))
    array([2., 3., 4.])
    """
    count = len(left_out)
    return count * whole - (count - 1) * np.asarray(left_out, np.float64)


def resamples_subjects(n_subjects: int, *, subjects: Subjects = "auto") -> bool:
    """Whether intervals are about fresh subjects too.

    Raises
    ------
    RequestError
        One subject cannot be resampled.
    """
    if subjects == "resampled" and n_subjects < 2:
        raise RequestError("one subject cannot be resampled; leave subjects fixed")
    return subjects == "resampled" or (subjects == "auto" and n_subjects >= MINIMUM_SUBJECTS)


def jackknife_deviations(left_out: Floats) -> npt.NDArray[np.float64]:
    """How far each stimulus moves a score, scaled so that squares sum to the jackknife's variance (Tukey 1958).

    sqrt((n - 1) / n) (v_i - mean v), v_i the score without stimulus i. Deviations of differences and means of scores
    are differences and means of deviations. A score that is a mean over F folds has 1 / F of each fold's own.

    Parameters
    ----------
    left_out : array (..., stimulus)
        The score without each stimulus (or each of n groups of them) in turn.

    Returns
    -------
    array (..., stimulus) float64

    Examples
    --------
    >>> sample = np.array([1.0, 2.0, 4.0, 9.0])
    >>> means = np.array([np.delete(sample, i).mean() for i in range(4)])
    >>> bool(np.isclose(np.square(jackknife_deviations(means)).sum(), sample.var(ddof=1) / 4))
    True
    """
    values = np.asarray(left_out, np.float64)
    count = values.shape[-1]
    return np.sqrt((count - 1) / count) * (values - values.mean(-1, keepdims=True))


def _of_stimuli(values: Floats, resampled: Floats, *, n_stimuli: int, of_subjects: float | None) -> float:
    """Of scores made of single stimuli."""
    means = resampled.mean(0)
    of_stimuli = means.var(ddof=1) * n_stimuli / (n_stimuli - 1)
    shift = min(float(abs(means.mean() - values.mean())), LARGEST_BIAS * float(np.sqrt(of_stimuli)))
    if of_subjects is None:
        return float(np.sqrt(of_stimuli + shift**2))
    of_both = of_stimuli + resampled.var(axis=0, ddof=1).mean() / len(values)
    corrected = min(float(2 * (of_subjects + of_stimuli) - of_both), float(of_both))
    variance = max(corrected, of_subjects, float(of_stimuli))
    return float(np.sqrt(variance + shift**2))


def _of_pairs(resampled: Floats | None, deviations: Floats, *, n_stimuli: int, of_subjects: float | None) -> float:
    """Of scores made of pairs of stimuli."""
    n_subjects, scale = len(deviations), n_stimuli / (n_stimuli - 1)

    def of(rows: slice | int) -> float:
        jackknife = np.square(np.atleast_2d(deviations[rows]).mean(0)).sum()
        if resampled is None:
            return float(jackknife)
        bootstrap = np.atleast_2d(resampled[rows]).mean(0).var(ddof=1) * scale
        return float(np.clip(2 * jackknife - bootstrap, jackknife / 2, jackknife))

    of_stimuli = of(slice(None))
    if of_subjects is None:
        return float(np.sqrt(of_stimuli))
    alone = float(np.mean([of(subject) for subject in range(n_subjects)]))
    particular = max((alone - of_stimuli) / (n_subjects - 1), 0.0)
    variance = max(of_subjects + of_stimuli - particular, of_subjects, of_stimuli)
    return math.sqrt(variance)


def _checked(name: str, array: Floats, n_subjects: int) -> Floats:
    checked = np.asarray(array, np.float64)
    if checked.ndim != 2 or len(checked) != n_subjects or checked.shape[1] < 2:
        raise RequestError(f"{name}: shape {checked.shape} is not ({n_subjects} subjects, 2 or more of them)")
    return checked
