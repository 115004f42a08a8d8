"""The ceiling of one subject's representation, from halves of its trials or of its sessions."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from scipy import stats

from alignment.encoding import TensorFeatures
from alignment.samples import Samples
from alignment.seeds import generator
from benchmarks.similarity.judged import Booleans, Counts
from benchmarks.similarity.strategies import Doubles, Strategy

HALVINGS = 4


Halves = tuple[Doubles, Doubles]


def halves_ceiling(
    strategy: Strategy,
    halves: Sequence[Sequence[Halves]],
    *,
    counts: Sequence[Counts],
    seed: int,
    doubling: float = 2.0,
) -> tuple[Samples, float | None]:
    """Highest expected similarity of a perfect model, from the similarity r of the two halves' summaries.

    With k how many times the variance of the noise shrinks when the data double, it is sqrt(k r / (1 + (k - 1) r)). Of
    means of RDMs k is 2, the step of Spearman and Brown, and of other dissimilarities as far as their noise halves.

    Parameters
    ----------
    strategy : how summaries are compared
    halves : per fold, summaries (entry,) of either half, for each way to halve the data
    counts : per fold, (resample, stimulus)
    seed : of the permutations
    doubling : k

    Returns
    -------
    ceiling : Samples of one subject
    p_value : of the halves sharing no geometry; None where that cannot be tested
    """
    folds = [_fold(strategy, pairs, drawn) for pairs, drawn in zip(halves, counts, strict=True)]
    value = float(np.mean([fold.value for fold in folds]))
    known = [fold.resampled for fold in folds if fold.resampled is not None]
    p_values = [
        strategy.agreement_p_value(np.stack(pairs[0]), n_stimuli=drawn.shape[1], seed=seed)
        for pairs, drawn in zip(halves, counts, strict=True)
    ]
    ceiling = Samples(
        np.array([_step_up(value, doubling)]),
        _step_up(np.mean(known, axis=0), doubling)[None] if known else None,
        n_stimuli=sum(len(fold.deviations) for fold in folds),
        deviations=_slope(value, doubling) * np.concatenate([fold.deviations for fold in folds])[None] / len(folds),
    )
    return ceiling, combined_p_value(p_values)


def combined_p_value(p_values: Sequence[float]) -> float | None:
    """Of all folds together, by Fisher's method; None where no fold could be tested (NaN)."""
    tested = [p for p in p_values if not np.isnan(p)]
    return float(stats.combine_pvalues(tested, method="fisher").pvalue) if tested else None


def between_sessions(strategy: Strategy, sessions: Sequence[Doubles], *, counts: Counts) -> Samples:
    """How alike the sessions of each subject are: the mean over pairs of sessions.

    Parameters
    ----------
    strategy : how RDMs are compared
    sessions : per subject, (session, pair), at least two sessions
    counts : (resample, stimulus)

    Returns
    -------
    Samples of these subjects, fixed
    """
    found = [_fold(strategy, list(combinations(each, 2)), counts) for each in sessions]
    known = [each.resampled for each in found if each.resampled is not None]
    return Samples(
        np.array([each.value for each in found]),
        np.stack(known) if known else None,
        n_stimuli=counts.shape[1],
        deviations=np.stack([each.deviations for each in found]),
        subjects="fixed",
    )


def said_of_sessions(strategy: Strategy, sessions: Mapping[str, Doubles], *, counts: Counts) -> str:
    """`between_sessions` of each subject by name, and their mean with its interval, for an identity card."""
    found = between_sessions(strategy, list(sessions.values()), counts=counts)
    each = ", ".join(f"{subject} {value:.3f}" for subject, value in zip(sessions, found.values, strict=True))
    mean = found.estimate()
    of_two = 2 * mean.value / (1 + mean.value)
    interval = f"[{mean.low:.3f}, {mean.high:.3f}] (subjects fixed)"
    return f"{each}; mean {mean.value:.3f} {interval}; by Spearman and Brown, of the mean of two sessions {of_two:.3f}"


class _Fold(NamedTuple):
    """Similarity of halves, on resamples (resample,), and jackknife deviations (stimulus,)."""

    value: float
    resampled: Doubles | None
    deviations: Doubles


def _fold(strategy: Strategy, pairs: Sequence[Halves], counts: Counts) -> _Fold:
    n_stimuli = counts.shape[1]
    alike = [strategy.similarities(a[None], b[None], n_stimuli=n_stimuli)[0, 0] for a, b in pairs]
    drawn = [strategy.resampled(a[None], b[None], counts) for a, b in pairs]
    known = [each[:, 0, 0] for each in drawn if each is not None]
    left_out = [strategy.deviations(a[None], b[None], n_stimuli=n_stimuli)[0, 0] for a, b in pairs]
    return _Fold(float(np.mean(alike)), np.mean(known, axis=0) if known else None, np.mean(left_out, axis=0))


def halves_of_trials(
    strategy: Strategy, trials: xr.DataArray, *, name: str, fold: int, seed: int
) -> list[Halves] | None:
    """Summaries of the means over random halves of each stimulus's trials; None where some stimulus has one trial.

    Parameters
    ----------
    strategy : how responses are summarised
    trials : ("stimulus", "neuroid", "repetition") of a fold, NaN where there is no trial
    name, fold, seed : of the data set, of the fold, of the halvings
    """
    if (np.isfinite(trials.values).sum(axis=2) < 2).any():
        return None
    return [_halves(strategy, trials, name, fold, number, seed=seed) for number in range(HALVINGS)]


def halved_repetitions(there: Booleans, *, name: str, number: int, seed: int) -> Booleans:
    """(repetition,), whether each is in the first half: of those that all stimuli have, and of the others.

    Parameters
    ----------
    there : (stimulus, repetition), whether there is a trial
    name, number, seed : of the data set, of the halving, of all halvings
    """
    order = generator(seed, "halves of repetitions", name, number).permutation(there.shape[1])
    complete = np.isin(order, np.flatnonzero(there.all(axis=0)))
    whole, others = order[complete], order[~complete]
    first = np.zeros(there.shape[1], bool)
    first[whole[: len(whole) // 2]] = True
    # where the number is odd, the other half has one more of those above
    first[others[: (len(others) + 1) // 2]] = True
    return first


def halves_of_sessions(sessions: Doubles, *, name: str, seed: int) -> list[Halves]:
    """Mean RDMs of random halves of a subject's sessions; of two sessions, these.

    Parameters
    ----------
    sessions : (session, pair), at least two sessions
    name, seed : of the data set, of the halvings
    """
    count = len(sessions)
    if count == 2:
        return [(sessions[0], sessions[1])]
    halves = []
    for number in range(HALVINGS):
        order = generator(seed, "halves of sessions", name, number).permutation(count)
        first, second = (sessions[part].mean(axis=0) for part in (order[: count // 2], order[count // 2 :]))
        halves.append((first, second))
    return halves


def _halves(strategy: Strategy, trials: xr.DataArray, name: str, fold: int, number: int, *, seed: int) -> Halves:
    """Summaries of the means over two random halves of each stimulus's trials, the same trials for all neuroids."""
    values = trials.values
    there = np.isfinite(values)
    keys = generator(seed, "halves", name, fold, number).random(values.shape[::2])[:, None, :]
    order = np.where(there, keys, np.inf).argsort(axis=2).argsort(axis=2)
    first = order < (there.sum(axis=2) // 2)[..., None]
    halves = []
    for chosen in (first & there, ~first & there):
        mean = np.where(chosen, values, 0.0).sum(axis=2) / chosen.sum(axis=2)
        halves.append(strategy.summarise(TensorFeatures(torch.from_numpy(mean)), device="cpu"))
    return halves[0], halves[1]


def _step_up(r: Doubles | float, times: float) -> Doubles:
    """0 where halves are not alike at all."""
    held = np.maximum(0.0, r)
    return np.sqrt(times * held / (1 + (times - 1) * held))


def _slope(r: float, times: float) -> float:
    """Of `_step_up` at r; where that is flat, as if halves were hardly alike."""
    held = max(r, 1e-3)
    return float(times / (2 * _step_up(held, times) * (1 + (times - 1) * held) ** 2))
