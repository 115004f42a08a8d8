"""From summaries of layers and of subjects to values, resamples and jackknife deviations of every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignment.resampling import Subjects, pseudo_values, resamples_subjects, shared_training
from alignment.rsa import Bounds
from alignment.samples import Samples
from benchmarks.similarity.judged import Counts, Fold
from benchmarks.similarity.strategies import Strategy

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OfFold:
    """What one fold gives.

    Attributes
    ----------
    values : (row, subject)
    resampled : (row, subject, resample), or None for a measure that is not resampled
    deviations : (row, subject, stimulus), stimuli of the fold
    """

    values: Doubles
    resampled: Doubles | None
    deviations: Doubles


def of_fold(
    strategy: Strategy,
    fold: Fold,
    *,
    models: Sequence[Doubles],
    subjects: Sequence[Doubles],
    counts: Sequence[Counts],
    n_subjects: int,
) -> OfFold:
    """Every row of models with every subject.

    Parameters
    ----------
    strategy : how summaries are compared
    fold : which stimuli
    models : per group, summaries (row, entry) of the layers
    subjects : per group, summaries (subject, entry) of its subjects
    counts : per group, (resample, stimulus)
    n_subjects : in all groups together
    """
    rows, n_resamples = len(models[0]), len(counts[0])
    values = np.empty((rows, n_subjects))
    resampled: Doubles | None = np.empty((rows, n_subjects, n_resamples))
    deviations = np.zeros((rows, n_subjects, len(fold.stimuli)))
    for group, of_models, of_subjects, drawn in zip(fold.groups, models, subjects, counts, strict=True):
        places, n_stimuli = list(group.subjects), len(group.judged_on)
        values[:, places] = strategy.similarities(of_models, of_subjects, n_stimuli=n_stimuli)
        again = strategy.resampled(of_models, of_subjects, drawn)
        if again is None:
            resampled = None
        elif resampled is not None:
            resampled[:, places] = again.transpose(1, 2, 0)
        left_out = strategy.deviations(of_models, of_subjects, n_stimuli=n_stimuli)
        for position, subject in enumerate(places):
            deviations[:, subject, fold.places(group)] = left_out[:, position]
    return OfFold(values, resampled, deviations)


def samples_of(folds: Sequence[OfFold], rows: Sequence[int], *, subjects: Subjects, fitted: bool) -> Samples:
    """Mean over folds, each with its own row; `fitted` on the stimuli of the other folds or not."""
    picked = list(zip(folds, rows, strict=True))
    resampled = [fold.resampled[row] for fold, row in picked if fold.resampled is not None]
    return Samples(
        np.mean([fold.values[row] for fold, row in picked], axis=0),
        np.mean(resampled, axis=0) if resampled else None,
        n_stimuli=sum(fold.deviations.shape[2] for fold in folds),
        deviations=np.concatenate([fold.deviations[row] for fold, row in picked], axis=1) / len(folds),
        subjects=subjects,
        overlap=shared_training(len(folds)) if fitted else 1.0,
    )


def bounds_of(
    strategy: Strategy,
    folds: Sequence[Fold],
    *,
    summaries: Sequence[Doubles],
    counts: Sequence[Counts],
    subjects: Subjects,
) -> tuple[Samples, Samples]:
    """Lower and upper bound of the ceiling, where all subjects are judged on the same stimuli.

    Parameters
    ----------
    summaries : per fold, (subject, entry)
    counts : per fold, (resample, stimulus)
    """
    sampled = resamples_subjects(len(summaries[0]), subjects=subjects)
    found, again, left_out, without = [], [], [], []
    for fold, of_subjects, drawn in zip(folds, summaries, counts, strict=True):
        n_stimuli = len(fold.stimuli)
        found.append(strategy.bounds(of_subjects, n_stimuli=n_stimuli))
        again.append(strategy.resampled_bounds(of_subjects, drawn))
        left_out.append(strategy.bound_deviations(of_subjects, n_stimuli=n_stimuli))
        if sampled:
            others = [np.delete(of_subjects, subject, axis=0) for subject in range(len(of_subjects))]
            without.append(np.array([np.mean(strategy.bounds(each, n_stimuli=n_stimuli), axis=1) for each in others]))

    def samples(side: int) -> Samples:
        resampled = np.mean([bounds[side].T for bounds in again], axis=0)
        values = np.mean([bounds[side] for bounds in found], axis=0)
        return Samples(
            values,
            # NaN where the measure is not resampled
            resampled if np.isfinite(resampled).all() else None,
            n_stimuli=sum(len(fold.stimuli) for fold in folds),
            deviations=np.concatenate([bounds[side] for bounds in left_out], axis=1) / len(folds),
            # each subject stands in the pools of the others
            pseudo_values=pseudo_values(values.mean(), np.mean(without, axis=0)[:, side]) if sampled else None,
            subjects=subjects,
        )

    lower, upper = (samples(Bounds._fields.index(name)) for name in ("lower", "upper"))
    return lower, upper
